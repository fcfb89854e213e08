// Package publisher writes usage records to the API server, and knows what it
// has written: a record that somebody edits or deletes is found out by its
// resourceVersion, without keeping records in memory.
package publisher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
)

// ErrNamespaceGone says that a namespace takes no records any more: it is being
// deleted, or is gone.
var ErrNamespaceGone = errors.New("the namespace is being deleted or is gone")

const resource = "usagerecords"

// fieldManager is under what name the records' fields are owned.
const fieldManager = "usage-operator"

// metadataOnly asks the API server to answer a write with the metadata alone:
// what was written is known.
const metadataOnly = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"

// Publisher writes records. It is safe for concurrent use.
type Publisher struct {
	client rest.Interface
	index  *index
	log    logr.Logger
}

// New is a publisher that writes through a client of restclient's.
func New(client rest.Interface, log logr.Logger) *Publisher {
	return &Publisher{client: client, index: newIndex(), log: log}
}

// Publish makes the records of one account and interval say what they should.
// It writes what is missing or differs, and deletes parts that are no more.
func (p *Publisher) Publish(ctx context.Context, in record.Input) error {
	records := record.For(in)
	for _, r := range records {
		note(r)
		overwritten, err := p.put(ctx, in.Key, r)
		if err == nil && overwritten {
			overwritten, err = p.put(ctx, in.Key, r)
		}
		if err == nil && overwritten {
			err = fmt.Errorf("usage record %s/%s: somebody writes over it", r.Namespace, r.Name)
		}
		if err != nil {
			return err
		}
	}
	return p.deleteParts(ctx, in, len(records))
}

// put writes one record, unless it is as it should be. It tells whether somebody
// has written over it already.
func (p *Publisher) put(ctx context.Context, key record.Key, r *v1alpha1.UsageRecord) (overwritten bool, err error) {
	name := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	known, ok := p.index.get(name)
	if ok && known.asWritten(r) {
		p.index.claim(name, key, record.Bytes(r))
		return false, nil
	}
	var version string
	switch {
	case !ok:
		version, err = p.create(ctx, r)
	case known.written == "", known.final, known.key != key:
		version, err = p.reconcile(ctx, r)
	default:
		version, err = p.update(ctx, r, known.seen)
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		version, err = p.reconcile(ctx, r)
	}
	if err != nil {
		return false, explain(err, r)
	}
	written.WithLabelValues(string(r.Status.Phase)).Inc()
	return p.index.wrote(name, key, r, version, record.Bytes(r)), nil
}

// reconcile writes a record over one that is not as it was thought to be.
func (p *Publisher) reconcile(ctx context.Context, r *v1alpha1.UsageRecord) (string, error) {
	existing := &v1alpha1.UsageRecord{}
	err := p.client.Get().Namespace(r.Namespace).Resource(resource).Name(r.Name).Do(ctx).Into(existing)
	switch {
	case apierrors.IsNotFound(err):
		return p.create(ctx, r)
	case err != nil:
		return "", err
	case existing.Status.Phase != v1alpha1.PhaseFinal && !same(existing.Spec, r.Spec):
		// Left Open by a run with intervals of another length: what a record is of cannot be changed.
		if err := p.deleteUnchanged(ctx, existing); err != nil {
			return "", err
		}
		return p.create(ctx, r)
	case existing.Status.Phase != v1alpha1.PhaseFinal:
		return p.update(ctx, r, existing.ResourceVersion)
	case existing.Status.Digest != r.Status.Digest:
		// Sealed is final: it is not for the operator to say which of the two is right.
		alarms.Inc()
		p.log.Error(nil, "a Final record says something else than the ledger: keeping it; usage-operator verify tells what differs",
			"namespace", r.Namespace, "name", r.Name, "digest", existing.Status.Digest, "computed", r.Status.Digest)
		return existing.ResourceVersion, nil
	}
	r = record.Worded(r, existing.Status.Summary)
	switch {
	case sameContent(existing, r) && sameMetadata(existing, r):
		return existing.ResourceVersion, nil
	case sameContent(existing, r):
		return p.update(ctx, r, existing.ResourceVersion)
	}
	// It says that it is what it was, and is not: it was edited where that is not prevented.
	p.log.Info("putting back a Final record that was edited", "namespace", r.Namespace, "name", r.Name)
	if err := p.delete(ctx, types.NamespacedName{Namespace: r.Namespace, Name: r.Name}); err != nil {
		return "", err
	}
	return p.create(ctx, r)
}

