package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WindowSize is how long each window of a report is.
//
// +kubebuilder:validation:Enum=none;hour;day;week;month
type WindowSize string

// The sizes of windows.
const (
	WindowNone  WindowSize = "none"
	WindowHour  WindowSize = "hour"
	WindowDay   WindowSize = "day"
	WindowWeek  WindowSize = "week"
	WindowMonth WindowSize = "month"
)

// Zeros says what becomes of rows in which nothing was used.
//
// +kubebuilder:validation:Enum=Omit;Fill
type Zeros string

const (
	// ZerosOmit leaves them out. A row of which nobody knows whether anything was
	// used is there all the same, without a quantity.
	ZerosOmit Zeros = "Omit"
	// ZerosFill has a row for each group in each window.
	ZerosFill Zeros = "Fill"
)

// PeriodUnit is the length of a rolling period.
//
// +kubebuilder:validation:Enum=hour;day;week;month
type PeriodUnit string

// Period is a stretch of the calendar that moves on by itself.
type Period struct {
	// unit is how long the period is: hour, day, week (from Monday) or month, as
	// they begin in timeZone.
	//
	// +required
	Unit PeriodUnit `json:"unit"`

	// offset is which one: 0 is the one that goes on now, -1 the last one that is over.
	//
	// +optional
	// +kubebuilder:validation:Minimum=-1000
	// +kubebuilder:validation:Maximum=0
	Offset int32 `json:"offset,omitempty"`
}

// GroupKey is something by which rows are told apart: namespace, deployment,
// resourceType, resource, instance, container, region, bundle, dimension, or
// attribute:NAME for a meter's attribute.
//
// +kubebuilder:validation:MaxLength=73
// +kubebuilder:validation:Pattern=`^(namespace|deployment|resourceType|resource|instance|container|region|bundle|dimension|attribute:[a-z][A-Za-z0-9]{0,62})$`
type GroupKey string

// FilterValue is a value that is let through.
//
// +kubebuilder:validation:MaxLength=253
type FilterValue string

// FilterValues are values of which one is let through.
//
// +kubebuilder:validation:MinItems=1
// +kubebuilder:validation:MaxItems=64
type FilterValues []FilterValue

// ReportFilters say which usage is counted. Usage has to pass every filter that
// is given; a list that is left out lets everything through.
type ReportFilters struct {
	// deployments are those whose usage is counted; "" is unattributed.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Deployments []FilterValue `json:"deployments,omitempty"`

	// resourceTypes are what is counted: vm, volume.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	ResourceTypes []FilterValue `json:"resourceTypes,omitempty"`

	// dimensions are which of their dimensions are counted: vcpu, storage.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Dimensions []FilterValue `json:"dimensions,omitempty"`

	// attributes are the values that a meter's attribute may have, by its name; ""
	// is without it.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-z][A-Za-z0-9]{0,62}$'))",message="an attribute's name starts with a-z and has letters and digits only, at most 63"
	Attributes map[string]FilterValues `json:"attributes,omitempty"`
}

// ClusterReportFilters are a ReportFilters, and say whose usage is counted.
type ClusterReportFilters struct {
	ReportFilters `json:",inline"`

	// namespaces are those whose usage is counted, those that are gone included.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=256
	Namespaces []FilterValue `json:"namespaces,omitempty"`

	// namespaceSelector counts the usage of namespaces with these labels, as they
	// have them now. With namespaces, a namespace has to be in both. At most 16
	// matchLabels and 16 matchExpressions of 64 values.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.size() <= 16) && (!has(self.matchExpressions) || self.matchExpressions.size() <= 16)",message="a selector has at most 16 matchLabels and 16 matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.size() > 16 || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() >= 1 && e.values.size() <= 64 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || e.values.size() == 0))",message="a matchExpression's operator is In or NotIn with 1 to 64 values, or Exists or DoesNotExist with none"
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
}

// ReportShape is what a report looks like, whatever its window is.
type ReportShape struct {
	// windowSize cuts the report's window into windows: none (one row for each
	// group, the default), hour, day, week (from Monday) or month. Days, weeks and
	// months begin at midnight in timeZone, hours as in UTC. The first and the last
	// may be shorter.
	//
	// +optional
	WindowSize WindowSize `json:"windowSize,omitempty"`

	// timeZone is where days, weeks and months begin: Europe/Berlin. UTC if left out.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// groupBy is what rows are told apart by: namespace, deployment, resourceType,
	// resource, instance, container, region, bundle, or attribute:NAME. The
	// dimension always is: cores and bytes do not add up.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	GroupBy []GroupKey `json:"groupBy,omitempty"`

	// zeros is Omit (the default) or Fill: whether there is a row for each group in
	// each window, also where it used nothing.
	//
	// +optional
	Zeros Zeros `json:"zeros,omitempty"`

	// limit is how many rows the status has at most: 1 to 1000; 500 if left out.
	// status.nextPage then says how to see the rest.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Limit int32 `json:"limit,omitempty"`
}

