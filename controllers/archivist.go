package controllers

import (
	"context"
	"fmt"
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
	Written interface{ Archived() *journal.Archived }
	// Sealed tells what is sealed.
	Sealed *Sealed
	// Announce makes an Event; nil: none is made.
	Announce func(announcement)

	mu      sync.Mutex
	through int64     // the end of the last chapter, in seconds since the epoch; 0: not known, or there is none
	looked  int64     // up to which day everything that is sealed is archived
	err     error     // why the archive cannot be written; nil when it can
	since   time.Time // since when
	// proven is what the journal may say of the archive.
	proven *journal.Archived
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
		err := a.catchUp(trying)
		cancel()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			a.failed(err)
			next, pause = a.Clock.Now().Add(pause), min(2*pause, archiveLater)
		default:
			next, pause = time.Time{}, archiveEvery
		}
	}
}

// due tells whether a day is sealed that is not known to be archived.
func (a *Archivist) due() bool {
	sealed := a.Sealed.Through()
	a.mu.Lock()
	defer a.mu.Unlock()
	return sealed > 0 && (a.err != nil || int64(archive.DayOf(sealed)) > a.looked || a.unproven())
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

// catchUp writes every chapter that is not there.
func (a *Archivist) catchUp(ctx context.Context) error {
	to, err := a.Open(ctx)
	if err != nil {
		return err
	}
	defer to.Close()
	through := a.Sealed.Through()
	for {
		written, err := to.CatchUp(ctx, a.Journal, through)
		if err != nil {
			return err
		}
		_, last, some := to.Days()
		if written == 0 {
			if err := a.prove(ctx, to); err != nil {
				return err
			}
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
	if a.err == nil {
		return ""
	}
	return fmt.Sprintf("days are not archived since %s, the journal has them: %v", text(a.since), a.err)
}
