package collector

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var claimKinds = map[string]schema.GroupVersionKind{
	"volume":          {Version: "v1", Kind: "PersistentVolumeClaim"},
	"volume-retained": {Version: "v1", Kind: "PersistentVolume"},
}

// claimOf is a claim that says how large its volume is.
func claimOf(name, volume, phase string, gibibytes int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %[1]s, namespace: shop, uid: %[1]s, creationTimestamp: %[2]q}
spec: {volumeName: %[3]s}
status: {phase: %[4]s, capacity: {storage: %[5]dGi}}
`, name, stamped(1005), volume, phase, gibibytes)
}

// volumeOf is a PersistentVolume that is bound to the claim of the UID.
func volumeOf(name, uid, claim string, gibibytes int) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %[1]s, uid: %[2]s, creationTimestamp: %[5]q}
spec: {capacity: {storage: %[4]dGi}, claimRef: {namespace: shop, name: data, uid: %[3]s}}
status: {phase: Bound}
`, name, uid, claim, gibibytes, stamped(1001))
}

// storage is the stretches in which claims held storage, in GiB, until 1100, in order.
func (d *desk) storage() []string {
	const now = 1100
	window := usage.Window{Start: 0, End: now}
	var found []usage.Segment
	for _, account := range d.Accounts(window, now) {
		found = append(found, d.Cut(account, window, now)...)
	}
	found = slices.DeleteFunc(found, func(s usage.Segment) bool { return s.Dimension.Name != "storage" })
	slices.SortFunc(found, func(a, b usage.Segment) int {
		return cmp.Or(cmp.Compare(a.Start.At, b.Start.At), cmp.Compare(a.Subject.Instance.Name, b.Subject.Instance.Name))
	})
	lines := []string{}
	for _, s := range found {
		end := s.End.At
		if s.End.IsZero() {
			end = now
		}
		line := fmt.Sprintf("%s %d [%d, %d)", s.Subject.Instance.Name, s.Level>>30, s.Start.At, end)
		if s.Start.Slack != 0 {
			line += fmt.Sprintf(" within %d s", s.Start.Slack)
		}
		lines = append(lines, line)
	}
	return lines
}

