package archive

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

// pastIn is a journal.Past of an archive in any store.
type pastIn struct{ store }

func (p pastIn) Recall(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return (&Archive{store: p.store, name: "archive", cluster: clusterA}).recall(ctx, said, DayOf(from), from, day, open)
}

func (p pastIn) RecallLately(ctx context.Context, said *journal.Archived, from int64, day func(*journal.Batch) error, open func(*usage.Change)) error {
	return (&Archive{store: p.store, name: "archive", cluster: clusterA}).recall(ctx, said, Day(said.Start), from, day, open)
}

// site is where a ledger is: a journal and an archive.
type site struct {
	blocks  journal.Store
	objects store
}

func (p site) journal(o journal.Options) *journal.Journal {
	o.Store, o.Cluster, o.Log = p.blocks, clusterA, logr.Discard()
	if o.Clock == nil {
		o.Clock = someClock()
	}
	o.Writer = "operator"
	return journal.New(o)
}

// operator appends batches, archives what is sealed, and cuts the journal: with each
// batch, or where the test asks for it.
type operator struct {
	site
	written *journal.Journal
	proven  *journal.Archived
}

func (p site) start() (*operator, *journal.State, error) {
	o := &operator{site: p, written: p.journal(journal.Options{Past: pastIn{p.objects}, Cuts: true})}
	state, err := o.written.Load(context.Background())
	return o, state, err
}

func (o *operator) append(batch *journal.Batch) error {
	said := *batch
	said.Archived, o.proven = o.proven, nil
	return o.written.Append(context.Background(), &said)
}

// archive writes the chapters of what is sealed, and finds out what the journal may say.
func (o *operator) archive(through int64) error {
	a, err := open(context.Background(), o.objects, "archive", Options{Cluster: clusterA, Writes: true})
	from := Journal{Store: o.blocks, Clock: someClock(), Log: logr.Discard()}
	for n := -1; err == nil && n != 0; {
		n, err = a.CatchUp(context.Background(), from, through)
	}
	if err != nil {
		return err
	}
	o.proven, err = a.Prove(context.Background(), from, o.written.Archived())
	return err
}

// compact leaves out what is archived, and deletes what others stand for.
func (o *operator) compact() error {
	if err := o.written.Recall(context.Background()); err != nil {
		return err
	}
	_, err := o.written.Compact(context.Background())
	return err
}

// run does all that comes after what is there, and says nothing more in the end, until
// the blocks are deleted that others stand for.
func (p site) run(batches []*journal.Batch) error {
	o, state, err := p.start()
	if err != nil {
		return err
	}
	last := batches[len(batches)-1].Time
	for more := range int64(3) {
		batches = append(batches, &journal.Batch{Time: last + more + 1})
	}
	for _, batch := range batches {
		if batch.Time <= state.Time {
			continue
		}
		if err := o.append(batch); err != nil {
			return err
		}
		if err := o.archive(batch.Time); err != nil {
			return err
		}
		if err := o.compact(); err != nil {
			return err
		}
	}
	return nil
}

// said is a state in a form that does not depend on the order of segments.
func said(s *journal.State) map[string]any {
	var segments []string
	var late []usage.Change
	for i := range s.Segments {
		if c := &s.Segments[i]; c.Kind == usage.Put {
			segments = append(segments, fmt.Sprintf("%+v %s %v %d %+v %+v", *c.Subject, c.Meter, c.Dimension, c.Level, c.Start, c.End))
		} else {
			late = append(late, *c)
		}
	}
	slices.Sort(segments)
	return map[string]any{
		"segments": segments, "corrections": late, "seals": s.Seals, "meters": s.Meters, "positions": s.Positions, "time": s.Time,
		"coverage": usage.CutCoverage(s.Coverage, usage.Window{End: 1 << 40}),
	}
}

// read is what a ledger says to who does not cut it.
func (p site) read() (map[string]any, error) {
	state, err := p.journal(journal.Options{Past: pastIn{p.objects}}).Load(context.Background())
	if err != nil {
		return nil, err
	}
	return said(state), nil
}

// leftOut tells whether something was left out of the blocks, as far as a moment.
func leftOut(blocks blockStore, until int64) bool {
	for _, b := range blocks {
		if strings.Contains(string(b.Spec), `"leftOut":{`) && strings.Contains(string(b.Spec), `"endTime":"`+moment(until)+`"`) {
			return true
		}
	}
	return false
}

// advanced commits what is not sealed yet, and seals until a moment.
func (h *history) advanced(t *testing.T, until int64, changes ...usage.Change) {
	t.Helper()
	if err := h.advance(until, changes, nil); err != nil {
		t.Fatal(err)
	}
}

// cutLedger is a ledger that was cut.
func cutLedger(t *testing.T) (blockStore, objects, map[string]any) {
	t.Helper()
	h := someDays(t)
	c := &crashing{blocks: blockStore{}, objects: objects{}}
	if err := c.site().run(h.batches); err != nil {
		t.Fatal(err)
	}
	says, err := c.site().read()
	if err != nil {
		t.Fatal(err)
	}
	return c.blocks, c.objects, says
}
