package usagecli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

func TestMomentsAreWrittenAsPeopleDo(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 4, 23, 30, 0, 0, time.UTC) // the fifth in Berlin
	for text, want := range map[string]string{
		"2026-11-01": "2026-10-31T23:00:00Z", "2026-07-01": "2026-06-30T22:00:00Z", "2026-11": "2026-10-31T23:00:00Z",
		"2026-11-01T10:30": "2026-11-01T09:30:00Z", "2026-11-01 10:30": "2026-11-01T09:30:00Z", "2026-11-01T10:30:15Z": "2026-11-01T10:30:15Z",
		"2026-11-01T10:30:15+05:45": "2026-11-01T04:45:15Z", "today": "2026-11-04T23:00:00Z", "Yesterday": "2026-11-03T23:00:00Z",
		"now": "2026-11-04T23:30:00Z", "1w": "2026-10-28T23:30:00Z", "1.5d": "2026-11-03T11:30:00Z", "24h": "2026-11-03T23:30:00Z", "90s": "2026-11-04T23:28:30Z",
	} {
		if got, err := moment(text, now, berlin); err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s is %s, %v: want %s", text, got.UTC().Format(time.RFC3339), err, want)
		}
	}
	for _, text := range []string{"", "tomorrow-ish", "1y", "-7d", "0d", "1e9w", "2026-13-01", "2026-03-29T02:30", "NaNd", "Infw"} {
		if got, err := moment(text, now, berlin); err == nil {
			t.Errorf("%q is %s: want that it is no time", text, got)
		}
	}
}

// A local time that is read is the one that is shown, in any zone.
func TestLocalTimesAreReadAsTheyAreShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe"}).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(rapid.Int64Range(0, 2_000_000_000).Draw(t, "at")/60*60, 0).In(zone)
		text := at.Format("2006-01-02T15:04")
		got, err := moment(text, at, zone)
		if err != nil || got.In(zone).Format("2006-01-02T15:04") != text {
			t.Fatalf("%s is %v, %v", text, got, err)
		}
	})
}

func TestKindsAreThoseOfKubectl(t *testing.T) {
	for kind, want := range map[string]string{
		"vm": "vm", "vms": "vm", "VirtualMachine": "vm", "virtualmachine.kubevirt.io": "vm", "pvc": "volume", "po": "container", "svc": "load_balancer", "gas": "gas", "nodes": "node_pool",
	} {
		if got := typesOf(kind); got[0] != kind || !strings.Contains(" "+strings.Join(got, " ")+" ", " "+want+" ") {
			t.Errorf("%s is %v: want itself first, and %s", kind, got, want)
		}
	}
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	for _, command := range []string{
		"get virtualmachine/web-1", "get vmi/web-1", "chart deploy/web --from 2026-11-01 --to 2026-11-04", "top deploy --from 2026-11-01", "top ns --from 2026-11-01",
		"list --from yesterday --to today", "list --last 1w", "version",
	} {
		if status, out, stderr := run(append(strings.Fields(command), "--kubeconfig="+shop)...); status != exitDone || out == "" {
			t.Errorf("%s: status %d, %s%s", command, status, out, stderr)
		}
	}
}

func TestLinesAreSortedAndHeadersLeftOut(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	_, out, stderr := run("list", "-o", "csv", "--no-headers", "--sort-by", "quantity", "--dimension", "vcpu", "--from=2026-11-01", "--to=2026-11-04", "--kubeconfig="+shop)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], ",12,core-hour") || !strings.Contains(lines[1], "web-0") || !strings.Contains(lines[2], "web-1") {
		t.Errorf("%s%s: want the least first, and what is equal as it was", out, stderr)
	}
	if _, out, _ := run("top", "--no-headers", "--sort-by", "share", "--from=2026-11-01", "--to=2026-11-04", "--kubeconfig="+shop); strings.Contains(out, "METRIC") || out == "" {
		t.Errorf("%s: want no headers", out)
	}
}

// Whatever names are, a table is as wide as it may be, where its columns can be cut: the
// namespaces', deployments' and resources', and those of devices.
func TestTablesFit(t *testing.T) {
	long := strings.Repeat("a-very-long-name-", 8)
	device := "deviceclass.resource.kubernetes.io/gpu.example.com"
	var rows []wire.Row
	for _, d := range [][2]string{{"memory", "GiB-hour"}, {"extended_resource/" + device, device + "-hour"}} {
		row := wire.Row{}
		row.Group = map[string]v1alpha1.AttributeValue{
			"namespace": v1alpha1.AttributeValue(long), "deployment": v1alpha1.AttributeValue(long + "2"),
			"resource": v1alpha1.AttributeValue(long + "3"), "resourceType": "container", "dimension": v1alpha1.AttributeValue(d[0]),
		}
		row.Quantity, row.Unit, row.Exact = "22.115556", d[1], "22115556"
		rows = append(rows, row)
	}
	segment := wire.Segment{Dimension: "extended_resource/" + device, Unit: device, Level: "2", Quantity: "22.115556", HourUnit: device + "-hour"}
	segment.Start.Time = "2026-11-01T00:00:00Z"
	large := slices.Clone(rows)
	for i := range large {
		large[i].Quantity, large[i].Exact, large[i].ExactUnit, large[i].Accuracy = "1234567.528333", "4444443102001", "millicore-second", v1alpha1.AccuracyPartial
	}
	reportOf := func(rows []wire.Row) *answered { return &answered{Report: &wire.Report{Rows: rows}} }
	changes := changesOf(reportOf(rows), reportOf(large))
	for name, a := range map[string]*table{
		"list": byResource(rows), "top": ranked(&answered{Report: &wire.Report{Rows: rows}}, nil, "deployments"), "diff": diffTable(changes, "deployments", 10, true),
		"get": shownSegments(&wire.ResourceList{Resources: []wire.Resource{{Segments: []wire.Segment{segment}}}}),
	} {
		for _, columns := range []int{80, 120, 200} {
			var out strings.Builder
			c := &cli{width: columns}
			c.Out, c.ErrOut = &out, &out
			if err := c.printTable(a, false); err != nil {
				t.Fatal(err)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(out.String()), "\n") {
				if n := len([]rune(line)); n > columns || n == 0 {
					t.Errorf("%s, %d columns: a line of %d: %s", name, columns, n, line)
				}
			}
		}
	}
}

func TestARequestTakesNoLongerThanItMay(t *testing.T) {
	release := make(chan struct{})
	server := stopped(t, release)
	defer close(release)
	kubeconfig := kubeconfig(t, server, "shop", "shop")
	for _, way := range []string{"", " --usage-api=" + server.URL + " --insecure-skip-usage-api-verify"} {
		status, _, stderr := run(append(strings.Fields("list --request-timeout=100ms"+way), "--kubeconfig="+kubeconfig)...)
		if status != exitFailed || !strings.Contains(stderr, "did not answer within 100ms (--request-timeout)") && !strings.Contains(stderr, "Timeout") {
			t.Errorf("%q: status %d: %s", way, status, stderr)
		}
	}
}
