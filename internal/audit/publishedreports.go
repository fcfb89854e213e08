package audit

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// PublishedReport is a UsageReport as the API server has it or, without a
// namespace, a ClusterUsageReport.
type PublishedReport struct {
	Metadata struct {
		Namespace  string `json:"namespace,omitempty"`
		Name       string `json:"name"`
		Generation int64  `json:"generation"`
	} `json:"metadata"`
	Spec   json.RawMessage `json:"spec"`
	Status json.RawMessage `json:"status"`
}

func (p *PublishedReport) name() string {
	if p.Metadata.Namespace == "" {
		return p.Metadata.Name
	}
	return p.Metadata.Namespace + "/" + p.Metadata.Name
}

// ClusterReports reads the reports of a cluster, through a client of package
// restclient.
func ClusterReports(client rest.Interface) Reports { return clusterReports{client} }

type clusterReports struct{ client rest.Interface }

func (c clusterReports) List(ctx context.Context, each func(*PublishedReport) error) error {
	for _, resource := range []string{"usagereports", "clusterusagereports"} {
		err := list(ctx, resource, func() *rest.Request { return c.client.Get().Resource(resource) }, each)
		if err != nil && !apierrors.IsNotFound(err) { // where the kind is not installed there are none
			return err
		}
	}
	return nil
}

func (c clusterReports) Namespaces(ctx context.Context) (map[string]string, error) {
	type namespace struct {
		Metadata struct {
			Name string `json:"name"`
			UID  string `json:"uid"`
		} `json:"metadata"`
	}
	uids := map[string]string{}
	err := list(ctx, "namespaces", func() *rest.Request { return c.client.Get().AbsPath("/api/v1/namespaces") }, func(n *namespace) error {
		uids[n.Metadata.Name] = n.Metadata.UID
		return nil
	})
	return uids, err
}
