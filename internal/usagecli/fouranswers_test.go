package usagecli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// The four answers without a figure: a face that has not all of them fails its test.
const (
	zero       = "zero"
	unknown    = "unknown"
	notVisible = "not visible"
	noSuchName = "no such name"
)

// In the first hours of November all was seen, and the shop used nothing, nor did anybody any
// memory. In October nothing was metered.
const (
	idle    = " --from=2026-11-01T00:00:00Z --to=2026-11-01T10:00:00Z"
	october = " --from=2026-10-01T00:00:00Z --to=2026-11-01T00:00:00Z"
)

// faces are what people run to get each answer.
var faces = map[string]map[string]string{
	"list": {
		zero: "list" + idle, unknown: "list" + october, notVisible: "list -n bank" + idle, noSuchName: "list --type vmm" + idle,
	},
	"list of all": {
		zero: "list -A --dimension memory" + idle, unknown: "list -A" + october, notVisible: "list -A --as-nobody" + idle, noSuchName: "list -A --dimension cpuu" + idle,
	},
	"list as csv": {
		zero: "list -o csv" + idle, unknown: "list -o csv" + october, notVisible: "list -o csv -n bank" + idle, noSuchName: "list -o csv --deployment wep" + idle,
	},
	"list as FOCUS": {
		zero: "list -o focus-csv" + idle, unknown: "list -o focus-csv" + october, notVisible: "list -o focus-csv -n bank" + idle, noSuchName: "list -o focus-csv --type vmm" + idle,
	},
	"list as Parquet": {
		zero: "list -o parquet" + idle, unknown: "list -o parquet" + october, notVisible: "list -o parquet -n bank" + idle, noSuchName: "list -o parquet --type vmm" + idle,
	},
	"list of names": {
		zero: "list -o name" + idle, unknown: "list -o name" + october, notVisible: "list -o name -n bank" + idle, noSuchName: "list -o name --type vmm" + idle,
	},
	"list by a template": {
		zero: "list -o jsonpath={.rows[*].exact}" + idle, unknown: "list -o jsonpath={.rows[*].exact}" + october, notVisible: "list -o jsonpath={.rows} -n bank" + idle, noSuchName: "list -o jsonpath={.rows} --type vmm" + idle,
	},
	"list as json": {
		zero: "list -o json" + idle, unknown: "list -o json" + october, notVisible: "list -o json -n bank" + idle, noSuchName: "list -o json --type vmm" + idle,
	},
	"top": {
		zero: "top deployments" + idle, unknown: "top deployments" + october, notVisible: "top namespaces -A --as-nobody" + idle, noSuchName: "top --dimension cpuu" + idle,
	},
	"top as csv": {
		zero: "top deployments -o csv" + idle, unknown: "top deployments -o csv" + october, notVisible: "top ns -A --as-nobody -o csv" + idle, noSuchName: "top -o csv --dimension cpuu" + idle,
	},
	"diff": {
		zero: "diff" + idle + " --against-from=2026-11-01T01:00:00Z --against-to=2026-11-01T05:00:00Z", unknown: "diff" + october, notVisible: "diff namespaces -A --as-nobody" + idle, noSuchName: "diff --dimension cpuu" + idle,
	},
	"diff as csv": {
		zero: "diff -o csv" + idle + " --against-from=2026-11-01T01:00:00Z --against-to=2026-11-01T05:00:00Z", unknown: "diff -o csv" + october, notVisible: "diff namespaces -o csv -A --as-nobody" + idle, noSuchName: "diff -o csv --dimension cpuu" + idle,
	},
	"diff as json": {
		zero: "diff -o json" + idle + " --against-from=2026-11-01T01:00:00Z --against-to=2026-11-01T05:00:00Z", unknown: "diff -o json" + october, notVisible: "diff namespaces -o json -A --as-nobody" + idle, noSuchName: "diff -o json --dimension cpuu" + idle,
	},
	"chart": {
		zero: "chart deployment/web" + idle, unknown: "chart deployment/web" + october, notVisible: "chart -n bank" + idle, noSuchName: "chart deployment/nosuch" + idle,
	},
	"chart as csv": {
		zero: "chart -o csv --type vm" + idle, unknown: "chart deploy/web -o csv" + october, notVisible: "chart -n bank -o csv" + idle, noSuchName: "chart deploy/nosuch -o csv" + idle,
	},
	"get": {
		zero: "get vm/web-0" + idle, unknown: "get vm/web-0" + october, notVisible: "get vm/db -n bank" + idle, noSuchName: "get vm/web-9",
	},
	"get by UID": {
		zero: "get uid-web-0" + idle, unknown: "get uid-web-0" + october, notVisible: "get uid-web-0 --as-nobody", noSuchName: "get uid-nosuch",
	},
	"get as csv": {
		zero: "get vm/web-0 -o csv" + idle, unknown: "get vm/web-0 -o csv" + october, notVisible: "get vm/db -n bank -o csv", noSuchName: "get vmm/web-0 -o csv",
	},
	"explain": {
		zero: "explain vm/web-0" + idle, unknown: "explain vm/web-0" + october, notVisible: "explain vm/db -n bank" + idle, noSuchName: "explain vm/nosuch",
	},
	"records": {
		zero: "records" + idle, unknown: "records" + october, notVisible: "records -n bank" + idle, noSuchName: "records --deployment nosuch" + idle,
	},
	"report": {
		zero: "report idle", unknown: "report october", notVisible: "report idle -n bank", noSuchName: "report nosuch",
	},
	"report that names something": {
		zero: "report idle", unknown: "report october", notVisible: "report idle -n bank", noSuchName: "report misspelt",
	},
	"report that names something, as csv": {
		zero: "report idle -o csv", unknown: "report october -o csv", notVisible: "report idle -n bank -o csv", noSuchName: "report misspelt -o csv",
	},
	"report as json": {
		zero: "report idle -o json", unknown: "report october -o json", notVisible: "report idle -n bank -o json", noSuchName: "report nosuch -o json",
	},
	"records as csv": {
		zero: "records -o csv" + idle, unknown: "records -o csv" + october, notVisible: "records -o csv -n bank" + idle, noSuchName: "records -o csv --deployment nosuch" + idle,
	},
}

