package controllers

import (
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

// loadingSaidEvery is how often it is logged how far the journal was read.
const loadingSaidEvery = 10 * time.Second

// loading logs how far the journal was read, where that takes long: otherwise a replica that reads
// a large journal, and is not ready for minutes, looks like one that hangs.
type loading struct {
	log   logr.Logger
	clock clock.PassiveClock
	fits  func(read, all int64) error

	read int64     // as of the last call
	said time.Time // when something was logged last, or reading began; zero: all is read
}

// Fits is called after each block, by one goroutine at a time, with the number of rows that were
// read, and of all.
func (l *loading) Fits(read, all int64) error {
	now := l.clock.Now()
	switch {
	case read >= all:
		l.said = time.Time{}
	case l.said.IsZero() || read < l.read:
		l.said = now
	case now.Sub(l.said) >= loadingSaidEvery:
		l.said = now
		l.log.Info("reading the journal", "rows", read, "of", all)
	}
	l.read = read
	return l.fits(read, all)
}
