package audit_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/timelines"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// reported are what a world's reports say.
type reported []*audit.PublishedReport

func (r reported) List(_ context.Context, each func(*audit.PublishedReport) error) error {
	for _, p := range r {
		if err := each(p); err != nil {
			return err
		}
	}
	return nil
}

func (r reported) Namespaces(context.Context) (map[string]string, error) {
	return map[string]string{"shop": "uid-shop"}, nil
}

// reportAfter is a report of the namespace shop, or of the cluster, as it was when
// the journal had so many blocks.
func (w *world) reportAfter(t *testing.T, blocks uint64, namespace string, window v1alpha1.ReportWindow, forge ...func(*v1alpha1.UsageReportStatus)) *audit.PublishedReport {
	t.Helper()
	then := w.copy()
	maps.DeleteFunc(then.blocks, func(key journal.Key, _ journal.Stored) bool { return key.To > blocks })
	follower := timelines.New()
	if _, err := journal.New(journal.Options{Store: then, Clock: w.clock, Log: logr.Discard(), Follower: follower}).Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	request := report.Request{Window: &window}
	if namespace != "" {
		request.Namespaces = []timeline.NamespaceRef{{Name: namespace, UID: "uid-" + namespace}}
	}
	resolved, err := report.Resolve(request, now)
	if err != nil {
		t.Fatal(err)
	}
	snapshot := follower.Snapshot()
	tally, err := timeline.NewTally(resolved.Query)
	if err == nil {
		err = tally.Advance(snapshot, snapshot.Sealed())
	}
	if err != nil {
		t.Fatal(err)
	}
	status, err := report.Figures(resolved, tally)
	if err != nil {
		t.Fatal(err)
	}
	sealed := metav1.Unix(min(snapshot.Sealed(), resolved.Window.End), 0)
	status.SealedTime, status.ObservedGeneration, status.LastReportTime = &sealed, 1, &sealed
	for _, change := range forge {
		change(status)
	}
	p := &audit.PublishedReport{}
	p.Metadata.Namespace, p.Metadata.Name, p.Metadata.Generation = namespace, fmt.Sprint("after-", blocks), 1
	if p.Spec, err = json.Marshal(v1alpha1.UsageReportSpec{ReportWindow: window}); err == nil {
		p.Status, err = json.Marshal(status)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func windowOf(shape v1alpha1.ReportShape) v1alpha1.ReportWindow {
	start, end := metav1.Unix(hour0, 0), metav1.Unix(hour0+4*hour, 0)
	return v1alpha1.ReportWindow{ReportShape: shape, StartingOn: &start, EndingBefore: &end}
}

// A report that was right when it was made is right, whatever was sealed and
// corrected since then.
func TestReportsAreRightAsOfTheirSeal(t *testing.T) {
	w := threeHours(t)
	var reports reported
	for blocks := uint64(1); blocks <= 5; blocks++ {
		for _, namespace := range []string{"", "shop"} {
			reports = append(reports,
				w.reportAfter(t, blocks, namespace, windowOf(v1alpha1.ReportShape{})),
				w.reportAfter(t, blocks, namespace, windowOf(v1alpha1.ReportShape{WindowSize: "hour", GroupBy: []v1alpha1.GroupKey{"resource", "container"}, Zeros: "Fill"})),
				w.reportAfter(t, blocks, namespace, windowOf(v1alpha1.ReportShape{GroupBy: []v1alpha1.GroupKey{"deployment", "namespace"}, Limit: 1})),
				w.reportAfter(t, blocks, namespace, v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "day"}, ReportShape: v1alpha1.ReportShape{WindowSize: "hour", TimeZone: "Europe/Berlin"}}),
			)
		}
	}
	result := w.verify(t, func(in *audit.Input) { in.Reports = reports })
	if !result.OK() || result.Reports != len(reports) || result.ReportsLeft != 0 {
		t.Errorf("%d of %d reports: %v, %v", result.Reports, len(reports), result.First, result.Differences)
	}
	w.clock.Step(40 * 24 * time.Hour) // a period is the one that the report was about
	if result = w.verify(t, func(in *audit.Input) { in.Reports = reports }); !result.OK() {
		t.Errorf("later: %v", result.First)
	}
}

