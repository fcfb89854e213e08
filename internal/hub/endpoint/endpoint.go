// Package endpoint serves a hub over HTTP: what clusters' operators append, how far each chain
// has come, and what is asked (internal/hub/asking). Any number of replicas serve one database.
package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// Ledgers is what an endpoint needs of a hub's store.
type Ledgers interface {
	Authorize(ctx context.Context, cluster hub.Cluster, token string) error
	Append(ctx context.Context, cluster hub.Cluster, block journal.Stored) (hub.Ack, error)
	Head(ctx context.Context, cluster hub.Cluster) (*hub.Head, error)
	Heads(ctx context.Context) ([]*hub.Head, error)
	Ready(ctx context.Context) error
}

// Options are what an Endpoint needs.
type Options struct {
	Ledgers Ledgers
	Clock   clock.Clock
	Log     logr.Logger
	// AtOnce is how many blocks are taken in at once, of different clusters; one of each.
	// A block takes some MiB of memory meanwhile.
	AtOnce int
	// Patience is how long a request may take, from its first byte on.
	Patience time.Duration
	// Asking adds what is answered of figures; nil: nothing is.
	Asking func(*http.ServeMux)
}

// Endpoint serves a hub.
type Endpoint struct {
	Options
	metrics *metrics
	routes  *http.ServeMux
	room    chan struct{}

	mu   sync.Mutex
	busy map[hub.Cluster]bool // a block of it is being taken in
}

// New is an endpoint.
func New(o Options) *Endpoint {
	e := &Endpoint{Options: o, metrics: newMetrics(o.Ledgers, o.Log), room: make(chan struct{}, o.AtOnce), busy: map[hub.Cluster]bool{}}
	e.routes = http.NewServeMux()
	e.routes.HandleFunc("PUT /v1alpha1/clusters/{cluster}/blocks/{block}", e.authorized(e.put))
	e.routes.HandleFunc("GET /v1alpha1/clusters/{cluster}", e.authorized(e.head))
	if o.Asking != nil {
		o.Asking(e.routes)
	}
	e.routes.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.answer(w, problem{Status: http.StatusNotFound, Title: "NotFound", Detail: "there is no " + r.Method + " of this path",
			Next: "PUT /v1alpha1/clusters/UID/blocks/NAME appends a block, and GET /v1alpha1/clusters/UID says how far the hub has come."})
	})
	return e
}

// ServeHTTP answers a request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), e.Patience)
	defer cancel()
	e.routes.ServeHTTP(w, r.WithContext(ctx))
}

// authorized answers only who has a token of the cluster.
func (e *Endpoint) authorized(answer func(http.ResponseWriter, *http.Request, hub.Cluster)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		cluster, err := hub.ParseCluster(r.PathValue("cluster"))
		if err != nil {
			// Not a word about which clusters there are.
			err = &hub.Refusal{Reason: hub.Unauthorized, Detail: err.Error()}
		} else {
			err = e.Ledgers.Authorize(r.Context(), cluster, token)
		}
		if err != nil {
			e.refuse(w, r, err)
			return
		}
		answer(w, r, cluster)
	}
}

// acknowledgement says that the hub has a block: the same one, however often it is sent.
type acknowledgement struct {
	Cluster  hub.Cluster `json:"cluster"`
	Sequence uint64      `json:"sequence"`
	Digest   string      `json:"digest"`
}

// put appends a block.
func (e *Endpoint) put(w http.ResponseWriter, r *http.Request, cluster hub.Cluster) {
	began := e.Clock.Now()
	ack, err := e.take(w, r, cluster)
	e.metrics.appended(err, e.Clock.Since(began))
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	write(w, http.StatusOK, "application/json", acknowledgement{Cluster: cluster, Sequence: ack.Sequence, Digest: ack.Digest.String()})
}

// errBusy says that there is no room now.
var errBusy = errors.New("a block of the cluster is being taken in already, or blocks of too many clusters")

// take reads a block, and appends it. Of one cluster a block is taken in at a time: its chain
// allows no more, and one that sends many does not take the room of others.
func (e *Endpoint) take(w http.ResponseWriter, r *http.Request, cluster hub.Cluster) (hub.Ack, error) {
	if !e.claim(cluster) {
		return hub.Ack{}, errBusy
	}
	defer e.release(cluster)
	block, err := read(w, r)
	if err != nil {
		return hub.Ack{}, err
	}
	select {
	case e.room <- struct{}{}:
		defer func() { <-e.room }()
		return e.Ledgers.Append(r.Context(), cluster, block)
	case <-r.Context().Done():
		return hub.Ack{}, errBusy
	}
}

func (e *Endpoint) claim(cluster hub.Cluster) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[cluster] {
		return false
	}
	e.busy[cluster] = true
	return true
}

func (e *Endpoint) release(cluster hub.Cluster) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.busy, cluster)
}

// read reads a block.
func read(w http.ResponseWriter, r *http.Request) (journal.Stored, error) {
	key, ok := journal.ParseKey(r.PathValue("block"))
	if !ok {
		return journal.Stored{}, &hub.Refusal{Reason: hub.Damaged, Detail: "the name is not one of a block, such as 000000000017 or 000000000001-000000000016"}
	}
	spec, err := io.ReadAll(http.MaxBytesReader(w, r.Body, hub.MaxBytes))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return journal.Stored{}, &hub.Refusal{Reason: hub.TooLarge, Detail: "the block has more than " + strconv.Itoa(hub.MaxBytes) + " bytes"}
	}
	if err != nil {
		return journal.Stored{}, &hub.Refusal{Reason: hub.Damaged, Detail: "the request ended before the block did"}
	}
	return journal.Stored{Key: key, Spec: spec}, nil
}

// chain is how far a cluster's chain has come.
type chain struct {
	acknowledgement
	// Counted is the last block of a complete commit.
	Counted uint64 `json:"counted"`
	// Fork is the last block that was refused as a fork; left out: none was.
	Fork *fork `json:"fork,omitempty"`
}

type fork struct {
	Sequence uint64    `json:"sequence"`
	Digest   string    `json:"digest"`
	Time     time.Time `json:"time"`
}

// head says how far a cluster's chain has come.
func (e *Endpoint) head(w http.ResponseWriter, r *http.Request, cluster hub.Cluster) {
	head, err := e.Ledgers.Head(r.Context(), cluster)
	if err != nil {
		e.refuse(w, r, err)
		return
	}
	said := chain{acknowledgement: acknowledgement{Cluster: cluster, Sequence: head.Sequence}, Counted: head.Counted}
	if head.Sequence > 0 {
		said.Digest = head.Digest.String()
	}
	if f := head.Fork; f.Sequence > 0 {
		said.Fork = &fork{Sequence: f.Sequence, Digest: f.Digest.String(), Time: time.Unix(f.Seen, 0).UTC()}
	}
	write(w, http.StatusOK, "application/json", said)
}

// write answers with JSON.
func write(w http.ResponseWriter, status int, kind string, what any) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(what) // who asked may be gone
}
