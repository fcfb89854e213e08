package account

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// driver does what the script says. What comes of it is the witness's matter: a request
// may be refused, or its answer lost.
type driver struct {
	client.Client
	background      sync.WaitGroup
	done, refused   atomic.Int64
	log             func(format string, args ...any)
	recreatePending atomic.Bool
}

// requestPatience is how long a request may take: the API server may be away.
const requestPatience = 20 * time.Second

// play does the steps, until they are done or ctx is.
func (d *driver) play(ctx context.Context, steps []step) {
	defer d.background.Wait()
	for i := range steps {
		s := &steps[i]
		until := time.Now().Add(s.after)
		if s.boundary {
			next := time.Now().Truncate(interval * time.Second).Add(interval * time.Second)
			if left := time.Until(next); left < 20*time.Second {
				until = next.Add(-400 * time.Millisecond)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(until)):
		}
		d.log("%s", s)
		d.perform(ctx, s)
	}
}

// perform does one step.
func (d *driver) perform(ctx context.Context, s *step) {
	if s.recreate {
		d.recreate(ctx, s.namespace)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	var err error
	switch s.verb {
	case put:
		if err = d.make(ctx, s); apierrors.IsAlreadyExists(err) {
			err = d.change(ctx, s)
		}
	case change:
		if err = d.change(ctx, s); apierrors.IsNotFound(err) {
			err = d.make(ctx, s)
		}
	case remove:
		policy := metav1.DeletionPropagation(s.cascade)
		err = d.Delete(ctx, s.object(), &client.DeleteOptions{PropagationPolicy: &policy})
	}
	if err != nil {
		d.refused.Add(1)
		d.log("refused: %v", err)
		return
	}
	d.done.Add(1)
}

// object is the step's object, by its name.
func (s *step) object() *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(s.kind.apiVersion)
	o.SetKind(s.kind.name)
	o.SetName(s.name)
	o.SetNamespace(s.namespace)
	return o
}

func (d *driver) make(ctx context.Context, s *step) error {
	o := s.object()
	if err := yaml.Unmarshal([]byte(filled(s.text)), &o.Object); err != nil {
		return err
	}
	labels := o.GetLabels()
	named := s.object()
	for field, value := range o.Object {
		if _, known := named.Object[field]; !known {
			named.Object[field] = value
		}
	}
	named.SetLabels(labels)
	named.SetAnnotations(o.GetAnnotations())
	if s.kind.owner != "" {
		owner, err := d.owner(ctx, s)
		if err != nil {
			return err
		}
		named.SetOwnerReferences(owner)
	}
	return d.Create(ctx, named)
}

// owner is the reference to the object that controls the step's; none, when there is
// no such object.
func (d *driver) owner(ctx context.Context, s *step) ([]metav1.OwnerReference, error) {
	o := s.object()
	o.SetKind(s.kind.owner)
	if err := d.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	controls := true
	return []metav1.OwnerReference{{APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Name: o.GetName(), UID: o.GetUID(), Controller: &controls}}, nil
}

func (d *driver) change(ctx context.Context, s *step) error {
	raw, err := yaml.YAMLToJSON([]byte(filled(s.patch)))
	if err != nil {
		return err
	}
	patch := client.RawPatch(types.MergePatchType, raw)
	if s.kind.name == "Pod" { // whose lists are merged by name
		patch = client.RawPatch(types.StrategicMergePatchType, raw)
	}
	if s.subresource != "" {
		return d.SubResource(s.subresource).Patch(ctx, s.object(), patch)
	}
	return d.Patch(ctx, s.object(), patch)
}

func filled(text string) string { return strings.ReplaceAll(text, now, rfc3339(time.Now())) }

func namespaceNamed(name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion("v1")
	o.SetKind("Namespace")
	o.SetName(name)
	return o
}

// recreate deletes a namespace, and makes it again as soon as it is gone.
func (d *driver) recreate(ctx context.Context, name string) {
	if d.recreatePending.Swap(true) {
		return
	}
	d.background.Go(func() {
		defer d.recreatePending.Store(false)
		_ = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			err := d.Delete(ctx, namespaceNamed(name))
			return err == nil || apierrors.IsNotFound(err), nil
		})
		_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			return d.Create(ctx, namespaceNamed(name)) == nil, nil
		})
		d.done.Add(2)
	})
}
