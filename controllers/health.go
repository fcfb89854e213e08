package controllers

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Health is how the keeper gets on, for conditions, metrics and probes. It is
// safe for concurrent use.
type Health struct {
	mu          sync.Mutex
	err         error     // why the journal cannot be written; nil when it can
	since       time.Time // since when
	size        journal.Size
	lastCommit  time.Time
	lastSeal    journal.Seal
	sealedAfter time.Duration // how long after its end the last interval was sealed
}

// Degraded is why the journal cannot be written, and since when; nil when it can.
func (h *Health) Degraded() (error, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err, h.since
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

// Message is why the journal cannot be written, for people; empty when it can.
func (h *Health) Message() string {
	err, since := h.Degraded()
	if err == nil {
		return ""
	}
	return fmt.Sprintf("metering goes on in memory: the journal cannot be written since %s: %v", since.UTC().Format(time.RFC3339), err)
}

func (h *Health) failed(log logr.Logger, now time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil || h.err.Error() != err.Error() {
		log.Error(err, "cannot use the journal: metering goes on in memory; trying again")
	}
	if h.err == nil {
		h.since = now
	}
	h.err = err
}

func (h *Health) committed(log logr.Logger, now time.Time, size journal.Size) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		log.Info("the journal can be written again, and has everything", "after", now.Sub(h.since).String())
	}
	h.err, h.size, h.lastCommit = nil, size, now
}

func (h *Health) sealed(now time.Time, seal journal.Seal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastSeal, h.sealedAfter = seal, now.Sub(time.Unix(seal.Interval.End, 0))
}

func (h *Health) behind(log logr.Logger, err error) {
	log.Info("an interval waits to be sealed", "error", err.Error())
}
