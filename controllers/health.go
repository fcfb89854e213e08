package controllers

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
)

// Health is how the keeper and its clock get on, for conditions, events, logs
// and metrics. What goes wrong is told once, when it begins, and once when it
// ends. It is safe for concurrent use.
type Health struct {
	Log logr.Logger
	// Announce makes an Event; nil: none is made.
	Announce func(announcement)
	// JournalBudget is how many bytes the journal may take until people are told; 0: any.
	JournalBudget int64
	// Memory tells whether there is enough of it; nil: there is.
	Memory *Memory
	// Archivist tells whether days are archived; nil: there is no archive.
	Archivist *Archivist
	// Shipper tells whether a hub takes the journal; nil: there is no hub.
	Shipper *Shipper
	// History tells whether what is only in the archive can be read; nil: it is not read apart.
	History *history

	mu         sync.Mutex
	err        error     // why the journal cannot be written; nil when it can
	since      time.Time // since when
	overBudget bool
	behind     string // what is wrong with the clock; empty: nothing
	backlog    backlog
	next       int64         // the end of the interval that is sealed next; 0: not known yet
	sealedIn   time.Duration // how long after its end the last interval was sealed; 0: none was
	loadedIn   time.Duration // how long it took to load the journal; 0: it is not loaded
}

// Degraded is since when the journal cannot be written, and why; nil when it can.
func (h *Health) Degraded() (since time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since, h.err
}

// Damaged tells whether a part of the journal is missing, or not what it was: the
// ledger cannot be believed then. A nil Health is whole.
func (h *Health) Damaged() bool {
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var damage *journal.DamageError
	return errors.As(h.err, &damage)
}

// finding is what stands in every meter's way; without a reason, its message is
// what people should know all the same.
func (h *Health) finding() finding {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.err != nil:
		return finding{reason: v1alpha1.ReasonJournalUnavailable, message: fmt.Sprintf(
			"metering goes on in memory: the journal cannot be written since %s: %v", text(h.since), h.err)}
	case h.behind != "":
		return finding{reason: v1alpha1.ReasonClockBehind, message: h.behind}
	}
	var known []string
	if h.overBudget {
		known = append(known, h.budgetRemedy())
	}
	for _, found := range []string{h.Memory.finding(), h.Archivist.finding(), h.Shipper.finding(), h.History.finding()} {
		if found != "" {
			known = append(known, found)
		}
	}
	return finding{message: strings.Join(known, "; ")}
}

func (h *Health) budgetRemedy() string {
	return fmt.Sprintf("the journal takes more than --journal-budget=%s; nothing of it is deleted: "+
		"see that etcd has room for it (--quota-backend-bytes) and raise the budget, or meter fewer kinds",
		resource.NewQuantity(h.JournalBudget, resource.BinarySI))
}

// tooLarge notes that the journal does not fit into memory: this replica ends.
func (h *Health) tooLarge(err error) {
	h.Log.Error(err, "cannot load the journal")
	h.announce(announcement{kind: corev1.EventTypeWarning, reason: "MemoryTooSmall", action: "LoadJournal", note: err.Error()})
}

// failed notes that the journal cannot be used.
func (h *Health) failed(now time.Time, err error) {
	h.mu.Lock()
	began := h.err == nil
	if began {
		h.since = now
	}
	h.err = err
	h.mu.Unlock()
	if !began {
		return // the newest error is in the meters' conditions
	}
	h.Log.Error(err, "cannot use the journal: metering goes on in memory; trying again")
	h.announce(announcement{
		kind: corev1.EventTypeWarning, reason: v1alpha1.ReasonJournalUnavailable, action: writeJournal,
		note: fmt.Sprintf("Metering goes on in memory: the journal cannot be written: %v", err),
	})
}

// committed notes that the journal has everything up to the last batch, and how
// large it is.
func (h *Health) committed(now time.Time, size journal.Size) {
	h.mu.Lock()
	err, since := h.err, h.since
	h.err, h.since = nil, time.Time{}
	h.backlog.batched = 0
	h.mu.Unlock()
	if err != nil {
		h.Log.Info("the journal can be written again, and has everything", "after", now.Sub(since).String())
		h.announce(announcement{
			kind: corev1.EventTypeNormal, reason: "JournalAvailable", action: writeJournal,
			note: fmt.Sprintf("The journal can be written again, and has everything. It could not since %s: %v", text(since), err),
		})
	}
	h.sized(size)
}

