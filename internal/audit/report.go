package audit

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Report is what came out.
type Report struct {
	// Blocks are all that there are, Bytes those of their specs.
	Blocks int   `json:"blocks"`
	Bytes  int64 `json:"bytes"`
	// Sequence is that of the journal's last entry, and Head its digest: noted
	// elsewhere, they show later that nothing up to there was rewritten.
	Sequence uint64 `json:"sequence"`
	Head     string `json:"head,omitempty"`
	Segments int    `json:"segments"`
	// Gaps are stretches of the journal that a person accepted as they are.
	Gaps []Gap `json:"gaps,omitempty"`
	// Intervals are those that were recomputed, from FirstInterval to
	// LastInterval; LastSeal is the digest of the last. Partial of them have a
	// stretch that is unknown.
	Intervals     int    `json:"intervals"`
	Partial       int    `json:"partialIntervals"`
	FirstInterval string `json:"firstInterval,omitempty"`
	LastInterval  string `json:"lastInterval,omitempty"`
	LastSeal      string `json:"lastSeal,omitempty"`
	// Records are the Final ones that were recomputed, Open those that were not.
	Records int `json:"records"`
	Open    int `json:"openRecords"`
	// Reports are those that were recomputed, ReportsLeft those that were not.
	Reports     int `json:"reports"`
	ReportsLeft int `json:"reportsLeftOut"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
	// First is the first difference; Differences is how many there are, by place.
	First       *Difference   `json:"firstDifference,omitempty"`
	Differences map[Place]int `json:"differences,omitempty"`
}

// Gap is a stretch of the journal that a person accepted as it is.
type Gap struct {
	Blocks   string `json:"blocks"`
	Accepted string `json:"accepted"`
	Lost     bool   `json:"lost"`
	Reason   string `json:"reason,omitempty"`
}

// OK tells whether there is no difference.
func (r *Report) OK() bool { return r.First == nil }

func (r *Report) differ(d Difference) {
	if r.First == nil {
		r.First = &d
	}
	if r.Differences == nil {
		r.Differences = map[Place]int{}
	}
	r.Differences[d.In]++
}

// journal takes in what the journal adds up to; nil begins anew.
func (r *Report) journal(state *journal.State, head journal.Digest) {
	if state == nil {
		r.Blocks, r.Bytes = 0, 0
		delete(r.Differences, InBlock) // they are found again
		return
	}
	r.Sequence, r.Segments, r.Gaps = state.Sequence, len(state.Segments), nil
	if state.Sequence > 0 {
		r.Head = head.String()
	}
	for _, gap := range state.Gaps {
		blocks := fmt.Sprint(gap.From)
		if gap.To != gap.From {
			blocks = fmt.Sprintf("%d-%d", gap.From, gap.To)
		}
		r.Gaps = append(r.Gaps, Gap{Blocks: blocks, Accepted: instant(gap.Accepted), Lost: gap.Lost, Reason: gap.Reason})
	}
}

func (r *Report) interval(seal journal.Seal) {
	r.Intervals++
	if seal.Partial {
		r.Partial++
	}
	if r.FirstInterval == "" {
		r.FirstInterval = intervalName(seal.Interval)
	}
	r.LastInterval, r.LastSeal = intervalName(seal.Interval), seal.Digest.String()
}

func instant(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }

func intervalName(w usage.Window) string { return instant(w.Start) + "/" + instant(w.End) }

// Write writes the report for people.
func (r *Report) Write(w io.Writer) error {
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s "+format+"\n", append([]any{what}, args...)...)
	}
	line("blocks", "%d, %s; sequence %d", r.Blocks, size(r.Bytes), r.Sequence)
	if r.Head != "" {
		fmt.Fprintf(&b, "    head %s\n", r.Head) // fills a terminal of 80 columns
	}
	for _, gap := range r.Gaps {
		line("", "accepted on %s: block %s: %s", gap.Accepted, gap.Blocks, gap.Reason)
	}
	line("segments", "%d", r.Segments)
	line("intervals", "%d sealed ones recomputed%s", r.Intervals, nonzero(", %d of them partial", r.Partial))
	if r.Intervals > 0 {
		line("", "from %s", r.FirstInterval)
		line("", "to   %s", r.LastInterval)
		fmt.Fprintf(&b, "    seal %s\n", r.LastSeal)
	}
	line("records", "%d Final ones recomputed%s", r.Records, nonzero(", %d Open ones left out", r.Open))
	if r.Reports+r.ReportsLeft > 0 {
		line("reports", "%d recomputed%s", r.Reports, nonzero(", %d left out", r.ReportsLeft))
	}
	line("took", "%s", time.Duration(r.Seconds*float64(time.Second)))
	b.WriteString("\n" + r.verdict() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (r *Report) verdict() string {
	if r.OK() {
		return "All of it adds up."
	}
	d := r.First
	var b strings.Builder
	fmt.Fprintf(&b, "DIFFERENCE in %s %s", d.In, d.Name)
	for _, part := range [][2]string{{"field", d.Field}, {"expected", d.Expected}, {"found", d.Found}, {"", d.Detail}} {
		if part[1] != "" {
			fmt.Fprintf(&b, "\n  %-9s %s", part[0], part[1])
		}
	}
	var counts []string
	for _, place := range []Place{InBlock, InInterval, InRecord, InReport} {
		if n := r.Differences[place]; n > 0 {
			counts = append(counts, count(n, string(place)))
		}
	}
	fmt.Fprintf(&b, "\n\nWith this one, there are differences in %s.", strings.Join(counts, ", "))
	return b.String()
}

func nonzero(format string, n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func size(bytes int64) string {
	const kibi = 1 << 10
	switch {
	case bytes < 10*kibi:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 10*kibi*kibi:
		return fmt.Sprintf("%d KiB", bytes/kibi)
	}
	return fmt.Sprintf("%d MiB", bytes/kibi/kibi)
}
