package collector

import (
	"context"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// turnsWait is how long a change waits for a kind that does not get on, from when the
// change came on. As long as a kind gets on, however slowly, it is waited for: what comes
// ahead of it cannot be put right any more after a restart.
const turnsWait = 20 * time.Second

// turnsAtMost is how long a change waits in all, however its kind's elders get on: no kind
// may stop the others for longer, and etcd forgets what happened after five minutes.
const turnsAtMost = 2 * time.Minute

// turns let the changes of all kinds come in the order in which they
// happened, after some of them were not looked at for a while: all resourceVersions
// of one etcd are one sequence. Who owned a pod, and which namespace it was in, is
// what was so at its revision, and not what another kind's watch, that is ahead,
// has come to.
//
// While all kinds are up to date nothing waits. What comes some milliseconds too
// early then is put right when the other change comes (ledger.Reattribute).
type turns struct {
	clock clock.Clock

	mu    sync.Mutex
	lanes map[*feed]*lane
	moved chan struct{} // closed, and replaced, when a lane moves while something waits
	waits int
}

// lane is how far one kind has come.
type lane struct {
	at    uint64    // everything up to here was taken in
	next  uint64    // the change that waits; 0: none does
	got   time.Time // when it got on last
	given bool      // up: it was waited for in vain, and is not before it has caught up
	// optional: nobody waits for it, ever.
	optional bool
}

func newTurns(clock clock.Clock) *turns {
	return &turns{clock: clock, lanes: map[*feed]*lane{}, moved: make(chan struct{})}
}

// enter adds a kind's lane, and leave takes it out.
func (t *turns) enter(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lanes[f] = &lane{}
}

func (t *turns) leave(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.lanes, f)
	t.tell()
}

// came tells that everything of the kind up to the revision was taken in.
func (t *turns) came(f *feed, revision uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[f]; l != nil && l.at < revision {
		l.at, l.got = revision, t.clock.Now()
		t.tell()
	}
}

// optional tells that no other kind waits for this one.
func (t *turns) optional(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[f]; l != nil {
		l.optional = true
		t.tell()
	}
}

// caughtUp tells that the kind is looked at again.
func (t *turns) caughtUp(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[f]; l != nil {
		l.given = false
	}
	t.tell()
}

// missing tells that the kind cannot be read, and is not waited for.
func (t *turns) missing(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[f]; l != nil {
		l.given = true
	}
	t.tell()
}

// awaited tells whether the kind catches up, and others wait for it.
func (t *turns) awaited(f *feed) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lanes[f]
	return l != nil && !l.given && !l.optional && f.source.Behind()
}

// tell wakes those that wait. Called under the lock.
func (t *turns) tell() {
	if t.waits > 0 {
		close(t.moved)
		t.moved = make(chan struct{})
	}
}

// wait returns when no kind that catches up has a change before the revision to
// take in, or, for a change that came at the moment, when it has waited long enough.
func (t *turns) wait(ctx context.Context, f *feed, revision uint64, came time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.lanes[f]
	if own == nil || !t.blocked(f, revision) {
		return
	}
	own.next = revision
	t.waits++
	t.tell() // those that wait for this kind need not
	defer func() {
		own.next, own.got = 0, t.clock.Now() // it has waited for others, and not they for it
		t.waits--
	}()
	for t.blocked(f, revision) {
		moved := t.moved
		timer := t.clock.NewTimer(max(0, t.patience(f, revision, came)))
		t.mu.Unlock()
		select {
		case <-moved:
		case <-timer.C():
		case <-ctx.Done():
		}
		timer.Stop()
		t.mu.Lock()
		switch {
		case ctx.Err() != nil:
			return
		case t.blocked(f, revision) && t.patience(f, revision, came) <= 0:
			t.giveUp(f, revision, came)
		}
	}
}

// patience is how much longer a change that came at the moment waits for the kind in its
// way that got on the longest ago. Called under the lock.
func (t *turns) patience(f *feed, revision uint64, came time.Time) time.Duration {
	left := turnsWait
	for other, l := range t.lanes {
		if other != f && l.next == 0 && l.blocks(other, revision) {
			left = min(left, l.patience(t.clock.Now(), came))
		}
	}
	return left
}

func (l *lane) patience(now, came time.Time) time.Duration {
	since := came
	if l.got.After(came) {
		since = l.got
	}
	return min(turnsWait-now.Sub(since), turnsAtMost-now.Sub(came))
}

// getsOn tells that a kind gets on with a list, which moves its position in the end only.
func (t *turns) getsOn(f *feed) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.lanes[f]; l != nil {
		l.got = t.clock.Now()
	}
}

// blocked tells whether a kind that catches up may still have a change before the
// revision. Called under the lock.
func (t *turns) blocked(f *feed, revision uint64) bool {
	for other, l := range t.lanes {
		if other != f && l.blocks(other, revision) {
			return true
		}
	}
	return false
}

func (l *lane) blocks(f *feed, revision uint64) bool {
	return !l.given && !l.optional && l.at < revision && (l.next == 0 || l.next < revision) && f.source.Behind()
}

// giveUp waits no longer for those in the way that do not get on. Called under the lock.
func (t *turns) giveUp(f *feed, revision uint64, came time.Time) {
	for other, l := range t.lanes {
		if other != f && l.next == 0 && l.blocks(other, revision) && l.patience(t.clock.Now(), came) <= 0 {
			l.given = true
		}
	}
	t.tell()
}
