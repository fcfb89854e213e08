package account

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

const (
	registry = "/registry/"
	// beatKey is what the witness writes, beatEvery how often.
	beatKey   = "/account/beat"
	beatEvery = 100 * time.Millisecond
)

// noise is what nobody asks about, and there is much of it.
var noise = []string{"leases/", "events/", "masterleases/", "apiextensions.k8s.io/", "endpointslices/", "services/endpoints/", "controllerrevisions/", "configmaps/", "secrets/", "metering.usage-operator.dev/usageblocks/"}

// event is a write of one object to etcd.
type event struct {
	revision int64
	key      string
	value    []byte // nil: it was removed
	seen     time.Time
}

// beat is a write of the witness's own.
type beat struct {
	revision       int64
	sent, answered time.Time
}

// witness has all that was written to etcd, in order.
type witness struct {
	url    string
	client *http.Client

	mu     sync.Mutex
	events []event
	beats  []beat
	next   int64 // the revision from which on nothing was seen yet
	broken error // something was missed
}

// observe makes a witness that looks on until ctx is done.
func observe(ctx context.Context, cp *controlplane.ControlPlane) (*witness, error) {
	url, tls, err := cp.EtcdEndpoint()
	if err != nil {
		return nil, err
	}
	w := &witness{url: url, client: &http.Client{Transport: &http.Transport{TLSClientConfig: tls}}}
	if err := w.begin(ctx); err != nil {
		return nil, err
	}
	go wait.UntilWithContext(ctx, w.watch, 50*time.Millisecond)
	go wait.UntilWithContext(ctx, w.beat, beatEvery)
	return w, nil
}

// pair is a key and its value in etcd's JSON.
type pair struct {
	Key      []byte `json:"key"`
	Value    []byte `json:"value"`
	Modified int64  `json:"mod_revision,string"`
}

type header struct {
	Revision int64 `json:"revision,string"`
}

// call makes a request of etcd; whoever calls closes what is answered.
func (w *witness) call(ctx context.Context, path string, body any) (io.ReadCloser, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	response, err := w.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return nil, fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return response.Body, nil
}

func span() map[string]any {
	return map[string]any{"key": []byte(registry), "range_end": []byte("/registry0")}
}

// begin takes in what is there.
func (w *witness) begin(ctx context.Context) error {
	body, err := w.call(ctx, "/v3/kv/range", span())
	if err != nil {
		return err
	}
	defer body.Close()
	var answer struct {
		Header header
		Pairs  []pair `json:"kvs"`
	}
	if err := json.NewDecoder(body).Decode(&answer); err != nil {
		return err
	}
	slices.SortFunc(answer.Pairs, func(a, b pair) int { return int(a.Modified - b.Modified) })
	now := time.Now()
	for _, p := range answer.Pairs {
		w.see(event{revision: p.Modified, key: string(p.Key), value: p.Value, seen: now})
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = answer.Header.Revision + 1
	return nil
}

// watch follows etcd until the watch ends.
func (w *witness) watch(ctx context.Context) {
	w.mu.Lock()
	next := w.next
	w.mu.Unlock()
	from := span()
	from["start_revision"] = fmt.Sprint(next)
	body, err := w.call(ctx, "/v3/watch", map[string]any{"create_request": from})
	if err != nil {
		return // etcd is away; it is tried again
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var answer struct {
			Result struct {
				Header    header
				Compacted int64 `json:"compact_revision,string"`
				Events    []struct {
					Type string
					Pair pair `json:"kv"`
				}
			}
		}
		if lines.Decode(&answer) != nil {
			return
		}
		now := time.Now()
		if answer.Result.Compacted != 0 {
			w.mu.Lock()
			w.broken = fmt.Errorf("the witness missed revisions %d to %d", w.next, answer.Result.Compacted)
			w.mu.Unlock()
			return
		}
		for _, e := range answer.Result.Events {
			value := e.Pair.Value
			if e.Type == "DELETE" {
				value = nil
			}
			w.see(event{revision: e.Pair.Modified, key: string(e.Pair.Key), value: value, seen: now})
		}
	}
}

func (w *witness) see(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = max(w.next, e.revision+1)
	e.key = strings.TrimPrefix(e.key, registry)
	if !slices.ContainsFunc(noise, func(prefix string) bool { return strings.HasPrefix(e.key, prefix) }) {
		w.events = append(w.events, e)
	}
}

// seen tells whether everything up to the revision was seen.
func (w *witness) seen(revision int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next > revision
}

// beat writes a key.
func (w *witness) beat(ctx context.Context) {
	sent := time.Now()
	revision, err := w.put(ctx)
	if err != nil {
		return
	}
	answered := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.beats = append(w.beats, beat{revision, sent, answered})
}

func (w *witness) put(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	body, err := w.call(ctx, "/v3/kv/put", map[string]any{"key": []byte(beatKey)})
	if err != nil {
		return 0, err
	}
	defer body.Close()
	var answer struct{ Header header }
	err = json.NewDecoder(body).Decode(&answer)
	return answer.Header.Revision, err
}

// history is what was seen: all that was written before the call.
func (w *witness) history(ctx context.Context) (*history, error) {
	revision, err := w.put(ctx)
	if err != nil {
		return nil, err
	}
	// The watch has come that far once it has seen something later, or, as little
	// is written in the end, once it has had the time to.
	err = wait.PollUntilContextTimeout(ctx, beatEvery, 5*time.Second, false, func(context.Context) (bool, error) {
		return w.seen(revision), nil
	})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return &history{events: slices.Clone(w.events), beats: slices.Clone(w.beats)}, w.broken
}

// history is what was written, and what bounds when.
type history struct {
	events []event
	beats  []beat
}

// when is between which moments the event happened: after the beats of revisions
// before it were sent, before those of later ones were answered.
func (h *history) when(e event) moment {
	m := moment{earliest: time.Time{}, latest: e.seen}
	after, _ := slices.BinarySearchFunc(h.beats, e.revision, func(b beat, revision int64) int { return int(b.revision - revision) })
	if after > 0 {
		m.earliest = h.beats[after-1].sent
	}
	if after < len(h.beats) && h.beats[after].answered.Before(m.latest) {
		m.latest = h.beats[after].answered
	}
	return m
}

// moment is when something happened, as far as that is known.
type moment struct{ earliest, latest time.Time }

// back lets the moment begin earlier.
func (m moment) back(to time.Time) moment {
	if !to.IsZero() && to.Before(m.earliest) {
		m.earliest = to
	}
	return m
}

func (m moment) String() string {
	return m.earliest.UTC().Format("15:04:05.000") + ".." + m.latest.UTC().Format("05.000")
}
