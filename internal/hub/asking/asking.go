// Package asking answers questions about a fleet: of each cluster all that its operator's own
// usage API answers, from the ledger that the hub has of it; and reports over all of them,
// with cluster and customer as keys.
//
// There is one mechanism for figures, the operator's: a timeline for each cluster, and its
// sums. What is asked over the fleet is asked of each cluster, and exact sums are added up.
package asking

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/replica"
	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// Store is what is answered from: a hub's.
type Store interface {
	replica.Source
	Heads(ctx context.Context) ([]*hub.Head, error)
}

// Options are what an Asking needs.
type Options struct {
	Store Store
	// Fleet says who may ask, each time that somebody does.
	Fleet func() *Fleet
	Clock clock.PassiveClock
	Log   logr.Logger
	// Segments is how many segments of ledgers are kept in memory.
	Segments int
	// AtOnce is how many questions are answered at the same time; of one reader, half of them.
	AtOnce int
	// RequestsPerSecond is how many requests one reader may make; twice as many at once.
	RequestsPerSecond float64
	// Timeout is how long an answer may take.
	Timeout time.Duration
	// Observe is called with each answer: what was asked, its status, and how long it took.
	Observe func(what string, status int, took time.Duration)
}

// Asking answers.
type Asking struct {
	Options
	ledgers *replica.Keeper
	room    *fairqueue.Queue
	rates   *lru.Cache[string, *rate.Limiter]
	pins    pins
}

const (
	// readersKept is how many readers' rates are known.
	readersKept = 10_000
	// waitingEach is how many requests of one reader may wait, and waitingAll, of all.
	waitingEach, waitingAll = 64, 1024
)

// New answers from a hub's store.
func New(o Options) *Asking {
	a := &Asking{
		Options: o, rates: lru.New[string, *rate.Limiter](readersKept), pins: pins{clock: o.Clock},
		room: fairqueue.New(fairqueue.Limits{Total: int64(o.AtOnce), Flow: int64(max(1, o.AtOnce/2)), Waiting: waitingAll, FlowWaiting: waitingEach}),
	}
	a.ledgers = replica.New(replica.Options{Source: o.Store, Segments: o.Segments, AtOnce: o.AtOnce, Handler: a.ofCluster})
	return a
}

// Prefix is what the paths begin with of what a cluster's own usage API answers: the cluster
// follows, and then the operator's own path.
const Prefix = "/clusters/"

// Routes adds what is answered.
func (a *Asking) Routes(mux *http.ServeMux) {
	mux.Handle("POST /v1alpha1/report", a.serve("report", (*call).report))
	mux.Handle("GET /v1alpha1/clusters", a.serve("clusters", (*call).clusters))
	mux.Handle(Prefix+"{cluster}/", a.serve("cluster", (*call).cluster))
}

// call is one request that is being answered.
type call struct {
	*Asking
	ctx     context.Context
	request *http.Request
	writer  http.ResponseWriter
	fleet   *Fleet
	reader  *Reader
	now     int64 // seconds since the epoch
}

// watched knows what was answered.
type watched struct {
	http.ResponseWriter
	status int // 0: nothing yet
}

// WriteHeader is http.ResponseWriter's.
func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (w *watched) Write(data []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve answers requests, whatever happens.
func (a *Asking) serve(what string, answer func(*call) error) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		began, w := a.Clock.Now(), &watched{ResponseWriter: plain}
		defer func() { a.Observe(what, w.status, a.Clock.Since(began)) }()
		ctx, cancel := context.WithTimeout(r.Context(), a.Timeout)
		defer cancel()
		err := a.answer(&call{Asking: a, ctx: ctx, request: r.WithContext(ctx), writer: w, now: began.Unix()}, answer)
		switch {
		case err == nil:
		case w.status != 0 || errors.Is(err, context.Canceled) || errors.Is(err, http.ErrAbortHandler):
			panic(http.ErrAbortHandler) // it is not read any more, or cannot say that it is not whole but by ending early
		default:
			if usageapi.Refuse(w, a.problem(err)) == http.StatusInternalServerError {
				a.Log.Error(err, "cannot answer", "what", what)
			}
		}
	})
}

