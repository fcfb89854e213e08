package collector

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var instanceKind = schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"}

var launchers = map[string]schema.GroupVersionKind{"container": {Version: "v1", Kind: "Pod"}, "vm": instanceKind}

// launcherPod is a pod of 4 cores that says that it is the instance's.
func launcherPod(owner string, created, scheduled int64) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, uid: %[1]s, creationTimestamp: %[2]q,
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db, uid: %[3]s, controller: true}]}
spec: {restartPolicy: Never, nodeName: n1, containers: [{name: compute, resources: {requests: {cpu: "4"}}}]}
status: {phase: Running, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: %[4]q}]}
`, "pod-1", stamped(created), owner, stamped(scheduled))
}

// instance is one of 2 cores. ran 0: it does not run yet.
func instance(uid string, created, ran int64, pods string) string {
	status := "phase: Scheduled"
	if ran > 0 {
		status = fmt.Sprintf("phase: Running, phaseTransitionTimestamps: [{phase: Running, phaseTransitionTimestamp: %q}]", stamped(ran))
	}
	return fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata: {name: db, namespace: shop, uid: %s, creationTimestamp: %q}
spec: {domain: {cpu: {cores: 2}, memory: {guest: 1Gi}}}
status: {%s, activePods: {%s}}
`, uid, stamped(created), status, pods)
}

