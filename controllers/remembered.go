package controllers

import (
	"context"
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// checkTimeout is how long a check may take.
const checkTimeout = 5 * time.Second

// Remembered returns a check that runs once for concurrent callers, and whose result
// counts for lasts: clients that reach the port of the probes must not cause any number
// of requests to the API server.
func Remembered(check healthz.Checker, lasts time.Duration, now clock.PassiveClock) healthz.Checker {
	var mu sync.Mutex
	var until time.Time
	var outcome error
	return func(request *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if at := now.Now(); !at.Before(until) {
			// The first caller may disconnect while others wait for the result.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), checkTimeout)
			defer cancel()
			outcome = check(request.WithContext(ctx))
			until = now.Now().Add(lasts)
		}
		return outcome
	}
}
