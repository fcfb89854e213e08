package usageapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"

	"github.com/usage-operator/usage-operator/internal/timeline"
)

// problem is why a request is not answered, and what to do.
type problem struct {
	status     int
	code       string // for programs
	message    string // for people: the field and the remedy
	retryAfter int    // seconds; 0: there is no point in trying again
}

func (p *problem) Error() string { return p.message }

func badRequest(format string, args ...any) *problem {
	return &problem{status: http.StatusBadRequest, code: "bad_request", message: fmt.Sprintf(format, args...)}
}

func unauthorized() *problem {
	return &problem{
		status: http.StatusUnauthorized, code: "unauthorized",
		message: "who asks is not known: send the header Authorization: Bearer TOKEN, with a token of this cluster, such as kubectl create token makes; or connect, not through a proxy, with a client certificate that its API server takes",
	}
}

func forbidden(format string, args ...any) *problem {
	return &problem{status: http.StatusForbidden, code: "forbidden", message: fmt.Sprintf(format, args...)}
}

func notFound(format string, args ...any) *problem {
	return &problem{status: http.StatusNotFound, code: "not_found", message: fmt.Sprintf(format, args...)}
}

// unasked is that the API server cannot be asked about who asks.
func unasked() *problem {
	return &problem{
		status: http.StatusServiceUnavailable, code: "unavailable", retryAfter: 5,
		message: "the cluster's API server cannot be asked who you are and what you may see: ask again in a moment",
	}
}

// isUnreachable tells whether an error is that the API server did not answer, or
// did not as it should.
func isUnreachable(err error) bool {
	all := []error{err}
	if several, is := errors.AsType[utilerrors.Aggregate](err); is {
		all = utilerrors.Flatten(several).Errors()
	}
	return slices.ContainsFunc(all, func(err error) bool {
		var network net.Error
		var status apierrors.APIStatus
		return errors.As(err, &network) || errors.As(err, &status)
	})
}

// problemOf is the problem that an error is.
func problemOf(err error) *problem {
	if p, is := errors.AsType[*problem](err); is {
		return p
	}
	if cursor, is := errors.AsType[*timeline.CursorError](err); is {
		return badRequest("%s", cursor)
	}
	if large, is := errors.AsType[*timeline.TooLargeError](err); is {
		return &problem{status: http.StatusBadRequest, code: "too_large", message: "the answer would have " + large.Error()}
	}
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return &problem{
			status: http.StatusRequestEntityTooLarge, code: "body_too_large",
			message: fmt.Sprintf("the body is larger than %d bytes: ask for less at once", maxBody),
		}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &problem{
			status: http.StatusGatewayTimeout, code: "timeout", retryAfter: 5,
			message: "the answer took too long: ask for less time at once, or again later",
		}
	}
	return &problem{status: http.StatusInternalServerError, code: "internal", message: "the answer could not be made: the operator's log says why"}
}

// refuse says what is wrong as {"code", "message"}.
func refuse(w http.ResponseWriter, p *problem) {
	refuseAs(w, p, map[string]string{"code": p.code, "message": p.message})
}

// refuseWithText says it in one text.
func refuseWithText(w http.ResponseWriter, p *problem) { refuseAs(w, p, p.code+": "+p.message) }

func refuseAs(w http.ResponseWriter, p *problem, body any) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if p.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if p.retryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	w.WriteHeader(p.status)
	_ = json.NewEncoder(w).Encode(body) // who asked may have gone
}