func TestWhatAnObjectSaysAloneHidesNothing(t *testing.T) {
	for name, drive := range map[string]func(d *desk){
		"there is no such instance": func(d *desk) {
			d.sees(t, launcherPod("vmi-1", 1010, 1012), ledger.Live, 1012, 1012)
		},
		"it has another UID": func(d *desk) {
			d.sees(t, instance("vmi-2", 1000, 1005, "pod-1: n1"), ledger.Live, 1005, 1005)
			d.sees(t, launcherPod("vmi-1", 1010, 1012), ledger.Live, 1012, 1012)
		},
		"it does not run": func(d *desk) {
			d.sees(t, instance("vmi-1", 1000, 0, "pod-1: n1"), ledger.Live, 1005, 1005)
			d.sees(t, launcherPod("vmi-1", 1010, 1012), ledger.Live, 1012, 1012)
		},
		"it does not vouch for the pod": func(d *desk) {
			d.sees(t, instance("vmi-1", 1000, 1005, "pod-2: n1"), ledger.Live, 1005, 1005)
			d.sees(t, launcherPod("vmi-1", 1010, 1012), ledger.Live, 1012, 1012)
		},
		"nobody meters it": func(d *desk) {
			d.sees(t, instance("vmi-1", 1000, 1005, "pod-1: n1"), ledger.Live, 1005, 1005)
			d.clock.SetTime(time.Unix(1012, 0))
			d.Remove("vm")
			d.sees(t, launcherPod("vmi-1", 1010, 1012), ledger.Live, 1012, 1012)
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, launchers)
			d.settle()
			drive(d)
			if got, want := d.cores(), []string{"pod-1 4000 [1012, 1100)"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestWhatIsMeteredWithAnotherObject(t *testing.T) {
	pod, vmi := launcherPod("vmi-1", 1010, 1012), instance("vmi-1", 1005, 1020, "pod-1: n1")
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  []string
	}{
		"until the instance runs, and from when it does not": {func(d *desk) {
			d.settle()
			d.sees(t, pod, ledger.Live, 1012, 1012)
			d.sees(t, vmi, ledger.Live, 1020, 1020)
			d.removed(t, vmi, 1050, 1050)
			d.removed(t, pod, 1053, 1053)
		}, []string{"pod-1 4000 [1012, 1020)", "pod-1 4000 [1050, 1053)"}},
		"the instance is known late": {func(d *desk) {
			d.settle()
			d.sees(t, pod, ledger.Live, 1012, 1012)
			d.sees(t, vmi, ledger.Live, 1020, 1040)
		}, []string{"pod-1 4000 [1012, 1020)"}},
		"the pod is known late": {func(d *desk) {
			d.settle()
			d.sees(t, vmi, ledger.Live, 1020, 1020)
			d.sees(t, pod, ledger.Live, 1012, 1040)
		}, []string{"pod-1 4000 [1012, 1020)"}},
		"it is vouched for later": {func(d *desk) {
			d.settle()
			d.sees(t, instance("vmi-1", 1005, 1020, ""), ledger.Live, 1020, 1020)
			d.sees(t, pod, ledger.Live, 1012, 1021)
			d.sees(t, vmi, ledger.Live, 1030, 1030)
		}, []string{"pod-1 4000 [1012, 1030)"}},
		"and not any more": {func(d *desk) {
			d.settle()
			d.sees(t, pod, ledger.Live, 1012, 1012)
			d.sees(t, vmi, ledger.Live, 1020, 1020)
			d.sees(t, instance("vmi-1", 1005, 1020, ""), ledger.Live, 1030, 1031)
		}, []string{"pod-1 4000 [1012, 1020)", "pod-1 4000 [1030, 1100)"}},
		"the instance's meter goes": {func(d *desk) {
			d.settle()
			d.sees(t, pod, ledger.Live, 1012, 1012)
			d.sees(t, vmi, ledger.Live, 1020, 1020)
			d.clock.SetTime(time.Unix(1060, 0))
			d.Remove("vm")
		}, []string{"pod-1 4000 [1012, 1020)", "pod-1 4000 [1060, 1100)"}},
		"both are there when metering begins": {func(d *desk) {
			d.sees(t, launcherPod("vmi-1", 500, 512), ledger.First, 512, 1001)
			d.sees(t, instance("vmi-1", 505, 520, "pod-1: n1"), ledger.First, 520, 1003)
			d.settle()
		}, []string{}},
		"the pod is, and says it is the part of nobody": {func(d *desk) {
			d.sees(t, launcherPod("vmi-0", 500, 512), ledger.First, 512, 1001)
			d.sees(t, instance("vmi-1", 505, 520, "pod-1: n1"), ledger.First, 520, 1003)
			d.settle()
		}, []string{"pod-1 4000 [1000, 1100)"}},
		"it comes and goes before the instances are listed": {func(d *desk) {
			d.sees(t, pod, ledger.Live, 1012, 1012)
			d.removed(t, pod, 1015, 1015)
			d.settle()
		}, []string{"pod-1 4000 [1012, 1015)"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, launchers)
			c.drive(d)
			if got := d.cores(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A running machine that has been metered for long cannot be made to vouch for
// what was before: neither live nor after a restart.
func TestNobodyVouchesForThePast(t *testing.T) {
	for name, origin := range map[string]ledger.Origin{"live": ledger.Live, "after a restart": ledger.Resumed} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, launchers)
			d.settle()
			d.sees(t, instance("vmi-1", 1001, 1002, ""), ledger.Live, 1002, 1002)
			d.sees(t, launcherPod("vmi-0", 1010, 1012), ledger.Live, 1012, 1012)
			d.sees(t, launcherPod("vmi-1", 1010, 1012), origin, 1080, 1080)
			d.sees(t, instance("vmi-1", 1001, 1002, "pod-1: n1"), origin, 1080, 1080)
			got := d.cores()
			if len(got) != 1 || got[0] != "pod-1 4000 [1012, 1079)" && got[0] != "pod-1 4000 [1012, 1080)" {
				t.Errorf("got %q", got)
			}
		})
	}
}

// Who names the other one late is its part from when that vouched for what it has shown all the time: a node's claim has
// its machine before it is a node.
func TestWhatIsNamedLate(t *testing.T) {
	for name, origin := range map[string]ledger.Origin{"live": ledger.Live, "caught up with": ledger.Replayed} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, launchers)
			d.settle()
			d.sees(t, strings.ReplaceAll(launcherPod("vmi-1", 1010, 1012), "controller: true", "controller: false"), ledger.Live, 1012, 1012)
			d.sees(t, instance("vmi-1", 1001, 1040, "pod-1: n1"), ledger.Live, 1040, 1040)
			d.sees(t, launcherPod("vmi-1", 1010, 1012), origin, 1080, 1080)
			if got := d.cores(); !slices.Equal(got, []string{"pod-1 4000 [1012, 1040)"}) {
				t.Errorf("got %q", got)
			}
		})
	}
}

