package journal

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// setFor sets a variable until the test is over.
func setFor[T any](t interface{ Cleanup(func()) }, at *T, to T) {
	was := *at
	*at = to
	t.Cleanup(func() { *at = was })
}

// portionChange is a change of one of a few instances, within some hours.
func portionChange() *rapid.Generator[usage.Change] {
	return rapid.Custom(func(t *rapid.T) usage.Change {
		c := someChange().Draw(t, "change")
		c.Subject = &usage.Subject{
			Resource: c.Subject.Resource, Container: rapid.SampledFrom([]string{"", "c"}).Draw(t, "container"),
			Instance: usage.Object{Kind: "Pod", Name: rapid.SampledFrom([]string{"a", "p"}).Draw(t, "name"), UID: rapid.SampledFrom([]string{"a", "i", "5f6e2a1c-93d4-4b7e-8f00-1a2b3c4d5e6f"}).Draw(t, "instance")},
			Account:  usage.Account{Namespace: "n", Deployment: rapid.SampledFrom([]string{"", "d"}).Draw(t, "deployment")},
		}
		later := rapid.SampledFrom([]int64{0, 0, 3599, 7200}).Draw(t, "later")
		if c.Start.At += later; !c.End.IsZero() {
			c.End.At += later + rapid.SampledFrom([]int64{0, 0, 3600}).Draw(t, "lasts")
			c.End.Slack = rapid.SampledFrom([]uint32{0, 0, 2}).Draw(t, "slack")
		}
		if c.Kind == usage.Less || c.Kind == usage.More {
			c.Corrects = 3600
		}
		return c
	})
}

// Portions have what one fold has, and all that is of one instance is in one of them and in order,
// however often they are folded meanwhile.
func TestPortionsAreAFold(t *testing.T) {
	setFor(t, &portionLeast, 3)
	rapid.Check(t, func(t *rapid.T) {
		parcelBytes = rapid.IntRange(1, 300).Draw(t, "bytes of a parcel")
		changes := rapid.SliceOfN(portionChange(), 0, 60).Draw(t, "changes")
		f, p := newFold(true), newPortions()
		horizon := int64(everything)
		for i := range changes {
			if rapid.IntRange(0, 5).Draw(t, "move") == 0 {
				horizon = max(horizon, rapid.Int64Range(0, 3*3600).Draw(t, "horizon"))
				f.after(horizon)
				p.after(horizon)
			}
			f.add(&changes[i])
			p.add(&changes[i])
		}
		// A portion forgets where a segment was once that is void, and the fold once it is pruned: put
		// again, it lies elsewhere. What has no key is in order.
		text := func(c *usage.Change) string {
			if !c.HasKey() {
				return ""
			}
			of := *c
			of.Subject = nil
			return fmt.Sprintf("%+v %+v", *c.Subject, of)
		}
		byInstance := func(list []usage.Change) []usage.Change {
			return slices.SortedStableFunc(slices.Values(list), func(a, b usage.Change) int {
				return cmp.Or(cmp.Compare(a.Subject.Instance.UID, b.Subject.Instance.UID), cmp.Compare(text(&a), text(&b)))
			})
		}
		want := byInstance(f.result())
		var got []usage.Change
		in := map[string]bool{}
		for portion := range p.result() {
			here := map[string]bool{}
			for _, c := range portion {
				here[c.Subject.Instance.UID] = true
			}
			for uid := range here {
				if in[uid] {
					t.Fatalf("%s is in two portions", uid)
				}
				in[uid] = true
			}
			got = append(got, portion...)
		}
		if diff := gocmp.Diff(want, byInstance(got), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
		for portion := range p.result() {
			t.Fatalf("handed out twice: %v", portion)
		}
	})
	parcelBytes = 128 << 10
}

// Whatever a change says, a parcel has it as it was.
func TestAParcelHasWhatWasPutIn(t *testing.T) {
	subject := rapid.Custom(func(t *rapid.T) *usage.Subject {
		word := rapid.SampledFrom([]string{"", "a", "\x00", "5f6e2a1c-93d4-4b7e-8f00-1a2b3c4d5e6f", "5F6E2A1C-93D4-4B7E-8F00-1A2B3C4D5E6F", "ü"})
		s := &usage.Subject{Attributes: usage.Attributes(word.Draw(t, "attributes"))}
		for _, to := range append([]*string{&s.Instance.Name, &s.Instance.UID}, slices.Collect(slices.Values(slices.Clone(shapeWordsOf(s))))...) {
			*to = word.Draw(t, "word")
		}
		return s
	})
	boundary := rapid.Custom(func(t *rapid.T) usage.Boundary {
		return usage.Boundary{At: moment().Draw(t, "at"), Slack: rapid.Uint32().Draw(t, "slack"), Evidence: rapid.SampledFrom([]usage.Evidence{usage.NoEvidence, usage.ObjectTime, usage.IntervalCut}).Draw(t, "evidence")}
	})
	rapid.Check(t, func(t *rapid.T) {
		var want, got []usage.Change
		var p parcel
		for i := range rapid.IntRange(0, 40).Draw(t, "changes") {
			c := usage.Change{
				Kind: rapid.SampledFrom([]usage.ChangeKind{usage.Put, usage.Void, usage.Less, usage.More}).Draw(t, "kind"), Corrects: moment().Draw(t, "corrects"),
				Segment: usage.Segment{
					Meter: rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "meter"), Subject: subject.Draw(t, "subject"), Level: rapid.Int64().Draw(t, "level"),
					Dimension: usage.Dimension{Name: fmt.Sprint(i % 3), Unit: usage.Core}, Start: boundary.Draw(t, "start"), End: boundary.Draw(t, "end"),
				},
			}
			if i > 0 && rapid.Bool().Draw(t, "the same subject") {
				c.Subject = want[i-1].Subject
			}
			want = append(want, c)
			p.add(&c)
		}
		if err := unwrapped(p.wrap(), func(c *usage.Change) { got = append(got, *c) }); err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("want -, got +:\n%s", diff)
		}
	})
}

func shapeWordsOf(s *usage.Subject) []*string {
	words := shapeWords(s)
	return words[:]
}

// Bytes that are no parcel are an error, and neither a panic nor much memory.
func TestAParcelThatIsNone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := 0
		err := readParcel(rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "bytes"), func(*usage.Change) { n++ })
		if err == nil && n == 0 {
			t.Fatal("nothing was read, and no error")
		}
	})
}
