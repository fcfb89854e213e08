package usagecli

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"pgregory.net/rapid"
)

func TestTextsAreWrappedWithoutLosingAWord(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 10, []string{""}},
		{"cpu 1 core-hour, memory 2 GiB-hour; 1 more", 42, []string{"cpu 1 core-hour, memory 2 GiB-hour; 1 more"}},
		{"cpu 1 core-hour, memory 2 GiB-hour; 1 more", 27, []string{"cpu 1 core-hour,", "memory 2 GiB-hour; 1 more"}},
		{"container: cpu 0.002 core-hour, 1 more", 24, []string{"container: cpu 0.002", "core-hour, 1 more"}},
		{"averyveryverylongword, b", 10, []string{"averyveryverylongword,", "b"}},
	} {
		if got := wrapped(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns: got %q, want %q", c.text, c.width, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(strings.Fields(rapid.StringMatching(`([a-z]{1,8}[,;]? ){0,20}`).Draw(t, "text")), " ")
		width := rapid.IntRange(9, 80).Draw(t, "width")
		lines := wrapped(text, width)
		if got := strings.Join(lines, " "); strings.TrimSpace(got) != text {
			t.Fatalf("got %q, want %q", got, text)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width {
				t.Fatalf("%q is longer than %d", line, width)
			}
		}
	})
}

func TestTablesFitWhereTheyCan(t *testing.T) {
	made := &table{columns: []column{{name: "A"}, {name: "B", spare: true}, {name: "C", spare: true}, {name: "D", wraps: true}, {name: "E", wide: true}}}
	made.add("aaaaaaaa", "bbbbbbbb", "cccccccc", "dddddddddddd, eeeeeeeeeeee, ffffffffffff", "gggg")
	for width, want := range map[int]string{
		0:  "aaaaaaaa   bbbbbbbb   cccccccc   dddddddddddd, eeeeeeeeeeee, ffffffffffff\n",
		80: "aaaaaaaa   bbbbbbbb   cccccccc   dddddddddddd, eeeeeeeeeeee, ffffffffffff\n",
		72: "aaaaaaaa  bbbbbbbb  cccccccc  dddddddddddd, eeeeeeeeeeee, ffffffffffff\n",
		60: "aaaaaaaa  bbbbbbbb  cccccccc  dddddddddddd, eeeeeeeeeeee,\n                              ffffffffffff\n",
		50: "aaaaaaaa  bbbbbbbb  dddddddddddd, eeeeeeeeeeee,\n                    ffffffffffff\n",
		35: "aaaaaaaa  dddddddddddd,\n          eeeeeeeeeeee,\n          ffffffffffff\n",
	} {
		var out, said bytes.Buffer
		c := &cli{IOStreams: genericiooptions.IOStreams{Out: &out, ErrOut: &said}, width: width}
		if err := c.printTable(made, false); err != nil {
			t.Fatal(err)
		}
		_, rows, _ := strings.Cut(out.String(), "\n")
		if rows != want {
			t.Errorf("%d columns: got\n%swant\n%s", width, rows, want)
		}
		if left := !strings.Contains(want, "b") || !strings.Contains(want, "c"); left != strings.Contains(said.String(), "-o wide shows all") {
			t.Errorf("%d columns: it says %q", width, said.String())
		}
	}
}
