package usagecli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// What a report said before it was changed is the answer to another question: it is not shown, and
// not taken for complete.
func TestAReportThatWasChangedIsNotWhatItSaidBefore(t *testing.T) {
	var reads atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report := v1alpha1.UsageReport{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageReport"}}
		report.Generation, report.Status.ObservedGeneration = 2, 1
		sum := "1"
		if reads.Add(1) > 3 { // the operator has seen it
			report.Status.ObservedGeneration, sum = 2, "2"
		}
		status := &report.Status
		status.Window = &v1alpha1.TimeWindow{StartTime: metav1.Unix(day, 0), EndTime: metav1.Unix(day+3600, 0)}
		status.Coverage, status.RowCount = &v1alpha1.ReportCoverage{Percent: "100"}, new(int64(1))
		status.Totals = []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: sum, Unit: "core-hour"}}
		status.Rows = []v1alpha1.ReportRow{{TimeWindow: *status.Window, Quantity: sum, Unit: "core-hour", Accuracy: v1alpha1.AccuracyExact}}
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue, Reason: "Sealed"}}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(report)
	}))
	t.Cleanup(server.Close)
	shop := "--kubeconfig=" + kubeconfig(t, server, "shop", "shop")
	const quantity = "-o=jsonpath={.rows[*].quantity}"
	status, out, stderr := run("report", "november", quantity, shop)
	if status != exitFailed || out != "" || !strings.Contains(stderr, "report november was changed, and has not been made since: --wait waits for it") {
		t.Errorf("status %d, %q, %s", status, out, stderr)
	}
	if status, out, stderr := run("report", "november", "--wait", quantity, shop); status != exitDone || out != "2" {
		t.Errorf("when it is waited for: status %d, %q, %s", status, out, stderr)
	}
}
