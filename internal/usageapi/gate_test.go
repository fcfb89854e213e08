package usageapi

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
)

// door is a gate, and an API server that knows the tokens that begin with "good".
type door struct {
	*gate
	clock *testclock.FakePassiveClock
	asked atomic.Int64
	away  error // why the API server does not answer
}

func newDoor() *door {
	d := &door{clock: testclock.NewFakePassiveClock(time.Unix(1000, 0))}
	d.gate = newGate(d.clock)
	return d
}

func (d *door) show(token, from string) (bool, error) {
	r := httptest.NewRequest(http.MethodGet, "/v1/usage", http.NoBody)
	r.RemoteAddr = from + ":1234"
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return d.pass(r, func() (bool, error) {
		d.asked.Add(1)
		return len(token) >= 4 && token[:4] == "good", d.away
	})
}

func TestATokenThatIsNotKnownIsAskedAboutOnce(t *testing.T) {
	d := newDoor()
	for range 1000 {
		if good, err := d.show("bad", "10.0.0.1"); good || err != nil {
			t.Fatal(good, err)
		}
	}
	if n := d.asked.Load(); n != 1 {
		t.Errorf("the API server was asked %d times about one token", n)
	}
	d.clock.SetTime(d.clock.Now().Add(badFor))
	if _, _ = d.show("bad", "10.0.0.1"); d.asked.Load() != 2 {
		t.Error("it is not asked again when some time has passed")
	}
}

func heldUp(err error) bool {
	p, is := errors.AsType[*problem](err)
	return is && p.status == http.StatusTooManyRequests && p.retryAfter > 0
}

func TestTokensOfNoUseAreBoundedByAddress(t *testing.T) {
	d := newDoor()
	for i := range 300 {
		good, err := d.show(fmt.Sprint("bad", i), "10.0.0.1")
		if good || heldUp(err) != (i >= badAtOnce) {
			t.Fatalf("token %d: %t, %v", i, good, err)
		}
	}
	if n := d.asked.Load(); n != badAtOnce {
		t.Errorf("the API server was asked %d times: want %d", n, badAtOnce)
	}
	d.clock.SetTime(d.clock.Now().Add(time.Second))
	before := d.asked.Load()
	for i := range 100 {
		_, _ = d.show(fmt.Sprint("worse", i), "10.0.0.1")
	}
	if n := d.asked.Load() - before; n != badPerSecond {
		t.Errorf("a second later %d more are asked about: want %d", n, badPerSecond)
	}
}

// Who is known, and whoever comes from elsewhere, is not held up by tokens of no use.
func TestTokensOfNoUseHoldUpTheirAddressAlone(t *testing.T) {
	d := newDoor()
	if good, err := d.show("good-old", "10.0.0.1"); !good || err != nil {
		t.Fatal(good, err)
	}
	for i := range badAtOnce {
		_, _ = d.show(fmt.Sprint("bad", i), "10.0.0.1")
	}
	if good, err := d.show("good-old", "10.0.0.1"); !good || err != nil {
		t.Errorf("a token that is known is held up: %v", err)
	}
	if _, err := d.show("good-new", "10.0.0.1"); !heldUp(err) {
		t.Errorf("a token that is not known passes: %v", err)
	}
	if good, err := d.show("good-new", "10.0.0.2"); !good || err != nil {
		t.Errorf("another address is held up: %v", err)
	}
}

// Tokens that turn out to be good cost an address nothing.
func TestGoodTokensAreNotCounted(t *testing.T) {
	d := newDoor()
	for i := range 10 * badAtOnce {
		if good, err := d.show(fmt.Sprint("good", i), "10.0.0.1"); !good || err != nil {
			t.Fatalf("token %d: %t, %v", i, good, err)
		}
	}
}

// While the API server does not answer, nothing is remembered, and nobody pays.
func TestWhatIsNotAnsweredIsNotRemembered(t *testing.T) {
	d := newDoor()
	d.away = unasked()
	for range 2 * badAtOnce {
		if _, err := d.show("good", "10.0.0.1"); !errors.Is(err, d.away) {
			t.Fatal(err)
		}
	}
	d.away = nil
	if good, err := d.show("good", "10.0.0.1"); !good || err != nil {
		t.Errorf("%t, %v: want it to be good again", good, err)
	}
}

func TestAFewTokensAreAskedAboutAtATime(t *testing.T) {
	d := newDoor()
	var now, most atomic.Int64
	var asking sync.WaitGroup
	enter, leave := make(chan struct{}, 100), make(chan struct{})
	for i := range 50 {
		asking.Go(func() {
			r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
			r.Header.Set("Authorization", fmt.Sprint("Bearer ", i))
			_, _ = d.pass(r, func() (bool, error) {
				n := now.Add(1)
				most.Store(max(most.Load(), n))
				enter <- struct{}{}
				<-leave
				now.Add(-1)
				return false, nil
			})
		})
	}
	for range askingEach {
		<-enter
	}
	close(leave)
	asking.Wait()
	if most.Load() > askingEach {
		t.Errorf("%d at a time of one address: want at most %d", most.Load(), askingEach)
	}
}
