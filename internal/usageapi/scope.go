package usageapi

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/usage-operator/usage-operator/internal/fairqueue"
	"github.com/usage-operator/usage-operator/internal/lru"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// scopes caches which namespaces each user may see, as far as they were reviewed. No
// single request to the API server tells all of them: a SelfSubjectRulesReview is for
// one namespace, too, and evaluating RBAC here would miss other authorizers. So each
// namespace that a request is about is reviewed, once a minute for each user, for any
// number of requests in progress. A tenant has a few reviews at a time, and a limited
// number a second.
type scopes struct {
	mu     sync.Mutex
	known  *lru.Cache[string, *scope]
	rates  *lru.Cache[string, *rate.Limiter]
	asking *fairqueue.Queue
}

// scope is what is known of a user. The call that reviews for the user has the turn.
type scope struct {
	turn    chan struct{}
	until   time.Time         // when all that is known is to be asked again
	allowed map[reviewed]bool // what was reviewed
}

// reviewed is that somebody lists a resource in a namespace.
type reviewed struct {
	resource string
	in       timeline.NamespaceRef
}

const (
	// scopeFor is how long a user's scope counts.
	scopeFor = time.Minute
	// scopesKept is how many users' scopes are known.
	scopesKept = 200
	// reviewsAtOnce is how many namespaces are reviewed at the same time, and
	// reviewsEach, for one tenant.
	reviewsAtOnce, reviewsEach = 16, 8
	// reviewsPerSecond is how many reviews one tenant may cause, and reviewsBurst how many
	// at once.
	reviewsPerSecond, reviewsBurst = 100, 10_000
)

func newScopes() *scopes {
	return &scopes{
		known: lru.New[string, *scope](scopesKept), rates: lru.New[string, *rate.Limiter](usersKept),
		asking: fairqueue.New(fairqueue.Limits{Total: reviewsAtOnce, Flow: reviewsEach}),
	}
}

// of is what is known of a user.
func (s *scopes) of(u user.Info) *scope {
	key := identity(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	of, known := s.known.Get(key)
	if !known {
		of = &scope{turn: make(chan struct{}, 1)}
		s.known.Put(key, of, 1)
	}
	return of
}

// identity is all by which the API server tells users apart.
func identity(u user.Info) string {
	text, err := json.Marshal([]any{u.GetName(), u.GetUID(), u.GetGroups(), u.GetExtra()})
	if err != nil {
		panic(fmt.Sprintf("usageapi: a user has no JSON: %v", err)) // strings have
	}
	return string(text)
}

// visible are those of some namespaces in which the caller may list a resource of the operator's.
func (c *call) visible(resource string, some []timeline.NamespaceRef) (seen []timeline.NamespaceRef, err error) {
	err = c.rest(func() error {
		of := c.scopes.of(c.caller)
		select {
		case of.turn <- struct{}{}:
		case <-c.ctx.Done():
			return c.ctx.Err()
		}
		defer func() { <-of.turn }()
		seen, err = c.seen(of, resource, some)
		return err
	})
	return seen, err
}

// seen reviews what is not known yet; its caller holds the scope's turn.
func (c *call) seen(of *scope, resource string, some []timeline.NamespaceRef) ([]timeline.NamespaceRef, error) {
	now := c.Clock.Now()
	if !now.Before(of.until) {
		of.until, of.allowed = now.Add(scopeFor), map[reviewed]bool{}
	}
	var unknown []timeline.NamespaceRef
	for _, ref := range some {
		if _, known := of.allowed[reviewed{resource, ref}]; !known {
			unknown = append(unknown, ref)
		}
	}
	if err := c.affordable(now, len(unknown)); err != nil {
		return nil, err
	}
	allowed, err := c.review(resource, unknown)
	if err != nil {
		return nil, err
	}
	for i, ref := range unknown {
		of.allowed[reviewed{resource, ref}] = allowed[i]
	}
	seen := []timeline.NamespaceRef{}
	for _, ref := range some {
		if of.allowed[reviewed{resource, ref}] {
			seen = append(seen, ref)
		}
	}
	return seen, nil
}

// affordable tells whether the caller's tenant may have so many namespaces reviewed now.
func (c *call) affordable(now time.Time, reviews int) error {
	if reviews == 0 {
		return nil
	}
	c.scopes.mu.Lock()
	defer c.scopes.mu.Unlock()
	limiter, known := c.scopes.rates.Get(c.tenant)
	if !known {
		limiter = rate.NewLimiter(reviewsPerSecond, reviewsBurst)
		c.scopes.rates.Put(c.tenant, limiter, 1)
	}
	// More than all at once is as much as all.
	paid := limiter.ReserveN(now, min(reviews, reviewsBurst))
	wait := paid.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	paid.CancelAt(now)
	return &problem{
		status: http.StatusTooManyRequests, code: "too_many_requests", retryAfter: int(math.Ceil(wait.Seconds())),
		message: fmt.Sprintf("the API server would have to be asked about %d namespaces, too soon after others of your tenant: name the namespaces that you ask for, or wait", reviews),
	}
}

// review tells which namespaces the caller may see, by asking about each. The first
// error ends it.
func (c *call) review(resource string, refs []timeline.NamespaceRef) (allowed []bool, err error) {
	allowed = make([]bool, len(refs))
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	var reviewing sync.WaitGroup
	for i := range refs {
		turn, err := c.scopes.asking.Acquire(ctx, c.tenant, 1)
		if err != nil {
			break
		}
		reviewing.Go(func() {
			defer turn.Release()
			var err error
			if allowed[i], err = c.mayWithin(ctx, resource, refs[i].Name); err != nil {
				cancel(err)
			}
		})
	}
	reviewing.Wait()
	return allowed, context.Cause(ctx)
}
