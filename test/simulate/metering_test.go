package simulate

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/usage-operator/usage-operator/internal/collector"
)

// applied is how a meter is applied.
type applied struct {
	version   int
	edited    int64 // seconds since the epoch
	suspended bool
}

// apply applies a meter, or not, as the controller of UsageMeters does.
func (s *simulation) apply(c *collector.Collector, m *metered) error {
	at := s.metering[m.meter.Name()]
	if at.suspended {
		c.Remove(m.meter.Name())
		return nil
	}
	mapping, err := s.server.Mapper().RESTMapping(m.kind.GroupKind())
	if err != nil {
		return err
	}
	return c.Apply(m.meter, collector.Target{Mapping: mapping, Version: fmt.Sprint(at.version), Created: s.first.Unix(), Edited: at.edited})
}

// applyNow applies a meter while the operator runs; not before it is ready.
func (s *simulation) applyNow(m *metered) bool {
	if s.operator == nil || !s.operator.collector.Started() {
		return false
	}
	if err := s.apply(s.operator.collector, m); err != nil {
		return false // it is ending
	}
	return true
}

// suspendMeter suspends a meter, and takes it up again after some time. What is
// applied while no operator runs counts from when one does.
func (s *simulation) suspendMeter(r *rand.Rand) {
	m := &meters[r.IntN(len(meters))]
	at := s.metering[m.meter.Name()]
	if at.suspended {
		return
	}
	if at.suspended = true; !s.applyNow(m) {
		at.suspended = false
		return
	}
	s.log("  %s is suspended", m.meter.Name())
	s.suspended[m.meter.Name()] = true
	s.note(time.Now())
	s.in(between(r, 2_000, 60_000), func() { s.resumeMeter(m) })
}

func (s *simulation) resumeMeter(m *metered) {
	at := s.metering[m.meter.Name()]
	if at.suspended = false; !s.applyNow(m) {
		at.suspended = true
		s.in(time.Second, func() { s.resumeMeter(m) })
		return
	}
	s.log("  %s is taken up", m.meter.Name())
	s.suspended[m.meter.Name()] = false
	s.note(time.Now())
}

// editMeter edits a meter, which then reads the same.
func (s *simulation) editMeter(r *rand.Rand) {
	m := &meters[r.IntN(len(meters))]
	if at := s.metering[m.meter.Name()]; !at.suspended {
		at.version++
		at.edited = time.Now().Unix()
		s.applyNow(m) // else at the next start
	}
}
