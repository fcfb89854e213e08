package ledger

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// An edit of a meter moves neither when it began, nor what its dimensions were
// measured when.
func TestAnEditLeavesWhatAMeterMeasured(t *testing.T) {
	vcpu, gpu := usage.Dimension{Name: "vcpu", Unit: usage.Core}, usage.Dimension{Name: "gpu", Unit: usage.Count}
	b := newBench(t)
	b.Redefine(b.meter, []usage.Dimension{vcpu}, 1010)
	b.Redefine(b.meter, []usage.Dimension{gpu, vcpu}, 1020)
	b.Redefine(b.meter, []usage.Dimension{gpu}, 1030)
	want := []usage.Metered{{Dimension: vcpu, Since: since, Until: 1030}, {Dimension: gpu, Since: 1020}}
	if b.meter.Since != since || b.meter.Defined != 1030 || !slices.Equal(b.meter.History, want) {
		t.Errorf("since %d, defined at %d, %v", b.meter.Since, b.meter.Defined, b.meter.History)
	}
}

// bench is a ledger with one meter, and words to drive it with.
type bench struct {
	*Ledger
	t     *testing.T
	meter *Meter
}

const since = 1000

func newBench(t *testing.T) *bench {
	t.Helper()
	return &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}})}
}

// vm is an active member that holds vcpu millicores under a deployment.
func vm(deployment string, vcpu int64) usage.Member {
	object := usage.Object{APIVersion: "v1", Kind: "VM", Name: "db", UID: "uid"}
	return usage.Member{
		Active: true, Levels: []int64{vcpu},
		Subject: usage.Subject{
			ResourceType: "vm", Resource: object, Instance: object,
			Account: usage.Account{Namespace: "shop", Deployment: deployment},
		},
	}
}

// at is a moment that somebody saw.
func at(b usage.Boundary) Moments { return Moments{End: b, Start: b} }

func startedAt(m usage.Member, at int64) usage.Member {
	m.Start = usage.Boundary{At: at, Evidence: usage.ObjectTime}
	return m
}

func stopped(m usage.Member, finishedAt int64) usage.Member {
	m.Active, m.Levels = false, nil
	if finishedAt != 0 {
		m.End = usage.Boundary{At: finishedAt, Evidence: usage.ObjectTime}
	}
	return m
}

// at is an observation of the object at a moment; edit changes it.
func (b *bench) at(now int64, members []usage.Member, edit ...func(*Observation)) *Observation {
	o := &Observation{Meter: b.meter, UID: "uid", Members: members, Written: now, After: now - 1, Now: now}
	for _, e := range edit {
		e(o)
	}
	return o
}

func (b *bench) observe(now int64, m usage.Member, edit ...func(*Observation)) {
	b.t.Helper()
	if err := b.Observe(b.at(now, []usage.Member{m}, edit...)); err != nil {
		b.t.Fatal(err)
	}
}

// moveTo puts the object elsewhere from the moment on.
func (b *bench) moveTo(moments Moments, place func(*Meter, *usage.Subject)) {
	b.t.Helper()
	if err := b.Reattribute("uid", moments, place); err != nil {
		b.t.Fatal(err)
	}
}

func written(at int64) func(*Observation) { return func(o *Observation) { o.Written = at } }
func fields(n uint32) func(*Observation)  { return func(o *Observation) { o.Fields = n } }
func origin(origin Origin, after int64) func(*Observation) {
	return func(o *Observation) { o.Origin, o.After = origin, after }
}

// lines are the segments of all accounts, one a line: "web 4000 [1010 ObjectTime, 1060 Observed +5)".
func (b *bench) lines(w usage.Window, now int64) []string {
	packAll(b.Ledger) // what is gone says what it said
	var lines []string
	for _, account := range b.Accounts(w, now) {
		for _, s := range b.Cut(account, w, now) {
			end := "open"
			if !s.End.IsZero() {
				end = boundary(s.End, "+")
			}
			lines = append(lines, fmt.Sprintf("%s %s %d [%s, %s)", account.Deployment, s.Dimension.Name, s.Level, boundary(s.Start, "-"), end))
		}
	}
	return lines
}

