package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"unicode/utf8"
)

// Every line of help fits a terminal, and every flag is there.
func TestHelpFitsATerminal(t *testing.T) {
	helps := map[string]func(*bytes.Buffer) int{
		"check":   func(b *bytes.Buffer) int { return check(context.Background(), []string{"--help"}, b, b) },
		"verify":  func(b *bytes.Buffer) int { return verify(context.Background(), []string{"--help"}, b, b) },
		"archive": func(b *bytes.Buffer) int { return archives(context.Background(), []string{"--help"}, b, b) },
		"usage-operator": func(b *bytes.Buffer) int {
			b.WriteString(about + usages((&options{}).flags()))
			return 0
		},
	}
	for name, help := range helps {
		var text bytes.Buffer
		if status := help(&text); status != 0 {
			t.Errorf("%s --help ends with %d", name, status)
		}
		if !strings.Contains(text.String(), "\n      --") {
			t.Errorf("%s --help has no flag:\n%s", name, &text)
		}
		for line := range strings.Lines(text.String()) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > helpWidth {
				t.Errorf("%s --help: %d columns: %s", name, n, line)
			}
		}
	}
}

// A wrong flag and an installation that is not right have different exit statuses.
func TestCheckRefusesWrongFlags(t *testing.T) {
	for _, args := range []string{"--usage-api=http://localhost", "--usage-api=localhost:8444", "--wait=-1s", "--nosuch", "now"} {
		var out, said bytes.Buffer
		if status := check(t.Context(), []string{args}, &out, &said); status != exitUsage || !strings.Contains(said.String(), "See usage-operator check --help.") {
			t.Errorf("%s: %d, %s", args, status, &said)
		}
	}
}
