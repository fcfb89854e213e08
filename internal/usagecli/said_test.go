package usagecli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// Each command that shows figures of a time that was seen in part says so.
func TestWhatIsUnknownBesideFiguresIsSaid(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	const partly = " --from=2026-10-31T00:00:00Z --to=2026-11-02T00:00:00Z"
	const said = "Metering began at 2026-11-01T00:00:00Z: what was used before that, from 2026-10-31T00:00:00Z on, is unknown.\n"
	for _, command := range []string{"list", "top", "chart deploy/web", "get vm/web-0", "explain vm/web-0", "records"} {
		status, out, stderr := run(strings.Fields(command + partly + " --kubeconfig=" + shop)...)
		if status != exitDone || strings.Count(stderr, said) != 1 {
			t.Errorf("%s: status %d\n%s\n%s", command, status, out, stderr)
		}
		status, out, stderr = run(strings.Fields(command + " " + november + " --kubeconfig=" + shop)...)
		if status != exitDone || strings.Contains(stderr, "unknown") {
			t.Errorf("%s: all of it is known: status %d\n%s\n%s", command, status, out, stderr)
		}
	}
}

// Metering that began within the time does not hide that it was interrupted later.
func TestAGapAfterMeteringBeganIsSaid(t *testing.T) {
	gap := ledger()
	gap.Take(timeline.Commit{Time: day + 72*3600, Coverage: []usage.Stretch{
		{Meter: "vm", Window: usage.Window{Start: day + 12*3600, End: day + 18*3600}, Coverage: usage.CoverageUnknown},
	}})
	gap.Publish()
	server := clusterOf(t, gap)
	shop := " --kubeconfig=" + kubeconfig(t, server, "shop", "shop")
	const (
		began = "Metering began at 2026-11-01T00:00:00Z: what was used before that, from 2026-10-31T00:00:00Z on, is unknown.\n"
		later = "A part of what came after that is unknown, too: 37.50% of this time is known.\n"
	)
	for _, c := range []struct {
		window, want string
		commands     []string
	}{
		{"--from=2026-10-31T00:00:00Z --to=2026-11-02T00:00:00Z", began + later, []string{"list", "top", "chart deploy/web", "get vm/web-0", "explain vm/web-0", "records"}},
		{"--from=2026-11-01T00:00:00Z --to=2026-11-02T00:00:00Z", "75% of this time is known: what was used in the rest is unknown.\n", []string{"get vm/web-0", "explain vm/web-0", "records"}},
		// The last records need not be of the last sealed interval, and they tell of none after them.
		{"--from=2026-10-30T00:00:00Z --to=2027-01-01T00:00:00Z --deployment=web", "% of this time is known.\n", []string{"records"}},
		{"--from=2026-10-30T00:00:00Z --to=2027-01-01T00:00:00Z", "A part of what came after that is unknown, too: 55% of this time is known.\n", []string{"get vm/web-0", "explain vm/web-0"}},
	} {
		for _, command := range c.commands {
			status, out, stderr := run(strings.Fields(command + " " + c.window + shop)...)
			if status != exitDone || strings.Count(stderr, c.want) != 1 {
				t.Errorf("%s %s: status %d\n%s\n%s\nwant %s", command, c.window, status, out, stderr, c.want)
			}
		}
	}
	// Where there is no record, it is said once why.
	status, out, stderr := run(strings.Fields("records --from=2026-10-31T00:00:00Z --to=2026-11-01T06:00:00Z" + shop)...)
	if status != exitDone || out != "" || strings.Count(stderr, "2026-11-01T00:00:00Z") != 1 || strings.Count(stderr, "20%") != 1 {
		t.Errorf("no records: status %d\n%s\n%s", status, out, stderr)
	}
}

// A table without rows is none: why there are none is said below it.
func TestATableWithoutRowsIsNotShown(t *testing.T) {
	server := cluster(t)
	for _, command := range []string{"list", "top", "diff", "records", "chart"} {
		status, out, stderr := run(strings.Fields(command + idle + " --kubeconfig=" + kubeconfig(t, server, "shop", "shop"))...)
		if command == "diff" {
			status, out, stderr = run(strings.Fields(faces["diff"][zero] + " --kubeconfig=" + kubeconfig(t, server, "shop", "shop"))...)
		}
		if status != exitDone || strings.TrimSpace(out) != "" || !strings.Contains(strings.ToLower(stderr), "nothing was used") {
			t.Errorf("%s: status %d\n%q\n%s", command, status, out, stderr)
		}
	}
}

// What is counted is named once in a line: by the metric, or by the unit.
func TestCountsAreNamedOnce(t *testing.T) {
	row := wire.Row{ReportRow: v1alpha1.ReportRow{
		Group:    map[string]v1alpha1.AttributeValue{"resourceType": "vm", "dimension": "vm_allocated", "namespace": "shop", "deployment": "db"},
		Quantity: "2", Exact: "7200000", Unit: "vm_allocated-hour", ExactUnit: "millicount-second", Accuracy: v1alpha1.AccuracyExact,
	}}
	a := &answered{Report: &wire.Report{Rows: []wire.Row{row}}}
	if got := ranked(a, nil, "deployments").rows[0]; got[4] != "hour" {
		t.Errorf("top: %q", got)
	}
	if got := (&cli{width: 80}).bars(a, "day", noon().Location(), true); !strings.HasPrefix(got, "vm.vm_allocated, in VM-hours allocated\n") {
		t.Errorf("chart: %q", got)
	}
	s := &wire.Segment{Dimension: "vm_allocated", Level: "1", Unit: "vm_allocated", Seconds: 7200, Quantity: "2", HourUnit: "vm_allocated-hour"}
	if got := sum(s); got != "1 x 7200 s = 2 VM-hours allocated" {
		t.Errorf("explain: %q", got)
	}
}

// Where nothing listens, people learn what they can see without the operator.
func TestAnOperatorThatDoesNotRunIsSaid(t *testing.T) {
	gone := httptest.NewTLSServer(http.NotFoundHandler())
	gone.Close()
	status, out, stderr := runPlainly("list", "--usage-api="+gone.URL, "--token=x", "--kubeconfig="+kubeconfig(t, cluster(t), "shop", "shop"))
	want := "error: nothing answers at " + strings.TrimPrefix(gone.URL, "https://") + ": does the operator run? kubectl get usagerecords -o wide shows what it has recorded"
	if status != exitFailed || out != "" || !strings.HasPrefix(stderr, want) {
		t.Errorf("status %d, %s%s: want %s", status, out, stderr, want)
	}
}
