package wire

import "github.com/usage-operator/usage-operator/api/v1alpha1"

// What a hub says and takes beyond what an operator does.

// The keys by which rows of a hub's report are told apart, beside an operator's. ClusterUID is
// shown with Cluster.
const (
	Cluster    = "cluster"
	ClusterUID = "clusterUID"
	Customer   = "customer"
)

// FleetSpec is what a hub's report is asked for: an operator's spec, and of which clusters.
type FleetSpec struct {
	v1alpha1.ReportWindow `json:",inline"`
	Filters               *FleetFilters `json:"filters,omitempty"`
}

// FleetFilters are an operator's, and a hub's.
type FleetFilters struct {
	v1alpha1.ClusterReportFilters `json:",inline"`
	// Clusters are names or UIDs.
	Clusters []v1alpha1.FilterValue `json:"clusters,omitempty"`
	// Customers are names of the hub's.
	Customers []v1alpha1.FilterValue `json:"customers,omitempty"`
}

// FleetReport is a page of a hub's report.
type FleetReport struct {
	Report
	// Clusters are those that it is about, of which the first page tells.
	Clusters []FleetCluster `json:"clusters,omitempty"`
}

// FleetCluster is a cluster of a hub, and how far its ledger has come there.
type FleetCluster struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	// Visible is what of it the caller may see, as VisibleHeader.
	Visible string `json:"visible"`
	// Known is up to when there are figures, and Sealed, up to when they are final; left out:
	// there are none.
	Known  string `json:"known,omitempty"`
	Sealed string `json:"sealed,omitempty"`
	// Behind tells that what happened since Known is not there yet, and counts as unknown.
	Behind bool `json:"behind,omitempty"`
	// Coverage is how much of the report's window is known of the cluster, in percent.
	Coverage string `json:"coverage,omitempty"`
	// MeteringBegan is when metering began there of what is asked for.
	MeteringBegan string `json:"meteringBegan,omitempty"`
}

// FleetClusterList are the clusters that the caller may see.
type FleetClusterList struct {
	Clusters []FleetCluster `json:"clusters"`
}