func boundary(b usage.Boundary, sign string) string {
	text := fmt.Sprintf("%d %s", b.At, b.Evidence)
	if b.Slack > 0 {
		text += fmt.Sprintf(" %s%d", sign, b.Slack)
	}
	return text
}

func TestSegments(t *testing.T) {
	always := usage.Window{Start: 0, End: 1 << 40}
	cases := map[string]struct {
		drive func(b *bench)
		want  []string
	}{
		"a start that the object states counts": {
			drive: func(b *bench) { b.observe(1015, startedAt(vm("web", 2000), 1010)) },
			want:  []string{"web vcpu 2000 [1010 ObjectTime, open)"},
		},
		"an end in the second in which it began to hold something counts, though a restart found it active later": {
			drive: func(b *bench) {
				b.observe(1060, vm("web", 0), origin(Resumed, 1059), written(1000))
				b.observe(1060, vm("web", 500), written(1059))
				b.observe(1060, stopped(vm("web", 500), 1059))
			},
			want: nil,
		},
		"what was held before metering began is not counted": {
			drive: func(b *bench) { b.observe(1015, startedAt(vm("web", 2000), 500), origin(First, 0), written(900)) },
			want:  []string{"web vcpu 2000 [1000 MeteringStarted, open)"},
		},
		"what a first list finds has been so since its last write": {
			drive: func(b *bench) { b.observe(1015, vm("web", 2000), origin(First, 0), written(1005)) },
			want:  []string{"web vcpu 2000 [1005 ReplayBound -5, open)"},
		},
		"what a first list finds written since its start began in between, as it is": {
			drive: func(b *bench) { b.observe(1055, startedAt(vm("web", 2000), 1010), origin(First, 0), written(1040)) },
			want:  []string{"web vcpu 2000 [1040 ReplayBound -30, open)"},
		},
		"what a list after a gap finds written since its start began in between, as it is": {
			drive: func(b *bench) {
				b.observe(1055, startedAt(vm("web", 2000), 1010), origin(Resumed, 1005), written(1040))
			},
			want: []string{"web vcpu 2000 [1040 ReplayBound -30, open)"},
		},
		"what a first list finds unwritten since metering began has been so since then": {
			drive: func(b *bench) { b.observe(1015, vm("web", 2000), origin(First, 0), written(900)) },
			want:  []string{"web vcpu 2000 [1000 MeteringStarted, open)"},
		},
		"a resize splits at the write": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1032, vm("web", 4000), written(1030))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1030 ManagedFields)", "web vcpu 4000 [1030 ManagedFields, open)"},
		},
		"a change that leaves no time of writing is dated when it is seen": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1040, vm("web", 4000), written(1010))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1040 Observed)", "web vcpu 4000 [1040 Observed, open)"},
		},
		"a second write of the same second is dated by it": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000), fields(7))
				b.observe(1012, vm("web", 4000), written(1010), fields(7))
			},
			want: []string{"web vcpu 4000 [1010 ManagedFields, open)"},
		},
		"a write that takes fields away leaves no time, however soon it comes": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 4000), fields(7))
				b.observe(1012, vm("web", 2000), written(1010), fields(6))
			},
			want: []string{"web vcpu 4000 [1010 ManagedFields, 1012 Observed)", "web vcpu 2000 [1012 Observed, open)"},
		},
		"a time of writing before the watch's position is not believed": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1040, vm("web", 4000), written(1020))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1040 Observed)", "web vcpu 4000 [1040 Observed, open)"},
		},
		"a level of zero holds nothing": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1020, vm("web", 0))
				b.observe(1030, vm("web", 1000))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1020 ManagedFields)", "web vcpu 1000 [1030 ManagedFields, open)"},
		},
		"two changes in one second leave the last": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1010, vm("web", 4000))
			},
			want: []string{"web vcpu 4000 [1010 ManagedFields, open)"},
		},
		"a stop counts when the object says, a start seen live beats a stale one": {
			drive: func(b *bench) {
				b.observe(1010, startedAt(vm("web", 2000), 1005))
				b.observe(1033, stopped(vm("web", 0), 1030))
				b.observe(1050, startedAt(vm("web", 2000), 1005))
			},
			want: []string{"web vcpu 2000 [1005 ObjectTime, 1030 ObjectTime)", "web vcpu 2000 [1050 ManagedFields, open)"},
		},
		"a deletion counts when it is seen": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Remove(b.at(1044, nil))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1044 Observed)"},
		},
		"a deletion shows when the member finished": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Remove(b.at(1044, []usage.Member{stopped(vm("web", 0), 1040)}))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1040 ObjectTime)"},
		},
		"a deletion that nobody saw lies between the last position and the list": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Missing(b.meter, "uid", 1030, 1042)
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1030 ReplayBound +12)"},
		},
		"a resize that nobody saw ends early and starts late": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1050, vm("web", 4000), origin(Resumed, 1020), written(1040))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1020 ReplayBound +30)", "web vcpu 4000 [1050 ReplayBound -30, open)"},
		},
		"an end that is stated within the bounds of the start is one": {
			drive: func(b *bench) {
				b.observe(1055, startedAt(vm("web", 2000), 1010), origin(Resumed, 1005), written(1040))
				b.observe(1060, stopped(vm("web", 0), 1030))
			},
			want: []string{"web vcpu 2000 [1030 ReplayBound -20, 1030 ObjectTime)"},
		},
		"an end from before metering began is one, if the object was not known to go on later": {
			drive: func(b *bench) {
				b.observe(1005, startedAt(vm("web", 2000), 900), origin(First, 0), written(905))
				b.observe(1060, stopped(vm("web", 0), 980))
			},
		},
		"an end from before the object was known to go on is none": {
			drive: func(b *bench) {
				b.observe(1005, startedAt(vm("web", 2000), 900), origin(First, 0), written(990))
				b.observe(1060, stopped(vm("web", 0), 980))
			},
			want: []string{"web vcpu 2000 [1000 MeteringStarted, 1060 ManagedFields)"},
		},
		"an object that cannot be read holds what it last held": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Unreadable(b.at(1020, nil))
				b.Unreadable(b.at(1025, nil))
				b.observe(1030, vm("web", 2000))
			},
			want: []string{
				"web vcpu 2000 [1010 ManagedFields, 1020 ManagedFields)",
				"web vcpu 2000 [1020 LastKnown, 1030 ManagedFields)",
				"web vcpu 2000 [1030 ManagedFields, open)",
			},
		},
		"an object that could not be read from the start is taken at its word later": {
			drive: func(b *bench) {
				b.Unreadable(b.at(1010, nil))
				b.observe(1030, startedAt(vm("web", 2000), 1009))
			},
			want: []string{"web vcpu 2000 [1009 ObjectTime, open)"},
		},
		"a deployment that changes splits": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.observe(1020, vm("db", 2000))
			},
			want: []string{"db vcpu 2000 [1020 ManagedFields, open)", "web vcpu 2000 [1010 ManagedFields, 1020 ManagedFields)"},
		},
		"an attribution from outside splits": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.moveTo(at(usage.Boundary{At: 1025, Evidence: usage.Observed}), func(_ *Meter, s *usage.Subject) { s.Deployment = "db" })
			},
			want: []string{"db vcpu 2000 [1025 Observed, open)", "web vcpu 2000 [1010 ManagedFields, 1025 Observed)"},
		},
		"an attribution found within seconds counts from the start": {
			drive: func(b *bench) {
				b.observe(1010, vm("", 2000))
				b.moveTo(at(usage.Boundary{At: 1010 + Settle, Evidence: usage.Observed}), func(_ *Meter, s *usage.Subject) { s.Deployment = "db" })
			},
			want: []string{"db vcpu 2000 [1010 ManagedFields, open)"},
		},
		"an attribution found within seconds counts from the start, whoever brings it": {
			drive: func(b *bench) {
				b.observe(1010, vm("", 2000))
				b.observe(1015, vm("db", 4000))
			},
			want: []string{"db vcpu 2000 [1010 ManagedFields, 1015 ManagedFields)", "db vcpu 4000 [1015 ManagedFields, open)"},
		},
		"the end of a meter ends its segments": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Stop(b.meter, 1020, 1020)
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1020 MeteringStopped)"},
		},
		"a dimension that is gone ends, one that stays goes on": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Redefine(b.meter, []usage.Dimension{{Name: "gpu", Unit: usage.Count}, {Name: "vcpu", Unit: usage.Core}}, 1020)
				member := vm("web", 0)
				member.Levels = []int64{1000, 2000}
				b.observe(1030, member)
				b.Redefine(b.meter, []usage.Dimension{{Name: "gpu", Unit: usage.Count}}, 1040)
			},
			want: []string{"web gpu 1000 [1030 ManagedFields, open)", "web vcpu 2000 [1010 ManagedFields, 1040 MeteringStopped)"},
		},
		"what a changed meter reads differently changes now, not when the object was written": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Redefine(b.meter, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}, 1011)
				b.observe(1011, vm("web", 6000), written(1010), origin(First, 0))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1011 Observed)", "web vcpu 6000 [1011 Observed, open)"},
		},
		"what a changed meter takes up starts then": {
			drive: func(b *bench) {
				b.Redefine(b.meter, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}}, 1050)
				b.observe(1051, startedAt(vm("web", 2000), 1010), written(1010), origin(First, 0))
			},
			want: []string{"web vcpu 2000 [1050 MeteringStarted, open)"},
		},
		"what comes too late does not change what is sealed": {
			drive: func(b *bench) {
				b.observe(1010, vm("web", 2000))
				b.Seal(usage.Window{Start: 1000, End: 1060})
				b.observe(1070, vm("web", 4000), written(1050), origin(Live, 1000))
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1060 Late)", "web vcpu 4000 [1060 Late, open)"},
		},
		"a member that an object gets later does not start at the object's creation": {
			drive: func(b *bench) {
				created := func(m usage.Member) usage.Member {
					m.Start = usage.Boundary{At: 1010, Evidence: usage.CreationTime}
					return m
				}
				device := created(vm("web", 1000))
				device.Subject.Container = "gpu"
				b.observe(1010, created(vm("web", 2000)))
				if err := b.Observe(b.at(1040, []usage.Member{created(vm("web", 2000)), device})); err != nil {
					b.t.Fatal(err)
				}
			},
			want: []string{"web vcpu 2000 [1010 CreationTime, open)", "web vcpu 1000 [1040 ManagedFields, open)"},
		},
		"an end that the object states ends what it was put under later, too": {
			drive: func(b *bench) {
				b.observe(1018, startedAt(vm("web", 1000), 1018))
				b.moveTo(at(usage.Boundary{At: 1053, Evidence: usage.ManagedFields}), func(_ *Meter, s *usage.Subject) { s.Deployment = "db" })
				b.observe(1060, stopped(vm("db", 0), 1042), written(1059))
			},
			want: []string{"web vcpu 1000 [1018 ObjectTime, 1042 ObjectTime)"},
		},
		"an end that the object states from before it began is none": {
			drive: func(b *bench) {
				b.observe(1018, startedAt(vm("web", 1000), 1018))
				b.observe(1060, stopped(vm("web", 0), 1010), written(1059))
			},
			want: []string{"web vcpu 1000 [1018 ObjectTime, 1059 ManagedFields)"},
		},
		"a creation that the watch delivers did not happen long before": {
			drive: func(b *bench) {
				created := vm("web", 1000)
				created.Start = usage.Boundary{At: 1100, Evidence: usage.CreationTime}
				b.observe(1700, created, written(1100))
			},
			want: []string{"web vcpu 1000 [1700 Observed, open)"},
		},
		"an object that is there again, under its UID, begins again": {
			drive: func(b *bench) {
				created := vm("web", 1000)
				created.Start = usage.Boundary{At: 1010, Evidence: usage.CreationTime}
				b.observe(1010, created)
				b.Remove(b.at(1040, nil))
				b.observe(1090, created, origin(Resumed, 1060), written(1010))
			},
			want: []string{"web vcpu 1000 [1010 CreationTime, 1040 Observed)", "web vcpu 1000 [1090 ReplayBound -30, open)"},
		},
		"an attribute that changes soon after an unattributed start splits, and its deployment counts from the start": {
			drive: func(b *bench) {
				member := vm("", 1000)
				member.Subject.Bundle = "spot"
				b.observe(1010, startedAt(member, 1010))
				member.Subject.Bundle, member.Subject.Deployment = "reserved", "web"
				b.observe(1016, startedAt(member, 1010))
			},
			want: []string{"web vcpu 1000 [1016 ManagedFields, open)", "web vcpu 1000 [1010 ObjectTime, 1016 ManagedFields)"},
		},
		"what another meter holds already is held once, though it is put there later": {
			drive: func(b *bench) {
				other := NewMeter("other", since, b.meter.Dimensions())
				elsewhere := vm("web", 2000)
				elsewhere.Subject.Resource = usage.Object{Kind: "Deployment", Name: "web", UID: "workload"}
				b.observe(1010, vm("web", 1000))
				b.observe(1010, elsewhere, func(o *Observation) { o.Meter = other })
				err := b.Reattribute("uid", at(usage.Boundary{At: 1050, Evidence: usage.Observed}), func(_ *Meter, s *usage.Subject) { s.Resource = s.Instance })
				if err == nil || !strings.Contains(err.Error(), "already metered by UsageMeter vm") {
					b.t.Errorf("refused with %v", err)
				}
			},
			want: []string{"web vcpu 2000 [1010 ManagedFields, 1050 Observed)", "web vcpu 1000 [1010 ManagedFields, open)"},
		},
		"a place that is learnt late counts until the next one, and now": {
			drive: func(b *bench) {
				to := func(at int64, deployment string) {
					moment := usage.Boundary{At: at, Evidence: usage.ManagedFields}
					b.moveTo(Moments{End: moment, Start: moment}, func(_ *Meter, s *usage.Subject) { s.Deployment = deployment })
				}
				b.observe(1010, vm("web", 2000))
				to(1040, "db")
				to(1060, "cache")
				to(1020, "api")
			},
			want: []string{
				"api vcpu 2000 [1020 ManagedFields, 1040 ManagedFields)", "api vcpu 2000 [1060 ManagedFields, open)",
				"db vcpu 2000 [1040 ManagedFields, 1060 ManagedFields)", "web vcpu 2000 [1010 ManagedFields, 1020 ManagedFields)",
			},
		},
		"an object that is taken up later starts then": {
			drive: func(b *bench) {
				b.observe(1050, startedAt(vm("web", 2000), 1010), func(o *Observation) { o.Existed, o.After = true, 1050 })
			},
			want: []string{"web vcpu 2000 [1050 ManagedFields, open)"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			c.drive(b)
			if diff := cmp.Diff(c.want, b.lines(always, 2000)); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBetween(t *testing.T) {
	exactly := func(at int64) Moments {
		seen := usage.Boundary{At: at, Evidence: usage.Observed}
		return Moments{End: seen, Start: seen}
	}
	within := func(earliest, latest int64) Moments {
		slack := uint32(latest - earliest)
		return Moments{
			End:   usage.Boundary{At: earliest, Slack: slack, Evidence: usage.ReplayBound},
			Start: usage.Boundary{At: latest, Slack: slack, Evidence: usage.ReplayBound},
		}
	}
	for _, c := range []struct {
		origin           Origin
		earliest, latest int64
		want             Moments
	}{
		{Live, 10, 10, exactly(10)},
		{Live, 10, 11, exactly(11)},
		{Live, 10, 12, exactly(11)}, // at most a second from either
		{Live, 10, 13, within(10, 13)},
		{Replayed, 10, 11, exactly(11)},
		{Replayed, 10, 12, within(10, 12)},
		{Resumed, 12, 10, exactly(10)},
		{First, 10, 50, exactly(50)},
	} {
		if got := Between(c.origin, c.earliest, c.latest); got != c.want {
			t.Errorf("origin %d, [%d, %d]: %v, want %v", c.origin, c.earliest, c.latest, got, c.want)
		}
	}
}

// Of a journal of which a block was lost, and that was accepted, a segment is
// open of a dimension that its meter measures no more.
func TestARestoredDimensionThatIsGoneEndsWithItsMeter(t *testing.T) {
	cpu, gpu := usage.Dimension{Name: "cpu", Unit: usage.Core}, usage.Dimension{Name: "gpu", Unit: usage.Count}
	put := func(uid string, d usage.Dimension) usage.Change {
		o := usage.Object{Kind: "VM", Name: uid, UID: uid}
		return usage.Change{Kind: usage.Put, Segment: usage.Segment{
			Meter: "vm", Dimension: d, Level: 5, Start: usage.Boundary{At: 1000, Evidence: usage.ObjectTime},
			Subject: &usage.Subject{Resource: o, Instance: o, Account: usage.Account{Namespace: "shop"}},
		}}
	}
	b := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, []usage.Dimension{cpu})}
	b.Restore([]*Meter{b.meter}, []usage.Change{put("a", cpu), put("b", cpu), put("b", gpu)}, nil, 0)
	b.Redefine(b.meter, []usage.Dimension{cpu}, 2000)
	want := []string{" cpu 5 [1000 ObjectTime, open)", " cpu 5 [1000 ObjectTime, open)", " gpu 5 [1000 ObjectTime, 2000 MeteringStopped)"}
	if diff := cmp.Diff(want, b.lines(usage.Window{Start: 0, End: 1 << 40}, 3000)); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
}

