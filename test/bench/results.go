package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
)

// Results are what one run of the benchmarks found.
type Results struct {
	Machine Machine  `json:"machine"`
	Rounds  int      `json:"rounds"`
	Quick   bool     `json:"quick,omitempty"`
	Figures []Figure `json:"figures"`
}

// Figure is one thing that was measured, ours and the peer's.
type Figure struct {
	Benchmark string `json:"benchmark"`
	Work      string `json:"work"`
	Unit      string `json:"unit"`
	// Ours and Peer are the medians of the runs, in the order in which they ran.
	Ours     float64   `json:"ours"`
	Peer     float64   `json:"peer,omitempty"`
	OurRuns  []float64 `json:"ourRuns"`
	PeerRuns []float64 `json:"peerRuns,omitempty"`
	// Against says what the peer is; empty when there is none.
	Against string `json:"against,omitempty"`
	// Ratio is ours over the peer's.
	Ratio float64 `json:"ratio,omitempty"`
	// Goals are what was to be reached.
	Goals []Goal `json:"goals,omitempty"`
	// Notes are what else was measured in passing.
	Notes map[string]float64 `json:"notes,omitempty"`
}

// Goal is a bound, and whether it was kept.
type Goal struct {
	Text string `json:"text"`
	Met  bool   `json:"met"`
}

// newFigure compares the medians of two series of runs; peer may be empty.
func newFigure(work, unit string, ours, peer []float64) Figure {
	f := Figure{Work: work, Unit: unit, OurRuns: ours, PeerRuns: peer, Ours: median(ours), Peer: median(peer)}
	if f.Peer != 0 {
		f.Ratio = f.Ours / f.Peer
	}
	return f
}

func (f Figure) against(peer string) Figure {
	f.Against = peer
	return f
}

// ratioAtLeast, and the others below, add a goal.
func (f Figure) ratioAtLeast(bound float64) Figure {
	return f.goal(f.Ratio >= bound, "at least %gx the peer", bound)
}

func (f Figure) ratioAtMost(bound float64) Figure {
	return f.goal(f.Ratio <= bound, "at most %gx the peer", bound)
}

func (f Figure) atLeast(bound float64) Figure {
	return f.goal(f.Ours >= bound, "at least %s", quantity(bound))
}

func (f Figure) atMost(bound float64) Figure {
	return f.goal(f.Ours <= bound, "at most %s", quantity(bound))
}

func (f Figure) goal(met bool, text string, args ...any) Figure {
	f.Goals = append(slices.Clone(f.Goals), Goal{Text: fmt.Sprintf(text, args...), Met: met})
	return f
}

// median is the middle one, or the mean of the middle two; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (r Results) print(to io.Writer) {
	fmt.Fprintf(to, "\n%s; medians of up to %d interleaved runs\n\n", r.Machine, r.Rounds)
	if r.Quick {
		fmt.Fprint(to, "--quick: a tenth of the work, not to be compared\n\n")
	}
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BENCHMARK\tWORK\tUNIT\tOURS\tPEER\tRATIO\tGOAL")
	for _, f := range r.Figures {
		peer, ratio := "-", "-"
		if len(f.PeerRuns) > 0 {
			peer = quantity(f.Peer)
		}
		if f.Ratio != 0 {
			ratio = fmt.Sprintf("%.3fx", f.Ratio)
			if f.Ratio < 0.01 {
				ratio = fmt.Sprintf("%.2gx", f.Ratio)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Benchmark, f.Work, f.Unit, quantity(f.Ours), peer, ratio, f.verdict())
	}
	table.Flush()
}

func (f Figure) verdict() string {
	words := make([]string, len(f.Goals))
	for i, goal := range f.Goals {
		words[i] = goal.Text + ": NOT met"
		if goal.Met {
			words[i] = goal.Text + ": met"
		}
	}
	return strings.Join(words, "; ")
}

// quantity is a number as people read it: three digits, or whole and in groups of three.
func quantity(value float64) string {
	if value < 100 {
		return fmt.Sprintf("%.3g", value)
	}
	text := fmt.Sprintf("%.0f", value)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// save writes the results, unless there is no path. The figures of benchmarks that were not run stay as they were in the file.
func (r Results) save(path string) error {
	if path == "" {
		return nil
	}
	before := Results{}
	text, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(text, &before)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s; remove it to begin anew: %w", path, err)
	}
	if before.Machine == r.Machine && before.Rounds == r.Rounds && before.Quick == r.Quick {
		for _, f := range before.Figures {
			if !slices.ContainsFunc(r.Figures, func(now Figure) bool { return now.Benchmark == f.Benchmark }) {
				r.Figures = append(r.Figures, f)
			}
		}
		slices.SortStableFunc(r.Figures, func(a, b Figure) int { return strings.Compare(a.Benchmark, b.Benchmark) })
	}
	text, err = json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
