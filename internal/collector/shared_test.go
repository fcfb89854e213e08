package collector

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var frontKinds = map[string]schema.GroupVersionKind{
	"load-balancer": {Version: "v1", Kind: "Service"},
	"gateway":       {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"},
}

// front is a load balancer with addresses.
func front(name string, created int64, addresses ...string) string {
	entries := make([]string, len(addresses))
	for i, address := range addresses {
		entries[i] = "{ip: " + address + "}"
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: shop, uid: %[1]s, creationTimestamp: %[2]q}
spec: {type: LoadBalancer, ports: [{port: 53}]}
status: {loadBalancer: {ingress: [%[3]s]}}
`, name, stamped(created), strings.Join(entries, ", "))
}

func edge(created int64, address string) string {
	return fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, uid: edge, creationTimestamp: %[1]q}
spec: {gatewayClassName: proxy, listeners: [{name: a, port: 80, protocol: HTTP}]}
status: {addresses: [{value: %[2]s}], conditions: [{type: Programmed, status: "True", lastTransitionTime: %[1]q}]}
`, stamped(created), address)
}

// addresses are the stretches in which public addresses were held, until 1100, in order.
func (d *desk) addresses() []string {
	const now = 1100
	window := usage.Window{Start: 0, End: now}
	var found []usage.Segment
	for _, account := range d.Accounts(window, now) {
		found = append(found, d.Cut(account, window, now)...)
	}
	found = slices.DeleteFunc(found, func(s usage.Segment) bool { return s.Dimension.Name != "public_ip" })
	slices.SortFunc(found, func(a, b usage.Segment) int {
		return cmp.Or(cmp.Compare(a.Start.At, b.Start.At), cmp.Compare(a.Subject.Instance.Name, b.Subject.Instance.Name))
	})
	lines := []string{}
	for _, s := range found {
		end := s.End.At
		if s.End.IsZero() {
			end = now
		}
		lines = append(lines, fmt.Sprintf("%s %d [%d, %d)", s.Subject.Instance.Name, s.Level/1000, s.Start.At, end))
	}
	return lines
}

func TestWhatSeveralHaveCountsOnce(t *testing.T) {
	const one, other, private = "203.0.113.1", "203.0.113.2", "10.0.0.1"
	tcp, udp := front("tcp", 1010, one), front("udp", 1020, one)
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  []string
	}{
		"for the older one": {func(d *desk) {
			d.settle()
			d.late(t, tcp, 1010, 1010)
			d.late(t, udp, 1020, 1020)
		}, []string{"tcp 1 [1010, 1100)"}},
		"until that is gone": {func(d *desk) {
			d.settle()
			d.late(t, tcp, 1010, 1010)
			d.late(t, udp, 1020, 1020)
			d.removed(t, tcp, 1040, 1041)
		}, []string{"tcp 1 [1010, 1040)", "udp 1 [1040, 1100)"}},
		"until that has another one": {func(d *desk) {
			d.settle()
			d.late(t, tcp, 1010, 1010)
			d.late(t, udp, 1020, 1020)
			d.late(t, front("tcp", 1010, other), 1040, 1040)
		}, []string{"tcp 1 [1010, 1100)", "udp 1 [1040, 1100)"}},
		"whichever is seen first": {func(d *desk) {
			d.settle()
			d.late(t, udp, 1020, 1020)
			d.late(t, tcp, 1010, 1030)
		}, []string{"tcp 1 [1010, 1100)"}},
		"whichever is listed first": {func(d *desk) {
			d.sees(t, front("udp", 520, one), ledger.First, 520, 1001)
			d.sees(t, front("tcp", 510, one), ledger.First, 510, 1002)
			d.settle()
		}, []string{"tcp 1 [1000, 1100)"}},
		"one of two": {func(d *desk) {
			d.settle()
			d.late(t, front("tcp", 1010, one, private), 1010, 1010)
			d.late(t, front("udp", 1020, one, other), 1020, 1020)
		}, []string{"tcp 1 [1010, 1100)", "udp 1 [1020, 1100)"}},
		"of another kind": {func(d *desk) {
			d.settle()
			d.late(t, tcp, 1010, 1010)
			d.late(t, edge(1030, one), 1030, 1030)
			d.removed(t, tcp, 1050, 1050)
		}, []string{"tcp 1 [1010, 1050)", "edge 1 [1050, 1100)"}},
		"of another meter, until that is gone": {func(d *desk) {
			d.settle()
			d.late(t, edge(1010, one), 1010, 1010)
			d.late(t, udp, 1020, 1020)
			d.clock.SetTime(time.Unix(1050, 0))
			d.Remove("gateway")
		}, []string{"edge 1 [1010, 1050)", "udp 1 [1050, 1100)"}},
		"what goes before all are listed was there": {func(d *desk) {
			d.late(t, tcp, 1010, 1010)
			d.removed(t, tcp, 1015, 1015)
			d.settle()
		}, []string{"tcp 1 [1010, 1015)"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, frontKinds)
			c.drive(d)
			if got := d.addresses(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Second by second, as many addresses are held as there are: none twice, and none by nobody.
func TestAddressesAreHeldOnceEverySecond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk(t, frontKinds)
		d.settle()
		has := map[string][]string{}
		distinct := map[int64]int{}
		now := int64(1001)
		for range rapid.IntRange(1, 15).Draw(t, "steps") {
			name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "service")
			number := int64(name[0] - 'a')
			was, there := has[name]
			if there && rapid.IntRange(0, 2).Draw(t, "goes") == 0 {
				d.removed(t, front(name, 900+number, was...), now, now)
				delete(has, name)
			} else {
				has[name] = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"203.0.113.1", "203.0.113.2"}), 0, 2, rapid.ID[string]).Draw(t, "addresses")
				d.late(t, front(name, 900+number, has[name]...), now, now)
			}
			all := slices.Concat(slices.Collect(maps.Values(has))...)
			slices.Sort(all)
			distinct[now] = len(slices.Compact(all))
			now += rapid.Int64Range(1, 5).Draw(t, "later")
		}
		want := 0
		for second := int64(1001); second < now; second++ {
			if changed, at := distinct[second]; at {
				want = changed
			}
			got := 0
			for _, line := range d.addresses() {
				var name string
				var level int
				var start, end int64
				if _, err := fmt.Sscanf(line, "%s %d [%d, %d)", &name, &level, &start, &end); err != nil {
					t.Fatal(err)
				}
				if start <= second && second < end {
					got += level
				}
			}
			if got != want {
				t.Fatalf("at %d: %d addresses are held, want %d: %q", second, got, want, d.addresses())
			}
		}
		if len(has) == 0 && len(d.sharers) > 0 {
			t.Fatalf("remembers %d of nothing", len(d.sharers))
		}
	})
}

// One that was listed, and that the next list does not have, is had by nobody, though
// the ledger had not been told of it.
func TestWhatIsMissingBeforeAllAreListedIsShared(t *testing.T) {
	d := newDesk(t, frontKinds)
	d.late(t, front("tcp", 1010, "203.0.113.1"), 1010, 1010)
	d.late(t, front("udp", 1012, "203.0.113.1"), 1012, 1012)
	f, at := d.feeds["Service"], d.meters["load-balancer"]
	d.mu.Lock()
	at.listed = map[string]struct{}{"udp": {}}
	f.endMissing(at, 1020, 1020)
	at.listed = nil
	d.mu.Unlock()
	d.settle()
	if got, want := d.addresses(), []string{"tcp 1 [1010, 1020)", "udp 1 [1020, 1100)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
