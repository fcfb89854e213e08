package wire

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// KeptReportList are reports and schedules that the cluster has.
type KeptReportList struct {
	Reports []KeptReport `json:"reports"`
	// Hidden are the kinds of which the caller may list none.
	Hidden []string `json:"hidden,omitempty"`
	// Undecided are the kinds of which the caller may list none in any namespace that was asked
	// about, and not all were.
	Undecided []string `json:"undecided,omitempty"`
	// Next is the cursor of the next page.
	Next string `json:"next,omitempty"`
}

// KeptReport is a report or a schedule, and what it says.
type KeptReport struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Phase is Ready, Reconciling or Stalled, or NotSeen before the operator has seen it as it is now.
	Phase     string `json:"phase"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	Suspended bool   `json:"suspended,omitempty"`
	// Finding is Used where there are totals, or else why there are none: Zero, PartlyUnknown,
	// Unknown, NotBegun; None where there are no figures at all.
	Finding string `json:"finding"`
	// Window is the report's, or the last period of which the schedule made one.
	Window     *v1alpha1.TimeWindow `json:"window,omitempty"`
	WindowSize v1alpha1.WindowSize  `json:"windowSize,omitempty"`
	Complete   bool                 `json:"complete,omitempty"`
	Summary    string               `json:"summary,omitempty"`
	// Totals are the first of the report's, and MoreTotals that it has more.
	Totals     []v1alpha1.Total `json:"totals,omitempty"`
	MoreTotals bool             `json:"moreTotals,omitempty"`
	// Coverage is how much of the window is known, in percent.
	Coverage string `json:"coverage,omitempty"`
	// Sealed is up to when the figures go, and Changed when they last changed.
	Sealed  *metav1.Time `json:"sealed,omitempty"`
	Changed *metav1.Time `json:"changed,omitempty"`
	// Schedule is the one that made the report.
	Schedule string `json:"schedule,omitempty"`
	// Every is when a schedule's periods end: a unit, or a crontab's five fields.
	Every string `json:"every,omitempty"`
	// LastReport is the name of the report of the schedule's last period, and Next when the period ends that goes on.
	LastReport string       `json:"lastReport,omitempty"`
	Next       *metav1.Time `json:"next,omitempty"`
}
