package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ScheduleTiming says for which periods reports are made.
//
// +kubebuilder:validation:XValidation:rule="has(self.schedule) != has(self.everyPeriod)",message="want either schedule or everyPeriod"
type ScheduleTiming struct {
	// everyPeriod makes a report for each hour, day, week (from Monday) or month of
	// the calendar in timeZone, once it is over and sealed.
	//
	// +optional
	EveryPeriod PeriodUnit `json:"everyPeriod,omitempty"`

	// schedule is when a period ends and the next one begins, instead of
	// everyPeriod: five fields as in a crontab (minute, hour, day, month,
	// day of week), in timeZone. A report is about the time from one of these
	// moments to the next.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Schedule string `json:"schedule,omitempty"`

	// timeZone is where the periods begin: Europe/Berlin. UTC if left out. It is the
	// reports' too, unless their template has one.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// startingOn is the moment before which no period begins. If left out, the
	// first one is the period of everyPeriod in which the schedule was created, or
	// the first of schedule that begins after that.
	//
	// +optional
	StartingOn *metav1.Time `json:"startingOn,omitempty"`

	// historyLimit is how many reports are kept: 1 to 1000; 12 if left out. Older
	// ones are deleted, and what they say can be reported again at any time.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	HistoryLimit int32 `json:"historyLimit,omitempty"`

	// suspend makes no reports until it is false again. Then those that were missed
	// are made.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// TemplateMetadata is what every report of a schedule has in its metadata.
type TemplateMetadata struct {
	// labels are the reports', beside those that name the schedule.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 317)",message="a label's key has at most 317 characters"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations are the reports'.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(key, key.size() <= 317)",message="an annotation's key has at most 317 characters"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// LabelValue is a label's value.
//
// +kubebuilder:validation:MaxLength=63
type LabelValue string

// AnnotationValue is an annotation's value.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// UsageReportTemplate is a UsageReport without its window.
type UsageReportTemplate struct {
	// metadata is what every report has.
	//
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitempty"`

	// spec is what every report is about.
	//
	// +optional
	Spec UsageReportTemplateSpec `json:"spec,omitempty"`
}

// UsageReportTemplateSpec is a UsageReport's spec without its window.
type UsageReportTemplateSpec struct {
	ReportShape `json:",inline"`

	// filters say which usage of the namespace is counted.
	//
	// +optional
	Filters *ReportFilters `json:"filters,omitempty"`
}

// ClusterUsageReportTemplate is a ClusterUsageReport without its window.
type ClusterUsageReportTemplate struct {
	// metadata is what every report has.
	//
	// +optional
	Metadata TemplateMetadata `json:"metadata,omitempty"`

	// spec is what every report is about.
	//
	// +optional
	Spec ClusterUsageReportTemplateSpec `json:"spec,omitempty"`
}

// ClusterUsageReportTemplateSpec is a ClusterUsageReport's spec without its window.
type ClusterUsageReportTemplateSpec struct {
	ReportShape `json:",inline"`

	// filters say which usage is counted, and whose.
	//
	// +optional
	Filters *ClusterReportFilters `json:"filters,omitempty"`
}

// UsageReportScheduleSpec says which reports are made, and when.
type UsageReportScheduleSpec struct {
	ScheduleTiming `json:",inline"`

	// template is what the reports look like.
	//
	// +optional
	Template UsageReportTemplate `json:"template,omitempty"`
}

// ClusterUsageReportScheduleSpec says which reports are made, and when.
type ClusterUsageReportScheduleSpec struct {
	ScheduleTiming `json:",inline"`

	// template is what the reports look like.
	//
	// +optional
	Template ClusterUsageReportTemplate `json:"template,omitempty"`
}

// ReportScheduleStatus says how far a schedule has come.
type ReportScheduleStatus struct {
	// observedGeneration is the generation of the spec that the status speaks of.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastPeriod is the newest one for which a report was made.
	//
	// +optional
	LastPeriod *TimeWindow `json:"lastPeriod,omitempty"`

	// lastReport is the name of that report.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	LastReport string `json:"lastReport,omitempty"`

	// backlog is from when to when there are periods whose reports are still to be
	// made, the newest first; left out when there are none.
	//
	// +optional
	Backlog *TimeWindow `json:"backlog,omitempty"`

	// nextScheduleTime is when the period that goes on ends, and its report can be made.
	//
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`
}

// Reasons of a schedule's conditions.
const (
	// ReasonScheduled: a report was made for each period that is over and sealed.
	ReasonScheduled = "Scheduled"
	// ReasonCatchingUp: reports of past periods are still to be made.
	ReasonCatchingUp = "CatchingUp"
	// ReasonInvalidSchedule: spec.schedule is not a crontab's.
	ReasonInvalidSchedule = "InvalidSchedule"
	// ReasonNameTaken: there is a report of that name that the schedule did not make.
	ReasonNameTaken = "NameTaken"
)

// LabelSchedule names, on a report, the schedule that made it.
const LabelSchedule = Group + "/schedule"

// UsageReportSchedule makes a UsageReport for each period that is over, once it
// is sealed. A report's name is the schedule's, and when the period began, so that
// there is one of each, whatever happens.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=ureps,categories=usage
// +kubebuilder:printcolumn:name="Every",type=string,JSONPath=`.spec.everyPeriod`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Last Report",type=string,JSONPath=`.status.lastReport`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must have at most 63 characters: it is a label of its reports"
type UsageReportSchedule struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which reports are made, and when.
	//
	// +required
	Spec UsageReportScheduleSpec `json:"spec"`

	// status says how far the schedule has come.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ReportScheduleStatus `json:"status,omitempty"`
}

// UsageReportScheduleList is a list of schedules.
//
// +kubebuilder:object:root=true
type UsageReportScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageReportSchedule `json:"items"`
}

// ClusterUsageReportSchedule makes a ClusterUsageReport for each period that is
// over, once it is sealed. A report's name is the schedule's, and when the period
// began, so that there is one of each, whatever happens.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=cureps
// +kubebuilder:printcolumn:name="Every",type=string,JSONPath=`.spec.everyPeriod`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Last Report",type=string,JSONPath=`.status.lastReport`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="metadata.name must have at most 63 characters: it is a label of its reports"
type ClusterUsageReportSchedule struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which reports are made, and when.
	//
	// +required
	Spec ClusterUsageReportScheduleSpec `json:"spec"`

	// status says how far the schedule has come.
	//
	// +optional
	// +kubebuilder:default:={"observedGeneration":-1}
	Status ReportScheduleStatus `json:"status,omitempty"`
}

// ClusterUsageReportScheduleList is a list of schedules.
//
// +kubebuilder:object:root=true
type ClusterUsageReportScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterUsageReportSchedule `json:"items"`
}
