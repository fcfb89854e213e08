package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
)

// page is how many records are listed at once: some 2 MiB.
const page = 500

// ClusterRecords reads the records of a cluster, through a client of package
// restclient.
func ClusterRecords(client rest.Interface) Records { return clusterRecords{client} }

type clusterRecords struct{ client rest.Interface }

// List hands out every record. Where that takes so long that the API server
// forgets how things were at the beginning, the rest is as it is by then: each
// record is verified by itself.
func (c clusterRecords) List(ctx context.Context, each func(*Published) error) error {
	return list(ctx, "usage records", func() *rest.Request { return c.client.Get().Resource("usagerecords") }, each)
}

// list hands out all objects of a kind, page by page.
func list[T any](ctx context.Context, what string, get func() *rest.Request, each func(*T) error) error {
	for token := ""; ; {
		request := get().Param("limit", strconv.Itoa(page))
		if token != "" {
			request = request.Param("continue", token)
		}
		result := request.Do(ctx)
		raw, err := result.Raw()
		if err != nil {
			err = result.Error() // which has what the API server said
		}
		if later := resumable(err); token != "" && later != "" {
			token = later
			continue
		}
		if err != nil {
			return fmt.Errorf("list %s: %w", what, err)
		}
		if token, err = handOut(what, raw, each); err != nil || token == "" {
			return err
		}
	}
}

// handOut hands out the objects of one page, and returns the token of the next.
func handOut[T any](what string, raw []byte, each func(*T) error) (token string, err error) {
	var list struct {
		Metadata struct {
			Continue string `json:"continue"`
		} `json:"metadata"`
		Items []T `json:"items"`
	}
	if err := json.Unmarshal(raw, &list); err != nil {
		return "", fmt.Errorf("list %s: %w", what, err)
	}
	for i := range list.Items {
		if err := each(&list.Items[i]); err != nil {
			return "", err
		}
	}
	return list.Metadata.Continue, nil
}

// resumable is the token with which a list goes on that took too long.
func resumable(err error) string {
	var status apierrors.APIStatus
	if !apierrors.IsResourceExpired(err) || !errors.As(err, &status) {
		return ""
	}
	return status.Status().Continue
}
