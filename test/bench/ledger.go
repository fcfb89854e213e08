package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	ledgerResources    = 100_000
	ledgerObservations = 10_000_000
	ledgerDay          = 24 * 3600
	ledgerStart        = 1_900_000_000 // seconds since the epoch, at the start of an interval
	ledgerSeed         = 1
)

// benchmarkLedger has the ledger take in a day of observations, and a map do it that only remembers what it must.
func benchmarkLedger(ctx context.Context, s *settings) ([]Figure, error) {
	resources, observations := ledgerResources, ledgerObservations
	if s.quick {
		resources, observations = resources/10, observations/10
	}
	done := s.tell.during("preparing observations", nil)
	d := newDay(resources, observations)
	want := d.held()
	done()

	// One core each, the garbage collector's work included.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var ours, peer []float64
	for round := range s.rounds {
		for _, side := range []struct {
			name string
			run  func(*day) (held func() usage.Amount)
			runs *[]float64
		}{{"ours", intoLedger, &ours}, {"peer", intoMap, &peer}} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			done := s.tell.during(fmt.Sprintf("round %d of %d: %s", round+1, s.rounds, side.name), nil)
			d.reset()
			runtime.GC()
			before := cpuTime()
			held := side.run(d)
			rate := float64(observations) / (cpuTime() - before).Seconds()
			if got := held(); got != want {
				return nil, fmt.Errorf("%s: has %s unit-seconds of %s", side.name, got, want)
			}
			done()
			s.tell.say("round %d of %d: %s %s observations/s", round+1, s.rounds, side.name, quantity(rate))
			*side.runs = append(*side.runs, rate)
		}
	}
	work := fmt.Sprintf("%s observations of %s resources: 60%% no change, 30%% resize, 10%% create or delete", quantity(float64(observations)), quantity(float64(resources)))
	allocations := allocationsOfNoChange()
	return []Figure{
		newFigure(work, "observations/s of CPU", ours, peer).against("a map and an append").ratioAtLeast(0.5).atLeast(2_000_000),
		newFigure("an observation that changes nothing", "allocations", []float64{allocations}, nil).atMost(0),
	}, nil
}

// cpuTime is what this process has used of CPUs: on a machine that others use too, time on the clock says less.
func cpuTime() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// step is what happens to one resource.
type step struct {
	resource int32
	kind     stepKind
	size     uint8 // of the machine, when it is resized or created
}

type stepKind uint8

const (
	same stepKind = iota
	resized
	created
	deleted
)

// day is what happens in a day, and the resources that it happens to, as a decoder would deliver them.
type day struct {
	steps   []step
	uids    []string // of the resources that are created, in order
	members [][]usage.Member
	created int
}

// sizes are instance types; resizing goes from one to another.
const sizes = 8

func levelsOf(size uint8, levels []int64) {
	levels[0] = 1000 << (size % 4)
	levels[1] = (2 << 30) << (size / 2)
}

func newDay(resources, observations int) *day {
	random := rand.New(rand.NewPCG(ledgerSeed, 0))
	d := &day{steps: make([]step, 0, observations+resources), members: make([][]usage.Member, resources)}
	exists := make([]bool, resources)
	size := make([]uint8, resources)
	create := func(i int) {
		exists[i], size[i] = true, uint8(random.IntN(sizes))
		d.steps = append(d.steps, step{int32(i), created, size[i]})
		d.uids = append(d.uids, fmt.Sprintf("%08x-0000-4000-8000-%012x", len(d.uids), random.Uint64()>>16))
	}
	for i := range resources {
		d.members[i] = []usage.Member{{Subject: subjectOf(i), Active: true, Levels: make([]int64, 2)}}
		create(i)
	}
	for len(d.steps) < observations {
		i := random.IntN(resources)
		switch dice := random.IntN(100); {
		case !exists[i]:
			create(i)
		case dice < 5:
			exists[i] = false
			d.steps = append(d.steps, step{int32(i), deleted, 0})
		case dice < 36:
			size[i] = (size[i] + 1 + uint8(random.IntN(sizes-1))) % sizes
			d.steps = append(d.steps, step{int32(i), resized, size[i]})
		default:
			d.steps = append(d.steps, step{int32(i), same, size[i]})
		}
	}
	return d
}

// subjectOf is a virtual machine; ten are in one deployment, and ten deployments in one namespace.
func subjectOf(i int) usage.Subject {
	name := fmt.Sprintf("db-%06d", i)
	return usage.Subject{
		ResourceType: "vm",
		Resource:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name},
		Instance:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachineInstance", Name: name},
		Account: usage.Account{
			Namespace: fmt.Sprintf("tenant-%04d", i/100), NamespaceUID: fmt.Sprintf("%08x-0000-4000-8000-000000000000", i/100),
			Deployment: fmt.Sprintf("db-%05d", i/10),
		},
		Region: "eu-west-1",
		Bundle: "u1.large",
	}
}

func (d *day) reset() { d.created = 0 }

// at is when step n happens.
func (d *day) at(n int) int64 { return ledgerStart + int64(n)*ledgerDay/int64(len(d.steps)) }

