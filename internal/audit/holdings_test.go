package audit

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// drawChanges are segments of some streams, as a ledger has them: those of one
// stream do not overlap, and only the last may be open.
func drawChanges(t *rapid.T) []usage.Change {
	var changes []usage.Change
	for stream := range rapid.IntRange(0, 6).Draw(t, "streams") {
		subject := func() *usage.Subject {
			object := usage.Object{Kind: "VirtualMachine", Name: fmt.Sprint("vm-", stream/2), UID: fmt.Sprint(stream)}
			return &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{
				Namespace: "shop", Deployment: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "deployment"),
			}}
		}
		at := rapid.Int64Range(0, 300).Draw(t, "first")
		for range rapid.IntRange(0, 5).Draw(t, "segments") {
			length := rapid.Int64Range(0, 200).Draw(t, "length")
			changes = append(changes, usage.Change{Segment: usage.Segment{
				Subject: subject(), Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: rapid.Int64Range(1, 3).Draw(t, "level"),
				Start: usage.Boundary{At: at, Slack: slack().Draw(t, "start's slack"), Evidence: usage.Observed},
				End:   usage.Boundary{At: at + length, Slack: slack().Draw(t, "end's slack"), Evidence: usage.Observed},
			}})
			at += length + rapid.Int64Range(0, 100).Draw(t, "pause")
		}
		if n := len(changes); n > 0 && rapid.Bool().Draw(t, "open") {
			changes[n-1].End = usage.Boundary{}
		}
	}
	return changes
}

// slack is none, mostly; or so much that a boundary's bounds reach into other intervals.
func slack() *rapid.Generator[uint32] {
	return rapid.OneOf(rapid.Just(uint32(0)), rapid.Just(uint32(0)), rapid.Uint32Max(400))
}

func TestASweepCutsWhatOneCutAfterTheOtherDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes := drawChanges(t)
		h := hold(slices.Clone(changes))
		s := &sweep{holdings: h}
		for start := rapid.Int64Range(0, 5).Draw(t, "from") * 60; start < 1200; start += 60 {
			interval := usage.Window{Start: start, End: start + 60}
			var want []usage.Segment
			for _, c := range changes {
				if part, ok := c.Cut(interval, interval.End); ok {
					want = append(want, part)
				}
			}
			slices.SortFunc(want, func(a, b usage.Segment) int {
				if order := usage.CompareAccounts(a.Subject.Account, b.Subject.Account); order != 0 {
					return order
				}
				return a.Compare(b)
			})
			got := s.cut(interval)
			if len(want) == 0 && len(got) == 0 {
				continue
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("%v: -want +got:\n%s", interval, diff)
			}
			var byAccount []usage.Segment
			for _, account := range h.accounts() {
				byAccount = append(byAccount, h.of(account, interval)...)
			}
			if diff := cmp.Diff(want, byAccount); diff != "" {
				t.Fatalf("%v, account by account: -want +got:\n%s", interval, diff)
			}
		}
	})
}

// BenchmarkAnIntervalOfManySegments recomputes the digest of an hour in which
// 100,000 segments are held.
func BenchmarkAnIntervalOfManySegments(b *testing.B) {
	var changes []usage.Change
	for i := range 100_000 {
		object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: fmt.Sprint("vm-", i), UID: fmt.Sprintf("0a1b2c3d-5f8e-4a6b-9c1d-%012x", i)}
		changes = append(changes, usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1000,
			Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object, Account: usage.Account{Namespace: fmt.Sprint("shop-", i%500), Deployment: fmt.Sprint("web-", i)}},
			Start:   usage.Boundary{At: int64(i), Evidence: usage.Observed},
		}})
	}
	s := &sweep{holdings: hold(changes)}
	interval := usage.Window{Start: 100_000, End: 103_600}
	digest := [32]byte{}
	for b.Loop() {
		digest = ledger.Digest(digest, interval, s.cut(interval), nil)
		interval = interval.Next()
	}
}
