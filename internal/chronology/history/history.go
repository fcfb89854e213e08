// Package history dates revisions of the past by what etcd still has of it.
//
// The components of a control plane renew their Leases every 2 to 10 seconds,
// and etcd keeps what they were for some minutes (until it is compacted), over
// restarts of API servers too. So a list of Leases as they were at a revision
// says when the last renewal before it was, and lists at later ones when the
// first after it was.
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
	// requests is how many lists one Probe asks for at most; 6 to 10 are usual.
	requests = 24
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
	p := &probe{leases: leases, clock: c, revision: revision}
	err := p.run(ctx)
	if apierrors.IsResourceExpired(err) || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return nil
	}
	return err
}

// probe looks for the first renewal after a revision.
type probe struct {
	leases   Leases
	clock    *chronology.Clock
	revision uint64
	asked    int

	// There is no renewal after revision up to none. There is one at high, or
	// there may be one below it, of a Lease that is gone by then; 0: not known yet.
	none, high uint64
	// known is how many Leases there were at the revision.
	known int
}

func (p *probe) run(ctx context.Context) error {
	if p.revision == 0 || p.done() {
		return nil
	}
	// A list of the future is not refused: the API server waits for it, for
	// seconds, and clients try again. So the present has to be known.
	present, err := p.list(ctx, 0)
	if err != nil || present.revision <= p.revision {
		return err
	}
	past, err := p.list(ctx, p.revision)
	if err != nil {
		return err
	}
	p.none, p.known = p.revision, past.known
	if err := p.gallop(ctx, present.revision, stride(past, present)); err != nil {
		return err
	}
	return p.narrow(ctx)
}

// done tells whether nothing is left to do.
func (p *probe) done() bool {
	earliest, latest := p.clock.Bounds(p.revision, math.MaxInt64)
	return latest <= earliest || p.asked >= requests
}

// stride is about how many revisions are written in a second.
func stride(past, present snapshot) uint64 {
	seconds := max(1, present.renewed-past.renewed)
	return max(1, (present.revision-past.revision)/uint64(seconds))
}

// gallop goes on from the revision, further each time, to where there is a renewal.
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

// narrow looks for a renewal before the one that is known. Next to it, that is
// mostly the end of it; else in the middle, so that it ends soon all the same.
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

// look notes whether there was a renewal up to at.
func (p *probe) look(ctx context.Context, at uint64) error {
	seen, err := p.list(ctx, at)
	if err != nil {
		return err
	}
	switch {
	case seen.first != 0:
		p.high = seen.first
	case seen.known < p.known: // an API server that ends deletes its Lease
		p.high = at
	default:
		p.none = at
	}
	return nil
}

// snapshot is what the Leases were like at a revision.
type snapshot struct {
	revision uint64
	renewed  int64  // the newest renewal, in seconds since the epoch
	first    uint64 // the earliest renewal that is after the probe's revision and still seen; 0: none
	known    int    // Leases that are not newer than the probe's revision
}

// list tells the clock when Leases were renewed up to the revision; 0 is the present.
func (p *probe) list(ctx context.Context, revision uint64) (snapshot, error) {
	opts := metav1.ListOptions{}
	if revision != 0 {
		opts.ResourceVersion = strconv.FormatUint(revision, 10)
		opts.ResourceVersionMatch = metav1.ResourceVersionMatchExact
	}
	p.asked++
	list, err := p.leases.List(ctx, opts)
	if err != nil {
		return snapshot{}, err
	}
	seen := snapshot{revision: revisionOf(list.ResourceVersion)}
	// By revision: the clock knows what came before when it judges a time.
	slices.SortFunc(list.Items, func(a, b metav1.PartialObjectMetadata) int {
		return cmp.Compare(revisionOf(a.ResourceVersion), revisionOf(b.ResourceVersion))
	})
	for i := range list.Items {
		at, renewed := revisionOf(list.Items[i].ResourceVersion), written(&list.Items[i])
		if at == 0 || renewed == 0 {
			continue
		}
		p.clock.Stamp(at, renewed)
		seen.renewed = max(seen.renewed, renewed)
		switch {
		case at <= p.revision:
			seen.known++
		case seen.first == 0:
			seen.first = at
		}
	}
	return seen, nil
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