// observe gives the members that a step shows: what a decoder would have made of the object.
func (d *day) observe(s step) []usage.Member {
	members := d.members[s.resource]
	subject := &members[0].Subject
	if s.kind == created {
		subject.Resource.UID = d.uids[d.created]
		subject.Instance.UID = subject.Resource.UID
		d.created++
	}
	levelsOf(s.size, members[0].Levels)
	return members
}

// held is what was held that day, levels of all dimensions in one sum: to check the sides by.
func (d *day) held() usage.Amount {
	type holding struct{ size, since int64 }
	holdings := make([]holding, len(d.members))
	for i := range holdings {
		holdings[i].size = -1
	}
	var sum usage.Amount
	var levels [2]int64
	until := func(h holding, now int64) {
		if h.size < 0 {
			return
		}
		levelsOf(uint8(h.size), levels[:])
		for _, level := range levels {
			sum = sum.Plus(usage.Held(level, now-h.since))
		}
	}
	for n, s := range d.steps {
		if s.kind == same {
			continue
		}
		h := &holdings[s.resource]
		until(*h, d.at(n))
		*h = holding{size: int64(s.size), since: d.at(n)}
		if s.kind == deleted {
			h.size = -1
		}
	}
	for _, h := range holdings {
		until(h, d.at(len(d.steps)))
	}
	return sum
}

// intoLedger has the ledger take in the day, and seal each hour as it ends.
func intoLedger(d *day) (held func() usage.Amount) {
	l := ledger.New()
	meter := ledger.NewMeter("vm", ledgerStart, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	o := ledger.Observation{Meter: meter, Origin: ledger.Live}
	hour := usage.Interval(ledgerStart, 3600)
	for n, s := range d.steps {
		o.Now = d.at(n)
		o.After = o.Now - 2
		o.Written = o.Now
		o.Existed = s.kind != created
		o.Members = d.observe(s)
		o.UID = o.Members[0].Subject.Instance.UID
		if o.Now >= hour.End {
			l.Seal(hour.End)
			l.Changed()
			hour = hour.Next()
		}
		if s.kind == deleted {
			l.Remove(&o)
			continue
		}
		if err := l.Observe(&o); err != nil {
			panic(err)
		}
	}
	return func() usage.Amount {
		var sum usage.Amount
		whole := usage.Window{Start: ledgerStart, End: d.at(len(d.steps))}
		for _, account := range l.Accounts(whole, whole.End) {
			for _, segment := range l.Cut(account, whole, whole.End) {
				sum = sum.Plus(segment.Within(whole))
			}
		}
		return sum
	}
}

// bareSegment is a segment without what makes it provable: no evidence, no bounds.
type bareSegment struct {
	subject    *usage.Subject
	dimension  int
	level      int64
	start, end int64
}

// bareResource is a resource in the peer's map.
type bareResource struct {
	subject usage.Subject
	levels  [2]int64
	since   [2]int64
}

// intoMap has a map of what is held take in the day, and appends what is not held any more to a slice. It looks at the
// levels alone, seals nothing, and cannot say what an account held without reading everything.
func intoMap(d *day) (held func() usage.Amount) {
	resources := map[string]*bareResource{}
	var closed []bareSegment
	for n, s := range d.steps {
		now := d.at(n)
		members := d.observe(s)
		member := &members[0]
		uid := member.Subject.Instance.UID
		at := resources[uid]
		if at == nil {
			at = &bareResource{subject: member.Subject}
			resources[uid] = at
		}
		for i := range at.levels {
			level := member.Levels[i]
			if s.kind == deleted {
				level = 0
			}
			if at.levels[i] == level {
				continue
			}
			if at.levels[i] != 0 {
				closed = append(closed, bareSegment{subject: &at.subject, dimension: i, level: at.levels[i], start: at.since[i], end: now})
			}
			at.levels[i], at.since[i] = level, now
		}
		if s.kind == deleted {
			delete(resources, uid)
		}
	}
	return func() usage.Amount {
		var sum usage.Amount
		for i := range closed {
			sum = sum.Plus(usage.Held(closed[i].level, closed[i].end-closed[i].start))
		}
		for _, at := range resources {
			for i := range at.levels {
				sum = sum.Plus(usage.Held(at.levels[i], d.at(len(d.steps))-at.since[i]))
			}
		}
		return sum
	}
}

// allocationsOfNoChange is how many allocations one observation that changes nothing makes.
func allocationsOfNoChange() float64 {
	d := newDay(1000, 1000)
	l := ledger.New()
	meter := ledger.NewMeter("vm", ledgerStart, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	observations := make([]ledger.Observation, len(d.members))
	for n, s := range d.steps {
		members := d.observe(s)
		observations[n] = ledger.Observation{
			Meter: meter, UID: members[0].Subject.Instance.UID, Members: members,
			Written: ledgerStart, After: ledgerStart, Now: ledgerStart + 60,
		}
	}
	observeAll := func() {
		for i := range observations {
			if err := l.Observe(&observations[i]); err != nil {
				panic(err)
			}
		}
	}
	observeAll()
	return testing.AllocsPerRun(100, observeAll) / float64(len(observations))
}
