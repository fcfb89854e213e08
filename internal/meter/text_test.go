package meter

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestTidy(t *testing.T) {
	cases := map[string]struct{ text, want string }{
		"plain text stays":               {text: "web", want: "web"},
		"so does any script":             {text: "Büro 東京", want: "Büro 東京"},
		"253 bytes stay":                 {text: strings.Repeat("a", 253), want: strings.Repeat("a", 253)},
		"254 are cut":                    {text: strings.Repeat("a", 254), want: strings.Repeat("a", 236) + "-136496c2a16a22b5"},
		"a character is never cut apart": {text: strings.Repeat("東", 100), want: strings.Repeat("東", 78) + "-e8dc122444df5544"},
		"control characters are shown":   {text: "a\x00b\n", want: "a\uFFFDb\uFFFD-3a100994c4e38751"},
		"so is what turns text around":   {text: "\u202Egnp.exe", want: "\uFFFDgnp.exe-"},
		"so is what is not UTF-8":        {text: "a\xffb", want: "a\uFFFDb-"},
		"the replacement itself stays":   {text: "a\uFFFDb", want: "a\uFFFDb"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got := Tidy(c.text)
			if want, open := strings.CutSuffix(c.want, "-"); open {
				if !strings.HasPrefix(got, want+"-") || len(got) != len(want)+17 {
					t.Fatalf("got %q, want %q and a hash", got, want)
				}
			} else if got != c.want {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestTidyIsBoundedGraphicAndDistinct(t *testing.T) {
	hostile := rapid.Custom(func(t *rapid.T) string {
		pieces := rapid.SliceOf(rapid.SampledFrom([]string{
			"a", "東", "\x00", "\x1b[31m", "\xff", "\xe6\x9d", "\u202e", "\u2028", "\uFFFD", strings.Repeat("x", 200),
		})).Draw(t, "pieces")
		return strings.Join(pieces, "")
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := hostile.Draw(t, "a"), hostile.Draw(t, "b")
		got := Tidy(a)
		switch {
		case len(got) > maxText:
			t.Fatalf("%d bytes", len(got))
		case !utf8.ValidString(got):
			t.Fatalf("%q is not UTF-8", got)
		case strings.ContainsFunc(got, func(char rune) bool { return !unicode.IsGraphic(char) }):
			t.Fatalf("%q is not graphic", got)
		case a != b && got == Tidy(b):
			t.Fatalf("%q and %q are both %q", a, b, got)
		case Tidy(got) != got:
			t.Fatalf("%q changes again", got)
		}
	})
}

func TestPrintableIsBounded(t *testing.T) {
	got := printable(strings.Repeat("東\x00", 1000), 100)
	if len(got) > 100 || !utf8.ValidString(got) || !strings.HasSuffix(got, "…") {
		t.Errorf("got %q of %d bytes", got, len(got))
	}
}