// What has no length may begin when the next segment does: neither takes the
// other's place in the journal.
func TestTheJournalKeepsWhatHasNoLengthBesideWhatBeginsThen(t *testing.T) {
	always := usage.Window{Start: 0, End: 1 << 40}
	b := newBench(t)
	b.observe(1010, vm("web", 2000))
	b.observe(1050, vm("web", 4000), origin(Resumed, 1020), written(1010))
	b.observe(1051, vm("web", 8000), origin(Live, 1045), written(1044))
	want := b.lines(always, 1100)
	if !slices.Contains(want, "web vcpu 4000 [1044 ReplayBound -24, 1044 ManagedFields)") {
		t.Fatalf("nothing of no length: %q", want)
	}

	journal := map[usage.SegmentKey]usage.Change{}
	var keyless []usage.Change
	for _, change := range b.Unwritten() {
		switch {
		case change.Kind == usage.Void:
			delete(journal, change.Key())
		case change.HasKey():
			journal[change.Key()] = change
		default:
			keyless = append(keyless, change)
		}
	}
	restored := &bench{Ledger: New(), t: t, meter: NewMeter("vm", since, b.meter.Dimensions())}
	restored.Restore([]*Meter{restored.meter}, slices.AppendSeq(keyless, maps.Values(journal)), nil, 0)
	if diff := cmp.Diff(want, restored.lines(always, 1100)); diff != "" {
		t.Errorf("restored: want -, got +:\n%s", diff)
	}
}

