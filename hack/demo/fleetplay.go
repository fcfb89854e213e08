package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// perform has something happen in both clusters for two intervals, and compares.
func (f *fleet) perform(ctx context.Context) error {
	f.title("Two intervals")
	first := (time.Now().Unix()/interval + 1) * interval
	beyond := first + 2*interval
	f.say("  what is used from %s to %s is compared", clock(first), clock(beyond))
	for _, c := range f.clusters {
		for _, w := range c.workloads {
			if err := c.deploy(ctx, w); err != nil {
				return err
			}
			f.say("  %s  %s/%s: %d replicas of %s, %s", c.name, w.namespace, w.name, w.pods, w.cpu, w.memory)
		}
	}
	if err := f.until(ctx, first+interval/2); err != nil {
		return err
	}
	for _, c := range f.clusters {
		for _, w := range c.workloads {
			if w.later == w.pods {
				continue
			}
			if err := c.scale(ctx, w); err != nil {
				return err
			}
			f.say("  %s  %s/%s is scaled to %d", c.name, w.namespace, w.name, w.later)
		}
	}
	if err := f.until(ctx, beyond); err != nil {
		return err
	}
	for _, c := range f.clusters {
		if err := c.sealed(ctx, beyond); err != nil {
			return err
		}
	}
	return f.compare(ctx, first, beyond)
}

// until waits for a moment, in seconds since the epoch.
func (f *fleet) until(ctx context.Context, moment int64) error {
	f.say("  ... waiting until %s", clock(moment))
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(time.Unix(moment, 0))):
		return nil
	}
}

func (c *cluster) deploy(ctx context.Context, w workload) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: w.namespace}}
	labels := map[string]string{"app": w.name}
	held := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(w.cpu), corev1.ResourceMemory: resource.MustParse(w.memory)}
	return errors.Join(
		c.cluster.Create(ctx, namespace),
		c.cluster.Create(ctx, &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: w.name},
			Spec: appsv1.DeploymentSpec{Replicas: &w.pods, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: w.name, Image: "example.com/" + w.name, Resources: corev1.ResourceRequirements{Requests: held}}}},
			}},
		}))
}

func (c *cluster) scale(ctx context.Context, w workload) error {
	deployment := &appsv1.Deployment{}
	if err := c.cluster.Get(ctx, client.ObjectKey{Namespace: w.namespace, Name: w.name}, deployment); err != nil {
		return err
	}
	before := deployment.DeepCopy()
	deployment.Spec.Replicas = &w.later
	return c.cluster.Patch(ctx, deployment, client.MergeFrom(before))
}

// sealed waits until the cluster's operator has sealed all up to a moment, and the hub has it.
func (c *cluster) sealed(ctx context.Context, moment int64) error {
	return c.waitFor(ctx, c.name+" has sealed both, and the hub has them", func(ctx context.Context) (bool, error) {
		ledger := &v1alpha1.UsageLedger{}
		if err := c.cluster.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: v1alpha1.UsageLedgerName}, ledger); err != nil {
			return false, err
		}
		s := &ledger.Status
		if s.SealedTime == nil || s.SealedTime.Unix() < moment || s.Hub == nil || s.Hub.AcknowledgedTime == nil || s.Hub.AcknowledgedTime.Unix() < moment {
			return false, fmt.Errorf("sealed up to %v, hub %+v", s.SealedTime, s.Hub)
		}
		return true, nil
	})
}
