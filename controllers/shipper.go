package controllers

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// Shipper sends the journal to a hub while this replica leads. Nothing waits for it but what
// is left out of the journal: the journal has what the hub has not. It is safe for concurrent use.
type Shipper struct {
	Log   logr.Logger
	Clock clock.WithTicker
	// Journal is what is sent, once it is loaded.
	Journal Shipment
	// Hub asks the hub.
	Hub *sender.Client
	// Announce makes an Event; nil: none is made.
	Announce func(announcement)
	// Changed, when not nil, is called when the condition has another reason.
	Changed func()

	// acknowledged is apart: the journal asks for it while it is asked itself.
	acknowledged atomic.Uint64

	mu     sync.Mutex
	began  bool
	status sender.Status
	// failing is since when attempts do not succeed, if they do not.
	failing time.Time
	// shown is the condition's reason as of the last attempt.
	shown string
	// told is the reason that was announced last; empty: none, or that it is over.
	told string
	// refusals are how many attempts did not succeed, by why.
	refusals map[string]int64
	// said is what the condition says, and when that was made.
	said   metav1.Condition
	brief  string // the same without figures, which change all the time
	saidAt time.Time
}

// Shipment is the journal as it is sent.
type Shipment interface {
	sender.Blocks
	// Reached tells what there is, and up to when those have it who have all up to a sequence.
	Reached(sequence uint64) (end uint64, written int64)
	// Withheld tells whether the journal keeps what it may leave out once a sequence is acknowledged.
	Withheld() (until uint64, is bool)
}

const (
	// loadedEvery is how often it is looked whether the journal is loaded.
	loadedEvery = time.Second
	// awayFor is for how long a hub does not answer before people are told.
	awayFor = 15 * time.Second
	// behindFor is how far a hub may be behind that answers.
	behindFor = 2 * time.Minute
	// shippedRefresh is how old the figures in the condition may be while nothing else changes.
	shippedRefresh = time.Minute
	// maxHubMessage is how much of what the hub says is shown, in bytes: each meter has it, too.
	maxHubMessage = 2 << 10
)

