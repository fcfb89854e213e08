// Package history dates revisions of the past by what etcd still has of it.
//
// The components of a control plane renew their Leases every 2 to 10 seconds,
// and etcd keeps what they were for some minutes (until it is compacted), over
// restarts of API servers too. So a list of Leases as they were at a revision says
// after which renewal it was.
//
// It does not follow that it was before the next one's date: that may have been
// committed seconds after it was dated. But a renewal is dated after the one that it
// replaces was committed, and a Lease that is made anew after the former one was found
// gone. So a revision was written before the date of the second renewal of a Lease after it.
package history

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"

	"github.com/usage-operator/usage-operator/internal/chronology"
)

const (
	// requests is how many lists one Probe asks for at most; 3 to 11 are usual.
	requests = 48
	// patience is how long a Probe may take: an API server that is behind makes
	// it wait.
	patience = 20 * time.Second
)

// Leases lists Leases, by their metadata alone.
type Leases interface {
	List(ctx context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
}

// SystemLeases are those of the namespace kube-system: the API servers', the
// controller manager's and the scheduler's.
func SystemLeases(client metadata.Interface) Leases {
	return client.Resource(coordinationv1.SchemeGroupVersion.WithResource("leases")).Namespace(metav1.NamespaceSystem)
}

// Probe learns what brings the bounds of a revision of the past together, as far
// as there are renewals: what comes of it does not depend on what was known
// before. It leaves them as they are when they are one moment, when etcd no
// longer has the revision, and when it is not written yet; that is no error.
func Probe(ctx context.Context, leases Leases, c *chronology.Clock, revision uint64) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p := &probe{leases: leases, clock: c, revision: revision, listed: map[uint64]bool{}, seen: map[string][]version{}}
	err := p.run(ctx)
	if apierrors.IsResourceExpired(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return nil
	}
	return err
}

// probe looks for the first renewal after a revision that replaces one after it.
type probe struct {
	leases   Leases
	clock    *chronology.Clock
	revision uint64
	asked    int

	// listed are the revisions of the past that were listed.
	listed map[uint64]bool
	// seen are the renewals after the revision that were seen of each Lease, by its name.
	seen map[string][]version
	// high is the first that replaces one, of those seen; 0: none is known. Up to none
	// there is none that is known.
	none, high uint64
}

// version is one of a Lease.
type version struct {
	revision uint64
	at       int64 // when it is dated, in seconds since the epoch
}

func (p *probe) run(ctx context.Context) error {
	if p.revision == 0 || p.done() {
		return nil
	}
	// A list of the future is not refused: the API server waits for it, for
	// seconds, and clients try again. So the present has to be known.
	present, newest, err := p.list(ctx, 0)
	if err != nil || present <= p.revision {
		return err
	}
	_, oldest, err := p.list(ctx, p.revision)
	if err != nil {
		return err
	}
	// About how many revisions are written in a second.
	stride := max(1, (present-p.revision)/uint64(max(1, newest-oldest)))
	p.none = p.revision
	if err := p.gallop(ctx, present, stride); err != nil {
		return err
	}
	return p.narrow(ctx)
}

// done tells whether nothing is left to do.
func (p *probe) done() bool {
	earliest, latest := p.clock.Bounds(p.revision, math.MaxInt64)
	return latest <= earliest || p.asked >= requests
}

