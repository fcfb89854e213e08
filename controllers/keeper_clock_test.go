package controllers

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
)

// machine is a clock that is set, with a stopwatch that is not.
type machine struct {
	*clocktesting.FakeClock
	set atomic.Int64
}

func (m *machine) Now() time.Time { return m.FakeClock.Now().Add(time.Duration(m.set.Load())) }

// A clock that was set ahead for a minute, and is set right, has sealed nothing that
// was not over; nor does the time that stands still after that.
func TestAClockThatWasSetWrongSealsNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	clock := &machine{FakeClock: clocktesting.NewFakeClock(noon.Add(10 * time.Minute))}
	steady := steadyclock.New(clock, nil)
	k := &Keeper{
		Collector: collector.New(collector.Options{Clock: steady, Mapper: meta.NewDefaultRESTMapper(nil), Log: logr.Discard()}),
		Journal:   journal.New(journal.Options{Store: blocksInMemory{}, Writer: "a", Clock: steady, Log: logr.Discard()}),
		Clock:     steady, Schedule: Schedule{Interval: 3600, Flush: 1, SealTimeout: 600}, Sealed: NewSealed(), Health: &Health{},
		TakeUp: func(context.Context) error { return nil }, Log: logr.Discard(),
	}
	if err := k.begin(ctx); err != nil {
		t.Fatal(err)
	}
	defer k.Collector.Wait()
	defer cancel()
	barrier := make(chan passage)
	// keep lets real time pass, and returns how many hours are sealed then.
	keep := func(d time.Duration) time.Duration {
		for range d / time.Second {
			clock.Step(time.Second)
			if err := k.keep(ctx, barrier); err != nil {
				t.Fatal(err)
			}
			for k.waiting { // and what was passed is committed
				k.passed(<-barrier)
				if err := k.keep(ctx, barrier); err != nil {
					t.Fatal(err)
				}
			}
		}
		return time.Unix(max(k.Sealed.Through(), noon.Unix()), 0).Sub(noon)
	}
	for _, step := range []struct {
		what string
		set  time.Duration
		pass time.Duration
		want time.Duration
	}{
		{what: "an interval under way", pass: 10 * time.Minute},
		{what: "its clock a day ahead", set: 24 * time.Hour, pass: time.Minute},
		{what: "and set right", pass: time.Minute},
		{what: "the interval's end", pass: time.Hour, want: time.Hour},
		{what: "a machine that slept, not believed yet", set: 12 * time.Hour, pass: time.Minute, want: time.Hour},
		{what: "and believed", set: 12 * time.Hour, pass: 2 * time.Minute, want: 13 * time.Hour},
	} {
		clock.set.Store(int64(step.set))
		if got := keep(step.pass); got != step.want {
			t.Errorf("%s: %s are sealed, want %s", step.what, got, step.want)
		}
	}
}
