package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/archive"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// Archivist writes the chapters of days that are sealed into the archive, while this
// replica leads. Nothing waits for it: where the archive cannot be written, metering and
// sealing go on, and the days follow once it can. It is safe for concurrent use.
type Archivist struct {
	Log   logr.Logger
	Clock clock.WithTicker
	// Open opens the archive to be written.
	Open func(context.Context) (*archive.Archive, error)
	// Journal is what chapters are made of.
	Journal archive.Journal
	// Written is the journal that says what is archived, and leaves it out; nil: it
	// keeps everything.
	Written Cutting
	// Sealed tells what is sealed.
	Sealed *Sealed
	// Announce makes an Event; nil: none is made.
	Announce func(announcement)

	mu      sync.Mutex
	through int64     // the end of the last chapter, in seconds since the epoch; 0: not known, or there is none
	looked  int64     // up to which day everything that is sealed is archived
	err     error     // why the archive cannot be written; nil when it can
	since   time.Time // since when
	// uncut is why the journal keeps what is archived, though it is not to; nil when it
	// does not, or soon will not any more.
	uncut      error
	uncutSince time.Time
	// proven is what the journal may say of the archive.
	proven *journal.Archived
	// notProven is why it may not say more, as of the last try that came so far.
	notProven error
}

// Cutting is a journal that leaves out what is archived.
type Cutting interface {
	// Archived is what it says of the archive; nil: nothing.
	Archived() *journal.Archived
	// ToRecall tells whether it leaves out something once that was read again.
	ToRecall() bool
	// Recall reads it. Nothing but the archivist waits for that.
	Recall(context.Context) error
}

const (
	// archiveEvery is how often it is looked whether there is a day to archive, and
	// how long it takes to the first try after one that failed.
	archiveEvery = time.Minute
	// archiveLater is how long it takes to the next try at most.
	archiveLater = 30 * time.Minute
	// archiveWait bounds one try.
	archiveWait = time.Hour
)

// Start archives until ctx is done.
func (a *Archivist) Start(ctx context.Context) error {
	ticker := a.Clock.NewTicker(archiveEvery)
	defer ticker.Stop()
	var next time.Time
	pause := archiveEvery
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
		if !a.due() || a.Clock.Now().Before(next) {
			continue
		}
		trying, cancel := context.WithTimeout(ctx, archiveWait)
		err, uncut := a.catchUp(trying)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			a.failed(err)
		}
		a.kept(uncut)
		if err != nil || uncut != nil {
			next, pause = a.Clock.Now().Add(pause), min(2*pause, archiveLater)
		} else {
			next, pause = time.Time{}, archiveEvery
		}
	}
}

// due tells whether a day is sealed that is not known to be archived.
func (a *Archivist) due() bool {
	sealed := a.Sealed.Through()
	a.mu.Lock()
	defer a.mu.Unlock()
	return sealed > 0 && (a.err != nil || a.uncut != nil || int64(archive.DayOf(sealed)) > a.looked || a.unproven() ||
		a.Written != nil && a.Written.ToRecall())
}

// unproven tells whether there are chapters of which the journal neither says that they
// are there, nor may say it yet. Called under the lock.
func (a *Archivist) unproven() bool {
	return a.Written != nil && a.through > a.said() && ended(a.proven) <= a.said()
}

// said is up to which moment the journal says that it is archived.
func (a *Archivist) said() int64 { return ended(a.Written.Archived()) }

// Says is what the journal is to say of the archive with its next entry; nil: nothing new.
func (a *Archivist) Says() *journal.Archived {
	if a == nil || a.Written == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ended(a.proven) <= a.said() {
		return nil
	}
	return a.proven
}

// ended is the end of the last day that is archived; 0: there is none.
func ended(said *journal.Archived) int64 {
	if said == nil {
		return 0
	}
	return said.End
}

// catchUp writes every chapter that is not there; err is why it cannot. And it sees to it
// that the journal may leave out what is archived; uncut is why it may not, as far as that
// is known.
func (a *Archivist) catchUp(ctx context.Context) (err, uncut error) {
	var unread error
	if a.Written != nil { // what the journal says already does not wait for what is archived next
		unread = a.Written.Recall(ctx)
	}
	err = a.writeAndProve(ctx, unread == nil)
	if unread != nil {
		return err, unread
	}
	return err, a.notProven
}

