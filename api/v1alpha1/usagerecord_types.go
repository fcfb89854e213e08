package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Phase says whether a record can still change.
//
// +kubebuilder:validation:Enum=Open;Final
type Phase string

// The phases of a record.
const (
	// PhaseOpen is a live view of an interval that goes on.
	PhaseOpen Phase = "Open"
	// PhaseFinal is written once, after the interval ended, and never changes.
	PhaseFinal Phase = "Final"
)

// Accuracy says how well the figures are known.
//
// +kubebuilder:validation:Enum=Exact;Estimated;Partial
type Accuracy string

// The accuracies of a record, the best first.
const (
	// AccuracyExact: every boundary inside the interval is known to the second.
	AccuracyExact Accuracy = "Exact"
	// AccuracyEstimated: at least one boundary is known within bounds only, or
	// one object could not be read and is taken to hold what it last held.
	AccuracyEstimated Accuracy = "Estimated"
	// AccuracyPartial: metering began or stopped in mid-interval; what was used
	// before or after is not known.
	AccuracyPartial Accuracy = "Partial"
)

// Detail says how much of what was held a record lists, where that is not all of it.
//
// +kubebuilder:validation:Enum=Resources;Totals
type Detail string

// The details of a record that does not list each stretch in which one level was held.
const (
	// DetailResources: what each resource, or container of it, used of each dimension.
	DetailResources Detail = "Resources"
	// DetailTotals: what all of them used of each dimension.
	DetailTotals Detail = "Totals"
)

// UsageRecordSpec is the record's identity.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="spec is the record's identity and cannot be changed"
// +kubebuilder:validation:XValidation:rule="self.endTime - self.startTime >= duration('1m') && self.endTime - self.startTime <= duration('1h')",message="startTime to endTime must be 1 minute to 1 hour"
type UsageRecordSpec struct {
	// namespace is whose usage it is. It differs from metadata.namespace when
	// that namespace is gone, and the record is kept in the operator's.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Namespace string `json:"namespace"`

	// namespaceUID tells namespaces of the same name apart.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	NamespaceUID string `json:"namespaceUID,omitempty"`

	// deployment is the name that the usage is put under; "" is unattributed;
	// "(other deployments)" is those that have no record of their own.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Deployment string `json:"deployment"`

	// startTime is when the interval starts, inclusive: a whole minute.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="self.getSeconds() == 0 && self.getMilliseconds() == 0",message="startTime must be a whole minute"
	StartTime metav1.Time `json:"startTime"`

	// endTime is when the interval ends, exclusive: a whole minute, at most an
	// hour after startTime.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="self.getSeconds() == 0 && self.getMilliseconds() == 0",message="endTime must be a whole minute"
	EndTime metav1.Time `json:"endTime"`

	// part numbers the record when one interval's usage needs several. Parts do
	// not overlap: their sum is the whole.
	//
	// +required
	Part Part `json:"part"`
}

// Part numbers one record of several.
type Part struct {
	// index counts from 0.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=9999
	Index int32 `json:"index"`
}

// UsageRecordStatus is the record's content.
//
// +kubebuilder:validation:XValidation:rule="oldSelf.phase != 'Final' || self == oldSelf",message="a Final record cannot be changed"
// +kubebuilder:validation:XValidation:rule="self.phase != 'Open' || has(self.observedTime)",message="an Open record needs observedTime: how far its figures reach"
// +kubebuilder:validation:XValidation:rule="self.phase != 'Final' || !has(self.usage) || self.usage.all(u, !has(u.segments) || u.segments.all(s, has(s.endTime)))",message="a Final record has no segment without endTime"
// +kubebuilder:validation:XValidation:rule="self.resources == (has(self.usage) ? self.usage.size() : 0)",message="resources must be how many entries usage has"
type UsageRecordStatus struct {
	// phase is Open while the interval goes on, and Final once the record cannot change any more.
	//
	// +required
	Phase Phase `json:"phase"`

	// accuracy says how well the figures are known: Exact, Estimated or Partial.
	//
	// +required
	Accuracy Accuracy `json:"accuracy"`

	// detail is Resources or Totals where the record lists less than each stretch in
	// which one level was held: its namespace took more than its share of the records.
	// The totals are the same.
	//
	// +optional
	Detail Detail `json:"detail,omitempty"`

	// deployments is how many deployments the record adds up: of the one of
	// "(other deployments)".
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Deployments int32 `json:"deployments,omitempty"`

	// observedTime is how far the figures of an Open record reach.
	//
	// +optional
	ObservedTime *metav1.Time `json:"observedTime,omitempty"`

	// parts is how many parts the interval's usage has.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Parts int32 `json:"parts"`

	// resources is how many entries usage has.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Resources int32 `json:"resources"`

	// totals add up this part's segments by resource type and dimension.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	Totals []Total `json:"totals,omitempty"`

	// usage lists who held what, and when.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1000
	Usage []Usage `json:"usage,omitempty"`

	// summary is one line for tables: the totals; in an Open record, as long as
	// something is held, what is held now.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Summary string `json:"summary,omitempty"`

	// digest is over spec, accuracy and usage: sha256:<hex>.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest"`
}

