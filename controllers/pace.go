package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How many reports schedules make: in a namespace this many at once, such as those
// of a year's months, and then one a minute, however many schedules it has.
const (
	reportsAtOnce = 12
	reportEvery   = time.Minute
	// maxPaces is how many namespaces are remembered that have made none for a while.
	maxPaces = 1024
)

// pace is when the schedules of a namespace may make one more report.
type pace struct {
	mu         sync.Mutex
	namespaces map[string]*rate.Limiter
}

// take makes one report be made now, or says how long that has to wait.
func (p *pace) take(namespace string, now time.Time) (wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.namespaces[namespace]
	if of == nil {
		p.forget(now)
		of = rate.NewLimiter(rate.Every(reportEvery), reportsAtOnce)
		p.namespaces[namespace] = of
	}
	reserved := of.ReserveN(now, 1)
	if wait = reserved.DelayFrom(now); wait > 0 {
		reserved.CancelAt(now)
	}
	return wait
}

// forget forgets namespaces that may make as many as any, if there are very many.
func (p *pace) forget(now time.Time) {
	if p.namespaces == nil {
		p.namespaces = map[string]*rate.Limiter{}
	}
	if len(p.namespaces) < maxPaces {
		return
	}
	for namespace, of := range p.namespaces {
		if of.TokensAt(now) >= reportsAtOnce {
			delete(p.namespaces, namespace)
		}
	}
}