// gallop goes on from the revision, further each time, to where a renewal is replaced.
func (p *probe) gallop(ctx context.Context, present, step uint64) error {
	for at := p.revision; at < present && p.none == at && !p.done(); {
		at += min(step, present-at)
		step *= 2
		if err := p.look(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// narrow looks for one before the one that is known. Next to it, that is mostly the
// end of it; else in the middle, so that it ends soon all the same.
func (p *probe) narrow(ctx context.Context) error {
	for next := true; p.high > p.none+1 && !p.done(); next = !next {
		at := p.high - 1
		if !next {
			at = p.none + (p.high-p.none)/2
		}
		if err := p.look(ctx, at); err != nil {
			return err
		}
	}
	return nil
}

// look finds out whether a renewal was replaced up to at. The first renewal seen of a Lease
// may have replaced one that was not seen; only a list of the revision before it tells.
func (p *probe) look(ctx context.Context, at uint64) error {
	for from := at; from != 0 && p.asked < requests; from = p.unsure(at) {
		if err := p.listOnce(ctx, from); err != nil {
			return err
		}
		if p.high != 0 && p.high <= at {
			return nil
		}
	}
	p.none = at
	return nil
}

// unsure is a revision that tells, of a Lease that was renewed between none and at, what the
// first renewal that was seen replaced; 0: that is known of all.
func (p *probe) unsure(at uint64) uint64 {
	before := uint64(0)
	for _, of := range p.seen {
		if r := of[0].revision; r > p.none && r <= at && !p.listed[r-1] {
			before = max(before, r-1)
		}
	}
	return before
}

// listOnce lists, unless that was done.
func (p *probe) listOnce(ctx context.Context, revision uint64) error {
	if p.listed[revision] {
		return nil
	}
	_, _, err := p.list(ctx, revision)
	return err
}

// list tells the clock when Leases were renewed up to the revision; 0 is the present.
// It returns the revision that was listed, and the newest of the dates in it.
func (p *probe) list(ctx context.Context, revision uint64) (listed uint64, newest int64, err error) {
	opts := metav1.ListOptions{}
	if revision != 0 {
		opts.ResourceVersion = strconv.FormatUint(revision, 10)
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchExact
	}
	p.asked++
	list, err := p.leases.List(ctx, opts)
	if err != nil {
		return 0, 0, err
	}
	if revision != 0 {
		p.listed[revision] = true
	}
	// By revision: the clock knows what came before when it judges a time.
	slices.SortFunc(list.Items, func(a, b metav1.PartialObjectMetadata) int {
		return cmp.Compare(revisionOf(a.ResourceVersion), revisionOf(b.ResourceVersion))
	})
	for i := range list.Items {
		lease := &list.Items[i]
		r := version{revision: revisionOf(lease.ResourceVersion), at: written(lease)}
		if r.revision == 0 || r.at == 0 {
			continue
		}
		newest = max(newest, r.at)
		p.clock.AtLeast(r.revision, r.at)
		if r.revision > p.revision {
			p.note(lease.Name, r)
		}
	}
	return revisionOf(list.ResourceVersion), newest, nil
}

// note enters a renewal that is after the revision. Of two of a Lease, the later
// replaced the earlier, or one that had. One that only takes fields away has the date
// of the one before, and tells nothing.
func (p *probe) note(lease string, r version) {
	of := p.seen[lease]
	i, known := slices.BinarySearchFunc(of, r.revision, func(x version, revision uint64) int { return cmp.Compare(x.revision, revision) })
	if known {
		return
	}
	of = slices.Insert(of, i, r)
	p.seen[lease] = of
	for ; i < len(of); i++ {
		if i == 0 || of[i].at <= of[i-1].at {
			continue
		}
		p.clock.Replaced(of[i-1].revision, of[i].at)
		if p.high == 0 || of[i].revision < p.high {
			p.high = of[i].revision
		}
	}
}

// revisionOf is the number that a resourceVersion is; 0 when it is none.
func revisionOf(resourceVersion string) uint64 {
	revision, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return revision
}

// written is when the lease was last written, in seconds since the epoch; 0
// when it does not say. A renewal sets a field, so that its time is kept.
func written(lease *metav1.PartialObjectMetadata) int64 {
	newest := int64(0)
	for _, entry := range lease.ManagedFields {
		if entry.Time != nil {
			newest = max(newest, entry.Time.Unix())
		}
	}
	return newest
}
