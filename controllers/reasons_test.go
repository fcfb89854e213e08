package controllers

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Somebody who reads a reason in a condition finds in the documentation what it means.
func TestEveryReasonIsDocumented(t *testing.T) {
	read := func(pattern string) string {
		t.Helper()
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		var all strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
		return all.String()
	}
	pages := read("../docs/*.md")
	reasons := regexp.MustCompile(`(?m)^\s*Reason\w+\s*=\s*"(\w+)"`).FindAllStringSubmatch(read("../api/v1alpha1/*_types.go"), -1)
	if len(reasons) < 20 {
		t.Fatalf("%d reasons were found: this test looks in the wrong place", len(reasons))
	}
	for _, reason := range reasons {
		if !strings.Contains(pages, "`"+reason[1]+"`") {
			t.Errorf("no page of docs/ has the reason `%s`", reason[1])
		}
	}
}
