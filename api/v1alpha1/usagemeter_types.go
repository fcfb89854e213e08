package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Expression is a CEL expression over the metered object, which it reads as self.
// It has Kubernetes' CEL libraries: quantity, optionals, lists, regex, format.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=4096
type Expression string

// UsageMeterSpec says which kind is watched, and how levels, activity and times
// are read from an object of that kind.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endTime) || has(self.active)",message="endTime says when active became false: set active too"
// +kubebuilder:validation:XValidation:rule="has(self.other) == self.dimensions.exists(d, has(d.other))",message="other says which object dimensions[].other is read on: set both, or neither"
// +kubebuilder:validation:XValidation:rule="!has(self.other) || !has(self.forEach)",message="other is of the whole object: with forEach it would count for each member"
type UsageMeterSpec struct {
	// resourceType is under which type the usage is listed: vm, volume, vpc,
	// connection, cluster, node_pool, load_balancer, container, snapshot or a
	// name of your own. It cannot be changed.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][a-z0-9_]*$')",message="want lower-case letters, digits and _, starting with a letter, such as node_pool"
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="resourceType cannot be changed: create a new UsageMeter and delete this one"
	ResourceType string `json:"resourceType"`

	// target is the kind that is watched. A kind that is not installed is waited for.
	//
	// +required
	// +kubebuilder:validation:XValidation:rule="!has(self.group) || self.group != 'metering.usage-operator.dev'",message="the operator's own kinds cannot be metered: each record would make more records"
	Target TargetReference `json:"target"`

	// selector chooses objects by their labels; every object when it is left out.
	// At most 16 matchLabels and 16 matchExpressions of 64 values.
	//
	// +optional
	// +kubebuilder:validation:XValidation:rule="(!has(self.matchLabels) || self.matchLabels.size() <= 16) && (!has(self.matchExpressions) || self.matchExpressions.size() <= 16)",message="a selector has at most 16 matchLabels and 16 matchExpressions"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || self.matchExpressions.size() > 16 || self.matchExpressions.all(e, e.operator in ['In', 'NotIn'] ? has(e.values) && e.values.size() >= 1 && e.values.size() <= 64 : e.operator in ['Exists', 'DoesNotExist'] && (!has(e.values) || e.values.size() == 0))",message="a matchExpression's operator is In or NotIn with 1 to 64 values, or Exists or DoesNotExist with none"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// exclude is a CEL expression that gives true for an object that is not metered.
	// Read only what whoever is billed cannot write; see representedBy.
	//
	// +optional
	Exclude Expression `json:"exclude,omitempty"`

	// representedBy names other metered objects that an object can be a part of: a
	// virtual machine of its pod, a Gateway of its Service. While one of them exists,
	// holds something by a meter and vouches for the object, the object is metered
	// with it, and not by itself. Nothing that is written into the object alone
	// leaves it out. At most 8.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=8
	RepresentedBy []Representation `json:"representedBy,omitempty"`

	// active is a CEL expression that gives true while the object holds what it
	// is metered for. Left out, an object is active as long as it exists.
	//
	// +optional
	Active Expression `json:"active,omitempty"`

	// startTime is a CEL expression for when the present activity began, as a
	// timestamp or an RFC 3339 string; "" or none when the object does not say.
	// Left out, an object that is active as long as it exists starts at its
	// creationTimestamp, and any other when it is seen to become active.
	//
	// +optional
	StartTime Expression `json:"startTime,omitempty"`

	// endTime is a CEL expression for when the activity ended, in the form of
	// startTime. Left out, it ends when it is seen to end.
	//
	// +optional
	EndTime Expression `json:"endTime,omitempty"`

	// resource names the billed resource when that is not the object itself: the
	// object is then the resource's instance.
	//
	// +optional
	Resource *ResourceReference `json:"resource,omitempty"`

	// namespace is a CEL expression for the namespace that a cluster-scoped
	// object's usage belongs to; "" is the operator's own. A namespaced object's
	// usage always belongs to its own namespace.
	//
	// +optional
	Namespace Expression `json:"namespace,omitempty"`

	// deployment is a CEL expression for the name that usage is put under. Left
	// out, or where it gives "", it is found from the object's label
	// metering.usage-operator.dev/deployment, its owners, and the workloads that
	// use it.
	//
	// +optional
	Deployment Expression `json:"deployment,omitempty"`

	// region is a CEL expression. Left out, it is the label
	// topology.kubernetes.io/region, else topology.kubernetes.io/zone, of the node
	// that node names, or of a cluster-scoped object; the labels of an object in a
	// namespace are its tenant's.
	//
	// +optional
	Region Expression `json:"region,omitempty"`

	// node says on which node an object runs, and what is read of that node: where
	// it is, and what kind of machine, so that what runs there can be priced by it.
	//
	// +optional
	Node *NodeReference `json:"node,omitempty"`

	// bundle is a CEL expression for the head under which the dimensions are
	// listed, such as an instance type.
	//
	// +optional
	Bundle Expression `json:"bundle,omitempty"`

	// attributes are CEL expressions for facts to group and filter by, by name. A
	// fact that changes splits the usage; one that is "" is left out. At most 8.
	//
	// +optional
	// +kubebuilder:validation:MaxProperties=8
	// +kubebuilder:validation:XValidation:rule="self.all(name, name.matches('^[a-z][A-Za-z0-9]{0,62}$'))",message="an attribute's name starts with a-z and has letters and digits only, at most 63"
	Attributes map[string]Expression `json:"attributes,omitempty"`

	// forEach meters several members of one object, such as a pod's containers.
	//
	// +optional
	ForEach *ForEach `json:"forEach,omitempty"`

	// other is another object that has facts of this one: the PersistentVolume of a
	// claim. dimensions[].other is read on it.
	//
	// +optional
	Other *OtherReference `json:"other,omitempty"`

	// dimensions are what is measured, 1 to 16.
	//
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Dimensions []Dimension `json:"dimensions"`

	// suspend stops the meter: open usage ends now, and nothing is metered until
	// it is false again.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// UsageMeterStatus says how far the meter has come, and what stands in its way.
type UsageMeterStatus struct {
	// observedGeneration is the generation of the spec that the status speaks of.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, Reconciling and Stalled, and NodesUnreadable and
	// OtherUnreadable while these are true.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// dimensions are the names of spec.dimensions, for tables.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1038
	Dimensions string `json:"dimensions,omitempty"`

	// active is how many objects are in use now: those with an open segment.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Active int64 `json:"active"`

	// quarantined is how many objects cannot be read. Each is taken to hold what
	// it last held, and is read again when it changes.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Quarantined int64 `json:"quarantined"`

	// quarantine lists the first of them, with what is wrong.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=10
	Quarantine []QuarantinedObject `json:"quarantine,omitempty"`

	// position is how far the watch has come.
	//
	// +optional
	Position *Position `json:"position,omitempty"`
}

// QuarantinedObject is an object that a meter could not read.
type QuarantinedObject struct {
	// namespace is the object's namespace; "" for a cluster-scoped one.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is the object's name.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// message says which expression failed, and why.
	//
	// +required
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message"`
}

// Position is how far a watch has come.
type Position struct {
	// resourceVersion is the last one that the watch delivered.
	//
	// +required
	// +kubebuilder:validation:MaxLength=64
	ResourceVersion string `json:"resourceVersion"`

	// observedTime is when it was delivered.
	//
	// +required
	ObservedTime metav1.Time `json:"observedTime"`
}

// Types of a UsageMeter's conditions, as kstatus reads them.
const (
	// ConditionReady is True while the meter meters.
	ConditionReady = "Ready"
	// ConditionReconciling is True while it is on its way there by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is True when a person has to act.
	ConditionStalled = "Stalled"
)

// ConditionNodesUnreadable is true while a UsageMeter with spec.node meters without
// the attributes and the region of nodes, because the operator cannot read Nodes. It
// is absent otherwise.
const ConditionNodesUnreadable = "NodesUnreadable"

// ConditionOtherUnreadable is true while a UsageMeter with spec.other meters by what its
// objects say themselves, because the operator cannot read the other kind. It is absent
// otherwise.
const ConditionOtherUnreadable = "OtherUnreadable"

// Reasons of a UsageMeter's conditions.
const (
	// ReasonMetering: the watch is up to date.
	ReasonMetering = "Metering"
	// ReasonQuarantined: the watch is up to date, and some objects cannot be read.
	ReasonQuarantined = "Quarantined"
	// ReasonListing: the first list is under way.
	ReasonListing = "Listing"
	// ReasonJournaling: everything is listed, and the journal does not have it yet.
	ReasonJournaling = "Journaling"
	// ReasonSuspended: spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonTargetNotInstalled: no such kind yet; metering starts when it is there.
	ReasonTargetNotInstalled = "TargetNotInstalled"
	// ReasonVersionNotServed: the kind is there, but not in spec.target.version.
	// Metering starts when the cluster serves that.
	ReasonVersionNotServed = "VersionNotServed"
	// ReasonInvalidExpression: an expression does not compile.
	ReasonInvalidExpression = "InvalidExpression"
	// ReasonAccessDenied: the operator may not list or watch the kind.
	ReasonAccessDenied = "AccessDenied"
	// ReasonWatchFailed: the API server does not answer; it is tried again.
	ReasonWatchFailed = "WatchFailed"
	// ReasonJournalUnavailable: metering goes on in memory, until the journal can
	// be written again.
	ReasonJournalUnavailable = "JournalUnavailable"
	// ReasonClockBehind: the operator's clock was set back. Time stands still, and
	// nothing is sealed, until it has caught up.
	ReasonClockBehind = "ClockBehind"
)

// UsageMeter says what is metered: a kind to watch, and CEL expressions that
// read levels, activity and times from its objects. A meter takes effect at
// once when it is applied, changed, suspended or deleted.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=um
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.resourceType`
// +kubebuilder:printcolumn:name="Active",type=integer,JSONPath=`.status.active`
// +kubebuilder:printcolumn:name="Quarantined",type=integer,JSONPath=`.status.quarantined`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Seen",type=date,JSONPath=`.status.position.observedTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Kind",type=string,priority=1,JSONPath=`.spec.target.kind`
// +kubebuilder:printcolumn:name="Dimensions",type=string,priority=1,JSONPath=`.status.dimensions`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type UsageMeter struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says what is metered.
	//
	// +required
	Spec UsageMeterSpec `json:"spec"`

	// status says how far the meter has come.
	//
	// +optional
	Status UsageMeterStatus `json:"status,omitempty"`
}

// UsageMeterList is a list of meters.
//
// +kubebuilder:object:root=true
type UsageMeterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageMeter `json:"items"`
}
