package image_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ignores is a .dockerignore, with the meaning that Docker's own library gives it.
type ignores struct {
	patterns *patternmatcher.PatternMatcher
}

// readIgnores fails where builders do not agree on what a .dockerignore admits. BuildKit looks into an ignored folder
// wherever an exception may match; others only where an exception begins with the folder's path. They agree when the
// wildcards of exceptions (!docs/*.md) are in the last element of the path, and do not go below it (**).
func readIgnores(from io.Reader) (*ignores, error) {
	lines, err := ignorefile.ReadAll(from)
	if err != nil {
		return nil, err
	}
	patterns, err := patternmatcher.New(lines)
	if err != nil {
		return nil, err
	}
	for _, p := range patterns.Patterns() {
		if p.Exclusion() && (strings.ContainsAny(path.Dir(p.String()), `*?[\`) || strings.Contains(p.String(), "**")) {
			return nil, fmt.Errorf("!%s: builders differ on wildcards for folders in exceptions", p)
		}
	}
	return &ignores{patterns}, nil
}

// admits tells whether the file at the path, which is relative and has slashes, is part of the context.
func (i *ignores) admits(file string) (bool, error) {
	ignored, err := i.patterns.MatchesOrParentMatches(file)
	return !ignored, err
}

// prunes tells whether nothing below the folder can be part of the context.
func (i *ignores) prunes(folder string) (bool, error) {
	admitted, err := i.admits(folder)
	if err != nil || admitted {
		return false, err
	}
	return !slices.ContainsFunc(i.patterns.Patterns(), func(p *patternmatcher.Pattern) bool {
		return p.Exclusion() && strings.HasPrefix(p.String()+"/", folder+"/")
	}), nil
}

// files lists what is part of the context, of what is below root: paths that are relative to it, in order.
func (i *ignores) files(root string) ([]string, error) {
	var files []string
	err := fs.WalkDir(os.DirFS(root), ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || file == "." {
			return err
		}
		if entry.IsDir() {
			pruned, err := i.prunes(file)
			if err == nil && pruned {
				return fs.SkipDir
			}
			return err
		}
		admitted, err := i.admits(file)
		if err != nil || !admitted {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no regular file", file)
		}
		files = append(files, file)
		return nil
	})
	return files, err
}

// repositoryIgnores reads the .dockerignore of the repository.
func repositoryIgnores(t *testing.T) *ignores {
	t.Helper()
	file, err := os.Open(filepath.Join(repository, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read, err := readIgnores(file)
	if err != nil {
		t.Fatalf(".dockerignore: %v", err)
	}
	return read
}

// buildContext makes the context as a builder gets it, in a folder of its own.
func buildContext(t *testing.T) string {
	t.Helper()
	files, err := repositoryIgnores(t).files(repository)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, file := range files {
		if err := copyFile(filepath.Join(repository, file), filepath.Join(folder, file)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// copyFile copies a file with its permissions, and makes the folders that it is to be in.
func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, content, info.Mode().Perm()))
}

// TestIgnoresByKind holds .dockerignore to what it says of files that are not there yet.
func TestIgnoresByKind(t *testing.T) {
	read := repositoryIgnores(t)
	for file, want := range map[string]bool{
		"go.mod":                            true,
		"go.sum":                            true,
		"new.go":                            true,
		"api/v2/new.go":                     true,
		"config/new.go":                     true,
		"config/meters/new.yaml":            true,
		"controllers/new.go":                true,
		"internal/new/below/new.go":         true,
		"new_test.go":                       false,
		"api/v2/new_test.go":                false,
		"config/new_test.go":                false,
		"controllers/testdata/new.go":       false,
		"internal/new/new_test.go":          false,
		"internal/new/testdata/rapid/x":     false,
		"internal/new/.env":                 false,
		"internal/new/.secret/key":          false,
		"internal/usagecli/new.go":          false,
		".env":                              false,
		".git/config":                       false,
		".git/hooks/new.go":                 false,
		".control-plane/state/admin.config": false,
		"Dockerfile":                        false,
		"bin/usage-operator":                false,
		"cmd/kubectl-usage/main.go":         false,
		"config/default/new.yaml":           false,
		"config/new.yaml":                   false,
		"config/samples/new.go":             false,
		"dist/install.yaml":                 false,
		"docs/new.md":                       false,
		"hack/new.go":                       false,
		"id_ed25519":                        false,
		"kubeconfig":                        false,
		"test/image/new.go":                 false,
	} {
		if got, err := read.admits(file); err != nil || got != want {
			t.Errorf("%s: admitted: %t, %v; want %t", file, got, err, want)
		}
	}
}

// TestReadIgnores has exceptions that some builders follow and others do not.
func TestReadIgnores(t *testing.T) {
	for exception, want := range map[string]bool{
		"!main.go":            true,
		"!*.go":               true,
		"!config/*.go":        true,
		"!internal/usage":     true,
		"!**/*.go":            false,
		"!internal/**":        false,
		"!internal/**/*.go":   false,
		"!internal/*/*.go":    false,
		"!internal/[a-z]/doc": false,
	} {
		if _, err := readIgnores(strings.NewReader("*\n" + exception + "\n")); (err == nil) != want {
			t.Errorf("%s: %v; want it read: %t", exception, err, want)
		}
	}
}
