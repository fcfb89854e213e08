package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AttributeValue is a fact's value.
//
// +kubebuilder:validation:MaxLength=253
type AttributeValue string

// ObjectReference names an object.
type ObjectReference struct {
	// apiVersion is the object's group and version.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=317
	APIVersion string `json:"apiVersion,omitempty"`

	// kind is the object's kind.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Kind string `json:"kind,omitempty"`

	// name is the object's name.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// uid tells objects of the same name apart.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	UID string `json:"uid"`
}

// Segment is a stretch in which one level of one dimension was held.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endTime) || self.startTime <= self.endTime",message="startTime must not be after endTime"
type Segment struct {
	// dimension is what was measured.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Dimension string `json:"dimension"`

	// level is how much was held, in the dimension's unit: "2.5" cores, "17179869184" bytes.
	//
	// +required
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)(\.[0-9]+)?$`
	Level string `json:"level"`

	// startTime is from when, inclusive. Where the moment is not known exactly it
	// is the latest possible one.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// startEarliest is the earliest moment at which it can have started, where
	// that is not known exactly.
	//
	// +optional
	StartEarliest *metav1.Time `json:"startEarliest,omitempty"`

	// endTime is until when, exclusive; left out while it is still held. Where
	// the moment is not known exactly it is the earliest possible one.
	//
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`

	// endLatest is the latest moment at which it can have ended, where that is
	// not known exactly.
	//
	// +optional
	EndLatest *metav1.Time `json:"endLatest,omitempty"`

	// exact is level x seconds, in the total's exactUnit; up to the record's
	// observedTime while it is still held.
	//
	// +required
	// +kubebuilder:validation:MaxLength=39
	// +kubebuilder:validation:Pattern=`^(0|[1-9][0-9]*)$`
	Exact string `json:"exact"`

	// evidence says how start and end are known.
	//
	// +required
	Evidence SegmentEvidence `json:"evidence"`
}

// SegmentEvidence says how a segment's boundaries are known: ObjectTime (the
// object states it), CreationTime, ManagedFields (the server's time of the
// write), Observed (by the watch, as it happened), ReplayBound (within bounds),
// MeteringStarted, MeteringStopped, LastKnown (the object could not be read from
// here on), Late (it was learnt after the interval that it belongs to was final,
// and counts from here on) or IntervalCut (it goes on beyond the record).
type SegmentEvidence struct {
	// start is how startTime is known.
	//
	// +required
	// +kubebuilder:validation:Enum=ObjectTime;CreationTime;ManagedFields;Observed;ReplayBound;MeteringStarted;LastKnown;MeteringStopped;Late;IntervalCut
	Start string `json:"start"`

	// end is how endTime is known; left out while it is still held.
	//
	// +optional
	// +kubebuilder:validation:Enum=ObjectTime;CreationTime;ManagedFields;Observed;ReplayBound;MeteringStarted;LastKnown;MeteringStopped;Late;IntervalCut
	End string `json:"end,omitempty"`
}
