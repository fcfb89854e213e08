package controllers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/publisher"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/restclient"
	"github.com/usage-operator/usage-operator/internal/source"
)

// recordServer is an API server that keeps usage records as their CRD says: what
// one is of cannot be changed. It is an http.RoundTripper.
type recordServer struct {
	// deleting, when not nil, is called before each DELETE is done.
	deleting func()

	mu      sync.Mutex
	objects map[string]*v1alpha1.UsageRecord // by namespace/name
	version int
}

func newRecordServer() *recordServer {
	return &recordServer{objects: map[string]*v1alpha1.UsageRecord{}}
}

func (s *recordServer) client(t testing.TB) rest.Interface {
	t.Helper()
	client, err := restclient.New(&rest.Config{Host: "http://records"}, &http.Client{Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// RoundTrip does one request.
func (s *recordServer) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.Method == http.MethodDelete && s.deleting != nil {
		s.deleting()
	}
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
	}
	_, key, _ := strings.Cut(request.URL.Path, "/namespaces/")
	key = strings.Replace(strings.TrimSuffix(key, "/usagerecords"), "/usagerecords/", "/", 1)
	answer, code, reason := s.do(request.Method, key, body)
	if reason != "" {
		answer = metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Reason: reason, Code: int32(code)}
	}
	raw, err := json.Marshal(answer)
	return &http.Response{
		StatusCode: code, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: request,
	}, err
}

func (s *recordServer) do(method, key string, body []byte) (answer any, code int, reason metav1.StatusReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if method == http.MethodPost || method == http.MethodPut {
		return s.write(method, body)
	}
	object := s.objects[key]
	if object == nil {
		return nil, http.StatusNotFound, metav1.StatusReasonNotFound
	}
	if method == http.MethodGet {
		return object, http.StatusOK, ""
	}
	var options metav1.DeleteOptions
	if err := json.Unmarshal(body, &options); err != nil {
		return nil, http.StatusBadRequest, metav1.StatusReasonBadRequest
	}
	if p := options.Preconditions; p != nil && p.ResourceVersion != nil && *p.ResourceVersion != object.ResourceVersion {
		return nil, http.StatusConflict, metav1.StatusReasonConflict
	}
	delete(s.objects, key)
	return metav1.Status{Status: metav1.StatusSuccess}, http.StatusOK, ""
}

func (s *recordServer) write(method string, body []byte) (answer any, code int, reason metav1.StatusReason) {
	object := &v1alpha1.UsageRecord{}
	if err := json.Unmarshal(body, object); err != nil {
		return nil, http.StatusBadRequest, metav1.StatusReasonBadRequest
	}
	key := object.Namespace + "/" + object.Name
	before := s.objects[key]
	switch {
	case method == http.MethodPost && before != nil:
		return nil, http.StatusConflict, metav1.StatusReasonAlreadyExists
	case method == http.MethodPut && before == nil:
		return nil, http.StatusNotFound, metav1.StatusReasonNotFound
	case before != nil && object.ResourceVersion != before.ResourceVersion:
		return nil, http.StatusConflict, metav1.StatusReasonConflict
	case before != nil && !equality.Semantic.DeepEqual(before.Spec, object.Spec):
		return nil, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	case before != nil && before.Status.Phase == v1alpha1.PhaseFinal:
		return nil, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid
	}
	s.keep(object)
	return object, http.StatusOK, ""
}

// keep stores a record as it is.
func (s *recordServer) keep(object *v1alpha1.UsageRecord) {
	s.version++
	object.ResourceVersion = strconv.Itoa(s.version)
	object.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "usage-operator"}}
	s.objects[object.Namespace+"/"+object.Name] = object
}

// all are the records that there are.
func (s *recordServer) all() []*v1alpha1.UsageRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*v1alpha1.UsageRecord, 0, len(s.objects))
	for _, object := range s.objects {
		list = append(list, object)
	}
	return list
}

// listTo lists the metadata of the records to a publisher, as its source does.
func (s *recordServer) listTo(t testing.TB, p *publisher.Publisher, now time.Time) {
	t.Helper()
	watcher := p.Watcher(func(record.Key) {})
	watcher.Listing(source.List{})
	for _, object := range s.all() {
		partial := metav1.PartialObjectMetadata{ObjectMeta: object.ObjectMeta}
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&partial)
		if err != nil {
			t.Fatal(err)
		}
		watcher.Item(source.List{}, &unstructured.Unstructured{Object: content}, now)
	}
	watcher.Listed(source.List{}, strconv.Itoa(s.version), now)
}
