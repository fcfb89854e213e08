package usagecli

import (
	"bytes"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"k8s.io/cli-runtime/pkg/genericiooptions"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
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
		{"averyveryverylongword, b", 10, []string{"averyveryv", "erylongwor", "d, b"}},
		{"cpu 1 core-hour, 2 nvidia.com/mig-1g.5gb-hours, 3 more", 17, []string{"cpu 1 core-hour,", "2", "nvidia.com/mig-1g", ".5gb-hours,", "3 more"}},
	} {
		if got := wrapped(c.text, c.width); !slices.Equal(got, c.want) {
			t.Errorf("%q in %d columns: got %q, want %q", c.text, c.width, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(strings.Fields(rapid.StringMatching(`([a-z]{1,30}[,;]? ){0,20}`).Draw(t, "text")), " ")
		width := rapid.IntRange(9, 80).Draw(t, "width")
		lines := wrapped(text, width)
		if got := strings.Join(lines, " "); width > 31 && strings.TrimSpace(got) != text {
			t.Fatalf("got %q, want %q", got, text)
		}
		if got := strings.ReplaceAll(strings.Join(lines, ""), " ", ""); got != strings.ReplaceAll(text, " ", "") {
			t.Fatalf("got %q, want %q", lines, text)
		}
		for _, line := range lines {
			if utf8.RuneCountInString(line) > width || line == "" && text != "" {
				t.Fatalf("%q is empty, or longer than %d", line, width)
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

func TestColoursAreForTerminalsThatHaveThem(t *testing.T) {
	rows := []wire.Row{{ReportRow: v1alpha1.ReportRow{Quantity: "2", Exact: "7200000", Unit: "core-hour", Accuracy: v1alpha1.AccuracyEstimated, Group: map[string]v1alpha1.AttributeValue{"resourceType": "vm", "dimension": "vcpu"}}}}
	answer := &answered{Report: &wire.Report{Rows: rows}}
	made := &table{columns: []column{{name: "A"}, {name: "B"}}}
	made.add("a", "b")
	var out bytes.Buffer
	c := &cli{IOStreams: genericiooptions.IOStreams{Out: &out}, width: 40, colours: true}
	if got := c.bars(answer, "day", time.UTC, true); !strings.Contains(got, "\x1b[33m####") || !strings.HasPrefix(got, "\x1b[1mvm.vcpu, in core-hours\x1b[0m\n") {
		t.Errorf("bars: %q", got)
	}
	if err := c.printTable(made, false); err != nil || out.String() != "\x1b[1mA   B\x1b[0m\na   b\n" {
		t.Errorf("table: %q, %v", out.String(), err)
	}
	c.colours = false
	if got := c.bars(answer, "day", time.UTC, true); strings.Contains(got, "\x1b") {
		t.Errorf("without colours: %q", got)
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, e := range []struct {
		stream         any
		noColour, kind string
		want           bool
	}{
		{terminal, "", "xterm", true}, {terminal, "1", "xterm", false}, {terminal, "", "dumb", false}, {&out, "", "xterm", false},
	} {
		t.Setenv("NO_COLOR", e.noColour)
		t.Setenv("TERM", e.kind)
		if got := colourful(e.stream); got != e.want {
			t.Errorf("%T, NO_COLOR=%s, TERM=%s: %t", e.stream, e.noColour, e.kind, got)
		}
	}
}

// Quantities are sorted as numbers, whatever stands beside them, where they are of one dimension.
func TestFiguresAreSortedAsNumbers(t *testing.T) {
	c := &cli{sortBy: "usage"}
	lines := func(cells ...string) *table {
		t := &table{columns: []column{{name: "USAGE", figures: true}}}
		for _, cell := range cells {
			t.add(cell)
		}
		return t
	}
	got, err := c.sorted(lines("memory 100 GiB-hour", "memory unknown", "memory ~9.5 GiB-hour", "memory 20? GiB-hour"))
	want := lines("memory unknown", "memory ~9.5 GiB-hour", "memory 20? GiB-hour", "memory 100 GiB-hour")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
	if _, err := c.sorted(lines("memory 100 GiB-hour", "cpu 3 core-hour")); err == nil {
		t.Error("what is of two dimensions was sorted")
	}
}
