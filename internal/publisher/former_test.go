package publisher

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// keeps is an API server that has one record. It notes what is done to it, but for reading.
type keeps struct {
	record *v1alpha1.UsageRecord
	writes []string
}

func (k *keeps) RoundTrip(request *http.Request) (*http.Response, error) {
	var answer any = k.record
	code := http.StatusOK
	switch {
	case request.Method == http.MethodGet:
	case request.Method == http.MethodPost && k.record != nil:
		code = http.StatusConflict
		answer = metav1.Status{Status: metav1.StatusFailure, Reason: metav1.StatusReasonAlreadyExists, Code: int32(code)}
	default:
		k.writes = append(k.writes, request.Method)
		if request.Method == http.MethodDelete {
			k.record, answer = nil, metav1.Status{Status: metav1.StatusSuccess}
			break
		}
		k.record = &v1alpha1.UsageRecord{}
		if err := json.NewDecoder(request.Body).Decode(k.record); err != nil {
			return nil, err
		}
		k.record.ResourceVersion, answer = "600", k.record
	}
	raw, err := json.Marshal(answer)
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: request,
	}, err
}

// allocatedIn is the Final record of a machine, of which releases put the summary otherwise.
func allocatedIn() (record.Input, *v1alpha1.UsageRecord) {
	in, _ := finalOf("web")
	in.Segments[0].Dimension = usage.Dimension{Name: "vm_allocated", Unit: usage.Count}
	r := record.For(in)[0]
	note(r)
	return in, r
}

// The operator starts anew, and publishes before it has listed what there is, or after that.
func TestAFinalRecordKeepsTheTextOfAnEarlierRelease(t *testing.T) {
	for name, c := range map[string]struct {
		summary  string
		listed   bool
		relabels bool
		want     []string
	}{
		"before the list":                        {summary: "1 vm_allocated-hour"},
		"after the list":                         {summary: "1 vm_allocated-hour", listed: true},
		"of which somebody edited a label":       {summary: "1 vm_allocated-hour", relabels: true, want: []string{"PUT"}},
		"as it is now":                           {summary: "1 VM-hours allocated"},
		"a text that no release would have made": {summary: "2 vm_allocated-hour", want: []string{"DELETE", "POST"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, r := allocatedIn()
			server := &keeps{record: r.DeepCopy()}
			server.record.ResourceVersion, server.record.Status.Summary = "530", c.summary
			if c.relabels {
				server.record.Labels[v1alpha1.LabelDeployment] = "other"
			}
			client, err := restclient.New(&rest.Config{Host: "http://records"}, &http.Client{Transport: server})
			if err != nil {
				t.Fatal(err)
			}
			p := New(client, logr.Discard())
			if c.listed {
				w := p.Watcher(func(record.Key) {})
				w.Listing(source.List{})
				w.Item(source.List{}, metadataOf(server.record, 530, true), time.Time{})
				w.Listed(source.List{}, "530", time.Time{})
			}
			for range 2 {
				if err := p.Publish(t.Context(), in); err != nil {
					t.Fatal(err)
				}
			}
			if len(server.writes) != len(c.want) {
				t.Fatalf("the record was written: %v, want %v", server.writes, c.want)
			}
			if server.writes != nil && server.writes[0] != c.want[0] {
				t.Errorf("the record was written: %v, want %v", server.writes, c.want)
			}
			want := c.summary
			if len(c.want) == 2 {
				want = r.Status.Summary
			}
			if got := server.record.Status.Summary; got != want {
				t.Errorf("it says %q, want %q", got, want)
			}
			if e, known := p.index.get(types.NamespacedName{Namespace: r.Namespace, Name: r.Name}); !known || !e.asWritten(r) {
				t.Errorf("it is not known as written: %+v", e)
			}
		})
	}
}
