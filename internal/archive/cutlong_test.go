package archive

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// longPast is an archive that takes long to read: meanwhile the operator goes on.
type longPast struct {
	pastIn
	meanwhile func() error
	recalls   int
}

func (p *longPast) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	p.recalls++
	if err := p.meanwhile(); err != nil {
		return err
	}
	return p.pastIn.Recall(ctx, said, from, day, open)
}

func (p *longPast) RecallLately(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	p.recalls++
	if err := p.meanwhile(); err != nil {
		return err
	}
	return p.pastIn.RecallLately(ctx, said, from, day, open)
}

// Who reads the archive while more of the journal is archived and left out, again and again,
// has the same state and the same answers as who reads both afterwards.
func TestACutWhileTheArchiveIsReadChangesNoAnswer(t *testing.T) {
	most, draws := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		draws++
		h := anyHistory(t)
		cut := site{blockStore{}, objects{}}
		o, _, err := cut.start()
		if err != nil {
			t.Fatal(err)
		}
		left := h.batches
		step := func() error { // the next batch, and the cut of what is sealed
			if len(left) == 0 {
				return nil
			}
			batch := left[0]
			left = left[1:]
			if err := o.append(batch); err != nil {
				return err
			}
			if err := o.archive(batch.Time); err != nil {
				return err
			}
			return o.compact()
		}
		steps := func(n int) error {
			for range n {
				if err := step(); err != nil {
					return err
				}
			}
			return nil
		}
		if err := steps(rapid.IntRange(0, len(left)).Draw(t, "before")); err != nil {
			t.Fatal(err)
		}
		long := &longPast{pastIn: pastIn{cut.objects}, meanwhile: func() error { return steps(rapid.IntRange(0, 4).Draw(t, "meanwhile")) }}
		options := journal.Options{Past: long}
		if rapid.Bool().Draw(t, "lately") {
			options.Retention, options.Lately = rapid.SampledFrom([]int64{3600, aDay, 3 * aDay}).Draw(t, "retention"), true
		}
		lines := [2]timelines.Follower{timelines.NewHot(timeline.Hot{}), timelines.NewHot(timeline.Hot{})}
		options.Follower = lines[0]
		got, err := cut.journal(options).Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, long.recalls)
		options.Past, options.Follower = long.pastIn, lines[1]
		want, err := cut.journal(options).Load(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(said(want), said(got)); diff != "" {
			t.Fatalf("want - got +:\n%s", diff)
		}
		if options.Lately {
			return // what had ended before is in no answer, or in some
		}
		q := timeline.Query{
			Window: usage.Window{Start: began - aDay, End: h.end()}, Size: rapid.SampledFrom(timeline.Sizes).Draw(t, "size"), Zeros: true,
		}
		if diff := cmp.Diff(asked(t, lines[1].Snapshot(), q), asked(t, lines[0].Snapshot(), q)); diff != "" {
			t.Fatalf("want - got +:\n%s", diff)
		}
	})
	if !isEnough(most, draws) {
		t.Errorf("nothing was left out while the archive was read")
	}
}

// isEnough tells whether the archive was read again in some draw. With the race detector there
// are few draws, and it may be so in none.
func isEnough(most, draws int) bool { return most >= 2 || draws <= 50 }