// sized compares the journal with its budget.
func (h *Health) sized(size journal.Size) {
	over := h.JournalBudget > 0 && size.Bytes > h.JournalBudget
	h.mu.Lock()
	was := h.overBudget
	h.overBudget = over
	h.mu.Unlock()
	switch {
	case over && !was:
		h.Log.Info(h.budgetRemedy(), "bytes", size.Bytes)
		h.announce(announcement{kind: corev1.EventTypeWarning, reason: "JournalOverBudget", action: writeJournal, note: h.budgetRemedy()})
	case was && !over:
		h.Log.Info("the journal is within its budget again", "bytes", size.Bytes)
		h.announce(announcement{kind: corev1.EventTypeNormal, reason: "JournalWithinBudget", action: writeJournal, note: "The journal is within its budget again."})
	}
}

// jumped notes that the machine's clock was set, or has caught up.
func (h *Health) jumped(j steadyclock.Jump) {
	said := announcement{kind: corev1.EventTypeWarning, action: "ReadClock"}
	behind := ""
	switch {
	case j.Over:
		said.kind, said.reason = corev1.EventTypeNormal, "ClockCaughtUp"
		said.note = fmt.Sprintf("The clock has caught up: it is %s again, and time goes on.", text(j.From))
	case j.By() < 0:
		said.reason = v1alpha1.ReasonClockBehind
		behind = fmt.Sprintf("the operator's clock says %s, and it was %s already: time stands still, and nothing is sealed, "+
			"until it has caught up; if it is wrong, set it right", text(j.To), text(j.From))
		said.note = behind
	default:
		said.reason = "ClockSetAhead"
		said.note = fmt.Sprintf("The operator's clock went from %s to %s at once: it was set, or the machine slept. "+
			"If it is wrong now, usage is dated wrongly: set it right.", text(j.From), text(j.To))
	}
	if j.By() < 0 || j.Over {
		h.mu.Lock()
		h.behind = behind
		h.mu.Unlock()
	}
	h.Log.Info(said.note, "reason", said.reason, "by", j.By().String())
	h.announce(said)
}

// waits notes which interval is sealed next, by its end.
func (h *Health) waits(end int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next = end
}

// sealed notes that an interval was sealed.
func (h *Health) sealed(now time.Time, seal journal.Seal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealedIn = now.Sub(time.Unix(seal.Interval.End, 0))
}

// loaded notes how long it took to load the journal.
func (h *Health) loaded(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.loadedIn = took
}

func (h *Health) late(err error) {
	h.Log.Info("an interval waits to be sealed", "error", err.Error())
}

// backlog is since when there are changes that the journal does not have, in
// seconds since the epoch; 0: there are none.
type backlog struct {
	fresh   int64 // in no batch yet
	batched int64 // in the batch that is pending
}

// changed notes that there is something new to be written.
func (h *Health) changed(now int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.backlog.fresh == 0 {
		h.backlog.fresh = now
	}
}

// batched notes that what is new is in the pending batch.
func (h *Health) batched(now int64, batch *journal.Batch) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b := &h.backlog
	if b.fresh == 0 && len(batch.Changes)+len(batch.Coverage) > 0 {
		b.fresh = now
	}
	b.batched, b.fresh = b.fresh, 0
}

// lag is how long the oldest change has waited to be committed, in seconds.
func (b backlog) lag(now int64) int64 {
	oldest := b.batched
	if oldest == 0 {
		oldest = b.fresh
	}
	if oldest == 0 {
		return 0
	}
	return max(0, now-oldest)
}

// figures are what metrics show of it.
type figures struct {
	degraded           bool
	sealLag, commitLag int64 // seconds
	sealedIn, loadedIn time.Duration
}

func (h *Health) figures(now int64) figures {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := figures{degraded: h.err != nil, commitLag: h.backlog.lag(now), sealedIn: h.sealedIn, loadedIn: h.loadedIn}
	if h.next > 0 {
		f.sealLag = max(0, now-h.next)
	}
	return f
}

func text(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// isOverBudget tells whether the journal takes more than its budget.
func (h *Health) isOverBudget() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.overBudget
}