func TestZeroUnknownNotVisibleAndNoSuchNameAreFourAnswers(t *testing.T) {
	server := cluster(t)
	shop, nobody := kubeconfig(t, server, "shop", "shop"), kubeconfig(t, server, "nobody", "shop")
	for face, cells := range faces {
		for _, answer := range []string{zero, unknown, notVisible, noSuchName} {
			t.Run(face+"/"+answer, func(t *testing.T) {
				command, filled := cells[answer]
				if !filled {
					t.Fatal("the cell is empty")
				}
				who := shop
				if strings.Contains(command, " --as-nobody") {
					command, who = strings.Replace(command, " --as-nobody", "", 1), nobody
				}
				status, out, stderr := run(append(strings.Fields(command), "--kubeconfig="+who)...)
				if got := whichAnswer(status, out, stderr); got != answer {
					t.Errorf("%s: it is %s: want %s: status %d\n%s\n%s", command, got, answer, status, out, stderr)
				}
			})
		}
	}
}

// whichAnswer is which of the answers people, or a script, take it for.
func whichAnswer(status int, out, stderr string) string {
	switch status {
	case exitFailed:
		what, is := strings.CutPrefix(stderr, "Error from server (Forbidden): ")
		if is && regexp.MustCompile(`^usagere(cord|port)s\.metering\.usage-operator\.dev (".*" )?is forbidden: User `).MatchString(what) && out == "" {
			return notVisible
		}
	case exitMisused:
		if strings.Contains(stderr, "there ") && strings.Contains(stderr, `"`) && out == "" {
			return noSuchName
		}
	case exitDone:
		if strings.HasPrefix(out, "PAR1") { // TestParquet reads the rows
			out = ""
		}
		return withoutFigures(out, strings.ToLower(stderr+out))
	}
	return noneOfThem
}

const noneOfThem = "none of them"

