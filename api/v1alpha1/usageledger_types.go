package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// UsageLedgerName is what the one UsageLedger of an operator is called.
const UsageLedgerName = "usage-operator"

// The condition of a UsageLedger that says whether what it takes stays within its limits, and its reasons.
const (
	// ConditionWithinLimits: neither memory nor the journal has reached its limit, or is about to.
	ConditionWithinLimits = "WithinLimits"
	// ReasonRoom: there is room.
	ReasonRoom = "Room"
	// ReasonMemoryNearLimit: replicas are about to have too little memory.
	ReasonMemoryNearLimit = "MemoryNearLimit"
	// ReasonJournalNearBudget: the journal is about to take more than --journal-budget.
	ReasonJournalNearBudget = "JournalNearBudget"
	// ReasonJournalOverBudget: it takes more.
	ReasonJournalOverBudget = "JournalOverBudget"
)

// The condition of a UsageLedger that says whether each day is archived, and its reasons. There is
// none without --archive.
const (
	// ConditionArchived: all sealed days are in the archive.
	ConditionArchived = "Archived"
	// ReasonArchived: they are.
	ReasonArchived = "Archived"
	// ReasonArchiveUnavailable: the archive cannot be written, or read. It is tried again.
	ReasonArchiveUnavailable = "ArchiveUnavailable"
)

// The condition of a UsageLedger that says whether a hub takes the journal, and its reasons,
// beside those of the hub's refusals. There is none without --hub-url.
const (
	// ConditionShipped: the hub has all, or what is new within minutes.
	ConditionShipped = "Shipped"
	// ReasonHubAcknowledged: it has.
	ReasonHubAcknowledged = "HubAcknowledged"
	// ReasonHubConnecting: the hub has not said yet where it is.
	ReasonHubConnecting = "HubConnecting"
	// ReasonHubBehind: the hub takes the journal, and has not all of it yet.
	ReasonHubBehind = "HubBehind"
	// ReasonHubUnavailable: the hub does not answer; it is tried again.
	ReasonHubUnavailable = "HubUnavailable"
)

// Reasons of a UsageLedger's condition Ready, beside those of UsageMeters: JournalUnavailable
// and ClockBehind.
const (
	// ReasonSealing: intervals are sealed when they are over.
	ReasonSealing = "Sealing"
)

// LedgerSize is how much of something there is, and what becomes of it.
type LedgerSize struct {
	// used is how many bytes it takes.
	//
	// +required
	Used resource.Quantity `json:"used"`

	// limit is how many it may take: a budget of the operator's flags, or the memory
	// limit. Without it there is none.
	//
	// +optional
	Limit *resource.Quantity `json:"limit,omitempty"`

	// growthPerDay is by how many bytes it grows each day, by samples of the last day. Without
	// it no growth can be told, yet.
	//
	// +optional
	GrowthPerDay *resource.Quantity `json:"growthPerDay,omitempty"`

	// limitTime is when it comes to its limit if it goes on like this. Without it, that
	// cannot be foreseen.
	//
	// +optional
	LimitTime *metav1.Time `json:"limitTime,omitempty"`
}

// LedgerArchive is how far the archive has come.
type LedgerArchive struct {
	// throughTime is the end of the last day in it. Without it there is none yet, or it
	// is not known.
	//
	// +optional
	ThroughTime *metav1.Time `json:"throughTime,omitempty"`

	// cutThroughTime is up to when the journal leaves out what the archive has
	// (--archive-cut).
	//
	// +optional
	CutThroughTime *metav1.Time `json:"cutThroughTime,omitempty"`
}

