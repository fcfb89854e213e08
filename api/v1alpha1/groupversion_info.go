// Package v1alpha1 holds the custom resources of metering.usage-operator.dev:
// UsageMeter says what is metered, UsageRecord what was used in an interval, and
// UsageReport and ClusterUsageReport what was used in any time; UsageLedger says how
// far the ledger is and what it takes; UsageBlock is a
// piece of the journal that all of this is made from.
//
// +kubebuilder:object:generate=true
// +groupName=metering.usage-operator.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of every kind here.
const Group = "metering.usage-operator.dev"

// GroupVersion is the group and version of every kind here.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

var (
	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&UsageMeter{}, &UsageMeterList{},
		&UsageRecord{}, &UsageRecordList{},
		&UsageBlock{}, &UsageBlockList{},
		&UsageLedger{}, &UsageLedgerList{},
		&UsageReport{}, &UsageReportList{},
		&ClusterUsageReport{}, &ClusterUsageReportList{},
		&UsageReportSchedule{}, &UsageReportScheduleList{},
		&ClusterUsageReportSchedule{}, &ClusterUsageReportScheduleList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}

// Labels on usage records, and, for LabelDeployment, on metered objects.
const (
	// LabelDeployment names the deployment. On a metered object it decides the
	// attribution before anything else does.
	LabelDeployment = Group + "/deployment"
	// LabelInterval is the start of a record's interval: 20261121T2000Z.
	LabelInterval = Group + "/interval"
)

// Annotations on usage records: a client that reads only metadata knows from them what
// the record says.
const (
	// AnnotationDigest is the status.digest of a Final record.
	AnnotationDigest = Group + "/digest"
	// AnnotationBytes is about how many bytes a record takes in etcd.
	AnnotationBytes = Group + "/bytes"
	// AnnotationNamespace is whose usage it is, where that namespace is gone and the
	// record is kept in the operator's.
	AnnotationNamespace = Group + "/namespace"
)