// Start sends until ctx is done.
func (s *Shipper) Start(ctx context.Context) error {
	ticker := s.Clock.NewTicker(loadedEvery)
	defer ticker.Stop()
	for {
		if _, err := s.Journal.Keys(ctx); !errors.Is(err, journal.ErrNotLoaded) {
			break
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
	s.mu.Lock()
	s.began = true
	s.mu.Unlock()
	sender.New(sender.Options{Blocks: s.Journal, Hub: s.Hub, Clock: s.Clock, Log: s.Log, Stepped: s.stepped}).Run(ctx)
	return nil
}

// Acknowledged is up to which sequence the hub has everything; 0: that is not known.
func (s *Shipper) Acknowledged() uint64 { return s.acknowledged.Load() }

// has is up to which sequence the hub has this journal for certain. What it only says, of a
// journal that was restored from a backup, or while it refuses what follows, may be of another.
func has(status sender.Status) uint64 {
	if _, refused := errors.AsType[*sender.Refusal](status.Err); refused || !status.Known || !status.Proven {
		return 0
	}
	return status.Acknowledged
}

// acknowledging is what the journal asks; nil: there is no hub.
func (s *Shipper) acknowledging() func() uint64 {
	if s == nil {
		return nil
	}
	return s.Acknowledged
}

// stepped notes how an attempt came out, and tells people if that is new.
func (s *Shipper) stepped(status sender.Status) {
	s.acknowledged.Store(has(status))
	now := s.Clock.Now()
	s.mu.Lock()
	before, since := s.status.Err, s.failing
	if s.status = status; status.Err != nil {
		s.refused(status.Reason())
		if before == nil {
			s.failing = now
		}
	}
	told, reason := s.told, s.trouble(now)
	if reason == "" && status.Err != nil {
		reason = told // it may pass
	}
	s.told = reason
	shown := s.reason(now)
	changed := shown != s.shown
	s.shown = shown
	s.mu.Unlock()
	if changed && s.Changed != nil {
		s.Changed()
	}
	switch reason {
	case told:
	case "":
		s.announce(corev1.EventTypeNormal, "HubAvailable", fmt.Sprintf("The hub takes the journal again. It did not since %s: %v", text(since), before))
	case v1alpha1.ReasonHubUnavailable:
		s.announce(corev1.EventTypeWarning, reason, "The hub does not answer, and the journal keeps what it has not: "+status.Err.Error())
	default:
		s.announce(corev1.EventTypeWarning, "HubRefuses", "The hub does not take the journal, which keeps what it has not: "+status.Err.Error())
	}
}

// maxRefusals is how many reasons are counted apart: who answers in the hub's place may have any.
const maxRefusals = 30

// refused counts an attempt that did not succeed. Called under the lock.
func (s *Shipper) refused(reason string) {
	if s.refusals == nil {
		s.refusals = map[string]int64{}
	}
	if _, known := s.refusals[reason]; !known && len(s.refusals) >= maxRefusals {
		reason = "Other"
	}
	s.refusals[reason]++
}

func (s *Shipper) announce(kind, reason, note string) {
	if s.Announce != nil {
		s.Announce(announcement{kind: kind, reason: reason, action: "SendJournal", note: note})
	}
}

// trouble is why the hub does not take the journal; empty: it does, or may do so again at
// once. Called under the lock.
func (s *Shipper) trouble(now time.Time) string {
	refusal, refused := errors.AsType[*sender.Refusal](s.status.Err)
	switch {
	case refused:
		return refusal.Reason
	case s.status.Err != nil && now.Sub(s.failing) >= awayFor:
		return v1alpha1.ReasonHubUnavailable
	}
	return ""
}

// reason is that of the condition. Called under the lock.
func (s *Shipper) reason(now time.Time) string {
	if trouble := s.trouble(now); trouble != "" {
		return trouble
	}
	if !s.status.Known {
		return v1alpha1.ReasonHubConnecting
	}
	if lag, _ := s.lag(now); lag > behindFor {
		return v1alpha1.ReasonHubBehind
	}
	return v1alpha1.ReasonHubAcknowledged
}

// lag is how far the hub is behind, and what it has. Called under the lock, if it is known
// where the hub is.
func (s *Shipper) lag(now time.Time) (lag time.Duration, has string) {
	end, written := s.Journal.Reached(s.status.Acknowledged)
	if s.status.Acknowledged < end {
		lag = max(0, now.Sub(time.Unix(written, 0)))
	}
	if s.status.Acknowledged == 0 {
		return lag, fmt.Sprintf("it has nothing of %d entries yet", end)
	}
	return lag, fmt.Sprintf("it has acknowledged %d of %d entries, the last of which was written at %s; lag %s",
		s.status.Acknowledged, end, text(time.Unix(written, 0)), lag.Truncate(time.Second))
}

// state is what the UsageLedger has of it; nil: there is no hub.
func (s *Shipper) state() *v1alpha1.LedgerHub {
	if s == nil {
		return nil
	}
	now := s.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	state := &v1alpha1.LedgerHub{}
	if !s.status.Known {
		return state
	}
	lag, _ := s.lag(now)
	state.LagSeconds = new(int64(lag / time.Second))
	if state.AcknowledgedSequence = int64(s.status.Acknowledged); state.AcknowledgedSequence > 0 {
		_, written := s.Journal.Reached(s.status.Acknowledged)
		state.AcknowledgedTime = timeOf(written)
	}
	return state
}

// condition is Shipped; nil: there is no hub.
func (s *Shipper) condition() *metav1.Condition {
	if s == nil {
		return nil
	}
	now := s.Clock.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	said := metav1.Condition{Type: v1alpha1.ConditionShipped, Status: metav1.ConditionFalse, Reason: s.reason(now)}
	if said.Reason == s.said.Reason && now.Sub(s.saidAt) < shippedRefresh {
		said = s.said
		return &said
	}
	switch said.Reason {
	case v1alpha1.ReasonHubAcknowledged:
		said.Status, said.Message = metav1.ConditionTrue, "the hub takes the journal"
	case v1alpha1.ReasonHubConnecting:
		said.Status, said.Message = metav1.ConditionUnknown, "the hub was not asked yet where it is, or has not answered yet"
	case v1alpha1.ReasonHubBehind:
		said.Message = "the hub takes the journal, and is behind"
	case v1alpha1.ReasonHubUnavailable:
		said.Message = fmt.Sprintf("the hub does not answer since %s, and is tried again: see that it runs, that --hub-url is right, and that no "+
			"network policy is between: %v", text(s.failing), s.status.Err)
	default:
		said.Message = fmt.Sprintf("the hub does not take the journal since %s: %v", text(s.failing), s.status.Err)
	}
	s.brief = limit(said.Message, maxHubMessage)
	said.Message = s.brief + s.rest(now)
	s.said, s.saidAt = said, now
	return &said
}

// rest is what the condition says at last. Called under the lock.
func (s *Shipper) rest(now time.Time) string {
	var rest string
	if s.status.Known {
		_, has := s.lag(now)
		rest = "; " + has
	}
	return rest + s.withheld()
}

// withheld says if the journal keeps what it may leave out, because of the hub; empty: it
// does not. A nil Shipper has no hub.
func (s *Shipper) withheld() string {
	if s == nil {
		return ""
	}
	until, is := s.Journal.Withheld()
	if !is {
		return ""
	}
	return fmt.Sprintf("; the journal keeps what is archived until the hub has acknowledged %d, though there is --archive-cut", until)
}

// finding is what people should know; empty: nothing. A nil Shipper has no hub.
func (s *Shipper) finding() string {
	said := s.condition()
	if said == nil || said.Status != metav1.ConditionFalse {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.brief + s.withheld()
}
