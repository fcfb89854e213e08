package soak

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/faults/truth"
	"github.com/usage-operator/usage-operator/test/widgets"
)

const (
	perNamespace = 10
	makers       = 8
	// changesEvery is the pace of all honest changes together.
	changesEvery = 100 * time.Millisecond
)

// crowd are honest deployments, each with a widget that is resized now and then.
type crowd struct {
	*stage
	diary      truth.Diary
	namespaces []string
	all        []*unstructured.Unstructured
	changes    atomic.Int64
}

func (s *stage) newCrowd(ctx context.Context, many int) *crowd {
	c := &crowd{stage: s, all: make([]*unstructured.Unstructured, many)}
	for i := range (many + perNamespace - 1) / perNamespace {
		c.namespaces = append(c.namespaces, fmt.Sprintf("shop-%d", i))
		s.namespace(ctx, c.namespaces[i])
	}
	var making sync.WaitGroup
	for maker := range makers {
		making.Go(func() {
			for i := maker; i < many; i += makers {
				w := object(fmt.Sprintf(`{"apiVersion": "%s/v1", "kind": "Widget", "spec": {"size": %d}, "metadata": {"name": "w-%d", "namespace": %q, "labels": {%q: "d-%d"}}}`,
					widgets.Group, i%7+1, i, c.namespaces[i/perNamespace], v1alpha1.LabelDeployment, i%perNamespace))
				if err := s.admin.Create(ctx, w); err != nil {
					s.Error(err)
					return
				}
				c.all[i] = w
				c.note(w, truth.At(w.GetCreationTimestamp().Unix()))
			}
		})
	}
	making.Wait()
	if s.Failed() {
		s.FailNow()
	}
	return c
}

// note writes down what a widget holds from a moment on.
func (c *crowd) note(w *unstructured.Unstructured, when truth.Moment) {
	size, _, _ := unstructured.NestedInt64(w.Object, "spec", "size")
	c.diary.Note(truth.Key{Instance: string(w.GetUID()), Dimension: "size"}, when,
		truth.Held{Namespace: w.GetNamespace(), Deployment: w.GetLabels()[v1alpha1.LabelDeployment], Level: size * 1000})
}

// live resizes one after the other until ctx is done; what was asked for is seen to its end.
func (c *crowd) live(ctx context.Context) {
	every(ctx, changesEvery, func(i int) {
		w := c.all[i*37%len(c.all)]
		size, _, _ := unstructured.NestedInt64(w.Object, "spec", "size")
		sent := time.Now().Unix()
		err := c.admin.Patch(context.WithoutCancel(ctx), w, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"size":%d}}`, size%9+1)))
		if err != nil {
			c.Error(err)
			return
		}
		when := truth.Moment{First: sent, Last: time.Now().Unix()}
		for _, entry := range w.GetManagedFields() {
			if entry.Time != nil && entry.Time.Unix() >= sent {
				when = truth.At(entry.Time.Unix())
			}
		}
		c.note(w, when)
		c.changes.Add(1)
	})
}

// asker is an honest tenant that asks the usage API for little.
type asker struct {
	url, token string
	http       *http.Client
	took       []time.Duration
	refused    []string
}

func (s *stage) newAsker(ctx context.Context, namespace string) *asker {
	// It has an address of its own: connections are limited for each.
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	a := &asker{
		url:   "https://" + s.operator.usage + "/v1/usage?project_id=" + namespace + "&limit=1",
		token: s.tenant(ctx, namespace, "view").token,
		http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}},
	}
	s.must(poll(ctx, readyPatience, func() bool { // until it has the right to
		a.once(ctx)
		return len(a.took) > 0
	}))
	a.took, a.refused = nil, nil
	return a
}

func (a *asker) ask(ctx context.Context) {
	every(ctx, 200*time.Millisecond, func(int) { a.once(ctx) })
}

func (a *asker) once(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, http.NoBody)
	if err != nil {
		return
	}
	request.Header.Set("Authorization", "Bearer "+a.token)
	asked := time.Now()
	answer, err := a.http.Do(request)
	if err != nil {
		if ctx.Err() == nil {
			a.refused = append(a.refused, err.Error())
		}
		return
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		a.refused = append(a.refused, fmt.Sprintf("%s: %.200s", answer.Status, text))
		return
	}
	a.took = append(a.took, time.Since(asked))
}

func (a *asker) judge(t *testing.T) {
	slices.Sort(a.took)
	if len(a.took) == 0 || len(a.refused) > 0 {
		t.Errorf("the usage API answered an honest tenant %d times, and refused it %d times: %.10q", len(a.took), len(a.refused), a.refused)
	}
}

func (a *asker) String() string {
	if len(a.took) == 0 {
		return "no answers"
	}
	at := func(percent int) time.Duration {
		return a.took[(len(a.took)-1)*percent/100].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%d answers to an honest tenant: p50 %s, p99 %s", len(a.took), at(50), at(99))
}