func TestAnObservationThatChangesNothingAllocatesNothing(t *testing.T) {
	b := newBench(t)
	b.observe(1010, vm("web", 2000))
	o := b.at(1020, []usage.Member{vm("web", 2000)})
	if allocations := testing.AllocsPerRun(1000, func() {
		o.Now++
		if err := b.Observe(o); err != nil {
			t.Fatal(err)
		}
	}); allocations != 0 {
		t.Errorf("%v allocations; want none", allocations)
	}
}

func TestASecondMeterOfTheSameDimensionIsRefused(t *testing.T) {
	b := newBench(t)
	b.observe(1010, vm("web", 2000))
	other := NewMeter("vm-copy", since, []usage.Dimension{{Name: "vcpu", Unit: usage.Core}})
	err := b.Observe(b.at(1011, []usage.Member{vm("web", 2000)}, func(o *Observation) { o.Meter = other }))
	if err == nil || !strings.Contains(err.Error(), "vcpu of VM db is already metered by UsageMeter vm") {
		t.Fatalf("got %v; want a conflict that names the dimension, the object and the meter", err)
	}
	b.Stop(b.meter, 1020, 1020)
	if err := b.Observe(b.at(1030, []usage.Member{vm("web", 2000)}, func(o *Observation) { o.Meter = other })); err != nil {
		t.Fatalf("once the first meter is gone: %v", err)
	}
	want := []string{"web vcpu 2000 [1010 ManagedFields, 1020 MeteringStopped)", "web vcpu 2000 [1030 ManagedFields, open)"}
	if diff := cmp.Diff(want, b.lines(usage.Window{Start: 0, End: 5000}, 2000)); diff != "" {
		t.Errorf("segments (-want +got):\n%s", diff)
	}
	if b.meter.Active() != 0 || other.Active() != 1 {
		t.Errorf("active: %d and %d; want 0 and 1", b.meter.Active(), other.Active())
	}
}

