package main

import (
	"context"
	"fmt"
	"math"
	"strconv"

	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	accuracyPairs   = 100
	accuracyPerPair = 10
	accuracyDays    = 30
	// accuracySample is how often the peer looks, in seconds: as Prometheus does, and OpenCost.
	accuracySample = 60
)

// benchmarkAccuracy has machines come, change and go at any second of a month, and compares what a report says of each
// hour with what they really held, and so what looking at them once a minute says.
func benchmarkAccuracy(_ context.Context, s *settings) ([]Figure, error) {
	days := accuracyDays
	if s.quick {
		days /= 10
	}
	a := &accurate{days: days}
	a.live(s)
	if err := a.report(); err != nil {
		return nil, err
	}
	return a.figures(), nil
}

// accurate is a month as it was, and as both saw it.
type accurate struct {
	days    int
	answers *controllers.Answers
	// truth, sampled and ours are what was held, by hour, pair and dimension.
	truth, sampled, ours []sums
	changes              int
}

// live lets the month pass. The sampler sees every machine that is there at its minute, and takes it for the minute.
func (a *accurate) live(s *settings) {
	hours := a.days * 24
	done := 0
	defer s.tell.during("a month passes", func() string { return fmt.Sprintf("hour %d of %d", done, hours) })()
	var truth sums
	f := newFleet(accuracyPairs, accuracyPerPair, publishStart, func(m *machine, dimension int, amount usage.Amount) {
		truth.add(m.pair, dimension, amount)
	})
	a.answers = controllers.NewAnswers()
	a.answers.Begin()
	machines := float64(len(f.machines))
	resizes, replaces := newPace(f, machines*soakResizes), newPace(f, machines*soakReplaces)
	resizes.next, replaces.next = float64(publishStart), float64(publishStart)
	for second := int64(publishStart); done < hours; done++ {
		truth = newSums(accuracyPairs)
		sampled := newSums(accuracyPairs)
		interval := usage.Interval(second, 3600)
		for ; second < interval.End; second++ {
			if second%accuracySample == 0 {
				for i := range f.machines {
					for dimension, level := range f.machines[i].levels() {
						sampled.add(f.machines[i].pair, dimension, usage.Held(level, accuracySample))
					}
				}
			}
			resizes.until(second+1, f.resize)
			replaces.until(second+1, f.replace)
		}
		f.tellAll(interval.End)
		a.answers.Committed(f.batch(interval.End, journal.Seal{Interval: interval}))
		a.truth, a.sampled = append(a.truth, truth), append(a.sampled, sampled)
	}
	a.answers.Current()
	a.changes = f.changes
}

// report asks for all of it, hour by hour and deployment by deployment.
func (a *accurate) report() error {
	line := a.answers.Snapshot()
	tally, err := timeline.NewTally(timeline.Query{
		Window: usage.Window{Start: publishStart, End: line.Sealed()}, Size: timeline.Hour,
		GroupBy: []timeline.Key{timeline.Namespace, timeline.Deployment},
	})
	if err == nil {
		err = tally.Advance(line, line.Sealed())
	}
	if err != nil {
		return err
	}
	page, err := tally.Page("", timeline.MaxCells)
	if err != nil {
		return err
	}
	pairs := map[[2]string]int{}
	for pair := range accuracyPairs {
		of := account(pair)
		pairs[[2]string{of.Namespace, of.Deployment}] = pair
	}
	for range a.truth {
		a.ours = append(a.ours, newSums(accuracyPairs))
	}
	for _, row := range page.Rows {
		var of [2]string
		for _, value := range row.Group {
			switch timeline.Key(value.Key) {
			case timeline.Namespace:
				of[0] = value.Value
			case timeline.Deployment:
				of[1] = value.Value
			}
		}
		for dimension, d := range fleetDimensions {
			if d == row.Dimension {
				a.ours[(row.Window.Start-publishStart)/3600].add(pairs[of], dimension, row.Amount)
			}
		}
	}
	return nil
}

// errors compares what somebody says with the truth: how many cells differ, by how much in all and at most, in percent.
func (a *accurate) errors(said []sums) (differ, mean, most float64) {
	var off, held float64
	for hour, truth := range a.truth {
		for i, amount := range truth {
			is, says := float(amount), float(said[hour][i])
			if said[hour][i] != amount {
				differ++
				most = max(most, 100*math.Abs(says-is)/is)
			}
			// Cores and bytes do not add up: each cell counts alike.
			off += math.Abs(says-is) / is
			held++
		}
	}
	return differ, 100 * off / held, most
}

func float(amount usage.Amount) float64 {
	value, err := strconv.ParseFloat(amount.String(), 64)
	if err != nil {
		panic(err)
	}
	return value
}

func (a *accurate) figures() []Figure {
	const peer = "a sample every minute"
	cells := len(a.truth) * len(a.truth[0])
	work := fmt.Sprintf("%s resources, %d days, %s changes; %s sums by hour, deployment and dimension",
		quantity(accuracyPairs*accuracyPerPair), a.days, quantity(float64(a.changes)), quantity(float64(cells)))
	ourDiffer, ourMean, ourMost := a.errors(a.ours)
	differ, mean, most := a.errors(a.sampled)
	wrong := newFigure(work+": that differ from the oracle", "sums", []float64{ourDiffer}, []float64{differ}).against(peer).atMost(0)
	off := newFigure(work+": mean error", "percent", []float64{ourMean}, []float64{mean}).against(peer).atMost(0)
	worst := newFigure(work+": largest error", "percent", []float64{ourMost}, []float64{most}).against(peer).atMost(0)
	return []Figure{wrong, off, worst}
}
