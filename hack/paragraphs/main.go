// Command paragraphs joins the lines of each paragraph in the descriptions of CRDs: controller-gen takes them from
// comments as they are broken there, and kubectl explain, which breaks lines itself, would break them twice.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: paragraphs FOLDER-OF-CRDS")
		os.Exit(2)
	}
	paths, err := filepath.Glob(filepath.Join(os.Args[1], "*.yaml"))
	for _, path := range paths {
		if err == nil {
			err = rewrite(path)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func rewrite(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var crd map[string]any
	if err := yaml.Unmarshal(text, &crd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	walk(crd)
	if text, err = yaml.Marshal(crd); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, append([]byte("---\n"), text...), 0o644)
}

// walk rewrites all descriptions. A property that is called description has a schema, and is no text.
func walk(node any) {
	switch node := node.(type) {
	case map[string]any:
		for key, value := range node {
			if text, is := value.(string); is && key == "description" {
				node[key] = joined(text)
				continue
			}
			walk(value)
		}
	case []any:
		for _, value := range node {
			walk(value)
		}
	}
}

// joined is a text with a line for each paragraph, each point of a list, and each line that is set in.
func joined(text string) string {
	var lines []string
	goesOn := false
	for line := range strings.SplitSeq(text, "\n") {
		alone := strings.TrimSpace(line) == "" || strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		point := strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ")
		if goesOn && !alone && !point {
			lines[len(lines)-1] += " " + strings.TrimSpace(line)
			continue
		}
		lines = append(lines, strings.TrimRight(line, " \t"))
		goesOn = !alone
	}
	return strings.Join(lines, "\n")
}
