package installcheck

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	builtin "github.com/usage-operator/usage-operator/config"
)

// shown is how many meters are named.
const shown = 5

// tally is how the meters get on.
type tally struct {
	ready, waiting, suspended, quarantining, deleted int
	// wrong are those that do not meter, with why.
	wrong []string
	// first is the first of them, and reason is its.
	first, reason string
}

// meters is whether each UsageMeter meters, waits for its kind, or was suspended or deleted by a person.
func (at *cluster) meters(ctx context.Context) finding {
	f := finding{name: "meters"}
	list := &v1alpha1.UsageMeterList{}
	if err := at.objects.List(ctx, list); err != nil {
		f.said, f.next = "not known: "+err.Error(), "where the kinds are served, "+asOperator
		return f
	}
	t := &tally{}
	there := map[string]bool{}
	for i := range list.Items {
		there[list.Items[i].Name] = true
		t.count(&list.Items[i])
	}
	missing, err := at.missing(ctx, there, t)
	switch {
	case err != nil:
		f.said, f.next = "which of the built-in ones were created is not known: "+err.Error(), asOperator
	case len(missing) > 0:
		f.said, f.next = "built-in ones were never created: "+some(missing), at.pods()
	case len(list.Items) == 0:
		f.said = "there is none: nothing is metered"
		f.next = "apply those that you need, such as meters.yaml of the release, or run the operator with --install-meters"
	case len(t.wrong) > 0:
		f.said, f.next = fmt.Sprintf("%d of %d do not meter: %s", len(t.wrong), len(list.Items), some(t.wrong)), t.next()
	default:
		f.said = t.String()
	}
	return f
}

// missing are built-in meters that are not there, and that no person has deleted.
func (at *cluster) missing(ctx context.Context, there map[string]bool, t *tally) (names []string, err error) {
	if !at.builtIn {
		return nil, nil
	}
	meters, err := builtin.Meters()
	if err != nil {
		return nil, err
	}
	created, err := at.configMaps.Get(ctx, builtin.CreatedMeters, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		created = &corev1.ConfigMap{} // the operator has created none
	case err != nil:
		return nil, err
	}
	for _, m := range meters {
		name := m.GetName()
		if there[name] {
			continue
		}
		if _, before := created.Data[name]; before {
			t.deleted++
			continue
		}
		names = append(names, name)
	}
	return names, nil
}

func (t *tally) count(m *v1alpha1.UsageMeter) {
	ready := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionReady)
	reason := "not taken up"
	if ready != nil && m.Status.ObservedGeneration == m.Generation {
		reason = ready.Reason
	}
	switch {
	case reason == v1alpha1.ReasonSuspended:
		t.suspended++
	case reason == v1alpha1.ReasonTargetNotInstalled:
		t.waiting++
	case reason != "not taken up" && ready.Status == metav1.ConditionTrue:
		t.ready++
		if m.Status.Quarantined > 0 { // of one object that a tenant made wrong, the installation is not
			t.quarantining++
		}
	default:
		t.wrong = append(t.wrong, fmt.Sprintf("%s (%s)", m.Name, reason))
		t.first, t.reason = cmp.Or(t.first, m.Name), cmp.Or(t.reason, reason)
	}
}

func (t *tally) next() string {
	if t.reason == v1alpha1.ReasonAccessDenied {
		return "kubectl get usagemeters -o wide: the message says which right is missing; a ClusterRole with the label " +
			"metering.usage-operator.dev/aggregate-to-manager: \"true\" gives it"
	}
	return "kubectl describe usagemeter " + t.first + ": its conditions say why"
}

func (t *tally) String() string {
	parts := []string{fmt.Sprintf("%d are Ready", t.ready)}
	for _, part := range []struct {
		count int
		what  string
	}{
		{t.waiting, "wait for kinds that are not installed"}, {t.suspended, "suspended"}, {t.deleted, "deleted by someone"},
		{t.quarantining, "cannot read some objects: kubectl get usagemeters"},
	} {
		if part.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.count, part.what))
		}
	}
	return strings.Join(parts, "; ")
}

// some names the first few.
func some(names []string) string {
	if more := len(names) - shown; more > 0 {
		return strings.Join(names[:shown], ", ") + fmt.Sprintf(", and %d more", more)
	}
	return strings.Join(names, ", ")
}
