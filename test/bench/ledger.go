package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

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
	decode := func(d *day) func() usage.Amount {
		d.each(func(*observed) {})
		return d.held
	}
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
			_, decoding := timed(d, decode)
			held, all := timed(d, side.run)
			rate := float64(observations) / (all - decoding).Seconds()
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

// timed runs one side, and tells what CPU time that took.
func timed(d *day, run func(*day) func() usage.Amount) (held func() usage.Amount, took time.Duration) {
	runtime.GC()
	before := cpuTime()
	held = run(d)
	return held, cpuTime() - before
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
	born
	gone
)

// day is what happens in a day, and the resources that it happens to, as a decoder would deliver them.
type day struct {
	steps    []step
	uids     []string // of the resources that are created, in order
	subjects []usage.Subject
}

// sizes are instance types; resizing goes from one to another.
const sizes = 8

func levelsOf(size uint8, levels []int64) {
	levels[0] = 1000 << (size % 4)
	levels[1] = (2 << 30) << (size / 2)
}

func newDay(resources, observations int) *day {
	random := rand.New(rand.NewPCG(ledgerSeed, 0))
	d := &day{steps: make([]step, 0, observations+resources), subjects: make([]usage.Subject, resources)}
	exists := make([]bool, resources)
	size := make([]uint8, resources)
	create := func(i int) {
		exists[i], size[i] = true, uint8(random.IntN(sizes))
		d.steps = append(d.steps, step{int32(i), born, size[i]})
		d.uids = append(d.uids, fmt.Sprintf("%08x-0000-4000-8000-%012x", len(d.uids), random.Uint64()>>16))
	}
	for i := range resources {
		d.subjects[i] = subjectOf(i)
		create(i)
	}
	for len(d.steps) < observations {
		i := random.IntN(resources)
		switch dice := random.IntN(100); {
		case !exists[i]:
			create(i)
		case dice < 5:
			exists[i] = false
			d.steps = append(d.steps, step{int32(i), gone, 0})
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

// at is when step n happens.
func (d *day) at(n int) int64 { return ledgerStart + int64(n)*ledgerDay/int64(len(d.steps)) }

// batch is how many observations are decoded at a time. They are in the CPU's caches when they are taken in, as one is
// that has just been decoded.
const batch = 256

// observed is what a decoder has made of one object.
type observed struct {
	step
	at      int64
	uid     string
	members [1]usage.Member
	levels  [2]int64
}

// each decodes all steps in order, a batch at a time. What it hands out is overwritten by the next batch, except the UIDs.
func (d *day) each(take func(*observed)) {
	var decoded [batch]observed
	text := make([]byte, 0, batch*1024)
	uids := make([]string, len(d.subjects))
	created := 0
	for start := 0; start < len(d.steps); start += batch {
		steps := d.steps[start:min(start+batch, len(d.steps))]
		text = text[:0]
		for i, s := range steps {
			if s.kind == born {
				uids[s.resource] = d.uids[created]
				created++
			}
			o := &decoded[i]
			o.step, o.at, o.uid = s, d.at(start+i), uids[s.resource]
			levelsOf(s.size, o.levels[:])
			o.members[0] = usage.Member{Subject: d.subjects[s.resource], Active: true, Levels: o.levels[:]}
			subject := &o.members[0].Subject
			subject.Resource.UID, subject.Instance.UID = o.uid, o.uid
			for _, word := range []*string{
				&subject.ResourceType, &subject.Resource.APIVersion, &subject.Resource.Kind, &subject.Resource.Name, &subject.Resource.UID,
				&subject.Instance.APIVersion, &subject.Instance.Kind, &subject.Instance.Name, &subject.Instance.UID,
				&subject.Namespace, &subject.NamespaceUID, &subject.Deployment, &subject.Region, &subject.Bundle,
			} {
				from := len(text)
				text = append(text, *word...)
				*word = unsafe.String(unsafe.SliceData(text[from:]), len(*word))
			}
		}
		for i := range steps {
			take(&decoded[i])
		}
	}
}

// held is what was held that day, levels of all dimensions in one sum: to check the sides by.
func (d *day) held() usage.Amount {
	type holding struct{ size, since int64 }
	holdings := make([]holding, len(d.subjects))
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
		if s.kind == gone {
			h.size = -1
		}
	}
	for _, h := range holdings {
		until(h, d.at(len(d.steps)))
	}
	return sum
}

// flushEvery is how often the keeper asks what the journal does not have yet, in seconds.
const flushEvery = 5

// intoLedger has the ledger take in the day, tell what the journal does not have as often as the keeper asks, and seal
// each hour as it ends.
func intoLedger(d *day) (held func() usage.Amount) {
	l := ledger.New()
	meter := ledger.NewMeter("vm", ledgerStart, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}})
	o := ledger.Observation{Meter: meter, Origin: ledger.Live}
	hour := usage.Interval(ledgerStart, 3600)
	flush := int64(ledgerStart + flushEvery)
	d.each(func(seen *observed) {
		o.UID, o.Members = seen.uid, seen.members[:]
		o.Now, o.After, o.Written = seen.at, seen.at-1, seen.at
		o.Existed = seen.kind != born
		if o.Now >= hour.End {
			l.Seal(hour)
			l.Changed()
			hour = hour.Next()
		}
		if o.Now >= flush {
			l.Unwritten()
			flush = o.Now + flushEvery
		}
		if seen.kind == gone {
			l.Remove(&o)
		} else if err := l.Observe(&o); err != nil {
			panic(err)
		}
	})
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
	subject    *bareSubject
	dimension  int
	level      int64
	start, end int64
}

// bareSubject is what the peer keeps to name a resource by.
type bareSubject struct {
	resourceType, namespace, deployment, kind, name, uid string
}

// bareResource is a resource in the peer's map.
type bareResource struct {
	subject *bareSubject
	levels  [2]int64
	since   [2]int64
}

func newBareSubject(seen *observed) *bareSubject {
	s := &seen.members[0].Subject
	return &bareSubject{
		resourceType: "vm", kind: "VirtualMachine", uid: seen.uid, name: strings.Clone(s.Resource.Name),
		namespace: strings.Clone(s.Namespace), deployment: strings.Clone(s.Deployment),
	}
}

// intoMap has a map of what is held take in the day, and appends what is not held any more to a slice. It looks at the
// levels alone, seals nothing, and cannot say what an account held without reading everything.
func intoMap(d *day) (held func() usage.Amount) {
	resources := map[string]*bareResource{}
	var closed []bareSegment
	d.each(func(seen *observed) {
		at := resources[seen.uid]
		if at == nil {
			at = &bareResource{subject: newBareSubject(seen)}
			resources[seen.uid] = at
		}
		for i, level := range seen.members[0].Levels {
			if seen.kind == gone {
				level = 0
			}
			if at.levels[i] == level {
				continue
			}
			if at.levels[i] != 0 {
				closed = append(closed, bareSegment{subject: at.subject, dimension: i, level: at.levels[i], start: at.since[i], end: seen.at})
			}
			at.levels[i], at.since[i] = level, seen.at
		}
		if seen.kind == gone {
			delete(resources, seen.uid)
		}
	})
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
	var observations []ledger.Observation
	for i, subject := range d.subjects {
		subject.Resource.UID, subject.Instance.UID = d.uids[i], d.uids[i]
		observations = append(observations, ledger.Observation{
			Meter: meter, UID: d.uids[i], Members: []usage.Member{{Subject: subject, Active: true, Levels: []int64{1000, 1 << 30}}},
			Written: ledgerStart, After: ledgerStart, Now: ledgerStart + 60,
		})
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
