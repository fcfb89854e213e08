package endpoint

import (
	"errors"
	"net/http"

	"github.com/usage-operator/usage-operator/internal/hub"
)

// problem is a refusal in the form of RFC 9457, with what to do.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Next   string `json:"next"`
	// Head is the last sequence that the hub has; left out where it is not known.
	Head uint64 `json:"head,omitempty"`
}

// typePrefix and the reason are a problem's type.
const typePrefix = "urn:usage-hub:"

// statuses are those of reasons; of all others it is 409: the block does not fit what the hub has.
var statuses = map[hub.Reason]int{
	hub.Unauthorized: http.StatusUnauthorized,
	hub.NotEnrolled:  http.StatusNotFound,
	hub.OtherCluster: http.StatusUnprocessableEntity,
	hub.Damaged:      http.StatusUnprocessableEntity,
	hub.NewerFormat:  http.StatusUnprocessableEntity,
	hub.TooLarge:     http.StatusRequestEntityTooLarge,
}

// The titles of what may pass by itself.
const (
	busy        = "Busy"
	unavailable = "Unavailable"
)

// title is what an outcome is called, in an answer and in the metrics.
func title(err error) string {
	refusal, refused := errors.AsType[*hub.Refusal](err)
	switch {
	case err == nil:
		return acknowledged
	case refused:
		return string(refusal.Reason)
	case errors.Is(err, errBusy):
		return busy
	}
	return unavailable
}

// refuse answers with why, and with what to do.
func (e *Endpoint) refuse(w http.ResponseWriter, r *http.Request, err error) {
	refusal, refused := errors.AsType[*hub.Refusal](err)
	switch {
	case refused:
		status, known := statuses[refusal.Reason]
		if !known {
			status = http.StatusConflict
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer")
		} else {
			e.Log.Info("refused", "reason", refusal.Reason, "detail", refusal.Detail, "path", r.URL.Path)
		}
		e.answer(w, problem{Status: status, Title: string(refusal.Reason), Detail: refusal.Detail, Next: refusal.Next(), Head: refusal.Head})
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		e.answer(w, problem{Status: http.StatusTooManyRequests, Title: busy, Detail: err.Error(), Next: "Send the block again, after a second."})
	default:
		// What the database says is for who runs it.
		e.Log.Error(err, "the database did not do it", "path", r.URL.Path)
		w.Header().Set("Retry-After", "5")
		e.answer(w, problem{Status: http.StatusServiceUnavailable, Title: unavailable,
			Detail: "the hub's database did not answer, or did not write: whether it has the block is not known",
			Next:   "Send the block again until it is acknowledged: it counts once. The hub's log has what the database said."})
	}
}

func (e *Endpoint) answer(w http.ResponseWriter, p problem) {
	p.Type = typePrefix + p.Title
	write(w, p.Status, "application/problem+json", p)
}
