package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/usage-operator/usage-operator/test/growth"
)

const (
	sideGrow = "grow"
	// growthMiB is what a replica may have resident, at most.
	growthMiB = 512
	// growthKept is for how long the ledger keeps what ended: the default of --record-retention, in hours.
	growthKept = 72
	// growthStarts is how many replicas are started while days pass, or some more.
	growthStarts = 5
	// flat is how much more a day may cost than the second one does.
	flat = 1.2
)

// growing is how many pods an hour there are for how many days.
type growing struct{ perHour, days int }

// parseGrowth reads "2000x365,20000x30".
func parseGrowth(text string) (paces []growing, err error) {
	for one := range strings.SplitSeq(text, ",") {
		pods, days, _ := strings.Cut(one, "x")
		p := growing{}
		var bad [2]error
		p.perHour, bad[0] = strconv.Atoi(pods)
		p.days, bad[1] = strconv.Atoi(days)
		if errors.Join(bad[:]...) != nil || p.perHour < 1 || p.days < 1 {
			return nil, fmt.Errorf("--growth=%s: %q is not pods an hour, an x and days, as 2000x365", text, one)
		}
		paces = append(paces, p)
	}
	return paces, nil
}

// benchmarkGrowth has a leader, a standby and starts live through a batch cluster's days, and kills
// what takes more memory than it may.
func benchmarkGrowth(ctx context.Context, s *settings) ([]Figure, error) {
	paces, err := parseGrowth(s.growth)
	if err != nil {
		return nil, err
	}
	var figures []Figure
	for _, p := range paces {
		if s.quick {
			p.days = min(p.days, 6)
		}
		days, err := grow(ctx, s, p)
		if err != nil {
			return nil, fmt.Errorf("%d pods an hour: %w", p.perHour, err)
		}
		figures = append(figures, growthFigures(p, days)...)
	}
	return figures, nil
}

// grow lets days pass, and prints each.
func grow(ctx context.Context, s *settings, p growing) (days []*growth.Day, err error) {
	folder, err := os.MkdirTemp("", "growth-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &growth.Cluster{
		PerHour: p.perHour, Hours: int64(p.days) * 24, Kept: growthKept, Limit: growthMiB << 20, Starts: max(1, p.days/growthStarts),
		Profiles: s.profiles, Live: s.profiles != "",
	}
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		return exec.CommandContext(ctx, self, append([]string{childCommand, sideGrow}, args...)...)
	}
	last := 0
	done := s.tell.during(fmt.Sprintf("%d pods an hour", p.perHour), func() string { return fmt.Sprintf("%d of %d days", last, p.days) })
	defer done()
	err = growth.Run(ctx, folder, c, command, func(d *growth.Day) {
		last = d.Day
		days = append(days, d)
		printDay(p, d)
	})
	return days, err
}

// printDay prints a row; with the first one, what the columns are.
func printDay(p growing, d *growth.Day) {
	table := tabwriter.NewWriter(os.Stdout, 9, 0, 1, ' ', tabwriter.AlignRight)
	if d.Day == 1 {
		fmt.Fprintf(table, "\n%d pods an hour: MiB resident now and at most; milliseconds, or seconds a day, of CPU\n", p.perHour)
		fmt.Fprintln(table, "day\tleader\tpeak\tstandby\tpeak\tstart\tpeak\tCPU s\tappend s\tpublish s\tcompact s\tseal s\thold ms\treport ms\tjournal\tscratch\t")
	}
	start, peak, cpu := "", "", ""
	if d.Start != nil {
		start, peak, cpu = fmt.Sprintf("%.0f", d.Start.ResidentMiB), fmt.Sprintf("%.0f", d.Start.PeakMiB), fmt.Sprintf("%.1f", d.Start.StartCPU)
	}
	l := &d.Lead
	fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t%s\t%s\t%.1f\t%.2f\t%.1f\t%.1f\t%.1f\t%.2f\t%.0f\t%.0f\t\n", d.Day, l.ResidentMiB, l.PeakMiB,
		d.Standby.ResidentMiB, d.Standby.PeakMiB, start, peak, cpu, l.AppendSeconds, l.PublishSeconds, l.CompactSeconds, l.SealSeconds,
		l.HeldMillis, l.ReportMillis, l.JournalMiB, l.ScratchMiB)
	table.Flush()
}

// growthFigures are the most of each, and how costs of the last days compare to the second's.
func growthFigures(p growing, days []*growth.Day) []Figure {
	work := fmt.Sprintf("%s pods an hour, %d days: ", quantity(float64(p.perHour)), p.days)
	last := days[len(days)-1]
	held := 0.0
	for _, d := range days {
		held = max(held, d.Lead.HeldMillis)
	}
	figures := []Figure{
		newFigure(work+"the leader, resident at most", "MiB", []float64{last.Lead.PeakMiB}, nil).atMost(growthMiB),
		newFigure(work+"a standby, resident at most", "MiB", []float64{last.Standby.PeakMiB}, nil).atMost(growthMiB),
		newFigure(work+"a start, resident at most", "MiB", []float64{last.Start.PeakMiB}, nil).atMost(growthMiB),
		newFigure(work+"packing has the ledger at once, at most", "milliseconds", []float64{held}, nil).atMost(20),
	}
	figures[2].Notes = map[string]float64{"seconds": last.Start.StartSeconds, "cpuSeconds": last.Start.StartCPU}
	if len(days) < 10 {
		return figures
	}
	for _, cost := range []struct {
		name string
		of   func(*growth.Figures) float64
	}{
		{"append", func(f *growth.Figures) float64 { return f.AppendSeconds }},
		{"publish", func(f *growth.Figures) float64 { return f.PublishSeconds }},
		{"compact", func(f *growth.Figures) float64 { return f.CompactSeconds }},
		{"seal", func(f *growth.Figures) float64 { return f.SealSeconds }},
		{"report", func(f *growth.Figures) float64 { return f.ReportMillis }},
	} {
		// Of three days each: other work runs beside.
		mean := func(days []*growth.Day) (all []float64) {
			for _, d := range days {
				all = append(all, cost.of(&d.Lead))
			}
			return all
		}
		late, early := mean(days[len(days)-3:]), mean(days[1:4])
		figures = append(figures, newFigure(work+cost.name+", the last days beside the second to fourth", "CPU", late, early).against("days 2 to 4").ratioAtMost(flat))
	}
	return figures
}
