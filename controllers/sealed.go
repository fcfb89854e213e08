package controllers

import (
	"sync"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Sealed tells those who publish which intervals are sealed and committed.
type Sealed struct {
	through atomic.Int64
	news    chan struct{} // has room for one: there are intervals to take

	mu        sync.Mutex
	intervals []usage.Window // that were added, and not taken yet
}

// NewSealed knows of no interval yet.
func NewSealed() *Sealed { return &Sealed{news: make(chan struct{}, 1)} }

// Through is the end of the last interval whose seal is committed, in seconds
// since the epoch; 0: there is none.
func (s *Sealed) Through() int64 { return s.through.Load() }

// Add tells of intervals, in order, once their seals are committed. It waits for
// nobody: who commits does not wait for who publishes.
func (s *Sealed) Add(intervals ...usage.Window) {
	if len(intervals) == 0 {
		return
	}
	s.mu.Lock()
	s.intervals = append(s.intervals, intervals...)
	s.through.Store(intervals[len(intervals)-1].End)
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// take are the intervals that were added since it was last called, in order.
func (s *Sealed) take() []usage.Window {
	s.mu.Lock()
	defer s.mu.Unlock()
	intervals := s.intervals
	s.intervals = nil
	return intervals
}
