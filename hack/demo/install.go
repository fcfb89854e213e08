package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/test/crds"
)

const (
	operatorNamespace = "usage-system"
	operatorName      = "usage-operator"
	operatorUser      = "system:serviceaccount:" + operatorNamespace + ":" + operatorName
)

// install installs the CRDs of what is metered, and what config/default installs, except the Deployment: there is no
// container runtime here, so the operator runs as a process.
func (s *stage) install(ctx context.Context) error {
	s.say("  installing the CRDs of what is metered")
	if err := crds.Install(ctx, s.plane.RESTConfig()); err != nil {
		return err
	}
	s.say("  installing config/default: CRDs, roles, admission policy")
	rendered, err := s.plane.Kubectl(ctx, "kustomize", filepath.Join(s.checkout, "config", "default"))
	if err != nil {
		return err
	}
	manifests := s.path("install.yaml")
	if err := os.WriteFile(manifests, []byte(withoutDeployment(rendered)), 0o600); err != nil {
		return err
	}
	if _, err := s.plane.Kubectl(ctx, "apply", "--server-side", "-f", manifests); err != nil {
		return err
	}
	if err := s.waitFor(ctx, "the roles are in force", s.mayMeter); err != nil {
		return err
	}
	if err := s.waitFor(ctx, "the admission policy is in force", s.mayNotForge); err != nil {
		return err
	}
	s.say("  from here on the operator alone can write a UsageRecord: this demo cannot,\n  though it is an administrator")
	return nil
}

func withoutDeployment(manifests string) string {
	var kept []string
	for document := range strings.SplitSeq(manifests, "\n---\n") {
		if !strings.Contains("\n"+document, "\nkind: Deployment\n") {
			kept = append(kept, document)
		}
	}
	return strings.Join(kept, "\n---\n")
}

// mayMeter tells whether the operator may read what its meters read: the control plane puts its role together.
func (s *stage) mayMeter(ctx context.Context) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: operatorUser,
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: "watch", Group: "kubevirt.io", Resource: "virtualmachineinstances",
		},
	}}
	err := s.cluster.Create(ctx, review)
	return review.Status.Allowed, err
}

// mayNotForge tells whether an administrator is refused who writes a record.
func (s *stage) mayNotForge(ctx context.Context) (bool, error) {
	start := time.Unix(0, 0).UTC()
	forged := &v1alpha1.UsageRecord{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "forged"},
		Spec: v1alpha1.UsageRecordSpec{
			Namespace: "default", Deployment: "forged", StartTime: metav1.NewTime(start), EndTime: metav1.NewTime(start.Add(time.Hour)),
		},
		Status: v1alpha1.UsageRecordStatus{
			Phase: v1alpha1.PhaseFinal, Accuracy: v1alpha1.AccuracyExact, Parts: 1, Digest: "sha256:" + strings.Repeat("0", 64),
		},
	}
	err := s.cluster.Create(ctx, forged, client.DryRunAll)
	if err == nil {
		return false, nil
	}
	if apierrors.IsForbidden(err) && strings.Contains(err.Error(), "only usage-operator writes UsageRecords") {
		return true, nil
	}
	return false, err
}

// waitUntilMetering waits until every built-in meter is there, and sees every object of its kind.
func (s *stage) waitUntilMetering(ctx context.Context) error {
	builtIn, err := config.Meters()
	if err != nil {
		return err
	}
	return s.waitFor(ctx, "every meter is Ready", func(ctx context.Context) (bool, error) {
		meters := &v1alpha1.UsageMeterList{}
		if err := s.cluster.List(ctx, meters); err != nil {
			return false, err
		}
		for i := range meters.Items {
			if !meta.IsStatusConditionTrue(meters.Items[i].Status.Conditions, v1alpha1.ConditionReady) {
				return false, fmt.Errorf("UsageMeter %s is not Ready: %v", meters.Items[i].Name, meters.Items[i].Status.Conditions)
			}
		}
		return len(meters.Items) == len(builtIn), nil
	})
}

const (
	// waitPatience is for a slow machine that compiles something else at the same time.
	waitPatience = 90 * time.Second
	poll         = 100 * time.Millisecond
	tellAfter    = 2 * time.Second
	tellEvery    = 5 * time.Second
)

// waitFor waits until a condition holds, and says so when that takes long. An error passes, or is why it took too long.
func (s *stage) waitFor(ctx context.Context, what string, condition wait.ConditionWithContextFunc) error {
	start := time.Now()
	next := start.Add(tellAfter)
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll, waitPatience, true, func(ctx context.Context) (bool, error) {
		if now := time.Now(); now.After(next) {
			s.say("  ... waiting until %s: %s", what, now.Sub(start).Round(time.Second))
			next = now.Add(tellEvery)
		}
		done, err := condition(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return done && err == nil, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() == nil:
		return fmt.Errorf("waited for %s until %s, in vain: %w", waitPatience, what, orNothing(last))
	}
	return fmt.Errorf("wait until %s: %w", what, err)
}

var errNothing = errors.New("no error was reported")

func orNothing(err error) error {
	if err == nil {
		return errNothing
	}
	return err
}
