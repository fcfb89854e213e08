package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

const root = "../.."

// facts are what there is.
type facts struct {
	programs map[string]*program
	metrics  map[string]bool
	// reasons are those of conditions, of Events and of the hub's refusals, and the types of conditions.
	reasons map[string]bool
	// objects are those in config/, by name. samples are left out.
	objects map[string][]manifest
	samples map[string]bool
	// measured are the dimensions of the built-in meters, by resource type.
	measured map[string]map[string]bool
	// kinds are those of the API group; resources what kubectl calls them.
	kinds, resources map[string]bool
	// words are all that stand in files that are no docs.
	words map[string]bool
	// files are all files and folders, from the root; texts those that are read by a rule, by path.
	files map[string]bool
	texts []page
	pages map[string]page
	// project is the file PROJECT.
	project string
}

// known are the facts of this checkout.
var known = sync.OnceValues(func() (*facts, error) {
	f := &facts{
		programs: map[string]*program{}, metrics: map[string]bool{}, reasons: map[string]bool{},
		objects: map[string][]manifest{}, measured: map[string]map[string]bool{}, samples: map[string]bool{}, kinds: map[string]bool{}, resources: map[string]bool{},
		words: map[string]bool{}, files: map[string]bool{".": true}, pages: map[string]page{},
	}
	for _, read := range []func() error{f.readFiles, f.readObjects, f.readMetrics, f.readReasons, f.readPrograms} {
		if err := read(); err != nil {
			return nil, err
		}
	}
	return f, nil
})

// left are folders that are not in the repository.
var left = map[string]bool{
	".git": true, "bin": true, "dist": true, ".control-plane": true, ".demo": true, "ui/node_modules": true,
	"test/openapi/client/node_modules": true, "test/openapi/client/out": true,
}

// readFiles reads the docs, the words, and the texts that name flags, commands and pages.
func (f *facts) readFiles() error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		from := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if left[from] {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil // .git of a worktree
		}
		f.files[from] = true
		if entry.IsDir() || !entry.Type().IsRegular() {
			return nil
		}
		switch path.Ext(from) {
		case ".png", ".sum", ".svg", ".gz", ".zst", ".parquet":
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		switch {
		case strings.HasPrefix(from, "test/docs/"): // it has texts that are false on purpose
			f.addWords(strings.Join(regexp.MustCompile(`(?m)^func Test\w+`).FindAllString(string(text), -1), "\n"))
			return nil
		case path.Ext(from) == ".md":
			f.pages[from] = page{from, string(text)}
			return nil
		case from == "PROJECT":
			f.project = string(text)
		case said(from):
			f.texts = append(f.texts, page{from, string(text)})
		}
		f.addWords(string(text))
		return nil
	})
}

// said tells whether people read what a file says of flags, commands and pages: messages, help, comments, manifests.
func said(name string) bool {
	top, _, nested := strings.Cut(name, "/")
	switch {
	case strings.HasSuffix(name, "_test.go"), strings.Contains(name, "testdata/"), strings.Contains(name, "/assets/"):
		return false
	case nested && !slices.Contains([]string{"api", "charts", "cmd", "config", "controllers", "internal"}, top):
		return false
	}
	return name == "Makefile" || slices.Contains([]string{".go", ".yaml", ".txt", ".json"}, path.Ext(name))
}

func (f *facts) addWords(text string) {
	start := -1
	for i := 0; i <= len(text); i++ {
		letter := i < len(text) && (text[i] == '_' || text[i] >= '0' && text[i] <= '9' || text[i] >= 'A' && text[i] <= 'Z' || text[i] >= 'a' && text[i] <= 'z')
		switch {
		case letter && start < 0:
			start = i
		case !letter && start >= 0:
			f.words[text[start:i]] = true
			start = -1
		}
	}
}

// manifest is where an object is said.
type manifest struct{ kind, folder string }

// object is what is read of a manifest.
type object struct {
	Kind     string
	Metadata struct{ Name string }
	Spec     struct {
		ResourceType string
		Dimensions   []struct{ Name string }
		Names        struct {
			Plural, Singular string
			ShortNames       []string
		}
	}
}

func (f *facts) readObjects() error {
	for _, text := range f.texts {
		if !strings.HasPrefix(text.path, "config/") || path.Ext(text.path) != ".yaml" {
			continue
		}
		for document := range strings.SplitSeq("\n"+text.text, "\n---") {
			var o object
			if err := yaml.Unmarshal([]byte(document), &o); err != nil {
				continue // a part of a kustomization that is a list
			}
			if strings.HasPrefix(text.path, "config/samples/") {
				f.samples[o.Metadata.Name] = true
				continue
			}
			f.objects[o.Metadata.Name] = append(f.objects[o.Metadata.Name], manifest{o.Kind, path.Dir(text.path)})
			for _, dimension := range o.Spec.Dimensions {
				f.measured[o.Spec.ResourceType] = added(f.measured[o.Spec.ResourceType], dimension.Name, true)
			}
			if o.Kind != "CustomResourceDefinition" {
				continue
			}
			for _, name := range slices.Concat(o.Spec.Names.ShortNames, []string{o.Spec.Names.Plural, o.Spec.Names.Singular}) {
				f.resources[name] = true
			}
			f.kinds[kindOf(document)] = true
		}
	}
	return nil
}

// kindOf is the kind that a CRD defines.
func kindOf(crd string) string {
	found := regexp.MustCompile(`(?m)^    kind: (\w+)$`).FindStringSubmatch(crd)
	if found == nil {
		return ""
	}
	return found[1]
}

// readMetrics reads the two tables that tests beside the metrics hold against what is registered.
func (f *facts) readMetrics() error {
	row := regexp.MustCompile("(?m)^\\| `(usage_(?:operator|hub)_\\w+)` \\| (?:gauge|counter|histogram) \\|")
	for _, name := range []string{"docs/metrics.md", "docs/fleet.md"} {
		for _, cells := range row.FindAllStringSubmatch(f.pages[name].text, -1) {
			f.metrics[cells[1]] = true
		}
	}
	return nil
}
