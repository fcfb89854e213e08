package timeline_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// countingPacer counts, and fails after so many pauses.
type countingPacer struct{ pauses, last int }

var errPaced = errors.New("it has to end")

func (p *countingPacer) Pause() error {
	if p.pauses++; p.pauses > p.last {
		return errPaced
	}
	return nil
}

func (p *countingPacer) Rest(waiting func() error) error { return waiting() }

// Whatever is asked for: there is a pause at least every few thousand segments, also where all
// of them are of one account, and what ends it is said.
func TestWhatTakesLongPauses(t *testing.T) {
	const resources, each = 40, 2500
	midnight := second0 - second0%86400
	c := timeline.Commit{Meters: []timeline.Meter{{Name: "m", ResourceType: "vm", Since: midnight, Dimensions: []usage.Dimension{dimensions[0]}}}}
	for r := range resources {
		s := held(fmt.Sprint("of-", r), midnight, midnight+86400)
		for i := range int64(each) {
			s.Start.At, s.End.At, s.Level = midnight+i*30, midnight+i*30+30, i%7
			c.Changes = append(c.Changes, s)
		}
	}
	c.Sealed = []usage.Window{{Start: midnight, End: midnight + 86400}}
	line := timeline.New()
	load(line, c)
	s := line.Snapshot()
	all := usage.Window{Start: midnight, End: midnight + 86400}
	byResource := timeline.Query{Window: all, Size: timeline.Hour, GroupBy: []timeline.Key{timeline.Resource}}
	key := timeline.HoldingKey{Interval: all, Account: c.Changes[0].Subject.Account}
	for name, ask := range map[string]func(ctx context.Context) error{
		"resources": func(ctx context.Context) error {
			_, _, err := s.Resources(ctx, &timeline.Filters{}, all, timeline.Place{}, timeline.Bounds{Resources: 10, Segments: 100})
			return err
		},
		"a page": func(ctx context.Context) error {
			_, _, err := timeline.NewPager(1_000_000).Page(ctx, s, byResource, s.Sealed(), "", 10)
			return err
		},
		"a holding": func(ctx context.Context) (failed error) {
			for _, err := range s.HoldingFrom(ctx, &timeline.Filters{}, key, nil, 30_000) {
				failed = err
			}
			return failed
		},
	} {
		counted := &countingPacer{last: 1 << 30}
		if err := ask(timeline.WithPacer(t.Context(), counted)); err != nil || counted.pauses < resources*each/4096 {
			t.Errorf("%s: %d pauses of %d segments: %v", name, counted.pauses, resources*each, err)
		}
		ended := &countingPacer{last: 2}
		if err := ask(timeline.WithPacer(t.Context(), ended)); !errors.Is(err, errPaced) || ended.pauses > 10 {
			t.Errorf("%s goes on for %d pauses: %v", name, ended.pauses, err)
		}
	}
}