// Total is what was used of one dimension.
type Total struct {
	// resourceType is the meter's: vm, volume.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	ResourceType string `json:"resourceType"`

	// dimension is what was measured: vcpu, memory; extended_resource/nvidia.com/gpu
	// where the meter tells unlike things apart.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Dimension string `json:"dimension"`

	// quantity is how much, in unit: a decimal, rounded once.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)(\.[0-9]+)?$`
	Quantity string `json:"quantity"`

	// unit is what quantity counts: core-hour, GiB-hour, load_balancer-hour.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit"`

	// exact is the same, in exactUnit: an integer of up to 128 bits.
	//
	// +required
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)$`
	Exact string `json:"exact"`

	// exactUnit is what exact counts: millicore-second, byte-second.
	//
	// +required
	// +kubebuilder:validation:MaxLength=128
	ExactUnit string `json:"exactUnit"`
}

// Usage is what one instance of one resource held under one attribution.
//
// +kubebuilder:validation:XValidation:rule="has(self.segments) != has(self.totals)",message="it has either segments or, in a record whose detail is Resources, totals"
type Usage struct {
	// resourceType is the meter's: vm, volume.
	//
	// +required
	// +kubebuilder:validation:MaxLength=63
	ResourceType string `json:"resourceType"`

	// resource is what is billed.
	//
	// +required
	Resource ObjectReference `json:"resource"`

	// instance is what was metered when that is not the resource itself: the pod
	// of a workload, the node of a pool.
	//
	// +optional
	Instance *ObjectReference `json:"instance,omitempty"`

	// container is the member of the instance, where the meter has members.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Container string `json:"container,omitempty"`

	// region is where the resource is.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Region string `json:"region,omitempty"`

	// bundle is the head under which the dimensions belong: an instance type.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Bundle string `json:"bundle,omitempty"`

	// attributes are the meter's facts about the resource, by name.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.size() <= 63)",message="an attribute's name has at most 63 characters"
	Attributes map[string]AttributeValue `json:"attributes,omitempty"`

	// segments are the stretches in which one level was held.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Segments []Segment `json:"segments,omitempty"`

	// totals are what was used of each dimension, in a record whose detail is Resources.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=1000
	Totals []ResourceTotal `json:"totals,omitempty"`
}

// ResourceTotal is what one resource used of one dimension.
type ResourceTotal struct {
	// dimension is what was measured.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Dimension string `json:"dimension"`

	// exact is how much, in the exactUnit of the record's total: an integer of up to
	// 128 bits.
	//
	// +required
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)$`
	Exact string `json:"exact"`
}

// UsageRecord is what one deployment of one namespace used in one interval.
// Records are a projection of the ledger: one that is deleted is put back, and
// nobody but the operator writes them.
//
// +kubebuilder:object:root=true
// +kubebuilder:validation:XValidation:rule="self.spec.part.index < self.status.parts",message="spec.part.index counts from 0: it must be less than status.parts"
// +kubebuilder:resource:scope=Namespaced,shortName=ur,categories=usage
// +kubebuilder:selectablefield:JSONPath=`.spec.deployment`
// +kubebuilder:selectablefield:JSONPath=`.spec.startTime`
// +kubebuilder:selectablefield:JSONPath=`.status.phase`
// +kubebuilder:selectablefield:JSONPath=`.status.accuracy`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Accuracy",type=string,JSONPath=`.status.accuracy`
// +kubebuilder:printcolumn:name="Usage",type=string,JSONPath=`.status.summary`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Deployment",type=string,priority=1,JSONPath=`.spec.deployment`
// +kubebuilder:printcolumn:name="Observed",type=date,priority=1,JSONPath=`.status.observedTime`
// +kubebuilder:printcolumn:name="Start",type=string,priority=1,JSONPath=`.spec.startTime`
// +kubebuilder:printcolumn:name="End",type=string,priority=1,JSONPath=`.spec.endTime`
// +kubebuilder:printcolumn:name="Resources",type=integer,priority=1,JSONPath=`.status.resources`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.status.digest`
type UsageRecord struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the record's identity.
	//
	// +required
	Spec UsageRecordSpec `json:"spec"`

	// status is the record's content.
	//
	// +required
	Status UsageRecordStatus `json:"status"`
}

// UsageRecordList is a list of records.
//
// +kubebuilder:object:root=true
type UsageRecordList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageRecord `json:"items"`
}
