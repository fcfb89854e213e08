package publisher

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// atOnce is how many requests Prune and Adopt have under way at most.
const atOnce = 16

// each does something with every name, atOnce at a time, until ctx is done. The
// error is one of those that there were, and how many more.
func each(ctx context.Context, names []types.NamespacedName, do func(types.NamespacedName) error) (done int, err error) {
	var mu sync.Mutex
	var first error
	var succeeded, failed atomic.Int64
	workqueue.ParallelizeUntil(ctx, atOnce, len(names), func(i int) {
		if err := do(names[i]); err != nil {
			failed.Add(1)
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
			return
		}
		succeeded.Add(1)
	})
	switch n := failed.Load(); {
	case n > 1:
		first = fmt.Errorf("%w; and %d more", first, n-1)
	case n == 0 && ctx.Err() != nil:
		first = ctx.Err()
	}
	return int(succeeded.Load()), first
}

// Prune deletes every record whose interval started before the moment of the
// namespace whose usage it is, in seconds since the epoch. It returns how many it
// deleted; what it cannot delete is left to the next call.
func (p *Publisher) Prune(ctx context.Context, before func(namespace string) int64) (int, error) {
	return each(ctx, p.index.before(before), func(name types.NamespacedName) error { return p.delete(ctx, name) })
}

// Adopt finds out whose the records are that an earlier run left Open, of
// intervals that started in [from, before), in seconds since the epoch. One of an interval
// that there is not is deleted: that run had intervals of another length. It
// returns the keys of the others.
func (p *Publisher) Adopt(ctx context.Context, from, before int64, there func(usage.Window) bool) ([]record.Key, error) {
	var mu sync.Mutex
	var keys []record.Key
	_, err := each(ctx, p.index.unclaimed(from, before), func(name types.NamespacedName) error {
		existing := &v1alpha1.UsageRecord{}
		err := p.client.Get().Namespace(name.Namespace).Resource(resource).Name(name.Name).Do(ctx).Into(existing)
		if apierrors.IsNotFound(err) {
			return nil // the watch tells
		}
		if err != nil {
			return fmt.Errorf("read usage record %s: %w", name, err)
		}
		key := keyOf(existing)
		if existing.Status.Phase != v1alpha1.PhaseFinal && !there(key.Interval) {
			if err := p.deleteUnchanged(ctx, existing); !apierrors.IsConflict(err) {
				return err
			}
			return nil // somebody has written it since
		}
		if p.index.claim(name, key, 0) {
			mu.Lock()
			defer mu.Unlock()
			keys = append(keys, key)
		}
		return nil
	})
	return keys, err
}

// keyOf is whose and of which interval a record is.
func keyOf(r *v1alpha1.UsageRecord) record.Key {
	return record.Key{
		Account:  usage.Account{Namespace: r.Spec.Namespace, NamespaceUID: r.Spec.NamespaceUID, Deployment: r.Spec.Deployment},
		Interval: usage.Window{Start: r.Spec.StartTime.Unix(), End: r.Spec.EndTime.Unix()},
	}
}

// deleteParts deletes the parts from the given number on.
func (p *Publisher) deleteParts(ctx context.Context, in record.Input, from int) error {
	for part := from; ; part++ {
		name := types.NamespacedName{Namespace: in.Namespace, Name: record.Name(in, part)}
		known, ok := p.index.get(name)
		if !ok || known.final || known.key != in.Key && known.key != (record.Key{}) {
			return nil
		}
		if err := p.delete(ctx, name); err != nil {
			return err
		}
	}
}

// delete deletes a record, as it is or not.
func (p *Publisher) delete(ctx context.Context, name types.NamespacedName) error {
	return p.remove(ctx, name, metav1.DeleteOptions{})
}

// deleteUnchanged deletes a record that was read, and not one that it has become since.
func (p *Publisher) deleteUnchanged(ctx context.Context, r *v1alpha1.UsageRecord) error {
	name := types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
	return p.remove(ctx, name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &r.UID, ResourceVersion: &r.ResourceVersion}})
}

func (p *Publisher) remove(ctx context.Context, name types.NamespacedName, options metav1.DeleteOptions) error {
	options.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}
	body, err := json.Marshal(options)
	if err != nil {
		return err
	}
	// The watch is to find nothing of ours missing.
	forgotten, known := p.index.forget(name)
	err = p.client.Delete().Namespace(name.Namespace).Resource(resource).Name(name.Name).Body(body).
		SetHeader("Content-Type", runtime.ContentTypeJSON).SetHeader("Accept", metadataOnly).Do(ctx).Error()
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	if known {
		p.index.restore(name, forgotten)
	}
	return fmt.Errorf("delete usage record %s: %w", name, err)
}
