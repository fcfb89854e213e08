package installcheck

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// leaseName is the Lease that the replica holds that meters.
const leaseName = "usage-operator"

// leaseGrace is what may pass since the leader renewed its Lease, and how much clocks may differ.
const leaseGrace = time.Minute

// applyAll brings the kinds.
const applyAll = "helm upgrade with crds.install=true, or kubectl apply --server-side -f install.yaml: both bring the kinds up to date"

// asOperator is what to do where a right is missing.
const asOperator = "run this with the operator's service account, and its own namespace as --namespace"

// needed are the kinds of the operator's own API.
func needed(scheme *runtime.Scheme) (kinds []string) {
	known := scheme.KnownTypes(v1alpha1.GroupVersion)
	for kind := range known {
		if _, is := known[kind+"List"]; is {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// mapper knows the operator's own kinds, so that reading them asks for nothing else.
func mapper(scheme *runtime.Scheme) meta.RESTMapper {
	known := meta.NewDefaultRESTMapper(nil)
	for _, kind := range needed(scheme) {
		scope := meta.RESTScopeNamespace
		if kind == "UsageMeter" || strings.HasPrefix(kind, "Cluster") {
			scope = meta.RESTScopeRoot
		}
		known.Add(v1alpha1.GroupVersion.WithKind(kind), scope)
	}
	return known
}

// served is whether the kinds are there, in the version that this program knows.
func (at *cluster) served(context.Context) finding {
	f := finding{name: "kinds"}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		f.said, f.next = err.Error(), "report this"
		return f
	}
	list, err := at.kinds.ServerResourcesForGroupVersion(v1alpha1.GroupVersion.String())
	if err != nil && !apierrors.IsNotFound(err) {
		f.said, f.next = "the API server does not say which kinds there are: "+err.Error(), "see whether the API server can be reached from this pod"
		return f
	}
	var there []string
	if err == nil {
		for _, r := range list.APIResources {
			there = append(there, r.Kind)
		}
	}
	kinds := needed(scheme)
	missing := slices.DeleteFunc(slices.Clone(kinds), func(kind string) bool { return slices.Contains(there, kind) })
	if len(missing) > 0 {
		f.said = fmt.Sprintf("not served in %s: %s", v1alpha1.GroupVersion, strings.Join(missing, ", "))
		f.next = applyAll
		return f
	}
	f.said = fmt.Sprintf("all %d are served in %s", len(kinds), v1alpha1.GroupVersion)
	return f
}

// leader is whether a replica meters.
func (at *cluster) leader(ctx context.Context) finding {
	f := finding{name: "leader", next: at.pods()}
	lease, err := at.leases.Get(ctx, leaseName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		f.said = fmt.Sprintf("no replica has metered yet: there is no Lease %s in namespace %s", leaseName, at.Namespace)
		return f
	case apierrors.IsForbidden(err):
		f.said, f.next = "not known: "+err.Error(), asOperator
		return f
	case err != nil:
		f.said, f.next = "not known: "+err.Error(), "see whether the API server can be reached from this pod"
		return f
	}
	holder, _, _ := strings.Cut(ptr.Deref(lease.Spec.HolderIdentity, ""), "_") // the pod's name is before it
	renewed := ptr.Deref(lease.Spec.RenewTime, metav1.MicroTime{})
	ago := at.Clock.Since(renewed.Time).Round(time.Second)
	switch {
	case holder == "":
		f.said = "no replica meters: the last one gave the Lease back, " + ago.String() + " ago"
	case ago > leaseGrace:
		f.said = fmt.Sprintf("no replica meters: %s renewed the Lease last %s ago", holder, ago)
	case ago < -leaseGrace:
		f.said = fmt.Sprintf("%s renewed the Lease in the future, in %s: the clocks of two nodes differ", holder, -ago)
		f.next = "set the clocks of the nodes right: records are no better than they are"
	default:
		f.said, f.next = fmt.Sprintf("%s renewed its Lease %s ago", holder, max(ago, 0)), ""
	}
	return f
}
