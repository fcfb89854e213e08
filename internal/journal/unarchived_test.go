package journal_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
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

// Once a person accepts that days are lost which the archive had, they are unknown, of each
// meter, for all that read the journal: and not days on which there was nothing.
func TestDaysThatAreLostAreUnknown(t *testing.T) {
	store, want := daysThatAreLost(t)
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

// While it is accepted that archived days are lost, and no entry says so, nothing is answered
// without them.
func TestALossThatIsNotOnRecord(t *testing.T) {
	store, _ := daysThatAreLost(t)
	told := &listener{}
	reader := journal.New(journal.Options{
		Store: store, Writer: "b", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: lost{}, Follower: told, OnlyTold: true,
	})
	err := journal.Look(t.Context(), reader)
	if err == nil || !strings.Contains(err.Error(), "--archive-cut") || !told.unknown {
		t.Errorf("got %v; answers: %t", err, !told.unknown)
	}
	open := func() *journal.Journal {
		return journal.New(journal.Options{Store: store, Writer: "c", Cluster: "cluster-1", Clock: clockAt(now), Log: logr.Discard(), Past: lost{}})
	}
	leader := open()
	took(t, leader)
	appended(t, leader, &journal.Batch{Time: midnight + 20})
	looked(t, reader)
	told.knows(t, took(t, open()))
}

// daysThatAreLost is a journal of which some days were left out, that no archive has, and whose
// loss is accepted; and what is not observed of it then.
func daysThatAreLost(t *testing.T) (*memory, []usage.Stretch) {
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
	return store, want
}
