package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BlockMeter is what has to be known of a UsageMeter to go on.
type BlockMeter struct {
	// name is the UsageMeter's.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// version is that of its spec: its UID and generation. Two of them, with > in
	// between, are of one that was edited from the first to the second: what it reads
	// otherwise since has not been listed yet.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Version string `json:"version,omitempty"`

	// group is the API group of what it reads; left out for the core group.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// kind is the kind that it reads.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Kind string `json:"kind,omitempty"`

	// resourceType is what it meters: vm.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	ResourceType string `json:"resourceType,omitempty"`

	// since is from when on it sees everything.
	//
	// +required
	Since metav1.Time `json:"since"`

	// dimensions are what it measures, in order.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Dimensions []BlockDimension `json:"dimensions,omitempty"`

	// definedTime is from when on it is defined as it is: what it sees for the first
	// time later was none of its own before. Left out: since.
	//
	// +optional
	DefinedTime *metav1.Time `json:"definedTime,omitempty"`

	// measured is what it measured when; left out by older versions: its
	// dimensions, since since.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Measured []BlockMeasured `json:"measured,omitempty"`

	// listed tells that it has seen every object up to its kind's position.
	//
	// +optional
	Listed bool `json:"listed,omitempty"`
}

// BlockDimension is one thing that a meter measures.
type BlockDimension struct {
	// name is the dimension: vcpu.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// unit is what its levels are counted in: core.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit"`
}

// BlockMeasured is a time in which a meter measured a dimension.
type BlockMeasured struct {
	// name is the dimension: vcpu.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// unit is what its levels are counted in: core.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Unit string `json:"unit"`

	// startTime is when it began to be measured.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// endTime is when it was measured no more; left out: it still is.
	//
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`
}