// What can be read of an object is metered, and the rest is what it was.
func TestAnObjectIsMeteredAsFarAsItCanBeRead(t *testing.T) {
	member := func(container string, level int64) usage.Member {
		return usage.Member{Subject: usage.Subject{Container: container}, Active: true, Levels: []int64{level}}
	}
	for name, c := range map[string]struct{ read, held, want []usage.Member }{
		"nothing was held":           {[]usage.Member{member("a", 1)}, nil, []usage.Member{member("a", 1)}},
		"what is read is so":         {[]usage.Member{member("a", 1)}, []usage.Member{member("a", 9)}, []usage.Member{member("a", 1)}},
		"what is not is what it was": {[]usage.Member{member("a", 1), member("c", 3)}, []usage.Member{member("b", 2), member("d", 4)}, []usage.Member{member("a", 1), member("b", 2), member("c", 3), member("d", 4)}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := withHeld(c.read, c.held); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// What names a namespace goes on to be that one's, whoever bears the name later.
func TestWhoseWhatNamesANamespaceIs(t *testing.T) {
	d := newDesk(t, map[string]schema.GroupVersionKind{"volume-retained": {Version: "v1", Kind: "PersistentVolume"}})
	d.settle()
	volume := func(name string, created, released int64, touched string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s, uid: %[1]s, creationTimestamp: %[2]q, labels: {touched: %[4]q}}
spec: {capacity: {storage: 1Gi}, persistentVolumeReclaimPolicy: Retain, claimRef: {namespace: shop, name: data}}
status: {phase: Released, lastPhaseTransitionTime: %[3]q}
`, name, stamped(created), stamped(released), touched)
	}
	accounts := func() map[string]string {
		window, of := usage.Window{Start: 0, End: 1100}, map[string]string{}
		for _, account := range d.Accounts(window, 1100) {
			for _, s := range d.Cut(account, window, 1100) {
				of[s.Subject.Instance.Name] = account.NamespaceUID
			}
		}
		return of
	}
	d.namespaces["shop"] = namespace{uid: "ns-1", created: 1001}
	d.sees(t, volume("older-than-its-namespace", 500, 1010, "no"), ledger.Live, 1010, 1010)
	d.namespaces["shop"] = namespace{uid: "ns-2", created: 1020} // and nobody remembers the one before
	d.sees(t, volume("older-than-its-namespace", 500, 1010, "yes"), ledger.Live, 1030, 1030)
	d.sees(t, volume("of-the-one-before", 500, 1010, "no"), ledger.First, 1030, 1031)
	d.sees(t, volume("of-this-one", 500, 1025, "no"), ledger.First, 1030, 1031)
	want := map[string]string{"older-than-its-namespace": "ns-1", "of-the-one-before": formerNamespace, "of-this-one": "ns-2"}
	if got := accounts(); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// happening is an event of an object, and when it was.
type happening struct {
	at   int64
	text string
	gone bool
	ends bool // nobody represents the pod from then on
}

// pairing is what happens to a pod and to the machine that it may be part of.
type pairing struct {
	pods, instances    []happening
	scheduled, podGone int64
	represented        map[int64]bool // in each second in which it was
}

func drawPairing(t *rapid.T) *pairing {
	draw := func(name string, least int64) int64 { return rapid.Int64Range(least, least+8).Draw(t, name) }
	p := &pairing{scheduled: draw("scheduled", 1010), podGone: 1100, represented: map[int64]bool{}}
	p.pods = []happening{{at: p.scheduled, text: launcherPod("vmi-1", 1009, p.scheduled)}}
	if rapid.Bool().Draw(t, "the pod goes") {
		p.podGone = draw("pod gone", p.scheduled+1) + 20
		p.pods = append(p.pods, happening{at: p.podGone, text: p.pods[0].text, gone: true})
	}
	ran, vouches, at := int64(0), false, int64(1008)
	var from int64 // since when the pod is represented; 0: it is not
	note := func(until int64) {
		for s := from; from > 0 && s < until; s++ {
			p.represented[s] = true
		}
	}
	for range rapid.IntRange(1, 6).Draw(t, "writes") {
		at = draw("write", at+1)
		if ran == 0 && rapid.Bool().Draw(t, "it runs") {
			ran = at
		}
		vouches = rapid.Bool().Draw(t, "it vouches")
		text := instance("vmi-1", 1005, ran, map[bool]string{true: "pod-1: n1", false: "pod-0: n0"}[vouches])
		p.instances = append(p.instances, happening{at: at, text: text, ends: from > 0 && !vouches})
		switch now := ran > 0 && vouches; {
		case now && from == 0:
			from = at
		case !now:
			note(at)
			from = 0
		}
	}
	if rapid.Bool().Draw(t, "the instance goes") {
		at = draw("instance gone", at+1)
		p.instances = append(p.instances, happening{at: at, text: p.instances[len(p.instances)-1].text, gone: true, ends: true})
		note(at)
		from = 0
	}
	note(1100)
	return p
}

// deliver shows the desk everything: each kind in its order, the kinds in any.
func (p *pairing) deliver(t *rapid.T, d *desk) {
	pods, instances, now := p.pods, p.instances, int64(1010)
	for len(pods)+len(instances) > 0 {
		queue := &pods
		if len(pods) == 0 || len(instances) > 0 && p.instanceComes(t, pods[0], instances[0]) {
			queue = &instances
		}
		next := (*queue)[0]
		*queue = (*queue)[1:]
		now = max(now, next.at)
		if next.gone {
			d.removed(t, next.text, next.at, now)
		} else {
			d.sees(t, next.text, ledger.Live, next.at, now)
		}
	}
}

// instanceComes tells whether the instance's event comes before the pod's.
func (*pairing) instanceComes(t *rapid.T, pod, instance happening) bool {
	switch {
	case pod.gone && instance.at <= pod.at:
		return true // what is gone is not put right any more
	case instance.ends && pod.at <= instance.at:
		return false // nor is it remembered who was represented
	}
	return rapid.Bool().Draw(t, "the instance's next")
}

// itself are the stretches in which the pod is metered by itself.
func (p *pairing) itself() []string {
	all := []string{}
	for s := p.scheduled; s < p.podGone; s++ {
		if !p.represented[s] {
			all = append(all, fmt.Sprintf("pod-1 4000 [%d, %d)", s, s+1))
		}
	}
	return joined(all)
}

// Whatever the order in which the two kinds' events come, what is metered by
// itself is what no running instance vouched for.
func TestOrderChangesNothingOfWhatIsRepresented(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, p := newDesk(t, launchers), drawPairing(t)
		d.settle()
		p.deliver(t, d)
		if got, want := joined(d.cores()), p.itself(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// joined is stretches, where one begins when another ends made one.
func joined(lines []string) []string {
	out := []string{}
	var before, end int64
	for _, line := range lines {
		var first, last int64
		_, _ = fmt.Sscanf(line, "pod-1 4000 [%d, %d)", &first, &last)
		if first == last {
			continue
		}
		if len(out) > 0 && first == end {
			end = last
			out[len(out)-1] = fmt.Sprintf("pod-1 4000 [%d, %d)", before, last)
			continue
		}
		before, end = first, last
		out = append(out, line)
	}
	return out
}
