package collector

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/internal/chronology/history"
	"github.com/usage-operator/usage-operator/internal/source"
)

const (
	// pulseEvery is how often the API server is asked how far it has come: what
	// leaves no time on any object is dated by that.
	pulseEvery = time.Second
	// pulseWait is how long an answer may take.
	pulseWait = 10 * time.Second
)

// pulse learns once a second which revision the API server has come to, until
// ctx is done: whatever has a later one happened later, and all else before the answer,
// whenever its own watch delivers it.
func (c *Collector) pulse(ctx context.Context) {
	ticker := c.Clock.NewTicker(pulseEvery)
	defer ticker.Stop()
	for beats := 1; ; beats++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C():
		}
		c.beat(ctx)
		if beats%resolveEvery == 0 {
			c.resolve()
		}
		if beats%sweepEvery == 0 {
			c.sweep()
		}
	}
}

func (c *Collector) beat(ctx context.Context) {
	mapping, err := c.Mapper.RESTMapping(namespaceKind)
	if err != nil {
		return // and the bounds are wider
	}
	ctx, cancel := context.WithTimeout(ctx, pulseWait)
	defer cancel()
	asked := c.now().Unix()
	list, err := c.Metadata.Resource(mapping.Resource).List(ctx, metav1.ListOptions{Limit: 1})
	if err == nil {
		c.chronology.After(source.Revision(list.GetResourceVersion()), asked)
		c.chronology.Before(source.Revision(list.GetResourceVersion()), c.now().Unix())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.answered == 0 {
		c.answered = c.now().Unix()
	}
}

// probe makes the bounds around a revision of the past as tight as etcd's
// history allows.
func (c *Collector) probe(revision uint64) {
	if err := history.Probe(c.ctx, history.SystemLeases(c.Metadata), &c.chronology, revision); err != nil {
		c.Log.V(1).Info("cannot date a change more closely", "resourceVersion", revision, "error", err.Error())
	}
}