// LedgerHub is how far a hub has the journal.
type LedgerHub struct {
	// acknowledgedSequence is the last entry of the journal that the hub has acknowledged.
	//
	// +optional
	AcknowledgedSequence int64 `json:"acknowledgedSequence,omitempty"`

	// acknowledgedTime is when that entry was written: the hub has what was written by then.
	//
	// +optional
	AcknowledgedTime *metav1.Time `json:"acknowledgedTime,omitempty"`

	// lagSeconds is how long ago that was, if the hub has not all; 0: it has all. Without it,
	// the hub has not said yet where it is.
	//
	// +optional
	LagSeconds *int64 `json:"lagSeconds,omitempty"`
}

// UsageLedgerStatus is how far the ledger is, and what it takes.
type UsageLedgerStatus struct {
	// observedTime is when this was written. The replica that meters does so once a minute:
	// when it is older than that by minutes, none meters.
	//
	// +optional
	ObservedTime metav1.Time `json:"observedTime,omitempty"`

	// leader is the replica that meters, by the name of its pod.
	//
	// +optional
	// +kubebuilder:validation:MaxLength=253
	Leader string `json:"leader,omitempty"`

	// sealedTime is the end of the last sealed interval: all before is final, but for
	// corrections.
	//
	// +optional
	SealedTime *metav1.Time `json:"sealedTime,omitempty"`

	// segments is how many segments the history has that this replica answers from.
	//
	// +optional
	Segments int64 `json:"segments,omitempty"`

	// hotTime is the start of the oldest day that replicas keep in memory as it is
	// (--hot-days). Older ones are packed, and some of these where memory has no room for
	// all of their segments.
	//
	// +optional
	HotTime *metav1.Time `json:"hotTime,omitempty"`

	// journal is what the UsageBlocks take in etcd.
	//
	// +optional
	Journal *LedgerSize `json:"journal,omitempty"`

	// records are what all UsageRecords take in etcd, about.
	//
	// +optional
	Records *LedgerSize `json:"records,omitempty"`

	// reports are what the statuses of all reports take in etcd, about.
	//
	// +optional
	Reports *LedgerSize `json:"reports,omitempty"`

	// memory is what the replica that meters holds, as of its last garbage collection.
	//
	// +optional
	Memory *LedgerSize `json:"memory,omitempty"`

	// archive is how far the archive has come; without --archive there is none.
	//
	// +optional
	Archive *LedgerArchive `json:"archive,omitempty"`

	// hub is how far a hub has the journal; without --hub-url there is none.
	//
	// +optional
	Hub *LedgerHub `json:"hub,omitempty"`

	// conditions are Ready, Reconciling and Stalled, as kstatus reads them, WithinLimits,
	// Archived and Shipped.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// UsageLedger says how far an operator's ledger is, what it takes, and when that will be too
// much. There is one, in the operator's own namespace; the operator writes it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,shortName=ul
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Seen",type=date,JSONPath=`.status.observedTime`
// +kubebuilder:printcolumn:name="Sealed",type=string,JSONPath=`.status.sealedTime`
// +kubebuilder:printcolumn:name="Journal",type=string,JSONPath=`.status.journal.used`
// +kubebuilder:printcolumn:name="Full",type=string,JSONPath=`.status.journal.limitTime`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.status.memory.used`
// +kubebuilder:printcolumn:name="Limits",type=string,JSONPath=`.status.conditions[?(@.type=="WithinLimits")].reason`
// +kubebuilder:printcolumn:name="Archived",type=string,priority=1,JSONPath=`.status.archive.throughTime`
// +kubebuilder:printcolumn:name="Shipped",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Shipped")].reason`
// +kubebuilder:printcolumn:name="Records",type=string,priority=1,JSONPath=`.status.records.used`
// +kubebuilder:printcolumn:name="Leader",type=string,priority=1,JSONPath=`.status.leader`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="WithinLimits")].message`
type UsageLedger struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// status says how far the ledger is.
	//
	// +optional
	Status UsageLedgerStatus `json:"status,omitempty"`
}

// UsageLedgerList is a list of ledgers.
//
// +kubebuilder:object:root=true
type UsageLedgerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []UsageLedger `json:"items"`
}
