package history

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/chronology"
)

// renewal is a write of a Lease, or its deletion.
type renewal struct {
	lease    string
	revision uint64
	at       int64
	gone     bool
	again    bool // it was deleted before
}

// uid is the Lease's; one that is made again is another one.
func (r *renewal) uid() string { return fmt.Sprint(r.lease, r.again) }

// past is a history of Leases: what etcd would answer, without the seconds it takes to make.
type past struct {
	renewals  []renewal // by revision
	present   uint64
	compacted uint64
	asked     int
}

func (p *past) List(_ context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	p.asked++
	at := p.present
	if opts.ResourceVersion != "" {
		at = revisionOf(opts.ResourceVersion)
	}
	if at < p.compacted {
		return nil, apierrors.NewResourceExpired("compacted")
	}
	if at > p.present {
		return nil, apierrors.NewInternalError(context.DeadlineExceeded)
	}
	newest := map[string]renewal{}
	for _, r := range p.renewals {
		if r.revision <= at {
			newest[r.lease] = r
		}
	}
	maps.DeleteFunc(newest, func(_ string, r renewal) bool { return r.gone })
	list := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: strconv.FormatUint(at, 10)}}
	for _, r := range newest {
		time := metav1.NewTime(time.Unix(r.at, 0))
		list.Items = append(list.Items, metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Name: r.lease, UID: types.UID(r.uid()), ResourceVersion: strconv.FormatUint(r.revision, 10),
			ManagedFields: []metav1.ManagedFieldsEntry{{Time: &time}},
		}})
	}
	return list, nil
}

// drawPast is some minutes of a cluster with few or many writes, and a
// revision of them to date, with the second in which it was written.
func drawPast(t *rapid.T) (p *past, revision uint64, at int64) {
	perSecond := rapid.SampledFrom([]float64{0.3, 5, 100, 10_000}).Draw(t, "writes a second")
	seconds := rapid.IntRange(2, 600).Draw(t, "seconds")
	revisionAt := func(s float64) uint64 { return 1000 + uint64(s*perSecond) }
	p = &past{present: revisionAt(float64(seconds))}
	for lease, period := range map[string]float64{"apiserver": 10, "controller-manager": 2, "scheduler": 2.1} {
		if !rapid.Bool().Draw(t, lease) {
			continue
		}
		for s := rapid.Float64Range(0, period).Draw(t, "first"); s < float64(seconds); s += period {
			p.renewals = append(p.renewals, renewal{lease: lease, revision: revisionAt(s), at: 1000 + int64(s)})
		}
	}
	slices.SortFunc(p.renewals, func(a, b renewal) int { return cmp.Or(cmp.Compare(a.revision, b.revision), cmp.Compare(a.at, b.at)) })
	for i := 1; i < len(p.renewals); i++ { // each has a revision of its own
		p.renewals[i].revision = max(p.renewals[i].revision, p.renewals[i-1].revision+1)
		p.present = max(p.present, p.renewals[i].revision)
	}
	s := rapid.Float64Range(0, float64(seconds)).Draw(t, "written")
	revision, at = revisionAt(s), 1000+int64(s)
	for _, r := range p.renewals { // which were moved up to revisions of their own
		switch {
		case r.revision == revision:
			return p, revision, r.at
		case r.revision < revision:
			at = max(at, r.at)
		default:
			at = min(at, r.at)
		}
	}
	return p, revision, at
}

// bounds are what the renewals say of a revision: after the date of the last one up
// to it, and before that of the first one that replaces one after it.
func (p *past) bounds(revision uint64) (earliest, latest int64) {
	latest = math.MaxInt64
	last := map[string]renewal{}
	for _, r := range p.renewals {
		if r.revision <= revision {
			earliest = max(earliest, r.at)
			continue
		}
		if before, replaces := last[r.lease]; replaces && r.at > before.at {
			latest = min(latest, r.at)
		}
		last[r.lease] = r
	}
	return earliest, latest
}

func TestTheSearchFindsTheNearestRenewals(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, revision, at := drawPast(t)
		c := &chronology.Clock{}
		if err := Probe(t.Context(), p, c, revision); err != nil {
			t.Fatal(err)
		}
		earliest, latest := c.Bounds(revision, math.MaxInt64)
		wantEarliest, wantLatest := p.bounds(revision)
		if revision < p.present && (earliest < wantEarliest && wantEarliest <= wantLatest || latest != wantLatest) {
			t.Fatalf("revision %d: bounds [%d, %d], want [%d, %d]", revision, earliest, latest, wantEarliest, wantLatest)
		}
		if earliest > at || latest < at {
			t.Fatalf("revision %d is of %d, outside [%d, %d]", revision, at, earliest, latest)
		}
		if p.asked > requests {
			t.Fatalf("%d lists", p.asked)
		}
	})
}

// A renewal is committed some time after it is dated: as late as the next one of its
// Lease is dated, and no later. Whatever that time is, the truth lies within the bounds.
func TestRenewalsAreCommittedLate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, revision, at := drawPast(t)
		for i := len(p.renewals) - 1; i >= 0; i-- {
			r := &p.renewals[i]
			committed := r.at
			// It is dated at some moment between what it replaced and its own commit.
			from := int64(0)
			for _, before := range p.renewals[:i] {
				if before.lease == r.lease {
					from = before.at
				}
			}
			if from != 0 {
				r.at = rapid.Int64Range(from, committed).Draw(t, "dated")
			}
		}
		c := &chronology.Clock{}
		if err := Probe(t.Context(), p, c, revision); err != nil {
			t.Fatal(err)
		}
		if earliest, latest := c.Bounds(revision, math.MaxInt64); earliest > at || latest < at {
			t.Fatalf("revision %d is of %d, outside [%d, %d]", revision, at, earliest, latest)
		}
	})
}

// An API server that ends deletes its Lease, and makes it anew when it starts.
func TestALeaseThatIsDeletedHidesNoRenewal(t *testing.T) {
	p := &past{present: 5000, renewals: []renewal{
		{lease: "a", revision: 1000, at: 100},
		{lease: "a", revision: 1100, at: 110},
		{lease: "a", revision: 1120, at: 112, gone: true},
		{lease: "a", revision: 1500, at: 150, again: true},
		{lease: "a", revision: 1600, at: 160, again: true},
		{lease: "a", revision: 4900, at: 490, again: true},
	}}
	c := &chronology.Clock{}
	if err := Probe(t.Context(), p, c, 1050); err != nil {
		t.Fatal(err)
	}
	if earliest, latest := c.Bounds(1050, 1000); earliest != 100 || latest != 160 {
		t.Errorf("[%d, %d], want [100, 160]: when the renewal of 110 was committed, nobody can tell", earliest, latest)
	}
}

func TestWhatIsCompactedIsLeft(t *testing.T) {
	p := &past{present: 100, compacted: 50, renewals: []renewal{{lease: "a", revision: 20, at: 20}, {lease: "a", revision: 90, at: 90}}}
	c := &chronology.Clock{}
	if err := Probe(t.Context(), p, c, 30); err != nil {
		t.Fatal(err)
	}
	if earliest, latest := c.Bounds(30, 100); earliest != 0 || latest != 100 || p.asked != 2 {
		t.Errorf("[%d, %d] by %d lists, want [0, 100] by 2", earliest, latest, p.asked)
	}
}
