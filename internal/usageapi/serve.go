package usageapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// statusWriter knows what was answered.
type statusWriter struct {
	http.ResponseWriter
	status int // 0: nothing yet
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(data []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(data)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// serve answers a route's requests, whatever happens.
func (a *API) serve(r route) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, request *http.Request) {
		start := a.Clock.Now()
		w := &statusWriter{ResponseWriter: plain}
		defer func() { a.Observe(r.name, w.status, a.Clock.Since(start)) }()
		ctx, cancel := context.WithTimeout(request.Context(), a.Timeout)
		defer cancel()
		request.Body = http.MaxBytesReader(w, request.Body, maxBody)
		err := a.answer(r, w, request.WithContext(ctx))
		if err == nil {
			return
		}
		if errors.Is(err, errGone) {
			panic(http.ErrAbortHandler)
		}
		p := problemOf(err)
		if p.status == http.StatusInternalServerError {
			a.Log.Error(err, "cannot answer", "route", r.name)
		}
		if w.status != 0 {
			// It has begun, and cannot say that it is not whole but by ending early.
			panic(http.ErrAbortHandler)
		}
		r.refuse(w, p)
	})
}

func (a *API) answer(r route, w http.ResponseWriter, request *http.Request) (err error) {
	defer func() {
		if recovered := recover(); recovered != nil {
			err = fmt.Errorf("panic: %v\n%s", recovered, debug.Stack())
		}
	}()
	c := &call{API: a, request: request, now: a.Clock.Now().Unix()}
	c.ctx = timeline.WithPacer(request.Context(), pacer{c})
	c.writer = &paced{ResponseWriter: w, clock: machine, within: writeWithin, rest: c.writing}
	if err := c.authenticate(); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return err
	}
	if err := checkParameters(r.name, request); err != nil {
		return err
	}
	if !a.Ledger.Loaded() {
		return &problem{status: http.StatusServiceUnavailable, code: "unavailable", retryAfter: 2, message: "the ledger is being loaded: ask again in a moment"}
	}
	defer c.done()
	if err := c.admit(&r); err != nil {
		return err
	}
	c.snapshot = a.Ledger.Snapshot()
	return r.answer(c)
}

// authenticate finds out who asks. The public APIs have words of their own before
// the token: Bearer, ApiKey, APIToken. Wherever a token is, the Authenticator finds
// it in Authorization.
func (c *call) authenticate() error {
	header := c.request.Header
	text := header.Get("Authorization")
	if text == "" {
		text = header.Get(wire.TokenHeader)
		header.Set("Authorization", text)
	}
	if text == "" {
		if token := cookieToken(c.request); token != "" {
			text, c.byCookie = "Bearer "+token, true
			header.Set("Authorization", text)
		}
	}
	if scheme, token, found := strings.Cut(text, " "); found {
		switch strings.ToLower(scheme) {
		case "bearer", "apikey", "apitoken":
			header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
		}
	}
	header.Del(wire.TokenHeader)
	known, err := c.gate.pass(c.request, c.identify)
	if err != nil {
		return err
	}
	if !known {
		return unauthorized()
	}
	c.tenant = tenantOf(c.caller)
	return nil
}

// identify asks who the caller is. The error is that nobody can be asked.
func (c *call) identify() (known bool, err error) {
	answer, known, err := c.Authenticator.AuthenticateRequest(c.request)
	if err != nil && c.ctx.Err() != nil {
		return false, c.ctx.Err()
	}
	if err != nil {
		// Also of a token that the cluster does not know, or knows no longer.
		c.Log.V(1).Info("not authenticated", "error", err.Error())
		if isUnreachable(err) {
			return false, unasked()
		}
	}
	if !known || answer.User == nil || answer.User.GetName() == user.Anonymous {
		return false, nil
	}
	c.caller = answer.User
	return true, nil
}

// limit refuses a reader that asks too often.
func (c *call) limit() error {
	name := c.caller.GetName()
	limiter, known := c.limits.Get(name)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(c.RequestsPerSecond), int(math.Ceil(2*c.RequestsPerSecond)))
		c.limits.Put(name, limiter, 1)
	}
	now := c.Clock.Now()
	reservation := limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	reservation.CancelAt(now)
	return &problem{
		status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: int(math.Ceil(wait.Seconds())),
		message: fmt.Sprintf("%s asks more than %g times a second: ask for more at once, or wait", name, c.RequestsPerSecond),
	}
}

// errGone is what ends an answer that nobody reads any more.
var errGone = errors.New("whoever asked has gone")

// alive is an error once there is no point in going on.
func (c *call) alive() error {
	switch err := c.ctx.Err(); {
	case errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil:
		return errGone
	}
	return nil
}

// ended is the error of what ended early: that nobody reads it any more, if that is why.
func (c *call) ended(err error) error { return cmp.Or(c.alive(), err) }

func (c *call) begin() {
	header := c.writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
}

// stamp is a moment as answers have it.
func stamp(seconds int64) string { return time.Unix(seconds, 0).UTC().Format(time.RFC3339) }