func TestCut(t *testing.T) {
	b := newBench(t)
	b.observe(1010, vm("web", 2000))
	b.observe(1070, vm("web", 4000))
	cases := map[string]struct {
		window usage.Window
		now    int64
		want   []string
	}{
		"both ends are cut":            {usage.Window{Start: 1020, End: 1080}, 2000, []string{"web vcpu 2000 [1020 IntervalCut, 1070 ManagedFields)", "web vcpu 4000 [1070 ManagedFields, 1080 IntervalCut)"}},
		"the future stays open":        {usage.Window{Start: 1060, End: 1120}, 1100, []string{"web vcpu 2000 [1060 IntervalCut, 1070 ManagedFields)", "web vcpu 4000 [1070 ManagedFields, open)"}},
		"a boundary belongs to one":    {usage.Window{Start: 1070, End: 1080}, 2000, []string{"web vcpu 4000 [1070 ManagedFields, 1080 IntervalCut)"}},
		"nothing before it is nothing": {usage.Window{Start: 900, End: 1010}, 2000, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, b.lines(c.window, c.now)); diff != "" {
				t.Errorf("segments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestForgetDropsWhatEnded(t *testing.T) {
	b := newBench(t)
	b.observe(1010, vm("web", 2000))
	b.Missing(b.meter, "uid", 1015, 1020)
	if changed := b.Changed(); len(changed) != 1 {
		t.Fatalf("changed: %v; want one account", changed)
	}
	b.Forget(1019)
	if len(b.accounts) != 1 {
		t.Fatal("a segment that may have ended later was forgotten")
	}
	b.Forget(1020)
	if len(b.accounts) != 0 || len(b.objects) != 0 {
		t.Errorf("%d accounts, %d objects; want none", len(b.accounts), len(b.objects))
	}
}