func (a *Asking) answer(c *call, answer func(*call) error) (err error) {
	defer func() {
		switch recovered := recover(); {
		case recovered == http.ErrAbortHandler: //nolint:errorlint // it is panicked as it is
			err = http.ErrAbortHandler
		case recovered != nil:
			err = fmt.Errorf("panic: %v\n%s", recovered, debug.Stack())
		}
	}()
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return err
	}
	share, err := a.room.Acquire(c.ctx, c.reader.Name, 1)
	if errors.Is(err, fairqueue.ErrFull) {
		return usageapi.Problem(http.StatusTooManyRequests, "too_many_requests", "too many of your requests wait already: wait for their answers", 1)
	}
	if err != nil {
		return err
	}
	defer share.Release()
	return answer(c)
}

// authenticate finds out which reader asks.
func (c *call) authenticate() error {
	header := c.request.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(header, " ")
	c.fleet = c.Fleet()
	if strings.EqualFold(scheme, "bearer") {
		c.reader = c.fleet.reader(strings.TrimSpace(token))
	}
	if c.reader == nil {
		return usageapi.Problem(http.StatusUnauthorized, "unauthorized",
			"who asks is not known: send the header Authorization: Bearer TOKEN, with a token of one of the hub's readers, as its fleet file has them", 0)
	}
	return nil
}

// limit refuses a reader that asks too often.
func (c *call) limit() error {
	limiter, known := c.rates.Get(c.reader.Name)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(c.RequestsPerSecond), int(math.Ceil(2*c.RequestsPerSecond)))
		c.rates.Put(c.reader.Name, limiter, 1)
	}
	now := c.Clock.Now()
	reserved := limiter.ReserveN(now, 1)
	wait := reserved.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reserved.CancelAt(now)
	return usageapi.Problem(http.StatusTooManyRequests, "too_many_requests",
		fmt.Sprintf("%s asks more than %g times a second: ask for more at once, or wait", c.reader.Name, c.RequestsPerSecond), int(math.Ceil(wait.Seconds())))
}

// problem is an error in the usage API's words.
func (a *Asking) problem(err error) error {
	if large, is := errors.AsType[*replica.TooLargeError](err); is {
		return usageapi.Problem(http.StatusServiceUnavailable, "too_large",
			large.Error()+": ask of other clusters, or see that the hub has more (--segments)", 0)
	}
	if refusal, is := errors.AsType[*hub.Refusal](err); is { // it was enrolled a moment ago
		return usageapi.Problem(http.StatusServiceUnavailable, "unavailable", refusal.Detail, 1)
	}
	if unanswered, is := errors.AsType[*storeError](err); is && !errors.Is(err, context.DeadlineExceeded) {
		a.Log.Error(unanswered, "the database did not answer")
		return usageapi.Problem(http.StatusServiceUnavailable, "unavailable", "the hub's database did not answer: ask again in a moment; the hub's log says more", 5)
	}
	return err
}

// storeError is an error of the store's.
type storeError struct{ error }

// Unwrap is the store's own.
func (e *storeError) Unwrap() error { return e.error }

// ledger is a cluster's, as the database has it now.
func (c *call) ledger(m *member) (*replica.Ledger, error) {
	l, err := c.ledgers.Ledger(c.ctx, m.uid)
	if err == nil {
		return l, nil
	}
	if gone := c.ctx.Err(); gone != nil {
		return nil, gone
	}
	if _, is := errors.AsType[*replica.TooLargeError](err); is {
		return nil, err
	}
	return nil, &storeError{err}
}

// members are the clusters of which the reader may see something, and whether that is all that
// there is.
func (c *call) members() (list []member, all bool, err error) {
	heads, err := c.Store.Heads(c.ctx)
	if err != nil {
		if gone := c.ctx.Err(); gone != nil {
			return nil, false, gone
		}
		return nil, false, &storeError{err}
	}
	all = true
	for _, m := range membersOf(heads) {
		whole, some := c.reader.sees(&m)
		all = all && whole
		if whole || len(some) > 0 {
			list = append(list, m)
		}
	}
	return list, all, nil
}
