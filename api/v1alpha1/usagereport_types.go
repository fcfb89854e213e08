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

// The lengths of rolling periods.
const (
	PeriodHour  PeriodUnit = "hour"
	PeriodDay   PeriodUnit = "day"
	PeriodWeek  PeriodUnit = "week" // from Monday
	PeriodMonth PeriodUnit = "month"
)

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
// +kubebuilder:validation:XValidation:rule="self.matches('^(namespace|deployment|resourceType|resource|instance|container|region|bundle|dimension|attribute:[a-z][A-Za-z0-9]{0,62})$')",message="want namespace, deployment, resourceType, resource, instance, container, region, bundle, dimension, or attribute:NAME for an attribute of a meter"
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

	// suspend has the report go no further than the seal at which it is.
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

// UsageReport is what the namespace that it is in used in a time, by windows and
// groups. It is made from the ledger, and follows it: at each seal, while the
// window goes on. Nobody but the operator writes the status.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=urep,categories=usage
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.status.window.startTime`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.status.window.endTime`
// +kubebuilder:printcolumn:name="Coverage",type=string,JSONPath=`.status.coverage.percent`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Window",type=string,priority=1,JSONPath=`.spec.windowSize`
// +kubebuilder:printcolumn:name="Rows",type=integer,priority=1,JSONPath=`.status.rowCount`
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
// +kubebuilder:resource:scope=Cluster,shortName=curep
// +kubebuilder:printcolumn:name="From",type=string,JSONPath=`.status.window.startTime`
// +kubebuilder:printcolumn:name="To",type=string,JSONPath=`.status.window.endTime`
// +kubebuilder:printcolumn:name="Coverage",type=string,JSONPath=`.status.coverage.percent`
// +kubebuilder:printcolumn:name="Complete",type=string,JSONPath=`.status.conditions[?(@.type=="Complete")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Window",type=string,priority=1,JSONPath=`.spec.windowSize`
// +kubebuilder:printcolumn:name="Rows",type=integer,priority=1,JSONPath=`.status.rowCount`
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