// withoutFigures is which of the answers one without an error is.
func withoutFigures(out, said string) string {
	figures := strings.Contains(out, " 0 ") || strings.Contains(out, `"quantity"`)
	rows := strings.Count(out, "\n") > 1 && !strings.HasPrefix(out, "{")
	isUnknown := strings.Contains(said, "unknown whether anything was used")
	switch {
	case isUnknown && !figures && strings.Contains(said, "metering began at 2026-11-01t00:00:00z"):
		return unknown
	case !isUnknown && !rows && (strings.Contains(said, "nothing was used") || strings.Contains(said, "held nothing from")):
		return zero
	}
	return noneOfThem
}

// One caller may see some of all: that is said, too.
func TestAnAnswerAboutAllSaysWhoseItIs(t *testing.T) {
	server := cluster(t)
	for who, says := range map[string]string{"shop": `"visible": "namespaces=1"`, "admin": `"visible": "all"`} {
		status, out, stderr := run("list", "-A", "-o", "json", "--from=2026-11-01T00:00:00Z", "--to=2026-11-04T00:00:00Z", "--kubeconfig="+kubeconfig(t, server, who, "shop"))
		_, _, foot := run("top", "-A", "--from=2026-11-01", "--to=2026-11-04", "--kubeconfig="+kubeconfig(t, server, who, "shop"))
		if strings.Contains(foot, "Of what you may see, which is in 1 of the namespaces") != (who == "shop") {
			t.Errorf("%s: %s", who, foot)
		}
		if status != exitDone || !strings.Contains(out, says) {
			t.Errorf("%s: status %d, %s, %s: want %s", who, status, out, stderr, says)
		}
	}
}

// reportsOf answers for the API server with the shop's reports: of the idle hours, and of October.
func reportsOf(w http.ResponseWriter, r *http.Request) {
	const namespace, name = 5, 7 // of the parts of /apis/GROUP/VERSION/namespaces/NAMESPACE/usagereports/NAME
	parts := strings.Split(r.URL.Path, "/")
	at := func(hours int64) metav1.Time { return metav1.Unix(day+hours*3600, 0) }
	report := v1alpha1.UsageReport{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "UsageReport"}}
	status := &report.Status
	refuse := func(code int, reason metav1.StatusReason, why string) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(code),
			Message: fmt.Sprintf("usagereports.%s %q %s", v1alpha1.Group, parts[name], why),
		})
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case parts[namespace] != "shop":
		refuse(http.StatusForbidden, metav1.StatusReasonForbidden, `is forbidden: User "shop" cannot get resource "usagereports"`)
		return
	case parts[name] == "idle":
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(10)}
		status.RowCount, status.Coverage = new(int64(0)), &v1alpha1.ReportCoverage{Percent: "100"}
	case parts[name] == "misspelt": // as the operator has it: all of the window is known, and nothing is counted
		const what = `spec.filters: there is no resource type "vmm": did you mean "vm"? there are vm`
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(10)}
		status.Coverage, status.Summary = &v1alpha1.ReportCoverage{Percent: "100"}, what
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNoSuchName, Message: "the figures are those of the ledger: " + what}}
	case parts[name] == "misspelt-too": // one of two names
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(10)}
		status.Coverage = &v1alpha1.ReportCoverage{Percent: "50", Gaps: []v1alpha1.CoverageGap{{TimeWindow: v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(5)}, Coverage: "Unknown"}}}
		status.RowCount, status.Rows = new(int64(1)), []v1alpha1.ReportRow{{TimeWindow: *status.Window, Quantity: "1", Unit: "core-hour", Accuracy: v1alpha1.AccuracyPartial}}
		status.Totals = []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour"}}
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonNoSuchName, Message: `the figures are those of the ledger: spec.filters: nothing was ever recorded under a deployment "wbe"`}}
	case parts[name] == "goes-on":
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(100)}
		status.Coverage = &v1alpha1.ReportCoverage{Percent: "100"}
		status.RowCount, status.Rows = new(int64(1)), []v1alpha1.ReportRow{{TimeWindow: *status.Window, Quantity: "1", Unit: "core-hour", Accuracy: v1alpha1.AccuracyExact}}
		status.Totals = []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour"}}
	case parts[name] == "uncounted": // a page of as many rows as is not known
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(10)}
		status.Coverage, status.NextPage = &v1alpha1.ReportCoverage{Percent: "100"}, "next"
		status.Rows = []v1alpha1.ReportRow{{TimeWindow: *status.Window, Quantity: "1", Unit: "core-hour", Accuracy: v1alpha1.AccuracyExact}}
		status.Totals = []v1alpha1.Total{{ResourceType: "vm", Dimension: "vcpu", Quantity: "1", Unit: "core-hour"}}
	case parts[name] == "unsealed": // the first interval of its window goes on
		status.Window = &v1alpha1.TimeWindow{StartTime: at(71), EndTime: at(100)}
		status.Summary = "no interval of the window is sealed yet"
	case parts[name] == "nothing-so-far":
		status.Window = &v1alpha1.TimeWindow{StartTime: at(0), EndTime: at(100)}
		status.Coverage, status.Summary = &v1alpha1.ReportCoverage{Percent: "100"}, "nothing was used"
	case parts[name] == "suspended":
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSuspended, Message: "spec.suspend is true since before the report was made: it has no figures"}}
	case parts[name] == "stalled":
		status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: "UnknownTimeZone", Message: "spec.timeZone: there is no time zone"}}
	case parts[name] == "new":
	case parts[name] == "october":
		october := v1alpha1.TimeWindow{StartTime: at(-40 * 24), EndTime: at(-9 * 24)}
		status.Summary = "it is unknown whether anything was used: metering began at 2026-11-01T00:00:00Z"
		status.Window = &october
		status.Coverage = &v1alpha1.ReportCoverage{Percent: "0", Gaps: []v1alpha1.CoverageGap{{TimeWindow: october, Coverage: "Unknown"}}}
		status.RowCount, status.Rows = new(int64(1)), []v1alpha1.ReportRow{{TimeWindow: october, Accuracy: v1alpha1.AccuracyPartial}}
	default:
		refuse(http.StatusNotFound, metav1.StatusReasonNotFound, "not found")
		return
	}
	sealed := metav1.NewTime(time.Unix(day+71*3600, 0))
	status.SealedTime = &sealed
	_ = json.NewEncoder(w).Encode(report)
}

