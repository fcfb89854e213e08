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

// Remembered is a check that is made once, however many ask for it at once, and
// whose outcome counts for a while: what it asks the API server for is not for all
// who reach the port of the probes to cause.
func Remembered(check healthz.Checker, lasts time.Duration, now clock.PassiveClock) healthz.Checker {
	var mu sync.Mutex
	var until time.Time
	var outcome error
	return func(request *http.Request) error {
		mu.Lock()
		defer mu.Unlock()
		if at := now.Now(); !at.Before(until) {
			// Whoever asks first may go away, and others wait for what he asked for.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(request.Context()), checkTimeout)
			defer cancel()
			outcome = check(request.WithContext(ctx))
			until = now.Now().Add(lasts)
		}
		return outcome
	}
}