func TestAReportThatSomebodyWrote(t *testing.T) {
	w := threeHours(t)
	shape := v1alpha1.ReportShape{WindowSize: "hour", GroupBy: []v1alpha1.GroupKey{"deployment"}}
	for field, forge := range map[string]func(*v1alpha1.UsageReportStatus){
		"status.rows[1].quantity": func(s *v1alpha1.UsageReportStatus) { s.Rows[1].Quantity = "0.000001" },
		"status.rows[0].accuracy": func(s *v1alpha1.UsageReportStatus) { s.Rows[0].Accuracy = "Partial" },
		"status.totals[0].exact":  func(s *v1alpha1.UsageReportStatus) { s.Totals[0].Exact = "1" },
		"status.summary":          func(s *v1alpha1.UsageReportStatus) { s.Summary = "nothing" },
		"status.digest":           func(s *v1alpha1.UsageReportStatus) { s.Digest = "sha256:" + strings.Repeat("0", 64) },
		"status.sealedTime": func(s *v1alpha1.UsageReportStatus) {
			later := metav1.Unix(hour0+4*hour, 0)
			s.SealedTime = &later
		},
		"status.conditions": func(s *v1alpha1.UsageReportStatus) {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionComplete, Status: metav1.ConditionTrue}}
		},
		"status.coverage.percent": func(s *v1alpha1.UsageReportStatus) { s.Coverage.Percent = "100" },
	} {
		t.Run(field, func(t *testing.T) {
			result := w.verify(t, func(in *audit.Input) {
				in.Reports = reported{w.reportAfter(t, 5, "shop", windowOf(shape), forge)}
			})
			d := result.First
			if d == nil || d.In != audit.InReport || d.Name != "shop/after-5" || d.Field != field || result.Differences[audit.InReport] != 1 {
				t.Fatalf("found %v", d)
			}
			var text strings.Builder
			if err := result.Write(&text); err != nil || !strings.Contains(text.String(), "DIFFERENCE in report shop/after-5") {
				t.Errorf("%v\n%s", err, &text)
			}
		})
	}
	// A place in the ledger that is another: what was true then.
	result := w.verify(t, func(in *audit.Input) {
		in.Reports = reported{w.reportAfter(t, 5, "shop", windowOf(shape), func(s *v1alpha1.UsageReportStatus) { s.Corrections = 0 })}
	})
	if result.OK() {
		t.Error("a correction that is counted and not told is not found")
	}
}

func TestReportsThatCannotBeVerifiedAreCounted(t *testing.T) {
	w := threeHours(t)
	other, none := w.reportAfter(t, 5, "shop", windowOf(v1alpha1.ReportShape{})), w.reportAfter(t, 5, "shop", windowOf(v1alpha1.ReportShape{}))
	other.Metadata.Generation = 2
	none.Status = []byte(`{"observedGeneration":1,"rowCount":0}`)
	selecting := w.reportAfter(t, 5, "", windowOf(v1alpha1.ReportShape{}))
	selecting.Spec = []byte(`{"startingOn":"2026-11-21T18:00:00Z","endingBefore":"2026-11-21T19:00:00Z","filters":{"namespaceSelector":{}}}`)
	result := w.verify(t, func(in *audit.Input) { in.Reports = reported{other, none, selecting} })
	if !result.OK() || result.Reports != 0 || result.ReportsLeft != 3 {
		t.Errorf("%d reports, %d left out: %v", result.Reports, result.ReportsLeft, result.First)
	}
	broken := w.reportAfter(t, 5, "shop", windowOf(v1alpha1.ReportShape{}))
	broken.Status = []byte(`{"rows":7}`)
	if result := w.verify(t, func(in *audit.Input) { in.Reports = reported{broken} }); result.OK() {
		t.Error("one that cannot be read adds up")
	}
}
