// Package replica keeps ledgers of clusters at hand, as timelines that follow a hub's
// database: each is read when it is asked for first, and goes on from there. What is kept is
// bounded; what was not asked for longest is let go of, and read again when it is.
package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Source is what ledgers are read from: a hub's store.
type Source interface {
	Since(ctx context.Context, cluster hub.Cluster, from hub.Place, each func(*journal.Batch) error) (hub.Place, error)
}

// Options are what a Keeper needs.
type Options struct {
	Source Source
	// Segments is how many segments all ledgers have together that are kept.
	Segments int
	// AtOnce is how many ledgers are read at the same time.
	AtOnce int
	// Handler answers requests about a ledger, for as long as that is kept; nil: there is none.
	Handler func(*Ledger) http.Handler
}

// Keeper keeps ledgers.
type Keeper struct {
	Options
	reading chan struct{}

	mu   sync.Mutex
	kept []*Ledger // that which was asked for last is the last
}

// New is a keeper of no ledger yet.
func New(o Options) *Keeper { return &Keeper{Options: o, reading: make(chan struct{}, o.AtOnce)} }

// TooLargeError says that a ledger has more segments than may be kept of all.
type TooLargeError struct {
	Cluster hub.Cluster
	Max     int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the ledger of %s has more than the %d segments that are kept in memory", e.Cluster, e.Max)
}

// Ledger is a cluster's.
type Ledger struct {
	Cluster hub.Cluster
	// Handler is what the keeper's option made.
	Handler http.Handler

	turn  chan struct{} // of who reads it
	line  timelines.Follower
	place hub.Place
	seen  map[string]incarnation // namespaces, by name; the reader's

	mu     sync.Mutex
	newest []timeline.NamespaceRef
}

// incarnation is the namespace that has a name now.
type incarnation struct {
	uid   string
	since int64
}

// Loaded tells that there is something to answer from.
func (l *Ledger) Loaded() bool { return true }

// Snapshot is the ledger as it was read last.
func (l *Ledger) Snapshot() *timeline.Snapshot { return l.line.Snapshot() }

// Newest are the namespaces that have their names now, as far as the ledger knows: of several
// that had a name, the one under which something began last.
func (l *Ledger) Newest() []timeline.NamespaceRef {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.newest
}

// hot is how much of a ledger lies unpacked: a question about more than that takes longer.
var hot = timeline.Hot{Days: 2, Bytes: timeline.DefaultColdBytes / 4}

// Ledger is a cluster's, as the database has it now. The errors are a *TooLargeError, the
// store's, and the context's.
func (k *Keeper) Ledger(ctx context.Context, cluster hub.Cluster) (*Ledger, error) {
	l := k.touch(cluster)
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	err := k.bring(ctx, l)
	if errors.Is(err, hub.ErrOtherChain) {
		l.begin()
		err = k.bring(ctx, l)
	}
	if err != nil {
		if l.place.Sequence == 0 { // there is nothing in it that is worth a place
			k.drop(l)
		}
		return nil, err
	}
	k.bound(l)
	return l, nil
}

// touch is the ledger that is kept, or an empty one.
func (k *Keeper) touch(cluster hub.Cluster) *Ledger {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range k.kept {
		if l.Cluster == cluster {
			k.kept = append(append(k.kept[:i:i], k.kept[i+1:]...), l)
			return l
		}
	}
	l := &Ledger{Cluster: cluster, turn: make(chan struct{}, 1), line: timelines.NewHot(hot)}
	l.begin()
	l.line.Publish()
	if k.Handler != nil {
		l.Handler = k.Handler(l)
	}
	k.kept = append(k.kept, l)
	return l
}

func (k *Keeper) drop(gone *Ledger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, l := range k.kept {
		if l == gone {
			k.kept = append(k.kept[:i:i], k.kept[i+1:]...)
			return
		}
	}
}

// bound lets go of what was not asked for longest, until the rest fits, or is the one that
// was asked for now.
func (k *Keeper) bound(now *Ledger) {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := 0
	for _, l := range k.kept {
		all += l.Snapshot().Segments()
	}
	for all > k.Segments && len(k.kept) > 1 && k.kept[0] != now {
		all -= k.kept[0].Snapshot().Segments()
		k.kept = k.kept[1:]
	}
}

func (l *Ledger) begin() {
	l.line.Begin()
	l.place, l.seen = hub.Place{}, map[string]incarnation{}
}

// bring brings a ledger up to what the database has. Its caller has the turn.
func (k *Keeper) bring(ctx context.Context, l *Ledger) error {
	select {
	case k.reading <- struct{}{}:
		defer func() { <-k.reading }()
	case <-ctx.Done():
		return ctx.Err()
	}
	rows := l.Snapshot().Segments()
	if l.place.Sequence == 0 {
		rows = 0
	}
	read := false
	place, err := k.Source.Since(ctx, l.Cluster, l.place, func(batch *journal.Batch) error {
		read = true
		if rows += len(batch.Changes); rows > 4*k.Segments || l.line.Segments() > k.Segments {
			return &TooLargeError{Cluster: l.Cluster, Max: k.Segments}
		}
		l.note(batch.Changes)
		l.line.Committed(batch)
		return nil
	})
	if err != nil {
		if read { // a commit may have been taken in half
			l.begin()
		}
		return err
	}
	l.place = place
	if !read {
		return nil
	}
	newest := make([]timeline.NamespaceRef, 0, len(l.seen))
	for name, is := range l.seen {
		newest = append(newest, timeline.NamespaceRef{Name: name, UID: is.uid})
	}
	l.mu.Lock()
	l.newest = ordered(newest)
	l.mu.Unlock()
	l.line.Publish()
	return nil
}

// note notes which namespaces have their names now.
func (l *Ledger) note(changes []usage.Change) {
	for i := range changes {
		c := &changes[i]
		if c.Kind != usage.Put {
			continue
		}
		of := &c.Subject.Account
		if of.Namespace == "" {
			continue // the cluster's own
		}
		if was, known := l.seen[of.Namespace]; !known || c.Start.At >= was.since {
			l.seen[of.Namespace] = incarnation{uid: of.NamespaceUID, since: c.Start.At}
		}
	}
}

func ordered(refs []timeline.NamespaceRef) []timeline.NamespaceRef {
	slices.SortFunc(refs, func(a, b timeline.NamespaceRef) int { return cmp.Compare(a.Name, b.Name) })
	return refs
}
