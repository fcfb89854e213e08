package verify_test

import (
	"encoding/json"
	"testing"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	usagereport "github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// windowOfReports is the first two of the ledger's hours.
func windowOfReports() v1alpha1.ReportWindow {
	start, end := metav1.Unix(began.Start, 0), metav1.Unix(began.End+3600, 0)
	return v1alpha1.ReportWindow{StartingOn: &start, EndingBefore: &end, ReportShape: v1alpha1.ReportShape{
		WindowSize: "hour", GroupBy: []v1alpha1.GroupKey{"namespace", "resource"},
	}}
}

// statusOfReport is what the operator would have a report say.
func statusOfReport(t *testing.T, window v1alpha1.ReportWindow, namespaces ...timeline.NamespaceRef) v1alpha1.UsageReportStatus {
	t.Helper()
	config := plane.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	store, err := usageblocks.New(config, httpClient, operatorNamespace)
	if err != nil {
		t.Fatal(err)
	}
	follower := timelines.New()
	if _, err := journal.New(journal.Options{Store: store, Clock: clock.RealClock{}, Log: logr.Discard(), Follower: follower}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	resolved, err := usagereport.Resolve(usagereport.Request{Window: &window, Namespaces: namespaces}, 0)
	if err != nil {
		t.Fatal(err)
	}
	tally, err := timeline.NewTally(resolved.Query)
	if err == nil {
		err = tally.Advance(follower.Snapshot(), follower.Snapshot().Sealed())
	}
	if err != nil {
		t.Fatal(err)
	}
	status, err := usagereport.Figures(resolved, tally)
	if err != nil {
		t.Fatal(err)
	}
	status.SealedTime, status.ObservedGeneration = window.EndingBefore, 1
	return *status
}

// kept makes an object, and its status, until the test ends.
func kept(t *testing.T, namespace, resource, name string, object any) {
	t.Helper()
	config := plane.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		t.Fatal(err)
	}
	client, err := restclient.New(config, httpClient)
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Post().NamespaceIfScoped(namespace, namespace != "").Resource(resource).Body(body).Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { etcdctl(t, "", "del", registry+resource+"/"+scoped(namespace, name)) })
	patch := client.Patch("application/merge-patch+json").NamespaceIfScoped(namespace, namespace != "").Resource(resource).Name(name).SubResource("status").Body(body)
	if err := patch.Do(t.Context()).Error(); err != nil {
		t.Fatal(err)
	}
}

func scoped(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

// A report of the cluster and one of a namespace, as they should be, and then not.
func TestReportsAreVerified(t *testing.T) {
	namespace, err := kubernetes.NewForConfigOrDie(plane.RESTConfig()).CoreV1().Namespaces().Get(t.Context(), shop.Namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	window := windowOfReports()
	meta := metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ClusterUsageReport"}
	kept(t, "", "clusterusagereports", "all", &v1alpha1.ClusterUsageReport{
		TypeMeta: meta, ObjectMeta: metav1.ObjectMeta{Name: "all"}, Spec: v1alpha1.ClusterUsageReportSpec{ReportWindow: window}, Status: statusOfReport(t, window),
	})
	meta.Kind = "UsageReport"
	// The ledger's shop is one that had the name before.
	own := timeline.NamespaceRef{Name: shop.Namespace, UID: string(namespace.UID)}
	kept(t, shop.Namespace, "usagereports", "own", &v1alpha1.UsageReport{
		TypeMeta: meta, ObjectMeta: metav1.ObjectMeta{Name: "own", Namespace: shop.Namespace},
		Spec: v1alpha1.UsageReportSpec{ReportWindow: window}, Status: statusOfReport(t, window, own),
	})
	if r := report(t); !r.OK() || r.Reports != 2 || r.ReportsLeft != 0 {
		t.Fatalf("%d reports, %d left out: %v", r.Reports, r.ReportsLeft, r.First)
	}
	t.Run("a quantity in the cluster's", func(t *testing.T) {
		changed(t, registry+"clusterusagereports/all", func(object map[string]any) {
			object["status"].(map[string]any)["rows"].([]any)[0].(map[string]any)["quantity"] = "0.25"
		})
		if d := report(t).First; d == nil || d.In != audit.InReport || d.Name != "all" || d.Field != "status.rows[0].quantity" || d.Found != `"0.25"` {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("the figures of the namespace that had the name before", func(t *testing.T) {
		before := statusOfReport(t, window, timeline.NamespaceRef{Name: shop.Namespace, UID: shop.NamespaceUID})
		changed(t, registry+"usagereports/shop/own", func(object map[string]any) { object["status"] = before })
		if d := report(t).First; d == nil || d.In != audit.InReport || d.Name != "shop/own" {
			t.Errorf("got %+v", d)
		}
	})
}