func (a *Archivist) writeAndProve(ctx context.Context, proves bool) error {
	to, err := a.Open(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	if err := a.write(ctx, to); err != nil {
		return err
	}
	if proves {
		a.notProven = a.prove(ctx, to)
	}
	return nil
}

// write writes every chapter that is not there.
func (a *Archivist) write(ctx context.Context, to *archive.Archive) error {
	through := a.Sealed.Through()
	for {
		written, err := to.CatchUp(ctx, a.Journal, through)
		if err != nil {
			return err
		}
		_, last, some := to.Days()
		if written == 0 {
			a.archived(through, last, some)
			return nil
		}
		a.Log.Info("archived", "days", written, "through", last.String())
	}
}

// prove finds out what the journal may say of the archive, and leave out then.
func (a *Archivist) prove(ctx context.Context, of *archive.Archive) error {
	if a.Written == nil {
		return nil
	}
	proven, err := of.Prove(ctx, a.Journal, a.Written.Archived())
	if err != nil || proven == nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.proven = proven
	return nil
}

// archived notes that every day is archived that was sealed by a moment; last is that of
// the last chapter, if there is some.
func (a *Archivist) archived(sealed int64, last archive.Day, some bool) {
	a.mu.Lock()
	err, since := a.err, a.since
	a.err, a.since, a.looked = nil, time.Time{}, int64(archive.DayOf(sealed))
	if some {
		a.through = int64(last.Next())
	}
	a.mu.Unlock()
	if err == nil {
		return
	}
	note := fmt.Sprintf("The archive can be written again. It could not since %s: %v", text(since), err)
	a.Log.Info(note)
	a.announce(corev1.EventTypeNormal, "ArchiveAvailable", note)
}

// failed notes why the archive cannot be written.
func (a *Archivist) failed(err error) {
	a.mu.Lock()
	began := a.err == nil
	if began {
		a.since = a.Clock.Now()
	}
	a.err = err
	a.mu.Unlock()
	if !began {
		return // the newest error is in the meters' conditions
	}
	a.Log.Error(err, "cannot archive: metering goes on; trying again")
	a.announce(corev1.EventTypeWarning, "ArchiveUnavailable", "Days are not archived; the journal has them: "+err.Error())
}

// kept notes why the journal keeps what is archived, though it is to leave it out; nil: it
// leaves it out.
func (a *Archivist) kept(why error) {
	a.mu.Lock()
	before, since := a.uncut, a.uncutSince
	if before == nil {
		a.uncutSince = a.Clock.Now()
	}
	a.uncut = why
	a.mu.Unlock()
	switch {
	case why != nil && before == nil:
		a.Log.Error(why, "cannot leave out of the journal what is archived: it keeps it; trying again")
		a.announce(corev1.EventTypeWarning, "JournalNotCut", "Days are archived, and the journal keeps them, too: "+why.Error())
	case why == nil && before != nil:
		note := fmt.Sprintf("The journal can leave out again what is archived. It could not since %s: %v", text(since), before)
		a.Log.Info(note)
		a.announce(corev1.EventTypeNormal, "JournalCut", note)
	}
}

func (a *Archivist) announce(kind, reason, note string) {
	if a.Announce != nil {
		a.Announce(announcement{kind: kind, reason: reason, action: "WriteArchive", note: note})
	}
}

// finding is what people should know; empty: nothing. A nil Archivist has no archive.
func (a *Archivist) finding() string {
	if a == nil {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var known []string
	if a.err != nil {
		known = append(known, fmt.Sprintf("days are not archived since %s, the journal has them: %v", text(a.since), a.err))
	}
	if a.uncut != nil {
		known = append(known, fmt.Sprintf("the journal keeps days that are archived since %s, though there is --archive-cut: %v", text(a.uncutSince), a.uncut))
	}
	return strings.Join(known, "; ")
}

// reached is the end of the last day that is archived, and up to when the journal says that it is; 0: not known.
func (a *Archivist) reached() (through, cut int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.Written != nil {
		cut = a.said()
	}
	return a.through, cut
}
