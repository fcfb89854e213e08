package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BlockCoverage says how a stretch of time is known to a meter.
//
// +kubebuilder:validation:Enum=Observed;Replayed;Estimated;Unknown
type BlockCoverage string

// BlockStretch is how a meter knows a stretch of time.
type BlockStretch struct {
	// meter is the UsageMeter's name.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Meter string `json:"meter"`

	// startTime is when the stretch starts, inclusive.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// endTime is when the stretch ends, exclusive.
	//
	// +required
	EndTime metav1.Time `json:"endTime"`

	// coverage is Replayed, Estimated or Unknown; Observed where it was thought
	// to be one of those.
	//
	// +required
	Coverage BlockCoverage `json:"coverage"`
}

// BlockSeal is an interval that was closed for good.
type BlockSeal struct {
	// startTime is when the interval starts, inclusive.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// endTime is when the interval ends, exclusive.
	//
	// +required
	EndTime metav1.Time `json:"endTime"`

	// digest is over the interval's rows, and the digest of the seal before.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest"`

	// partial tells that a stretch of the interval is unknown.
	//
	// +optional
	Partial bool `json:"partial,omitempty"`

	// limits bound what the interval's records list; left out where none does.
	//
	// +optional
	Limits *BlockLimits `json:"limits,omitempty"`
}

// BlockLimits bound what the records of one namespace and interval list.
//
// +kubebuilder:validation:MinProperties=1
type BlockLimits struct {
	// bytes is a namespace's share: the records of one that would take more list less.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Bytes int64 `json:"bytes,omitempty"`

	// deployments is how many deployments of a namespace have records of their own.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Deployments int64 `json:"deployments,omitempty"`
}

// BlockGap is a stretch of the journal that a person accepted as it is.
type BlockGap struct {
	// from is the sequence of the first block.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	From int64 `json:"from"`

	// to is the sequence of the last block.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	To int64 `json:"to"`

	// acceptedTime is when the operator went on with it.
	//
	// +required
	AcceptedTime metav1.Time `json:"acceptedTime"`

	// lost tells that what these blocks said is not part of the ledger, even if
	// one of them turns up again.
	//
	// +optional
	Lost bool `json:"lost,omitempty"`

	// reason is what was wrong.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
}

// BlockArchived says that what was sealed in some days is in the archive.
type BlockArchived struct {
	// startTime is the beginning of the first day, in UTC.
	//
	// +required
	StartTime metav1.Time `json:"startTime"`

	// endTime is the end of the last day.
	//
	// +required
	EndTime metav1.Time `json:"endTime"`

	// manifest is the name of the last day's manifest in the archive.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Manifest string `json:"manifest"`

	// digest is the manifest's. It stands for those of all days before: each names
	// that of the day before.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest"`

	// seal is the digest that the last day's last interval was sealed with.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Seal string `json:"seal"`

	// sequence is that of the entry that said so; left out in that entry.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	Sequence int64 `json:"sequence,omitempty"`
}
