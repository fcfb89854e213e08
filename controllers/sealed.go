package controllers

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Sealed tells those who publish which intervals are sealed and committed.
type Sealed struct {
	through atomic.Int64
	news    chan struct{} // has room for one: there are intervals to take

	mu        sync.Mutex
	intervals []usage.Window                // that were added, and not taken yet
	limits    map[usage.Window]usage.Limits // that bind the records of intervals, where any does
}

// NewSealed knows of no interval yet.
func NewSealed() *Sealed {
	return &Sealed{news: make(chan struct{}, 1), limits: map[usage.Window]usage.Limits{}}
}

// Through is the end of the last interval whose seal is committed, in seconds
// since the epoch; 0: there is none.
func (s *Sealed) Through() int64 { return s.through.Load() }

// Add tells of intervals, in order, once their seals are committed. It waits for
// nobody: who commits does not wait for who publishes.
func (s *Sealed) Add(seals ...journal.Seal) {
	if len(seals) == 0 {
		return
	}
	s.mu.Lock()
	for _, seal := range seals {
		s.intervals = append(s.intervals, seal.Interval)
		if !seal.Limits.IsZero() {
			s.limits[seal.Interval] = seal.Limits
		}
	}
	s.through.Store(seals[len(seals)-1].Interval.End)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// Limits are those that bind the interval's records.
func (s *Sealed) Limits(interval usage.Window) usage.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits[interval]
}

// forget drops the limits of intervals that ended by the moment.
func (s *Sealed) forget(keptFrom int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.limits, func(w usage.Window, _ usage.Limits) bool { return w.End <= keptFrom })
}

// take are the intervals that were added since it was last called, in order.
func (s *Sealed) take() []usage.Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	intervals := s.intervals
	s.intervals = nil
	return intervals
}
