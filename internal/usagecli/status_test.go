package usagecli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// withLedger is the cluster of the other tests, which answers requests for the UsageLedger so.
func withLedger(t *testing.T, code int, answer any) *httptest.Server {
	t.Helper()
	rest := cluster(t).Config.Handler
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/apis/metering.usage-operator.dev/v1alpha1/namespaces/usage-system/usageledgers/usage-operator" {
			rest.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestStatusSaysWhatTheLedgerTakes(t *testing.T) {
	size := func(used, limit string) *v1alpha1.LedgerSize {
		return &v1alpha1.LedgerSize{Used: resource.MustParse(used), Limit: new(resource.MustParse(limit))}
	}
	ledgerOf := func(written time.Time) *v1alpha1.UsageLedger {
		l := &v1alpha1.UsageLedger{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageLedger"}}
		l.Status = v1alpha1.UsageLedgerStatus{
			ObservedTime: metav1.NewTime(written), Leader: "usage-operator-1", Journal: size("412Mi", "1Gi"), Memory: size("230Mi", "1Gi"),
			Archive: &v1alpha1.LedgerArchive{ThroughTime: &metav1.Time{Time: time.Unix(day, 0)}}, Hub: &v1alpha1.LedgerHub{LagSeconds: new(int64(34))},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionWithinLimits, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonJournalNearBudget, Message: "make --journal-budget larger"},
				{Type: v1alpha1.ConditionShipped, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonHubBehind},
			},
		}
		growth := resource.MustParse("3Mi")
		l.Status.Journal.GrowthPerDay, l.Status.Journal.LimitTime = &growth, &metav1.Time{Time: time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)}
		return l
	}
	refused := metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure}
	forbidden, missing := refused, refused
	forbidden.Reason, forbidden.Code = metav1.StatusReasonForbidden, http.StatusForbidden
	missing.Reason, missing.Code = metav1.StatusReasonNotFound, http.StatusNotFound
	fresh := time.Date(2026, 11, 4, 11, 59, 0, 0, time.UTC) // a minute before the tests' now
	for name, c := range map[string]struct {
		code   int
		answer any
		says   []string
	}{
		"what it takes": {http.StatusOK, ledgerOf(fresh), []string{
			"leader           usage-operator-1\n", "journal          412Mi of 1Gi, grows 3Mi a day, full on 2027-03-01\n", "records          unknown\n", "memory           230Mi of 1Gi\n",
			"archived up to   2026-11-01T00:00:00Z\n", "hub              34s behind\n", "! UsageLedger: JournalNearBudget: make --journal-budget larger\n",
		}},
		"neither archive nor hub": {http.StatusOK, &v1alpha1.UsageLedger{TypeMeta: ledgerOf(fresh).TypeMeta}, []string{"archive          none: --archive is not set\n", "hub              none: --hub-url is not set\n", "journal          unknown\n"}},
		"not written for long":    {http.StatusOK, ledgerOf(fresh.Add(-time.Hour)), []string{"! no replica meters: the UsageLedger was last written at 2026-11-04T10:59:00Z\n"}},
		"not visible":             {http.StatusForbidden, forbidden, []string{"journal, memory   not visible to you: ask for the ClusterRole usage-operator-auditor\n"}},
		"none":                    {http.StatusNotFound, missing, []string{"journal, memory   unknown: there is no UsageLedger in namespace usage-system yet"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, out, stderr := run("status", "--kubeconfig="+kubeconfig(t, withLedger(t, c.code, c.answer), "shop", "shop"))
			for _, says := range c.says {
				if !strings.Contains(out, says) {
					t.Errorf("it does not say %q:\n%s\n%s", says, out, stderr)
				}
			}
		})
	}
}
