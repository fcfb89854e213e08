package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// TimeWindow is a stretch of time.
type TimeWindow struct {
	// startTime is the first second of it.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// endTime is the first second after it.
	//
	// +required
	EndTime metav1.Time `json:"endTime"`
}

// ReportRow is what one group used in one window.
type ReportRow struct {
	TimeWindow `json:",inline"`

	// group is what the row is about, by groupBy's keys. A namespace, a resource
	// and an instance also have their UID, under namespaceUID and so on: one that
	// was made again under its old name is another.
	//
	// +required
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 73)",message="a key has at most 73 characters"
	Group map[string]AttributeValue `json:"group"`

	// quantity is how much, in unit: a decimal, rounded once. It is left out where
	// nobody knows whether anything was used.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)(\.[0-9]+)?$`
	Quantity string `json:"quantity,omitempty"`

	// unit is what quantity counts: core-hour, GiB-hour, load_balancer-hour.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit"`

	// exact is the same, in exactUnit: an integer of up to 128 bits.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)$`
	Exact string `json:"exact,omitempty"`

	// exactUnit is what exact counts: millicore-second, byte-second.
	//
	// +required
	// +kubebuilder:validation:MaxLength=128
	ExactUnit string `json:"exactUnit"`

	// accuracy says how well it is known: Exact, Estimated, or Partial where a
	// part of the window is unknown.
	//
	// +required
	Accuracy Accuracy `json:"accuracy"`
}

// CoverageGap is a stretch that was not seen.
type CoverageGap struct {
	TimeWindow `json:",inline"`

	// meter is the UsageMeter that did not see it; "": there was none yet.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Meter string `json:"meter,omitempty"`

	// coverage is Estimated, where what was held is known from before and after,
	// or Unknown.
	//
	// +required
	// +kubebuilder:validation:Enum=Estimated;Unknown
	Coverage string `json:"coverage"`
}

// ReportCoverage says how the report's window is known, as far as it has come.
type ReportCoverage struct {
	// percent is how much of it is known, if only within bounds: everything that is
	// not Unknown. It is 100 only when nothing is unknown.
	//
	// +required
	// +kubebuilder:validation:MaxLength=8
	Percent string `json:"percent"`

	// observedSeconds were seen as they happened.
	//
	// +required
	ObservedSeconds int64 `json:"observedSeconds"`

	// replayedSeconds were seen afterwards, change by change.
	//
	// +required
	ReplayedSeconds int64 `json:"replayedSeconds"`

	// estimatedSeconds are known from what was before and after.
	//
	// +required
	EstimatedSeconds int64 `json:"estimatedSeconds"`

	// unknownSeconds nobody saw, and nobody can tell.
	//
	// +required
	UnknownSeconds int64 `json:"unknownSeconds"`

	// gaps are the first of the stretches that are Estimated or Unknown.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Gaps []CoverageGap `json:"gaps,omitempty"`
}

// UsageReportStatus is the report.
type UsageReportStatus struct {
	// observedGeneration is the generation of the spec that the status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled; and Complete, once every
	// interval of the window is sealed: then the report changes only if something
	// is learnt later.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// summary is the totals in one line; where there are none, whether nothing was
	// used, that is unknown, or there is nothing of a name in filters.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Summary string `json:"summary,omitempty"`

	// window is the time that the report is about: the period, as it is now.
	//
	// +optional
	Window *TimeWindow `json:"window,omitempty"`

	// sealedTime is how far the figures reach: up to there everything is final.
	//
	// +optional
	SealedTime *metav1.Time `json:"sealedTime,omitempty"`

	// totals are what all rows of all pages add up to, by resource type and dimension,
	// the first 1,024.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Totals []Total `json:"totals,omitempty"`

	// rows are what the groups used: by window, then by groupBy's keys.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Rows []ReportRow `json:"rows,omitempty"`

	// rowCount is how many rows there are on all pages; left out where the report
	// has no figures.
	//
	// +optional
	RowCount *int64 `json:"rowCount,omitempty"`

	// nextPage is the startFrom of a report that shows the next page; left out on
	// the last one.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	NextPage string `json:"nextPage,omitempty"`

	// coverage says how the window is known.
	//
	// +optional
	Coverage *ReportCoverage `json:"coverage,omitempty"`

	// corrections is how many entries of the ledger correct an interval of the
	// window that was sealed before. They are counted in.
	//
	// +optional
	Corrections int64 `json:"corrections,omitempty"`

	// lastReportTime is when the figures last changed.
	//
	// +optional
	LastReportTime *metav1.Time `json:"lastReportTime,omitempty"`

	// nextReportTime is when they are expected to change again; left out when they are not.
	//
	// +optional
	NextReportTime *metav1.Time `json:"nextReportTime,omitempty"`

	// digest is over window, totals, rows, rowCount, nextPage and coverage:
	// sha256:<hex>. Equal digests are equal reports.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest,omitempty"`
}

// ConditionComplete is True once nothing of a report's window is open any more.
const ConditionComplete = "Complete"

// Reasons of a report's conditions.
const (
	// ReasonReported: the figures say what the ledger says.
	ReasonReported = "Reported"
	// ReasonNoSuchName: a filter names what nothing was ever recorded under: the
	// figures are those of the ledger, and perhaps not those that were meant.
	ReasonNoSuchName = "NoSuchName"
	// ReasonWaitingForLedger: the ledger is being loaded.
	ReasonWaitingForLedger = "WaitingForLedger"
	// ReasonInProgress: the window goes on, or is not sealed to its end.
	ReasonInProgress = "InProgress"
	// ReasonSealed: every interval of the window is sealed.
	ReasonSealed = "Sealed"
	// ReasonUnknownTimeZone: there is no such time zone.
	ReasonUnknownTimeZone = "UnknownTimeZone"
	// ReasonWindowTooLarge: the report would have too many windows, or rows.
	ReasonWindowTooLarge = "WindowTooLarge"
	// ReasonTooManyGroups: the report would have too many groups.
	ReasonTooManyGroups = "TooManyGroups"
	// ReasonOverBudget: the statuses of all reports would take too many bytes.
	ReasonOverBudget = "OverBudget"
	// ReasonInvalidCursor: spec.startFrom is not a nextPage of this report.
	ReasonInvalidCursor = "InvalidCursor"
	// ReasonInvalidSelector: spec.filters.namespaceSelector cannot be read.
	ReasonInvalidSelector = "InvalidSelector"
)