// ReportWindow is the time that a report is about.
//
// +kubebuilder:validation:XValidation:rule="has(self.period) || has(self.startingOn) && has(self.endingBefore)",message="want startingOn and endingBefore, or period"
// +kubebuilder:validation:XValidation:rule="!has(self.period) || !has(self.startingOn) && !has(self.endingBefore)",message="want either period, or startingOn and endingBefore"
// +kubebuilder:validation:XValidation:rule="!has(self.startingOn) || !has(self.endingBefore) || self.startingOn < self.endingBefore",message="endingBefore must be after startingOn"
type ReportWindow struct {
	ReportShape `json:",inline"`

	// startingOn is the first second that counts.
	//
	// +optional
	StartingOn *metav1.Time `json:"startingOn,omitempty"`

	// endingBefore is the first second that does not count any more.
	//
	// +optional
	EndingBefore *metav1.Time `json:"endingBefore,omitempty"`

	// period is a rolling window, instead of startingOn and endingBefore: the last
	// full month is {unit: month, offset: -1}.
	//
	// +optional
	Period *Period `json:"period,omitempty"`

	// startFrom is a status.nextPage: the report shows the rows from there on.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	StartFrom string `json:"startFrom,omitempty"`

	// suspend leaves the report as it is.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// UsageReportSpec says what a report of one namespace is about.
type UsageReportSpec struct {
	ReportWindow `json:",inline"`

	// filters say which usage of the namespace is counted.
	//
	// +optional
	Filters *ReportFilters `json:"filters,omitempty"`
}

// ClusterUsageReportSpec says what a report of the whole cluster is about.
type ClusterUsageReportSpec struct {
	ReportWindow `json:",inline"`

	// filters say which usage is counted, and whose.
	//
	// +optional
	Filters *ClusterReportFilters `json:"filters,omitempty"`
}

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
	// +kubebuilder:validation:MaxLength=128
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

	// summary is the totals in one line.
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

	// totals are what all rows of all pages add up to, by resource type and dimension.
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

	// rowCount is how many rows there are on all pages.
	//
	// +optional
	RowCount int64 `json:"rowCount"`

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
	// ReasonInvalidCursor: spec.startFrom is not a nextPage of this report.
	ReasonInvalidCursor = "InvalidCursor"
	// ReasonInvalidSelector: spec.filters.namespaceSelector cannot be read.
	ReasonInvalidSelector = "InvalidSelector"
)

// UsageReport is what the namespace that it is in used in a time, by windows and
// groups. It is made from the ledger, and follows it: at each seal, while the
// window goes on. Nobody but the operator writes the status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=urep,categories=usage
// +kubebuilder:printcolumn:name="Window",type=string,JSONPath=`.spec.windowSize`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.status.window.startTime`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.status.window.endTime`
// +kubebuilder:printcolumn:name="Rows",type=integer,JSONPath=`.status.rowCount`
// +kubebuilder:printcolumn:name="Coverage",type=string,JSONPath=`.status.coverage.percent`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Ready",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Usage",type=string,priority=1,JSONPath=`.status.summary`
type UsageReport struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the report is about.
	//
	// +required
	Spec UsageReportSpec `json:"spec"`

	// status is the report.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status UsageReportStatus `json:"status,omitempty"`
}

// UsageReportList is a list of reports.
//
// +kubebuilder:object:root=true
type UsageReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageReport `json:"items"`
}

// ClusterUsageReport is what the whole cluster used in a time, by windows and
// groups. It is made from the ledger, and follows it: at each seal, while the
// window goes on. Nobody but the operator writes the status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=curep,categories=usage
// +kubebuilder:printcolumn:name="Window",type=string,JSONPath=`.spec.windowSize`
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.status.window.startTime`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.status.window.endTime`
// +kubebuilder:printcolumn:name="Rows",type=integer,JSONPath=`.status.rowCount`
// +kubebuilder:printcolumn:name="Coverage",type=string,JSONPath=`.status.coverage.percent`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Ready",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Usage",type=string,priority=1,JSONPath=`.status.summary`
type ClusterUsageReport struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what the report is about.
	//
	// +required
	Spec ClusterUsageReportSpec `json:"spec"`

	// status is the report.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status UsageReportStatus `json:"status,omitempty"`
}

// ClusterUsageReportList is a list of reports.
//
// +kubebuilder:object:root=true
type ClusterUsageReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterUsageReport `json:"items"`
}