// sameContent tells whether two records say the same.
func sameContent(a, b *v1alpha1.UsageRecord) bool {
	return same(a.Spec, b.Spec) && same(a.Status, b.Status)
}

// same tells whether two values are the same in the form that the API server stores.
func same(a, b any) bool {
	left, err := json.Marshal(a)
	if err != nil {
		return false
	}
	right, err := json.Marshal(b)
	return err == nil && bytes.Equal(left, right)
}

// sameMetadata tells whether two records have the same labels and annotations, but
// for note's: versions before did not write them, and what is Final stays as it is.
func sameMetadata(a, b *v1alpha1.UsageRecord) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(withoutNotes(a.Annotations), withoutNotes(b.Annotations))
}

func withoutNotes(annotations map[string]string) map[string]string {
	kept := maps.Clone(annotations)
	delete(kept, v1alpha1.AnnotationBytes)
	delete(kept, v1alpha1.AnnotationNamespace)
	return kept
}

// note sets annotations with the record's size and namespace, for an operator that reads
// only metadata after a restart.
func note(r *v1alpha1.UsageRecord) {
	if r.Annotations == nil {
		r.Annotations = map[string]string{}
	}
	r.Annotations[v1alpha1.AnnotationBytes] = strconv.FormatInt(record.Bytes(r), 10)
	if r.Namespace != r.Spec.Namespace {
		r.Annotations[v1alpha1.AnnotationNamespace] = r.Spec.Namespace
	}
}

// Size is how many records there are, and about how many bytes they take.
type Size struct {
	Records int
	Bytes   int64
}

// Sizes are those of the records there are, by the namespace whose usage it is and
// the start of their interval.
func (p *Publisher) Sizes() map[string]map[int64]Size { return p.index.sizes() }

func (p *Publisher) create(ctx context.Context, r *v1alpha1.UsageRecord) (string, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return version(p.write(p.client.Post(), r).Body(body).Do(ctx))
}

func (p *Publisher) update(ctx context.Context, r *v1alpha1.UsageRecord, resourceVersion string) (string, error) {
	r.ResourceVersion = resourceVersion
	defer func() { r.ResourceVersion = "" }()
	body, err := json.Marshal(r)
	if err != nil {
		return "", err
	}
	return version(p.write(p.client.Put(), r).Name(r.Name).Body(body).Do(ctx))
}

// write is a request that writes r, and is answered with its metadata.
func (p *Publisher) write(request *rest.Request, r *v1alpha1.UsageRecord) *rest.Request {
	return request.Namespace(r.Namespace).Resource(resource).Param("fieldManager", fieldManager).
		SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", metadataOnly)
}

func version(result rest.Result) (string, error) {
	raw, err := result.Raw()
	if err != nil {
		return "", result.Error()
	}
	var object metav1.PartialObjectMetadata
	if err := json.Unmarshal(raw, &object); err != nil {
		return "", err
	}
	return object.ResourceVersion, nil
}

// explain names the record, and tells a namespace that takes no records.
func explain(err error, r *v1alpha1.UsageRecord) error {
	if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) || apierrors.IsNotFound(err) {
		return fmt.Errorf("usage record %s/%s: %w: %w", r.Namespace, r.Name, ErrNamespaceGone, err)
	}
	return fmt.Errorf("usage record %s/%s: %w", r.Namespace, r.Name, err)
}

// Open are the keys of the Open records of intervals that started before the
// moment, in seconds since the epoch, other than those that Adopt has not looked at.
func (p *Publisher) Open(before int64) []record.Key { return p.index.open(before) }
