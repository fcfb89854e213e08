package docs

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module     = "github.com/usage-operator/usage-operator"
	layersPage = "docs/development.md"
)

// imports are those of the module's packages, tests left out, by their folders: the folders of the module that each imports.
func imports() (map[string][]string, error) {
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		from := filepath.ToSlash(strings.TrimPrefix(name, root+string(filepath.Separator)))
		if entry.IsDir() {
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil || left[from] || entry.Name() == "testdata" {
				return fs.SkipDir // of a module of its own, or no source
			}
			return nil
		}
		if path.Ext(from) != ".go" || strings.HasSuffix(from, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder := path.Dir(from)
		all[folder] = append(all[folder], []string{}...)
		for _, each := range file.Imports {
			imported, err := strconv.Unquote(each.Path.Value)
			if err != nil {
				return err
			}
			if imported == module {
				all[folder] = append(all[folder], ".")
			} else if below, is := strings.CutPrefix(imported, module+"/"); is {
				all[folder] = append(all[folder], below)
			}
		}
		return nil
	})
	for folder := range all {
		slices.Sort(all[folder])
		all[folder] = slices.Compact(all[folder])
	}
	return all, err
}

// layers are what a page's part "The layers" has: from the top down, the packages of each. "hack/..." is a folder's, which
// may import each other.
func layers(p page) (list [][]string) {
	_, part, _ := strings.Cut(p.text, "\n## The layers\n")
	block := regexp.MustCompile("(?s)```text\n(.*?)```").FindStringSubmatch(part)
	if block == nil {
		return nil
	}
	for line := range strings.Lines(block[1]) {
		if names := strings.Fields(line); len(names) > 0 {
			list = append(list, names)
		}
	}
	return list
}

// order is in which layer each package is, by what stands in the list.
type order map[string]int

// of is what stands in the list for a folder: itself, or "above/...".
func (o order) of(folder string) (name string, known bool) {
	if _, known = o[folder]; known {
		return folder, true
	}
	for above := path.Dir(folder); above != "."; above = path.Dir(above) {
		if _, known = o[above+"/..."]; known {
			return above + "/...", true
		}
	}
	return "", false
}

// above tells whether a package may import another.
func (o order) above(from, to string) bool {
	return o[from] < o[to] || from == to && strings.HasSuffix(from, "/...")
}

// pointUp are the imports that do not point to a layer further down, and what is in no layer, or in one and not there.
func pointUp(list [][]string, imports map[string][]string) (wrong []string) {
	layer, used := order{}, map[string]bool{}
	for i, names := range list {
		for _, name := range names {
			if _, twice := layer[name]; twice {
				wrong = append(wrong, name+" is in two layers")
			}
			layer[name] = i
		}
	}
	for _, from := range slices.Sorted(maps.Keys(imports)) {
		at, known := layer.of(from)
		if used[at] = true; !known {
			wrong = append(wrong, from+" is in no layer")
			continue
		}
		for _, to := range imports[from] {
			if name, known := layer.of(to); known && !layer.above(at, name) {
				wrong = append(wrong, fmt.Sprintf("%s imports %s, which is not below it", from, to))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(layer)) {
		if !used[name] {
			wrong = append(wrong, name+" is in a layer, and there is no such package")
		}
	}
	return wrong
}

func TestImportsPointDown(t *testing.T) {
	list := layers(here(t).pages[layersPage])
	all, err := imports()
	if err != nil {
		t.Fatal(err)
	}
	edges := 0
	for _, to := range all {
		edges += len(to)
	}
	if len(list) < 5 || len(all) < 40 || edges < 100 {
		t.Fatalf("%d layers, %d packages, %d imports: they are not read as they are written now", len(list), len(all), edges)
	}
	wrong := pointUp(list, all)
	for _, each := range wrong {
		t.Errorf("%s: see the layers in %s", each, layersPage)
	}
	t.Logf("%d packages in %d layers, %d imports among them; that point up: %d", len(all), len(list), edges, len(wrong))
}

func TestWhatPointsUpIsFound(t *testing.T) {
	list := layers(page{text: "# Page\n\n## The layers\n\nWords.\n\n```text\ntools/...\ntop\n\nmiddle   beside\nbottom\n```\n"})
	good := map[string][]string{"tools/a": {"tools/b", "top"}, "top": {"middle", "bottom"}, "middle": {"bottom"}, "beside": nil, "bottom": nil}
	if wrong := pointUp(list, good); len(wrong) != 0 {
		t.Errorf("%v", wrong)
	}
	for want, change := range map[string]func(map[string][]string){
		"bottom imports top, which is not below it":          func(m map[string][]string) { m["bottom"] = []string{"top"} },
		"middle imports beside, which is not below it":       func(m map[string][]string) { m["middle"] = []string{"beside"} },
		"top imports tools/a, which is not below it":         func(m map[string][]string) { m["top"] = []string{"tools/a"} },
		"new is in no layer":                                 func(m map[string][]string) { m["new"] = nil },
		"beside is in a layer, and there is no such package": func(m map[string][]string) { delete(m, "beside") },
	} {
		changed := maps.Clone(good)
		change(changed)
		if wrong := pointUp(list, changed); !slices.Equal(wrong, []string{want}) {
			t.Errorf("%v, want %s", wrong, want)
		}
	}
	if wrong := pointUp([][]string{{"a"}, {"a"}}, map[string][]string{"a": nil}); !slices.Equal(wrong, []string{"a is in two layers"}) {
		t.Errorf("%v", wrong)
	}
}