// A report says why it has no figures, or that they may not be the intended ones; and when metering
// began only if it knows that: what is unknown may be a time in which nothing metered.
func TestAReportSaysWhyItHasNoFigures(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	for name, want := range map[string]struct {
		status int
		said   string
	}{
		"new":            {exitFailed, "error: report new has not been made yet: --wait waits for it\n"},
		"suspended":      {exitFailed, "error: report suspended has no figures: spec.suspend is true since before the report was made: it has no figures\n"},
		"goes-on":        {exitDone, "\nFinal up to 2026-11-03T23:00:00Z; what was used after that is not counted yet.\n"},
		"uncounted":      {exitDone, "There are more rows: --all shows all.\n"},
		"unsealed":       {exitDone, "There are no figures yet from 2026-11-03T23:00:00Z to 2026-11-05T04:00:00Z: no interval of the window is sealed yet.\n"},
		"nothing-so-far": {exitDone, "Nothing was used from 2026-11-01T00:00:00Z to 2026-11-03T23:00:00Z.\n"},
		"stalled":        {exitFailed, "error: report stalled is stalled: spec.timeZone: there is no time zone\n"},
		"misspelt":       {exitMisused, "error: report misspelt: spec.filters: there is no resource type \"vmm\": did you mean \"vm\"? there are vm\nSee kubectl usage report --help.\n"},
		"october":        {exitDone, "It is unknown whether anything was used from 2026-09-22T00:00:00Z to 2026-10-23T00:00:00Z: metering began at 2026-11-01T00:00:00Z.\n"},
		"misspelt-too":   {exitDone, "note: the figures may not be those that were asked for: spec.filters: nothing was ever recorded under a deployment \"wbe\"\n\n?  partial: a part of the time was not seen\nWhat was used from 2026-11-01T00:00:00Z to 2026-11-01T05:00:00Z is unknown.\n"},
	} {
		for _, out := range []string{"", "-o=json"} {
			status, _, stderr := run(strings.Fields("report " + name + " " + out + " --kubeconfig=" + shop)...)
			if status != want.status || out == "" && stderr != want.said || status != exitDone && stderr != want.said {
				t.Errorf("%s %s: status %d, %q\nwant %d, %q", name, out, status, stderr, want.status, want.said)
			}
		}
	}
}
