// Package wire has the JSON types and headers that the usage API shares with kubectl usage, beyond
// the API types.
package wire

import (
	"fmt"
	"time"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// TokenHeader carries the token where something in between keeps Authorization to
// itself, as the API server's proxy does.
const TokenHeader = "X-Usage-Authorization" //nolint:gosec // a name, no secret

// What clients verify the usage API by: a ConfigMap in the operator's namespace, and its key. It has certificates of
// authorities in PEM; while one is replaced, the old and the new one.
const (
	CAConfigMap = "usage-api-ca"
	CAKey       = "ca.crt"
)

// Names are those for which the usage API of an operator in that namespace has a certificate. The first is the one
// within the cluster; the last three are those of port-forwards.
func Names(namespace string) []string {
	service := "usage-api." + namespace
	return []string{service + ".svc", service, service + ".svc.cluster.local", "usage-api", "localhost", "127.0.0.1", "::1"}
}

// Headers of answers: what is known of what they are about, and who may see it.
const (
	// CoverageHeader is how much of the window is known, in percent, up to now: 100 only
	// if all of it is. It is absent if the window has not begun.
	CoverageHeader = "Usage-Coverage"
	// BeganHeader is when metering began of what is asked for.
	BeganHeader = "Usage-Metering-Began"
	// VisibleHeader is what the answer is about, of what there is: "all", or
	// "namespaces=2", those that the caller may see.
	VisibleHeader = "Usage-Visible"
)

// NoSuchName is the error code for a name that does not exist.
const NoSuchName = "no_such_name"

// Row is a row of a report that is asked for without an object.
type Row struct {
	v1alpha1.ReportRow
	// Since is the accuracy of the time since metering began. It is left out if it equals
	// the row's accuracy.
	Since v1alpha1.Accuracy `json:"accuracySinceMetering,omitempty"`
}

// Report is a page of a report that is asked for without an object.
type Report struct {
	v1alpha1.UsageReportStatus
	// Rows are the status's, and say more.
	Rows []Row `json:"rows,omitempty"`
	// MeteringBegan is when metering began of what is asked for; none: nothing meters it.
	MeteringBegan string `json:"meteringBegan,omitempty"`
	// Visible is as VisibleHeader.
	Visible string `json:"visible,omitempty"`
	// RowCount is how many rows there are on all pages, where this is the only one.
	RowCount *int64 `json:"rowCount,omitempty"`
	// Others are the sums of the rows that are not among the top ones, if only these are
	// requested.
	Others []Others `json:"others,omitempty"`
}

// Others are the rows of a metric that are not among its top ones.
type Others struct {
	ResourceType string `json:"resourceType,omitempty"`
	Dimension    string `json:"dimension"`
	// Count is how many rows they are.
	Count int `json:"count"`
	// Quantity and Exact are their sum; empty where that of some is not known.
	Quantity  string            `json:"quantity,omitempty"`
	Unit      string            `json:"unit"`
	Exact     string            `json:"exact,omitempty"`
	ExactUnit string            `json:"exactUnit"`
	Accuracy  v1alpha1.Accuracy `json:"accuracy"`
}

// ResourceList is what resources held, with the evidence.
type ResourceList struct {
	Resources []Resource `json:"resources"`
	// From and To are what was asked for; without From it is everything up to To.
	From string `json:"from,omitempty"`
	To   string `json:"to"`
	// Known is up to when segments that go on are known.
	Known string `json:"known"`
	// Sealed is the end of the last sealed interval.
	Sealed string `json:"sealed"`
	// Next is the cursor of the next page; "" after the last.
	Next string `json:"next"`
	// Meters are those of the segments that are applied now.
	Meters []Meter `json:"meters"`
	// Coverage is how the time up to Known is known; none: no time has passed.
	Coverage *v1alpha1.ReportCoverage `json:"coverage,omitempty"`
}

// Meter says how a meter reads what it measures, as it is now.
type Meter struct {
	Name       string    `json:"name"`
	Target     string    `json:"target"` // the kind: VirtualMachineInstance.kubevirt.io
	Dimensions []Formula `json:"dimensions"`
}

// Formula is the CEL expression that gives a dimension's level.
type Formula struct {
	Dimension string `json:"dimension"`
	Quantity  string `json:"quantity"`
}

// Resource is what one held.
type Resource struct {
	Namespace    string `json:"namespace"`
	NamespaceUID string `json:"namespaceUID"`
	ResourceType string `json:"resourceType"`
	APIVersion   string `json:"apiVersion"`
	Kind         string `json:"kind"`
	Name         string `json:"name"`
	UID          string `json:"uid"`
	// Segments reach into what was asked for; they are whole.
	Segments    []Segment `json:"segments"`
	Corrections []Segment `json:"corrections,omitempty"`
	// Totals are within what was asked for, corrections counted.
	Totals []Quantity `json:"totals"`
}

// Quantity is how much of a dimension.
type Quantity struct {
	Dimension string `json:"dimension"`
	Quantity  string `json:"quantity"`
	Unit      string `json:"unit"`
	Exact     string `json:"exact"`
	ExactUnit string `json:"exactUnit"`
}

// Segment is a segment, whole, with how its ends are known.
type Segment struct {
	ID         string            `json:"id"`
	Dimension  string            `json:"dimension"`
	Level      string            `json:"level"` // how much is held, in unit: 16 GiB
	Unit       string            `json:"unit"`
	ExactLevel int64             `json:"exactLevel"` // in base units: bytes, millicores
	Start      Moment            `json:"start"`
	End        *Moment           `json:"end,omitempty"` // none: it goes on
	Seconds    int64             `json:"seconds"`       // within what was asked for
	Quantity   string            `json:"quantity"`      // level times seconds
	HourUnit   string            `json:"hourUnit"`
	Meter      string            `json:"meter"`
	Deployment string            `json:"deployment"`
	Instance   string            `json:"instance"`
	Container  string            `json:"container,omitempty"`
	Region     string            `json:"region,omitempty"`
	Bundle     string            `json:"bundle,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Correction string            `json:"correction,omitempty"`
}

// Moment is a moment, the bounds between which it lies, and how that is known.
type Moment struct {
	Time     string `json:"time"`
	Earliest string `json:"earliest"`
	Latest   string `json:"latest"`
	Evidence string `json:"evidence"`
}

// ParseTime reads a moment with a time zone. The error says what to write instead.
func ParseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", time.DateOnly} {
		if local, err := time.Parse(layout, text); err == nil {
			return t, fmt.Errorf("%s has no time zone: write %s for UTC, or %s for a zone that is an hour ahead of it",
				text, local.Format(time.RFC3339), local.Format("2006-01-02T15:04:05")+"+01:00")
		}
	}
	return t, fmt.Errorf("%q is no time: want one such as 2026-11-01T00:00:00Z", text)
}

// Status is how far the ledger is.
type Status struct {
	// Now is the operator's clock.
	Now string `json:"now"`
	// Known is up to when there are figures, and Sealed up to when they are final; left out
	// where there is none.
	Known  string `json:"known,omitempty"`
	Sealed string `json:"sealed,omitempty"`
	// IntervalSeconds is how long the last sealed interval lasted.
	IntervalSeconds int64 `json:"intervalSeconds,omitempty"`
	// MeteringBegan is when the first meter began.
	MeteringBegan string `json:"meteringBegan,omitempty"`
	// Meters is how many are applied.
	Meters int `json:"meters"`
	// Attention are those that need action.
	Attention []MeterStatus `json:"attention"`
}

// MeterStatus is why a meter needs attention.
type MeterStatus struct {
	Name string `json:"name"`
	// Reason is of its condition Ready, or Quarantined, or NotSeen.
	Reason string `json:"reason"`
	// Message is of the condition, for those who may see all namespaces.
	Message string `json:"message,omitempty"`
	// Quarantined is how many objects it cannot read.
	Quarantined int64 `json:"quarantined,omitempty"`
}
