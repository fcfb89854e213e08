package journal_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// lost is an archive that has nothing of what it had.
type lost struct{}

func (lost) Recall(context.Context, *journal.Archived, int64, func(*journal.Batch) error, func(*usage.Change)) error {
	return fmt.Errorf("%w: no such object", journal.ErrNotArchived)
}

// Once a person accepts that days are lost which the archive had, they are unknown, of every
// meter, for whoever reads the journal: and not days on which there was nothing.
func TestDaysThatAreLostAreUnknown(t *testing.T) {
	const days = 3
	entries, past, said := someDays(days)
	store := newMemory()
	leader := leading(t, cutting(store, past))
	appended(t, leader, entries...)
	meters := []journal.Meter{{Name: "vm", Since: midnight - days*86400}, {Name: "disk", Since: midnight - days*86400}}
	for n := range int64(3) {
		appended(t, leader, &journal.Batch{Time: midnight + n, Archived: said(days)})
		compactedWith(t, leader)
	}
	appended(t, leader, &journal.Batch{Time: midnight + 10, Meters: meters, Changes: holds(99, midnight+5)})
	last := uint64(0)
	for key := range store.blocks {
		if key.From < key.To {
			last = max(last, key.To)
		}
	}
	store.accept(at(leader.Size().Sequence), fmt.Sprintf("1-%d", last))
	var want []usage.Stretch
	for _, m := range meters {
		want = append(want, usage.Stretch{Meter: m.Name, Window: usage.Window{Start: midnight - days*86400, End: midnight}, Coverage: usage.CoverageUnknown})
	}
	told := &listener{}
	options := journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: lost{}, Follower: told,
	}
	writer := journal.New(options)
	for _, when := range []string{"before it is on record", "once it is", "and later"} {
		if when != "before it is on record" {
			appended(t, writer, &journal.Batch{Time: midnight + 20})
			told = &listener{}
			options.Follower = told
			writer = journal.New(options)
		}
		got := took(t, writer)
		if len(got.Segments) != 2 || !slices.Equal(got.Coverage, want) {
			t.Errorf("%s: %d segments, and %+v is not observed, want %+v", when, len(got.Segments), got.Coverage, want)
		}
		told.knows(t, got)
	}
}
