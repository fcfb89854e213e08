package controllers

import (
	"context"
	"sync/atomic"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Sealed tells those who publish which intervals are sealed and committed.
type Sealed struct {
	through atomic.Int64
	news    chan []usage.Window
}

// NewSealed knows of no interval yet.
func NewSealed() *Sealed { return &Sealed{news: make(chan []usage.Window)} }

// Through is the end of the last interval whose seal is committed, in seconds
// since the epoch; 0: there is none.
func (s *Sealed) Through() int64 { return s.through.Load() }

// News are the intervals that Add tells of. Somebody has to take them: the keeper
// waits for that.
func (s *Sealed) News() <-chan []usage.Window { return s.news }

// Add tells of intervals, in order, once their seals are committed.
func (s *Sealed) Add(ctx context.Context, intervals ...usage.Window) {
	if len(intervals) == 0 {
		return
	}
	s.through.Store(intervals[len(intervals)-1].End)
	select {
	case s.news <- intervals:
	case <-ctx.Done():
	}
}
