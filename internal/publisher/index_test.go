package publisher

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const hour = 3600

// finalOf is the Final record of a deployment.
func finalOf(deployment string) (record.Input, *v1alpha1.UsageRecord) {
	object := usage.Object{Name: deployment, UID: deployment}
	in := record.Input{
		Key:       record.Key{Account: usage.Account{Namespace: "shop", Deployment: deployment}, Interval: usage.Window{Start: 0, End: hour}},
		Namespace: "shop", Final: true,
		Segments: []usage.Segment{{
			Meter: "vm", Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object},
			Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1000,
			Start: usage.Boundary{Evidence: usage.IntervalCut}, End: usage.Boundary{At: hour, Evidence: usage.IntervalCut},
		}},
	}
	return in, record.For(in)[0]
}

// metadataOf is a record's as a list shows it.
func metadataOf(r *v1alpha1.UsageRecord, version int, final bool) *unstructured.Unstructured {
	object := &unstructured.Unstructured{Object: map[string]any{}}
	object.SetNamespace(r.Namespace)
	object.SetName(r.Name)
	object.SetLabels(r.Labels)
	object.SetResourceVersion(strconv.Itoa(version))
	if final {
		object.SetAnnotations(r.Annotations)
	}
	return object
}

// etcd comes back as it was at revision 500, while the operator runs on, and has
// seen 1000.
func TestRecordsOfARestoredAPIServer(t *testing.T) {
	p := New(nil, logr.Discard())
	var changed []string
	w := p.Watcher(func(key record.Key) { changed = append(changed, key.Account.Deployment) })
	written := map[string]*v1alpha1.UsageRecord{}
	write := func(deployment string, version int) (overwritten bool) {
		in, r := finalOf(deployment)
		written[deployment] = r
		return p.index.wrote(types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, in.Key, r, strconv.Itoa(version), 1)
	}
	asWritten := func(deployment string) bool {
		r := written[deployment]
		e, known := p.index.get(types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
		return known && e.asWritten(r)
	}
	write("kept", 400)
	write("open-again", 900)
	write("final-before", 950) // its Final form was there at 450, and was written once more
	write("gone", 1000)

	w.Listing(source.List{})
	write("written-since", 520)
	w.Item(source.List{}, metadataOf(written["kept"], 400, true), time.Time{})
	w.Item(source.List{}, metadataOf(written["open-again"], 480, false), time.Time{})
	w.Item(source.List{}, metadataOf(written["final-before"], 450, true), time.Time{})
	w.Listed(source.List{}, "510", time.Time{})

	slices.Sort(changed)
	if want := []string{"final-before", "gone", "open-again"}; !slices.Equal(want, changed) {
		t.Errorf("looked at again: %v, want %v", changed, want)
	}
	for deployment, want := range map[string]bool{
		"kept": true, "open-again": false, "final-before": true, "gone": false, "written-since": true,
	} {
		if got := asWritten(deployment); got != want {
			t.Errorf("%s is as it was written: %v, want %v", deployment, got, want)
		}
	}
	if write("open-again", 530) {
		t.Error("what is written now counts as overwritten")
	}
	changed = nil
	w.Changed(source.Change{Type: "MODIFIED", Object: metadataOf(written["open-again"], 540, false)}, time.Time{})
	if len(changed) != 1 || asWritten("open-again") {
		t.Errorf("an edit was not noticed: %v", changed)
	}
}

func TestAListThatIsNoOlder(t *testing.T) {
	p := New(nil, logr.Discard())
	var changed []string
	w := p.Watcher(func(key record.Key) { changed = append(changed, key.Account.Deployment) })
	names := map[string]types.NamespacedName{}
	write := func(deployment, version string) {
		in, r := finalOf(deployment)
		names[deployment] = types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
		p.index.wrote(names[deployment], in.Key, r, version, 1)
	}
	write("gone", "400")
	w.Listing(source.List{})
	write("written-since", "520")
	w.Listed(source.List{}, "510", time.Time{})

	if !slices.Equal(changed, []string{"gone"}) {
		t.Errorf("looked at again: %v", changed)
	}
	if _, known := p.index.get(names["written-since"]); !known {
		t.Error("what was written since the list counts as deleted")
	}
}

// always answers every request with the record at one revision.
type always struct {
	record   *v1alpha1.UsageRecord
	requests int
}

func (a *always) RoundTrip(request *http.Request) (*http.Response, error) {
	a.requests++
	raw, err := json.Marshal(a.record)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: request,
	}, err
}

// Until the list comes, every write seems to be older than what is known.
func TestAWriteToARestoredAPIServer(t *testing.T) {
	in, r := finalOf("web")
	server := &always{record: r.DeepCopy()}
	server.record.ResourceVersion = "530"
	client, err := restclient.New(&rest.Config{Host: "http://records"}, &http.Client{Transport: server})
	if err != nil {
		t.Fatal(err)
	}
	p := New(client, logr.Discard())
	_, other := finalOf("other")
	p.index.wrote(types.NamespacedName{Namespace: r.Namespace, Name: r.Name}, in.Key, other, "1000", 1)

	if err := p.Publish(t.Context(), in); err == nil || server.requests > 4 {
		t.Errorf("%v after %d requests: want to be asked again later", err, server.requests)
	}
}
