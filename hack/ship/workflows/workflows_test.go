// Package workflows_test checks what runs on GitHub alone.
package workflows_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rhysd/actionlint"
)

const folder = "../../../.github/workflows"

// TestActionlint has actionlint look at every workflow: syntax, expressions, contexts, permissions, the inputs of actions.
func TestActionlint(t *testing.T) {
	said := &bytes.Buffer{}
	linter, err := actionlint.NewLinter(said, &actionlint.LinterOptions{Oneline: true})
	if err != nil {
		t.Fatal(err)
	}
	failures, err := linter.LintDir(folder, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(failures) > 0 {
		t.Errorf("actionlint:\n%s", said)
	}
}

// TestActionsArePinned reads every action that is used: a tag can be moved by who owns it, a commit's digest cannot.
func TestActionsArePinned(t *testing.T) {
	files, err := filepath.Glob(folder + "/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("%d workflows: %v", len(files), err)
	}
	uses := regexp.MustCompile(`(?m)^\s*(?:- )?uses: *(.*)$`)
	pinned := regexp.MustCompile(`^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := uses.FindAllStringSubmatch(string(text), -1)
		if len(found) == 0 {
			t.Errorf("%s uses nothing: is it read rightly?", file)
		}
		for _, used := range found {
			if !pinned.MatchString(used[1]) {
				t.Errorf("%s uses %s: pin it by its commit's digest, and name the version", file, used[1])
			}
		}
	}
}
