package collector

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var onNodes = map[string]schema.GroupVersionKind{
	"container": {Version: "v1", Kind: "Pod"}, "node-pool": {Version: "v1", Kind: "Node"},
}

// machineOf is a node of an instance type; "": it does not say.
func machineOf(uid string, created int64, instanceType string) string {
	labels := "{}"
	if instanceType != "" {
		labels = fmt.Sprintf("{node.kubernetes.io/instance-type: %s, topology.kubernetes.io/region: eu-1}", instanceType)
	}
	return fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: n1, uid: %s, creationTimestamp: %q, labels: %s}}`, uid, stamped(created), labels)
}

// runningPod is a pod of one core that says that it is somewhere cheap.
func runningPod(name string, since int64, phase string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: shop, uid: %[1]s, creationTimestamp: %[2]q, labels: {topology.kubernetes.io/region: cheap, phase: %[3]s}}
spec: {nodeName: n1, containers: [{name: a, resources: {requests: {cpu: "1"}}}]}
status: {phase: %[3]s, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: %[2]q}]}
`, name, stamped(since), phase)
}

// machines are the stretches in which pods held a core, on what, until 1100, in order.
func (d *desk) machines() []string {
	const now = 1100
	window := usage.Window{Start: 0, End: now}
	var found []usage.Segment
	for _, account := range d.Accounts(window, now) {
		found = append(found, d.Cut(account, window, now)...)
	}
	found = slices.DeleteFunc(found, func(s usage.Segment) bool { return s.Dimension.Name != "cpu" })
	slices.SortFunc(found, func(a, b usage.Segment) int {
		return cmp.Or(cmp.Compare(a.Subject.Instance.Name, b.Subject.Instance.Name), cmp.Compare(a.Start.At, b.Start.At))
	})
	lines := []string{}
	for _, s := range found {
		end := s.End.At
		if s.End.IsZero() {
			end = now
		}
		where := s.Subject.Attributes.Map()["instanceType"]
		if s.Subject.Region != "" {
			where += " in " + s.Subject.Region
		}
		lines = append(lines, fmt.Sprintf("%s [%d, %d) %s", s.Subject.Instance.Name, s.Start.At, end, where))
	}
	return lines
}

func TestWhatRunsOnANodeHasItsFacts(t *testing.T) {
	pod := runningPod("web", 1010, "Running")
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  []string
	}{
		"of no tenant's label": {func(d *desk) {
			d.sees(t, pod, ledger.Live, 1010, 1010)
		}, []string{"web [1010, 1100) "}},
		"of its node": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
		}, []string{"web [1010, 1100) m5 in eu-1"}},
		"of one that is seen later": {func(d *desk) {
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1020)
		}, []string{"web [1010, 1100) m5 in eu-1"}},
		"of one that is labelled later": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, ""), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1030, 1030)
		}, []string{"web [1010, 1100) m5 in eu-1"}},
		"of one that is old, and labelled now": {func(d *desk) {
			d.sees(t, machineOf("n-1", 205, ""), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.sees(t, machineOf("n-1", 205, "m5"), ledger.Live, 1030, 1030)
		}, []string{"web [1010, 1030) ", "web [1030, 1100) m5 in eu-1"}},
		"of one that is called otherwise": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.sees(t, machineOf("n-1", 1005, "m6"), ledger.Live, 1030, 1031)
		}, []string{"web [1010, 1030) m5 in eu-1", "web [1030, 1100) m6 in eu-1"}},
		"of one that is gone": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.removed(t, machineOf("n-1", 1005, "m5"), 1020, 1020)
			d.sees(t, runningPod("web", 1010, "Unknown"), ledger.Live, 1030, 1030)
			d.sees(t, runningPod("web", 1010, "Failed"), ledger.Live, 1040, 1040)
		}, []string{"web [1010, 1040) m5 in eu-1"}},
		"of another one of that name": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.removed(t, machineOf("n-1", 1005, "m5"), 1020, 1020)
			d.sees(t, machineOf("n-2", 1050, "m6"), ledger.Live, 1050, 1050)
		}, []string{"web [1010, 1050) m5 in eu-1", "web [1050, 1100) m6 in eu-1"}},
		"and nothing is kept of it afterwards": {func(d *desk) {
			d.sees(t, machineOf("n-1", 1005, "m5"), ledger.Live, 1005, 1005)
			d.sees(t, pod, ledger.Live, 1010, 1010)
			d.removed(t, pod, 1040, 1040)
			if at := d.meters["container"]; len(at.on)+len(at.sites) > 0 {
				t.Errorf("knows %d objects on %d nodes", len(at.on), len(at.sites))
			}
		}, []string{"web [1010, 1040) m5 in eu-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, onNodes)
			d.settle()
			c.drive(d)
			if got := d.machines(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// told is an object, and when it was written.
type told struct {
	text    string
	written int64
}

// drawMachine is a node that says what it is at once or late, and is called otherwise
// later; types is what it is by when it was written.
func drawMachine(t *rapid.T) (changes []told, types []string) {
	created := rapid.Int64Range(1001, 1020).Draw(t, "created")
	first := rapid.SampledFrom([]string{"m5", "m6"}).Draw(t, "type")
	said := []string{rapid.SampledFrom([]string{"", first}).Draw(t, "at once"), first}
	for len(said) < 4 {
		said = append(said, rapid.SampledFrom([]string{"m5", "m6"}).Draw(t, "type"))
	}
	at := created
	for _, what := range said {
		changes = append(changes, told{machineOf("n-1", created, what), at})
		at += rapid.Int64Range(1, 20).Draw(t, "later")
	}
	said[0] = first
	return changes, said
}

// stretchesOn are those of a pod since the moment, on a node of the types.
func stretchesOn(name string, since int64, node []told, types []string) []string {
	var lines []string
	for i := 0; i < len(node); {
		next, to := i+1, int64(1100)
		for next < len(node) && types[next] == types[i] {
			next++
		}
		if next < len(node) {
			to = node[next].written
		}
		if from := max(since, node[i].written); from < to {
			lines = append(lines, fmt.Sprintf("%s [%d, %d) %s in eu-1", name, from, to, types[i]))
		}
		i = next
	}
	return lines
}

// Which of the two kinds is ahead changes nothing, as long as a node is called
// otherwise than it was when what runs there is known.
func TestNodesAndWhatRunsThereComeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes, types := drawMachine(t)
		var pods []told
		var want []string
		since := nodes[0].written
		for i := range 3 {
			since += rapid.Int64Range(0, 20).Draw(t, "since")
			name := fmt.Sprintf("pod-%d", i)
			pods = append(pods, told{runningPod(name, since, "Running"), since})
			want = append(want, stretchesOn(name, since, nodes, types)...)
		}
		d := newDesk(t, onNodes)
		d.settle()
		for now := int64(1001); len(nodes)+len(pods) > 0; {
			from := &nodes
			if len(nodes) == 0 || len(pods) > 0 && (len(nodes) <= 2 || rapid.Bool().Draw(t, "a pod")) {
				from = &pods
			}
			next := (*from)[0]
			*from = (*from)[1:]
			now = max(now, next.written)
			d.late(t, next.text, next.written, now)
		}
		if got := d.machines(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
