package account

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// begun is when the planted history begins, in seconds: at the start of an interval.
const begun = int64(1_795_219_200)

// planted is a history of a pod of a Deployment, from 10 to 100 s: it is resized at
// 40, and the Deployment is relabelled at 70.
func planted() *history {
	h := &history{}
	add := func(after float64, key, value string) {
		at := time.Unix(begun, 0).Add(time.Duration(after * float64(time.Second)))
		n := int64(len(h.events) + 1)
		e := event{revision: 2 * n, key: key, seen: at.Add(20 * time.Millisecond)}
		if value != "" {
			e.value = []byte(strings.ReplaceAll(value, "$AT", at.UTC().Truncate(time.Second).Format(time.RFC3339)))
		}
		h.beats = append(h.beats, beat{2*n - 1, at.Add(-20 * time.Millisecond), at.Add(-10 * time.Millisecond)})
		h.events = append(h.events, e)
	}
	pod := func(cpu string) string {
		return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "uid": "pod", "creationTimestamp": "2026-11-21T00:00:05Z",
			"managedFields": [{"time": "$AT"}], "ownerReferences": [{"kind": "ReplicaSet", "name": "app-1", "uid": "set", "controller": true}]},
			"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": %q}}}]},
			"status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-21T00:00:10Z"}]}}`, cpu)
	}
	app := func(label string) string {
		return fmt.Sprintf(`{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "app", "namespace": "shop", "uid": "app", "labels": {%s},
			"creationTimestamp": "2026-11-21T00:00:01Z", "managedFields": [{"time": "$AT"}]}}`, label)
	}
	add(0.5, "namespaces/shop", `{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "uid": "space", "creationTimestamp": "$AT"}}`)
	add(1.5, "deployments/shop/app", app(""))
	add(2.5, "replicasets/shop/app-1", `{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "app-1", "namespace": "shop", "uid": "set",
		"ownerReferences": [{"kind": "Deployment", "name": "app", "uid": "app", "controller": true}], "creationTimestamp": "$AT"}}`)
	add(10.5, "pods/shop/p", pod("500m"))
	add(40.5, "pods/shop/p", pod("1"))
	add(70.5, "deployments/shop/app", app(`"metering.usage-operator.dev/deployment": "red"`))
	add(80.5, "deployments/shop/app", "")
	add(81.5, "replicasets/shop/app-1", "")
	add(100.5, "pods/shop/p", "")
	return h
}

// rightly is a ledger that says what happened in the planted history.
func rightly() *ledger {
	l := &ledger{parts: map[stream][]part{}, accuracy: map[place]v1alpha1.Accuracy{}, coverage: map[string][]stretch{}, meters: map[stream]string{}}
	cpu := held{level: 500, namespace: "shop", namespaceUID: "space", deployment: "app", resource: "app", resourceType: "container"}
	red := cpu
	red.deployment = "red"
	for _, h := range []held{cpu, red} {
		for _, start := range []int64{begun, begun + interval} {
			l.accuracy[place{"space", h.deployment, start}] = v1alpha1.AccuracyExact
		}
	}
	add := func(from, to, level int64, h held) {
		h.level = level
		l.add(stream{"pod", "c", "cpu"}, part{held: h, from: begun + from, to: begun + to, earliest: begun + from, latest: begun + to, sign: 1})
	}
	add(10, 40, 500, cpu)
	add(40, 60, 1000, cpu)
	add(60, 70, 1000, cpu)
	add(70, 100, 1000, red)
	return l
}

// TestTheAccountFindsWhatIsPlanted plants a fault at a time in a ledger that is right.
func TestTheAccountFindsWhatIsPlanted(t *testing.T) {
	pod := stream{"pod", "c", "cpu"}
	estimated := func(l *ledger) {
		for key := range l.accuracy {
			l.accuracy[key] = v1alpha1.AccuracyEstimated
		}
	}
	cases := []struct {
		what  string
		plant func(l *ledger, parts []part)
		from  int64 // where it differs first; 0: nowhere
	}{
		{"nothing", func(*ledger, []part) {}, 0},
		{"a second late", func(_ *ledger, p []part) { p[3].to++ }, 0},
		{"a change a second early", func(_ *ledger, p []part) { p[0].to--; p[1].from-- }, 0},
		{"three seconds late", func(_ *ledger, p []part) { p[3].to += 3 }, 102},
		{"a start three seconds late", func(_ *ledger, p []part) { p[0].from += 3 }, 12},
		{"another level", func(_ *ledger, p []part) { p[1].level++ }, 40},
		{"another owner", func(_ *ledger, p []part) { p[2].resource = "set" }, 60},
		{"another deployment", func(_ *ledger, p []part) { p[2].deployment = "app-1" }, 60},
		{"another namespace", func(_ *ledger, p []part) { p[2].namespaceUID = "" }, 60},
		{"another type", func(_ *ledger, p []part) { p[2].resourceType = "vm" }, 60},
		{"another attribute", func(_ *ledger, p []part) { p[2].facts = "tier=a" }, 60},
		{"a relabel that is not seen", func(_ *ledger, p []part) { p[3].deployment = "app" }, 72},
		{"counted twice", func(l *ledger, p []part) { l.add(pod, p[1]) }, 40},
		{"missed", func(l *ledger, p []part) { l.parts[pod] = append(p[:1:1], p[2:]...) }, 40},
		{"under another object", func(l *ledger, p []part) { l.add(stream{"other", "c", "cpu"}, p[0]) }, 10},
		{"taken off, and never there", func(l *ledger, p []part) {
			less := p[1]
			less.sign, less.level = -1, 7
			l.add(pod, less)
		}, 40},
		{"taken off and added", func(l *ledger, p []part) {
			less, more := p[2], p[2]
			p[2].level = 7
			less.sign, less.level, more.sign = -1, 7, 1
			l.add(pod, less)
			l.add(pod, more)
		}, 0},
		{"too short, and Exact", func(_ *ledger, p []part) { p[3].to -= 10; p[3].latest = p[3].to + 10 }, 90},
		{"too short, within bounds", func(l *ledger, p []part) {
			estimated(l)
			p[3].to -= 10
			p[3].latest = p[3].to + 10
		}, 0},
		{"too short, within bounds that end too early", func(l *ledger, p []part) {
			estimated(l)
			p[3].to -= 10
			p[3].latest = p[3].to + 5
		}, 96},
		{"too long, within bounds", func(l *ledger, p []part) {
			estimated(l)
			p[3].to += 10
			p[3].latest = p[3].to + 10
		}, 102},
		{"within bounds of what was not so", func(l *ledger, p []part) {
			estimated(l)
			p[3].to -= 10
			p[3].latest, p[3].deployment = p[3].to+10, "blue"
		}, 70},
		{"not seen, and said so", func(l *ledger, p []part) {
			estimated(l)
			l.parts[pod], l.meters[pod] = p[:1:1], "container"
			l.coverage["container"] = []stretch{{begun + 40, begun + 110, "Estimated"}}
		}, 0},
		{"not seen, and said so of another meter", func(l *ledger, p []part) {
			estimated(l)
			l.parts[pod], l.meters[pod] = p[:1:1], "container"
			l.coverage["volume"] = []stretch{{begun + 40, begun + 110, "Estimated"}}
		}, 40},
		{"under another workload after what was not seen, and no claim", func(l *ledger, p []part) {
			p[3].deployment, l.meters[pod] = "blue", "container"
			l.coverage["container"] = []stretch{{begun + 40, begun + 69, "Estimated"}}
		}, 70},
		{"not seen, and called Exact", func(l *ledger, p []part) {
			l.parts[pod], l.meters[pod] = p[:1:1], "container"
			l.coverage["container"] = []stretch{{begun + 40, begun + 110, "Estimated"}}
		}, 40},
	}
	truth := planted().truth()
	for _, c := range cases {
		l := rightly()
		c.plant(l, l.parts[pod])
		v := compare(truth, l, begun, begun+2*interval)
		var first int64
		for _, d := range v.differences {
			if at := d.from - begun; first == 0 || at < first {
				first = at
			}
		}
		if first != c.from {
			t.Errorf("%s: differs first at %d s: want %d\n%v", c.what, first, c.from, v.differences)
		}
	}
}

// TestAFollowerKeepsTheWorkloadThatWasSeenLast is about what no one can know: a follower was
// placed anew in a stretch that was not seen, and then only how much it holds changes.
func TestAFollowerKeepsTheWorkloadThatWasSeenLast(t *testing.T) {
	pod := stream{"pod", "c", "cpu"}
	for kind, want := range map[string]int64{"Service": 0, "Pod": 10} {
		truth, l := planted().truth(), rightly()
		truth.names["pod"], l.meters[pod] = kind+" shop/p", "load-balancer"
		l.coverage["load-balancer"] = []stretch{{begun + 4, begun + 8, "Estimated"}}
		for i := range l.parts[pod][:3] {
			l.parts[pod][i].deployment = "blue"
		}
		v := compare(truth, l, begun, begun+2*interval)
		if len(v.differences) == 0 != (want == 0) || want != 0 && v.differences[0].from != begun+want {
			t.Errorf("%s: want a difference at %d s, and none if that is 0:\n%v", kind, want, v.differences)
		}
	}
}

// TestAStatedEndIsBeforeWhatMovedMeanwhile: a container that was done 60 s ago is told of
// after the pod got another label. Nothing was held under that one.
func TestAStatedEndIsBeforeWhatMovedMeanwhile(t *testing.T) {
	at := func(second int64) moment {
		return moment{time.Unix(begun+second, 0), time.Unix(begun+second, 5e8)}
	}
	one, green := held{level: 500, deployment: "one"}, held{level: 500, deployment: "green"}
	s := stream{"pod", "c", "cpu"}
	for says, want := range map[int64][]held{40: {one, {}}, 5: {one, green, {}}} {
		truth := &truth{facts: map[stream][]fact{}, streams: map[string]map[stream]bool{}, counts: counts{kinds: map[string]int{}}}
		of := &thing{}
		truth.set(s, at(10), stated{held: one}, 1, of, true)
		truth.set(s, at(70), stated{held: green}, 2, of, true)
		truth.set(s, at(100), stated{until: time.Unix(begun+says, 0)}, 3, of, true)
		var got []held
		for _, f := range truth.facts[s] {
			got = append(got, f.held)
		}
		if !slices.Equal(got, want) {
			t.Errorf("it says that it ended at %d s:\n%s", says, truth.story(s))
		}
	}
}

// TestAPodEndsWithItsLastContainer: one of which nothing is said has not ended.
func TestAPodEndsWithItsLastContainer(t *testing.T) {
	status := func(name, state string) string { return fmt.Sprintf(`{"name": %q, "state": %s}`, name, state) }
	one, two := `{"terminated": {"finishedAt": "2026-11-21T00:01:00Z"}}`, `{"terminated": {"finishedAt": "2026-11-21T00:02:00Z"}}`
	for statuses, want := range map[string]string{
		"":               "",
		status("a", one): "",
		status("a", one) + "," + status("b", `{"running": {}}`): "",
		status("a", two) + "," + status("b", one):               "2026-11-21T00:02:00Z",
	} {
		var pod object
		text := `{"spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": {"containerStatuses": [` + statuses + `]}}`
		if err := json.Unmarshal([]byte(text), &pod); err != nil {
			t.Fatal(err)
		}
		got := ""
		if end := endOf(pod); !end.IsZero() {
			got = end.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("%s: %q, want %q", statuses, got, want)
		}
	}
}
