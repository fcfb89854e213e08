package usageapi

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math"
	"net/http"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/connlimit"
	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/lru"
)

// gate limits TokenReviews: any client that reaches this port could cause them, and
// they are work for the API server.
//
// A token that was found invalid is refused for a while without another review. Each
// address may send a limited number of invalid tokens a second, and only a few tokens of
// one address are reviewed at a time. Tokens that are known to be valid pass without
// these limits, since there may be many callers behind one address.
type gate struct {
	clock     clock.PassiveClock
	secret    [sha256.Size]byte
	tokens    *lru.Cache[digest, verdict]
	addresses *lru.Cache[string, *rate.Limiter]
	asking    *fairqueue.Queue
}

// digest identifies a token; tokens themselves are not kept.
type digest [sha256.Size]byte

// verdict is what the API server said of a token.
type verdict struct {
	good  bool
	until time.Time
}

const (
	// goodFor and badFor are how long a verdict counts. The authenticator, which caches
	// valid tokens for as long itself, is still asked about each valid one.
	goodFor, badFor = time.Minute, 10 * time.Second
	// tokensKept and addressesKept are how many are known.
	tokensKept, addressesKept = 50_000, 10_000
	// badPerSecond is how many invalid tokens one address may send a second, and badAtOnce
	// the burst.
	badPerSecond, badAtOnce = 5, 100
	// askingAtOnce is how many tokens are asked about at a time, and askingEach, of one address.
	askingAtOnce, askingEach = 32, 8
	// askingWaiting is how many of one address wait for that.
	askingWaiting = 64
)

func newGate(now clock.PassiveClock) *gate {
	g := &gate{
		clock: now, tokens: lru.New[digest, verdict](tokensKept), addresses: lru.New[string, *rate.Limiter](addressesKept),
		asking: fairqueue.New(fairqueue.Limits{Total: askingAtOnce, Flow: askingEach, FlowWaiting: askingWaiting, Waiting: 16 * askingWaiting}),
	}
	_, _ = rand.Read(g.secret[:]) // it does not fail
	return g
}

// pass returns whether a request's token is valid. It calls ask for a token that is
// known to be valid, and within the limits for one that is not known; not for one that
// is known to be invalid. An error of ask says nothing about the token.
func (g *gate) pass(request *http.Request, ask func() (good bool, err error)) (good bool, err error) {
	token := request.Header.Get("Authorization")
	if token == "" {
		return ask() // there is a certificate, or nothing
	}
	key := g.digest(token)
	now := g.clock.Now()
	known, is := g.tokens.Get(key)
	if is = is && now.Before(known.until); is {
		if known.good {
			good, err = ask()
			if err == nil && !good {
				g.tokens.Put(key, verdict{until: now.Add(badFor)}, 1)
			}
			return good, err
		}
		return false, nil
	}
	address := connlimit.AddressOf(request.RemoteAddr)
	paid, wait := g.pay(address, now)
	if paid == nil {
		return false, &problem{
			status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: int(math.Ceil(wait.Seconds())),
			message: fmt.Sprintf("from %s come too many tokens that this cluster does not know: show one that it knows, or wait", address),
		}
	}
	good, err = g.askFairly(request.Context(), address, ask)
	if good || err != nil {
		paid.CancelAt(now)
	}
	if err == nil {
		lasts := badFor
		if good {
			lasts = goodFor
		}
		g.tokens.Put(key, verdict{good: good, until: now.Add(lasts)}, 1)
	}
	return good, err
}

func (g *gate) askFairly(ctx context.Context, address string, ask func() (bool, error)) (bool, error) {
	turn, err := g.asking.Acquire(ctx, address, 1)
	if err != nil {
		return false, tooBusy(err)
	}
	defer turn.Release()
	return ask()
}

// pay reserves one of the invalid tokens that an address may send; nil: there is none
// left for that long.
func (g *gate) pay(address string, now time.Time) (*rate.Reservation, time.Duration) {
	limiter, known := g.addresses.Get(address)
	if !known {
		limiter = rate.NewLimiter(badPerSecond, badAtOnce)
		g.addresses.Put(address, limiter, 1)
	}
	paid := limiter.ReserveN(now, 1)
	if wait := paid.DelayFrom(now); wait > 0 {
		paid.CancelAt(now)
		return nil, wait
	}
	return paid, 0
}

func (g *gate) digest(token string) (d digest) {
	mac := hmac.New(sha256.New, g.secret[:])
	mac.Write([]byte(token))
	mac.Sum(d[:0])
	return d
}