func TestAVolumeTellsHowLargeItIs(t *testing.T) {
	claim := claimOf("data", "pv", "Bound", 10)
	small, large := volumeOf("pv", "pv-1", "data", 10), volumeOf("pv", "pv-1", "data", 100)
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  []string
	}{
		"enlarged, and the claim says nothing of it": {func(d *desk) {
			d.sees(t, small, ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.sees(t, large, ledger.Live, 1040, 1040)
		}, []string{"data 10 [1010, 1040)", "data 100 [1040, 1100)"}},
		"enlarged, and the claim says so later": {func(d *desk) {
			d.sees(t, small, ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.sees(t, large, ledger.Live, 1040, 1040)
			d.sees(t, claimOf("data", "pv", "Bound", 100), ledger.Live, 1060, 1060)
		}, []string{"data 10 [1010, 1040)", "data 100 [1040, 1100)"}},
		"larger from the start": {func(d *desk) {
			d.sees(t, large, ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
		}, []string{"data 100 [1010, 1100)"}},
		"larger from the start, and seen later": {func(d *desk) {
			d.late(t, claim, 1010, 1010)
			d.late(t, large, 1005, 1020)
		}, []string{"data 100 [1010, 1100)"}},
		"enlarged, which is seen later than what the claim says": {func(d *desk) {
			d.late(t, small, 1005, 1005)
			d.late(t, claim, 1010, 1010)
			d.late(t, claimOf("data", "pv", "Bound", 100), 1050, 1050)
			d.late(t, large, 1040, 1055)
		}, []string{"data 10 [1010, 1040)", "data 100 [1040, 1100)"}},
		"of another claim": {func(d *desk) {
			d.sees(t, volumeOf("pv", "pv-1", "other", 100), ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.sees(t, volumeOf("pv", "pv-1", "other", 200), ledger.Live, 1020, 1020)
		}, []string{"data 10 [1010, 1100)"}},
		"that names the claim, and is not named by it": {func(d *desk) {
			d.sees(t, volumeOf("more", "pv-2", "data", 100), ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.sees(t, volumeOf("more", "pv-2", "data", 200), ledger.Live, 1020, 1020)
		}, []string{"data 10 [1010, 1100)"}},
		"bound to it later": {func(d *desk) {
			d.sees(t, volumeOf("pv", "pv-1", "", 100), ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.sees(t, large, ledger.Live, 1020, 1020)
		}, []string{"data 10 [1010, 1020)", "data 100 [1020, 1100)"}},
		"deleted, and another of its name is not the claim's": {func(d *desk) {
			d.sees(t, large, ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.removed(t, large, 1030, 1030)
			d.sees(t, volumeOf("pv", "pv-3", "other", 300), ledger.Live, 1040, 1040)
		}, []string{"data 100 [1010, 1030)", "data 10 [1030, 1100)"}},
		"without a capacity": {func(d *desk) {
			d.sees(t, "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: pv, uid: pv-1}\nspec: {claimRef: {uid: data}}", ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
		}, []string{"data 10 [1010, 1100)"}},
		"of a claim that holds nothing yet": {func(d *desk) {
			d.sees(t, large, ledger.Live, 1005, 1005)
			d.sees(t, claimOf("data", "pv", "Pending", 0), ledger.Live, 1010, 1010)
			d.sees(t, claim, ledger.Live, 1020, 1020)
		}, []string{"data 100 [1020, 1100)"}},
		"and nothing is kept of it afterwards": {func(d *desk) {
			d.sees(t, large, ledger.Live, 1005, 1005)
			d.sees(t, claim, ledger.Live, 1010, 1010)
			d.removed(t, claim, 1040, 1040)
			d.removed(t, large, 1050, 1050)
			if left := len(d.sharers) + len(d.meters["volume"].facts); left > 0 {
				t.Errorf("%d are kept", left)
			}
		}, []string{"data 100 [1010, 1040)"}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, claimKinds)
			d.settle()
			c.drive(d)
			if got := d.storage(); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// Which of both kinds is listed first changes nothing.
func TestClaimsWaitForTheListOfVolumes(t *testing.T) {
	d := newDesk(t, claimKinds)
	d.sees(t, claimOf("data", "pv", "Bound", 10), ledger.First, 900, 1002)
	d.sees(t, claimOf("lone", "none", "Bound", 10), ledger.First, 900, 1002)
	if got := d.storage(); len(got) != 0 {
		t.Errorf("told before volumes were listed: %q", got)
	}
	d.sees(t, volumeOf("pv", "pv-1", "data", 100), ledger.First, 900, 1004)
	d.settle()
	if got, want := d.storage(), []string{"data 100 [1000, 1100)", "lone 10 [1000, 1100)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A quarantined claim holds what it held, whatever its volume says meanwhile.
func TestAVolumeTakesNoClaimOutOfQuarantine(t *testing.T) {
	d := newDesk(t, claimKinds)
	d.settle()
	d.sees(t, volumeOf("pv", "pv-1", "data", 10), ledger.Live, 1005, 1005)
	d.sees(t, claimOf("data", "pv", "Bound", 10), ledger.Live, 1010, 1010)
	unreadable := strings.Replace(claimOf("data", "pv", "Bound", 10), "10Gi", "many", 1)
	d.sees(t, unreadable, ledger.Live, 1020, 1020)
	if len(d.meters["volume"].quarantine) != 1 {
		t.Fatal("it can be read")
	}
	d.sees(t, volumeOf("pv", "pv-1", "data", 100), ledger.Live, 1030, 1030)
	if len(d.meters["volume"].quarantine) != 1 {
		t.Error("it is in quarantine no more")
	}
	d.sees(t, claimOf("data", "pv", "Bound", 10), ledger.Live, 1040, 1040)
	got := d.storage()
	if last := got[len(got)-1]; last != "data 100 [1040, 1100)" {
		t.Errorf("got %q", got)
	}
}

// A list after a gap shows a volume otherwise: some time in the gap.
func TestAVolumeThatWasEnlargedInAGap(t *testing.T) {
	d := newDesk(t, claimKinds)
	d.settle()
	d.sees(t, volumeOf("pv", "pv-1", "data", 10), ledger.Live, 1005, 1005)
	d.sees(t, claimOf("data", "pv", "Bound", 10), ledger.Live, 1010, 1010)
	object := parsed(t, volumeOf("pv", "pv-1", "data", 100))
	d.clock.SetTime(time.Unix(1060, 0))
	f := d.feeds["PersistentVolume"]
	f.take(object, event{revision: 1050, resourceVersion: "1050", written: 1050, now: 1060, after: 1020, before: 1060, origin: ledger.Resumed, existed: true}, d.readers(f))
	if got, want := d.storage(), []string{"data 10 [1010, 1020)", "data 100 [1060, 1100) within 40 s"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Second by second a claim holds what its volume says, as long as both name each other,
// whichever kind is ahead.
func TestVolumesAndClaimsComeInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.Int64Range(1005, 1030).Draw(t, "bound")
		claims := []told{{claimOf("data", "pv", "Pending", 0), 1004}, {claimOf("data", "pv", "Bound", 10), bound}}
		if rapid.Bool().Draw(t, "the claim says more") {
			claims = append(claims, told{claimOf("data", "pv", "Bound", 50), bound + rapid.Int64Range(1, 40).Draw(t, "later")})
		}
		var volumes []told
		var want []string
		at, level, since := int64(1003), 0, bound
		for range rapid.IntRange(1, 4).Draw(t, "volumes") {
			size := rapid.IntRange(10, 13).Draw(t, "size")
			volumes = append(volumes, told{volumeOf("pv", "pv-1", "data", size), at})
			if size != level {
				if level != 0 && at > since {
					want = append(want, fmt.Sprintf("data %d [%d, %d)", level, since, at))
				}
				level, since = size, max(since, at)
			}
			at += rapid.Int64Range(1, 25).Draw(t, "later")
		}
		want = append(want, fmt.Sprintf("data %d [%d, 1100)", level, since))
		d := newDesk(t, claimKinds)
		d.settle()
		d.shuffled(t, volumes, claims, bound)
		if got := d.storage(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

// shuffled delivers both in any order, but for what comes after the moment at which the claim is
// bound: one change of the volume, at most, is ahead of that.
func (d *desk) shuffled(t *rapid.T, volumes, claims []told, bound int64) {
	for now, ahead := int64(1001), false; len(volumes)+len(claims) > 0; {
		from := &volumes
		if ahead = ahead && len(claims) > 0 && claims[0].written <= bound; len(volumes) == 0 || ahead || len(claims) > 0 && rapid.Bool().Draw(t, "a claim") {
			from = &claims
		}
		next := (*from)[0]
		*from = (*from)[1:]
		now = max(now, next.written)
		ahead = ahead || from == &volumes && next.written > bound // of when the claim is bound, by one change at most
		d.late(t, next.text, next.written, now)
	}
}
