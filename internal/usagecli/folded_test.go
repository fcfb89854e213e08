package usagecli

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// What is said is the same, in lines that fit, but for words that are longer than one.
func TestFoldedLinesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`([a-zé:"]{1,12}( |\n)){0,40}`).Draw(t, "text")
		width := rapid.IntRange(12, 80).Draw(t, "width")
		got := folded(text, width)
		if strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(text), " ") {
			t.Fatalf("%q became %q", text, got)
		}
		for line := range strings.Lines(got) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasSuffix(got, "\n") && utf8.RuneCountInString(strings.TrimRight(line, " ")) > width {
				t.Fatalf("%q in %d columns has %q", text, width, line)
			}
		}
	})
	for text, want := range map[string]string{
		"one two three\n":         "one two\nthree\n",
		"\none two three":         "\none two three", // a line that goes on
		"\r\x1b[Kone two three\n": "\r\x1b[Kone two three\n",
		"a  b\n":                  "a  b\n",
		"0123456789abc d\n":       "0123456789abc\nd\n",
	} {
		if got := folded(text, 9); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
