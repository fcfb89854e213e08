package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParagraphsAreLines(t *testing.T) {
	for text, want := range map[string]string{
		"one line":                                     "one line",
		"a first\nand a last\nline":                    "a first and a last line",
		"a paragraph\nof two\n\nand one\nof two":       "a paragraph of two\n\nand one of two",
		"a list:\n- one\n  that goes on\n- two\nlines": "a list:\n- one\n  that goes on\n- two lines",
		"code:\n\n    a\n    b\n\nafter\nit":           "code:\n\n    a\n    b\n\nafter it",
		"":                                             "",
	} {
		if got := joined(text); got != want {
			t.Errorf("%q is %q: want %q", text, got, want)
		}
	}
}

// What is committed has been through it: kubectl explain breaks the lines, and nothing else does.
func TestTheCRDsHaveParagraphs(t *testing.T) {
	paths, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		copied := filepath.Join(t.TempDir(), filepath.Base(path))
		if err := os.WriteFile(copied, before, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := rewrite(copied); err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(copied)
		if err != nil || string(after) != string(before) || !strings.HasPrefix(string(after), "---\n") {
			t.Errorf("%s is not as paragraphs writes it (%v): make manifests", path, err)
		}
	}
}
