package crash

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// server notes what it is asked to write. A GET is answered bit by bit for as long as somebody listens.
func server(t *testing.T) (url string, done func() []string) {
	t.Helper()
	var mu sync.Mutex
	var writes []string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		mu.Lock()
		defer mu.Unlock()
		writes = append(writes, r.Method+" "+r.URL.Path)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(writes)
	}
}

const group = "/apis/metering.usage-operator.dev/v1alpha1"

func send(t *testing.T, client *http.Client, method, url string) error {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err == nil {
		err = response.Body.Close()
	}
	return err
}

func TestNothingComesThroughFromTheWriteOn(t *testing.T) {
	for _, point := range []Point{{Write: 2}, {Write: 2, After: true}} {
		t.Run(point.String(), func(t *testing.T) {
			url, done := server(t)
			life := New(point)
			client := &http.Client{Transport: life.Wrap(http.DefaultTransport)}
			for _, path := range []string{
				"/apis/coordination.k8s.io/v1/namespaces/usage-system/leases/usage-operator", "/api/v1/namespaces/shop/events",
				"/apis/authorization.k8s.io/v1/subjectaccessreviews", group + "/namespaces/shop/usagerecords",
			} {
				if err := send(t, client, http.MethodPost, url+path); err != nil {
					t.Fatal(err)
				}
			}
			before := len(done())
			watch, err := client.Get(url + group + "/usagemeters")
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Body.Close()

			err = send(t, client, http.MethodPut, url+group+"/usagemeters/vm/status")

			if !errors.Is(err, ErrDead) {
				t.Errorf("the write that it dies at: %v", err)
			}
			if got, want := len(done())-before, map[bool]int{true: 1}[point.After]; got != want {
				t.Errorf("%d writes came through, not %d", got, want)
			}
			<-life.Dead()
			if _, err := io.ReadAll(watch.Body); !errors.Is(err, context.Canceled) {
				t.Errorf("its watch ends with %v", err)
			}
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				if err := send(t, client, method, url+group+"/usagemeters"); !errors.Is(err, ErrDead) {
					t.Errorf("%s after its death: %v", method, err)
				}
			}
			if want := []string{"POST usagerecords", "PUT usagemeters/vm/status"}; !slices.Equal(life.Writes(), want) {
				t.Errorf("its writes were %q, want %q", life.Writes(), want)
			}
		})
	}
}

func TestALifeWithoutAPointEndsWhenItIsKilled(t *testing.T) {
	url, done := server(t)
	life := New(Point{})
	client := &http.Client{Transport: life.Wrap(http.DefaultTransport)}
	for range 3 {
		if err := send(t, client, http.MethodPost, url+group+"/usagemeters"); err != nil {
			t.Fatal(err)
		}
	}
	life.Kill()
	if err := send(t, client, http.MethodPost, url+group+"/usagemeters"); !errors.Is(err, ErrDead) {
		t.Error(err)
	}
	if len(done()) != 3 {
		t.Errorf("it wrote %q", done())
	}
}
