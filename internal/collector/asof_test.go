package collector

import (
	"context"
	"math/bits"
	"strconv"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// past is the history of one owner: it was written at each revision from created to
// gone, and nobody knows what was before the compaction.
type past struct {
	metadata.ResourceInterface // nil: the rest is not asked for
	created, gone, compacted   uint64
	requests                   int
}

func (p *past) List(_ context.Context, opts metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	p.requests++
	revision, err := strconv.ParseUint(opts.ResourceVersion, 10, 64)
	switch {
	case err != nil || opts.ResourceVersionMatch != metav1.ResourceVersionMatchExact || opts.FieldSelector != "metadata.name=web":
		return nil, apierrors.NewBadRequest("not what is asked here")
	case revision < p.compacted:
		return nil, apierrors.NewResourceExpired("compacted")
	}
	list := &metav1.PartialObjectMetadataList{}
	if p.created <= revision && revision < p.gone {
		list.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: "uid", ResourceVersion: opts.ResourceVersion}}}
	} else if revision >= p.gone { // another of its name
		list.Items = []metav1.PartialObjectMetadata{{ObjectMeta: metav1.ObjectMeta{Name: "web", UID: types.UID("another")}}}
	}
	return list, nil
}

// What owned an object and is gone is read as it was last, not as it was when the
// object was written.
func TestAnOwnerThatIsGoneIsReadAsItWasLast(t *testing.T) {
	owner := usage.Object{Name: "web", UID: "uid"}
	rapid.Check(t, func(t *rapid.T) {
		revision := rapid.Uint64Range(1, 200)
		p := &past{created: revision.Draw(t, "created"), gone: revision.Draw(t, "gone"), compacted: revision.Draw(t, "compacted")}
		// The object refers to it: it was there when that was written.
		first := rapid.Uint64Range(p.created, max(p.created, p.gone-1)).Draw(t, "first")
		until := max(p.gone, first+1) + rapid.Uint64Range(0, 50).Draw(t, "later")
		want := ""
		for at := until; at >= first && at >= p.compacted && want == ""; at-- {
			if p.created <= at && at < p.gone {
				want = strconv.FormatUint(at, 10)
			}
		}
		found, err := lastOf(t.Context(), p, owner, first, until)
		switch {
		case err != nil:
			t.Fatal(err)
		case found == nil && want != "", found != nil && found.ResourceVersion != want:
			t.Errorf("read %v, want the one of revision %q", found, want)
		case p.requests > 2+bits.Len64(until-first):
			t.Errorf("%d requests for %d revisions", p.requests, until-first)
		}
	})
}
