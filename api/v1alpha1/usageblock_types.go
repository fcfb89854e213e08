package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// AnnotationAcceptGap on an intact UsageBlock says that a person goes on
// without blocks that are lost or damaged: their sequences, such as "17",
// "17-19" or "17,20-22".
const AnnotationAcceptGap = Group + "/accept-gap"

// The formats of blocks.
const (
	// BlockFormat is the newest format that this version reads.
	BlockFormat = BlockFormatArchived
	// BlockFormatPlain is that of the blocks that say nothing of an archive.
	BlockFormatPlain = 1
	// BlockFormatArchived is that of the blocks that do: versions that do not know of an
	// archive would take what was left out of them for nothing.
	BlockFormatArchived = 2
)

// BlockKind says how a block came about.
//
// +kubebuilder:validation:Enum=Entry;Compacted
type BlockKind string

// The kinds of blocks.
const (
	// BlockEntry is what was appended: one commit, or one part of it.
	BlockEntry BlockKind = "Entry"
	// BlockCompacted stands for several consecutive blocks.
	BlockCompacted BlockKind = "Compacted"
)

// UsageBlockSpec is one piece of the journal.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a block of the journal cannot be changed"
// +kubebuilder:validation:XValidation:rule="(self.kind == 'Compacted') == has(self.covers)",message="covers is for a Compacted block, and for no other"
// +kubebuilder:validation:XValidation:rule="self.part.index < self.part.count",message="part.index counts from 0: it must be less than part.count"
// +kubebuilder:validation:XValidation:rule="has(self.segments) == (self.rows > 0)",message="segments has as many rows as rows says"
type UsageBlockSpec struct {
	// format is the version of the block's form: 1, or 2 where it has archived or
	// leftOut. An operator that does not know a block's format does not go on.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Format int32 `json:"format"`

	// sequence is the block's place in the journal, from 1 on; the last one that
	// a Compacted block covers.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Sequence int64 `json:"sequence"`

	// kind is Entry, which was appended, or Compacted, which stands for several.
	//
	// +required
	Kind BlockKind `json:"kind"`

	// part numbers the blocks of one commit that is too large for one. It counts
	// once its last part is there.
	//
	// +required
	Part BlockPart `json:"part"`

	// covers are the blocks that a Compacted block stands for.
	//
	// +optional
	Covers *BlockCovers `json:"covers,omitempty"`

	// writer is which process of the operator appended it.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Writer string `json:"writer,omitempty"`

	// cluster is which cluster it tells of: the UID of the namespace kube-system.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Cluster string `json:"cluster,omitempty"`

	// time is when it was written, by the writer's clock.
	//
	// +required
	Time metav1.Time `json:"time"`

	// startTime is the earliest start in segments.
	//
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// endTime is the latest end in segments; the latest start, if that is later.
	//
	// +optional
	EndTime *metav1.Time `json:"endTime,omitempty"`

	// positions are how far the watch of every kind has come; left out where
	// nothing changed.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Positions []BlockPosition `json:"positions,omitzero"`

	// meters are what has to be known of every UsageMeter to go on; left out
	// where nothing changed.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Meters []BlockMeter `json:"meters,omitzero"`

	// coverage are stretches of time that nobody saw as they happened.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Coverage []BlockStretch `json:"coverage,omitempty"`

	// sealed are the intervals that were closed for good.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Sealed []BlockSeal `json:"sealed,omitempty"`

	// gaps are the stretches of the journal that a person accepted as they are.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=4000
	Gaps []BlockGap `json:"gaps,omitempty"`

	// archived says that days are in the archive: the last such statement of the
	// blocks that a Compacted one covers.
	//
	// +optional
	Archived *BlockArchived `json:"archived,omitempty"`

	// leftOut says which days' segments, seals and coverage are not in this block, or
	// not all of them, because the archive has them.
	//
	// +optional
	LeftOut *BlockArchived `json:"leftOut,omitempty"`

	// segments are the changes of segments: a Parquet file, compressed with zstd,
	// in base64; left out where there are none.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=480000
	Segments string `json:"segments,omitempty"`

	// rows is how many rows segments has.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Rows int32 `json:"rows"`

	// size is how large segments is, in bytes before base64.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Size int32 `json:"size"`

	// digest is over all of spec but digest itself: sha256:<hex>, of the JSON
	// with sorted keys and without white space.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest"`

	// previousDigest is the digest of the block appended before this one, or
	// before the first one that it covers; left out in the first, and after a
	// block that was lost.
	//
	// +optional
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	PreviousDigest string `json:"previousDigest,omitempty"`
}

// BlockPart numbers one block of several.
type BlockPart struct {
	// index counts from 0.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	Index int32 `json:"index"`

	// count is how many parts there are.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Count int32 `json:"count"`
}

// BlockCovers is what a Compacted block stands for.
//
// +kubebuilder:validation:XValidation:rule="self.from <= self.to",message="from must not be after to"
type BlockCovers struct {
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

	// digest is the digest of the last block as it was appended, which the next
	// block names as its previousDigest.
	//
	// +required
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	// +kubebuilder:validation:MaxLength=71
	Digest string `json:"digest"`
}

// BlockPosition is how far the watch of one kind has come.
type BlockPosition struct {
	// group is the kind's API group; left out for the core group.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Group string `json:"group,omitempty"`

	// kind is the kind.
	//
	// +required
	// +kubebuilder:validation:MaxLength=253
	Kind string `json:"kind"`

	// resourceVersion is where the watch goes on.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ResourceVersion string `json:"resourceVersion,omitempty"`

	// time is a moment by which everything up to resourceVersion had happened.
	//
	// +required
	Time metav1.Time `json:"time"`

	// checkedTime is a moment at which everything that the operator knew was
	// there, by a list: an event that never arrived happened later. Left out: there
	// was no list yet.
	//
	// +optional
	CheckedTime *metav1.Time `json:"checkedTime,omitempty"`
}

// UsageBlock is one piece of the journal: what the operator knows, in the order
// in which it learnt it, so that it goes on after a restart just where it was.
// The operator alone writes blocks, and none is ever changed.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,shortName=ub
// +kubebuilder:printcolumn:name="Sequence",type=integer,JSONPath=`.spec.sequence`
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.kind`
// +kubebuilder:printcolumn:name="Start",type=string,JSONPath=`.spec.startTime`
// +kubebuilder:printcolumn:name="End",type=string,JSONPath=`.spec.endTime`
// +kubebuilder:printcolumn:name="Rows",type=integer,JSONPath=`.spec.rows`
// +kubebuilder:printcolumn:name="Size",type=integer,JSONPath=`.spec.size`
// +kubebuilder:printcolumn:name="Digest",type=string,priority=1,JSONPath=`.spec.digest`
// +kubebuilder:printcolumn:name="Written",type=string,priority=1,JSONPath=`.spec.time`
// +kubebuilder:printcolumn:name="Writer",type=string,priority=1,JSONPath=`.spec.writer`
type UsageBlock struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is the block's content. It cannot be changed.
	//
	// +required
	Spec UsageBlockSpec `json:"spec"`
}

// UsageBlockList is a list of blocks.
//
// +kubebuilder:object:root=true
type UsageBlockList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageBlock `json:"items"`
}
