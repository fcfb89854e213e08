package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/meter"
)

// applied is how a meter is applied.
type applied struct {
	version   int
	edited    int64 // seconds since the epoch
	suspended bool
}

// howApplied is how a meter is applied now. An operator that starts asks, too.
func (s *simulation) howApplied(m *metered) applied {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.metering[m.meter.Name()]
}

func (s *simulation) setApplied(m *metered, to applied) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.metering[m.meter.Name()] = to
}

// suspend suspends a meter or ends that, if an operator is there that does so.
func (s *simulation) suspend(m *metered, suspended bool) bool {
	before := s.howApplied(m)
	to := before
	to.suspended, to.edited = suspended, time.Now().Unix()
	if s.setApplied(m, to); !s.applyNow(m) {
		s.setApplied(m, before)
		return false
	}
	return true
}

// apply applies a meter, or not, as the controller of UsageMeters does.
func (s *simulation) apply(c *collector.Collector, m *metered) error {
	at := s.howApplied(m)
	if at.suspended {
		c.Remove(m.meter.Name())
		return nil
	}
	mapping, err := s.server.Mapper().RESTMapping(m.kind.GroupKind())
	if err != nil {
		return err
	}
	edited := m.meter
	if m.kind == widgets {
		edited = widgetMeters[factorOf(at.version)-1]
	}
	return c.Apply(edited, collector.Target{Mapping: mapping, Version: fmt.Sprint(at.version), Created: s.first.Unix(), Edited: at.edited})
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
	if s.howApplied(m).suspended || !s.suspend(m, true) {
		return
	}
	s.log("  %s is suspended", m.meter.Name())
	s.suspended[m.meter.Name()] = time.Now()
	s.note(time.Now())
	s.in(between(r, 2_000, 60_000), func() { s.resumeMeter(m) })
}

func (s *simulation) resumeMeter(m *metered) {
	if !s.suspend(m, false) {
		s.in(time.Second, func() { s.resumeMeter(m) })
		return
	}
	s.log("  %s is taken up", m.meter.Name())
	delete(s.suspended, m.meter.Name())
	s.note(time.Now())
}

// editMeter edits a meter. That of the widgets then reads another level; the others read
// the same.
func (s *simulation) editMeter(r *rand.Rand) {
	s.edit(&meters[r.IntN(len(meters))])
}

// editWidgets edits the widgets' meter. Half of the time the widgets' watch lags meanwhile,
// and widgets change before and after the edit.
func (s *simulation) editWidgets(r *rand.Rand) {
	edit := func() { s.edit(&meters[slices.IndexFunc(meters, func(m metered) bool { return m.kind == widgets })]) }
	if r.IntN(2) == 0 {
		edit()
		return
	}
	s.log("  %s lags", widgets.Resource)
	s.server.Hold(widgets, between(r, 1_000, 9_000))
	s.in(between(r, 1_000, 5_000), edit)
	for range 3 {
		choices := r.Uint64()
		s.in(between(r, 0, 8_000), func() { s.resizeWidget(rand.New(rand.NewPCG(choices, 0))) })
	}
}

func (s *simulation) edit(m *metered) {
	at := s.howApplied(m)
	if at.suspended {
		return
	}
	at.version++
	at.edited = time.Now().Unix()
	s.setApplied(m, at)
	s.log("  %s is edited", m.meter.Name())
	if m.kind == widgets {
		s.truth.edits = append(s.truth.edits, edit{at: time.Now(), from: s.factor, to: factorOf(at.version)})
		s.factor = factorOf(at.version)
		s.note(time.Now())
	}
	s.applyNow(m) // else at the next start
}

// factorOf is what a version of the widgets' meter multiplies sizes by.
func factorOf(version int) int64 { return int64(1 + (version-1)%len(widgetMeters)) }

// widgetMeters are the versions of the widgets' meter.
var widgetMeters = func() (versions []*meter.Meter) {
	for factor := range 3 {
		versions = append(versions, compiled("widget", &v1alpha1.UsageMeterSpec{
			ResourceType: "widget", Target: v1alpha1.TargetReference{Group: widgets.Group, Kind: widgets.Kind},
			Active:    "self.spec.running",
			StartTime: "self.?status.?startedAt",
			EndTime:   "self.?status.?finishedAt",
			Dimensions: []v1alpha1.Dimension{
				{Name: "size", Unit: "count", Quantity: v1alpha1.Expression(fmt.Sprintf("self.spec.size * %d", factor+1))},
			},
		}))
	}
	return versions
}()
