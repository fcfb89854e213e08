// Package publisher writes usage records to the API server, and knows what it
// has written: a record that somebody edits or deletes is found out by its
// resourceVersion, without keeping records in memory.
package publisher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
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
		if err := p.put(ctx, in.Key, r); err != nil {
			return err
		}
	}
	return p.deleteParts(ctx, in, len(records))
}

// put writes one record, unless it is as it should be.
func (p *Publisher) put(ctx context.Context, key record.Key, r *v1alpha1.UsageRecord) error {
	name := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	known, ok := p.index.get(name)
	if ok && known.asWritten(r) {
		p.index.claim(name, key)
		return nil
	}
	var version string
	var err error
	switch {
	case !ok:
		version, err = p.create(ctx, r)
	case known.written == "", known.final:
		version, err = p.reconcile(ctx, r)
	default:
		version, err = p.update(ctx, r, known.seen)
	}
	if apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		version, err = p.reconcile(ctx, r)
	}
	if err != nil {
		return explain(err, r)
	}
	written.WithLabelValues(string(r.Status.Phase)).Inc()
	if overwritten := p.index.wrote(name, key, r, version, record.Bytes(r)); overwritten {
		return p.put(ctx, key, r)
	}
	return nil
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
	case existing.Status.Phase != v1alpha1.PhaseFinal:
		return p.update(ctx, r, existing.ResourceVersion)
	case existing.Status.Digest != r.Status.Digest:
		// Sealed is final: it is not for the operator to say which of the two is right.
		alarms.Inc()
		p.log.Error(nil, "a Final record says something else than the ledger: keeping it; usage-operator verify tells what differs",
			"namespace", r.Namespace, "name", r.Name, "digest", existing.Status.Digest, "computed", r.Status.Digest)
		return existing.ResourceVersion, nil
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

// sameContent tells whether two records say the same, in the form that the API
// server stores.
func sameContent(a, b *v1alpha1.UsageRecord) bool {
	left, err := json.Marshal([]any{a.Spec, a.Status})
	if err != nil {
		return false
	}
	right, err := json.Marshal([]any{b.Spec, b.Status})
	return err == nil && string(left) == string(right)
}

func sameMetadata(a, b *v1alpha1.UsageRecord) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// Adopt finds out whose the records are that an earlier run left Open in the
// interval that starts then.
func (p *Publisher) Adopt(ctx context.Context, start int64) ([]record.Key, error) {
	var keys []record.Key
	for _, name := range p.index.unclaimed(start) {
		existing := &v1alpha1.UsageRecord{}
		err := p.client.Get().Namespace(name.Namespace).Resource(resource).Name(name.Name).Do(ctx).Into(existing)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return keys, fmt.Errorf("read usage record %s: %w", name, err)
		}
		spec := &existing.Spec
		key := record.Key{
			Account:  usage.Account{Namespace: spec.Namespace, NamespaceUID: spec.NamespaceUID, Deployment: spec.Deployment},
			Interval: usage.Window{Start: spec.StartTime.Unix(), End: spec.EndTime.Unix()},
		}
		p.index.claim(name, key)
		keys = append(keys, key)
	}
	return keys, nil
}

// Sizes are how many records there are, and about how many bytes they take, by
// the start of their interval.
func (p *Publisher) Sizes() (records map[int64]int, bytes map[int64]int64) { return p.index.sizes() }

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

// deleteParts deletes the parts from the given number on.
func (p *Publisher) deleteParts(ctx context.Context, in record.Input, from int) error {
	for part := from; ; part++ {
		name := types.NamespacedName{Namespace: in.Namespace, Name: record.Name(in, part)}
		known, ok := p.index.get(name)
		if !ok || known.final {
			return nil
		}
		if err := p.delete(ctx, name); err != nil {
			return err
		}
	}
}

func (p *Publisher) delete(ctx context.Context, name types.NamespacedName) error {
	p.index.forget(name)
	err := p.client.Delete().Namespace(name.Namespace).Resource(resource).Name(name.Name).
		SetHeader("Accept", metadataOnly).Do(ctx).Error()
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete usage record %s: %w", name, err)
	}
	return nil
}

// Open are the keys of the Open records of the interval that starts then.
func (p *Publisher) Open(start int64) []record.Key { return p.index.open(start) }

// Prune deletes every record whose interval started before the moment, in
// seconds since the epoch. It returns how many it deleted.
func (p *Publisher) Prune(ctx context.Context, before int64) (int, error) {
	names := p.index.before(before)
	for i, name := range names {
		if err := p.delete(ctx, name); err != nil {
			return i, err
		}
	}
	return len(names), nil
}
