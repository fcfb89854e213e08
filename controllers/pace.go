package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits on the reports that schedules create: in a namespace this many at once, such
// as those of a year's months, and then one a minute, for any number of schedules.
const (
	reportsAtOnce = 12
	reportEvery   = time.Minute
	// maxPaces is for how many namespaces without recent reports limiters are kept.
	maxPaces = 1024
)

// pace is when the schedules of a namespace may make one more report.
type pace struct {
	mu         sync.Mutex
	namespaces map[string]*rate.Limiter
}

// take allows one report now (0), or returns how long to wait.
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

// forget drops namespaces with a full burst, if there are very many.
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
