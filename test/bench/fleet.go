package main

import (
	"fmt"
	"math/rand/v2"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// fleetDimensions are what is metered of a machine of a fleet. A resize changes the first two.
var fleetDimensions = []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "gpu", Unit: usage.Count}}

// fleet are virtual machines that come, change and go as time passes, and a ledger that sees all of it as it happens.
// Ten deployments are in each namespace.
type fleet struct {
	random   *rand.Rand
	ledger   *ledger.Ledger
	meter    *ledger.Meter
	machines []machine
	// held is told what a machine held of a dimension: the truth, which knows nothing of segments.
	held    func(m *machine, dimension int, amount usage.Amount)
	changes int
	version int // of the API server
}

// machine is one that is there.
type machine struct {
	pair        int // of its namespace and deployment
	subject     usage.Subject
	size        uint8
	born, since int64 // since: what was held before has been told
}

func newFleet(pairs, perPair int, at int64, held func(*machine, int, usage.Amount)) *fleet {
	f := &fleet{
		random: rand.New(rand.NewPCG(ledgerSeed, 9)), ledger: ledger.New(),
		meter: ledger.NewMeter("vm", at, fleetDimensions), held: held, version: 1_000_000,
		machines: make([]machine, pairs*perPair),
	}
	for i := range f.machines {
		f.machines[i].pair = i / perPair
		f.create(&f.machines[i], at)
	}
	return f
}

// uuid is random, as an API server's is: nothing makes it smaller.
func (f *fleet) uuid() string {
	a, b := f.random.Uint64(), f.random.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", a>>32, a>>16&0xffff, a&0xfff, b>>48&0xfff, b&(1<<48-1))
}

const letters = "bcdfghjklmnpqrstvwxz2456789"

func (f *fleet) suffix() string {
	text := make([]byte, 5)
	for i := range text {
		text[i] = letters[f.random.IntN(len(letters))]
	}
	return string(text)
}

// account is the nth pair of a namespace and a deployment.
func account(pair int) usage.Account {
	return usage.Account{
		Namespace: namespaceName(pair / deploymentsPerNamespace), NamespaceUID: fmt.Sprintf("%08x-5a2e-4d7b-b1c9-000000000000", pair/deploymentsPerNamespace),
		Deployment: fmt.Sprintf("postgres-%d", pair%deploymentsPerNamespace),
	}
}

func (f *fleet) create(m *machine, at int64) {
	name := fmt.Sprintf("postgres-%d-%s", m.pair%deploymentsPerNamespace, f.suffix())
	m.size, m.born, m.since = uint8(f.random.IntN(sizes)), at, at
	m.subject = usage.Subject{
		ResourceType: "vm",
		Resource:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: f.uuid()},
		Instance:     usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachineInstance", Name: name, UID: f.uuid()},
		Account:      account(m.pair), Bundle: "u1.large",
	}
	f.observe(m, at, false)
}

func (m *machine) levels() []int64 {
	levels := make([]int64, 3)
	levelsOf(m.size, levels)
	levels[2] = 1000
	return levels
}

func (f *fleet) observation(m *machine, at int64) *ledger.Observation {
	f.version++
	return &ledger.Observation{
		Meter: f.meter, UID: m.subject.Instance.UID, Origin: ledger.Live, Written: at, After: at - 2, Now: at,
		Members: []usage.Member{{
			Active: true, Levels: m.levels(), Subject: m.subject, Start: usage.Boundary{At: m.born, Evidence: usage.ObjectTime},
		}},
	}
}

func (f *fleet) observe(m *machine, at int64, existed bool) {
	o := f.observation(m, at)
	o.Existed = existed
	if err := f.ledger.Observe(o); err != nil {
		panic(err)
	}
}

// resize gives a random machine another size.
func (f *fleet) resize(at int64) {
	m := &f.machines[f.random.IntN(len(f.machines))]
	f.tell(m, at)
	m.size = (m.size + 1 + uint8(f.random.IntN(sizes-1))) % sizes
	f.observe(m, at, true)
	f.changes++
}

// replace deletes a random machine, and creates another one of the same deployment.
func (f *fleet) replace(at int64) {
	m := &f.machines[f.random.IntN(len(f.machines))]
	f.tell(m, at)
	f.ledger.Remove(f.observation(m, at))
	f.create(m, at)
	f.changes += 2
}

// tell tells what a machine has held until now.
func (f *fleet) tell(m *machine, now int64) {
	for dimension, level := range m.levels() {
		f.held(m, dimension, usage.Held(level, now-m.since))
	}
	m.since = now
}

func (f *fleet) tellAll(now int64) {
	for i := range f.machines {
		f.tell(&f.machines[i], now)
	}
}

// batch is what the journal does not have yet, with as much around it as the operator's own batches have.
func (f *fleet) batch(now int64, seals ...journal.Seal) *journal.Batch {
	b := &journal.Batch{Time: now, Changes: f.ledger.Unwritten(), Seals: seals, Meters: []journal.Meter{{
		Name: "vm", Version: "0f2b1c7e-9a11-4c55-8e0b-7d1c2e3f4a5b/1", Group: "kubevirt.io", Kind: "VirtualMachineInstance",
		Since: f.meter.Since, Dimensions: fleetDimensions, Listed: true,
	}}}
	for _, kind := range [][2]string{
		{"", "Namespace"}, {"", "Pod"}, {"", "Service"}, {"apps", "Deployment"}, {"apps", "ReplicaSet"},
		{"kubevirt.io", "VirtualMachine"}, {"kubevirt.io", "VirtualMachineInstance"},
	} {
		b.Positions = append(b.Positions, journal.Position{Group: kind[0], Kind: kind[1], ResourceVersion: fmt.Sprint(f.version), Time: now})
	}
	return b
}

// sums are what pairs hold, pair by pair and dimension by dimension.
type sums []usage.Amount

func newSums(pairs int) sums { return make(sums, pairs*len(fleetDimensions)) }

func (s sums) of(pair, dimension int) usage.Amount { return s[pair*len(fleetDimensions)+dimension] }

func (s sums) add(pair, dimension int, amount usage.Amount) {
	at := &s[pair*len(fleetDimensions)+dimension]
	*at = at.Plus(amount)
}
