package controllers

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

func TestACheckIsMadeOnceForAllWhoAsk(t *testing.T) {
	clock := testclock.NewFakePassiveClock(time.Unix(0, 0))
	checks, outcome := 0, errors.New("kinds are being listed")
	check := Remembered(func(request *http.Request) error {
		checks++
		if err := request.Context().Err(); err != nil {
			t.Errorf("the check is made for one who has gone: %v", err)
		}
		return outcome
	}, time.Second, clock)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the client has disconnected
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", http.NoBody)
	var asking sync.WaitGroup
	for range 50 {
		asking.Go(func() {
			if err := check(request); !errors.Is(err, outcome) {
				t.Errorf("it says %v", err)
			}
		})
	}
	asking.Wait()
	if checks != 1 {
		t.Errorf("%d checks for 50 who ask at once", checks)
	}
	clock.SetTime(clock.Now().Add(time.Second))
	outcome = nil
	if err := check(request); err != nil || checks != 2 {
		t.Errorf("a second later: %v, %d checks: want another, and its outcome", err, checks)
	}
}
