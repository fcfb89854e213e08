package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

const (
	// growthMemory is what a replica may have resident, in MiB, and what Go's runtime is given of it, as the operator does.
	growthMemory = 512
	growthLimit  = "460MiB"
)

// growthCases are how many pods an hour there are for how many days.
var growthCases = []struct{ perHour, days int }{{2_000, 365}, {20_000, 30}}

// benchmarkGrowth has a replica live through a batch cluster's days: pods of CronJobs that last three minutes, with two
// containers of two dimensions each, go through the ledger, the journal with the real encoder, its compaction and the
// timeline; blocks are files, as they are not in the operator's memory either. Then another replica starts from them.
func benchmarkGrowth(ctx context.Context, s *settings) ([]Figure, error) {
	var figures []Figure
	for _, c := range growthCases {
		days := c.days
		if s.quick {
			days = 6
		}
		work := fmt.Sprintf("%s pods an hour, %d days", quantity(float64(c.perHour)), days)
		led, started, err := grow(ctx, s, c.perHour, days)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", work, err)
		}
		first, last := led[min(3, len(led))-1], led[len(led)-1]
		resident := newFigure(work+": the leader, resident at most", "MiB", []float64{last.ResidentMiB}, nil)
		resident.Notes = map[string]float64{
			"heapMiB": last.HeapMiB, fmt.Sprintf("heapMiBOnDay%d", first.Day): first.HeapMiB, "journalMiB": last.JournalMiB, "scratchMiB": last.ScratchMiB,
			"segments": float64(last.Segments), "flushMillis": last.FlushMillis, "sealMillis": last.SealMillis, "reportMillis": last.ReportMillis,
		}
		start := newFigure(work+": a start, resident at most", "MiB", []float64{started.ResidentMiB}, nil)
		start.Notes = map[string]float64{"heapMiB": started.HeapMiB, "seconds": started.LoadSeconds}
		figures = append(figures, resident.atMost(growthMemory), start.atMost(growthMemory))
	}
	return figures, nil
}

// grow lets days pass in one process, and starts another.
func grow(ctx context.Context, s *settings, perHour, days int) (led []grown, started grown, err error) {
	folder, err := os.MkdirTemp("", "growth-")
	if err != nil {
		return nil, grown{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	at := grown{}
	done := s.tell.during(fmt.Sprintf("%d pods an hour", perHour), func() string { return fmt.Sprintf("day %d of %d", at.Day, days) })
	led, err = tellingChild(ctx, sideLead, folder, perHour, days, func(g grown) { at = g })
	done()
	if err != nil {
		return nil, grown{}, err
	}
	done = s.tell.during("a start", nil)
	all, err := tellingChild(ctx, sideStart, folder, perHour, days, func(grown) {})
	done()
	if err != nil {
		return nil, grown{}, err
	}
	return led, all[0], nil
}

func tellingChild(ctx context.Context, side, folder string, perHour, days int, told func(grown)) (all []grown, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, self, childCommand, side, folder, strconv.Itoa(perHour), strconv.Itoa(days))
	child.Env, child.Stderr = append(os.Environ(), "GOMEMLIMIT="+growthLimit), os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := child.Start(); err != nil {
		return nil, err
	}
	for lines := json.NewDecoder(out); ; {
		var g grown
		if err = lines.Decode(&g); err != nil {
			break
		}
		fmt.Fprintf(os.Stderr, "%s: %+v\n", side, g)
		all = append(all, g)
		told(g)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	err = errors.Join(err, child.Wait())
	if err == nil && len(all) == 0 {
		err = errors.New("it told nothing")
	}
	return all, err
}
