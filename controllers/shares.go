package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
)

// shares are the namespaces whose records take, or took, more than their share of the
// budget. They are safe for concurrent use.
type shares struct {
	mu   sync.Mutex
	over map[string]excess
	told map[string]int64 // when it was announced
}

// excess is what a namespace takes beyond its share, and what it loses for that.
type excess struct {
	namespace    string
	bytes, share int64 // when it was found
	// keptFrom is the moment from which on its records are kept: those of intervals
	// that ended by then are pruned.
	keptFrom int64
}

const (
	// toldAgain is how long nothing more is announced of a namespace, in seconds.
	toldAgain = 60 * 60
	// toldAtMost is of how many namespaces something is announced in that time.
	// A metric names others.
	toldAtMost = 10
)

// keptFrom is from when on the namespace's records are kept, by its share; 0: all are.
func (s *shares) keptFrom(namespace string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over[namespace].keptFrom
}

// found takes in which namespaces are over their share now. A moment never goes
// back: what was pruned is gone. It returns of which ones people are to be told, those
// that take most first. Those that lose nothing any more, because the retention's
// moment is later, are forgotten.
func (s *shares) found(over map[string]excess, retainedFrom, now int64) (tell []excess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over == nil {
		s.over, s.told = map[string]excess{}, map[string]int64{}
	}
	for namespace, e := range s.over {
		if e.keptFrom <= retainedFrom {
			delete(s.over, namespace)
		}
	}
	for namespace, at := range s.told {
		if now-at >= toldAgain {
			delete(s.told, namespace)
		}
	}
	for namespace, e := range over {
		if e.keptFrom <= max(retainedFrom, s.over[namespace].keptFrom) {
			continue
		}
		e.namespace = namespace
		s.over[namespace] = e
		if _, told := s.told[namespace]; !told {
			tell = append(tell, e)
		}
	}
	slices.SortFunc(tell, compareExcess)
	tell = tell[:min(len(tell), max(0, toldAtMost-len(s.told)))]
	for i := range tell {
		s.told[tell[i].namespace] = now
	}
	return tell
}

// most are those that are over their share, at most so many: those that take most.
func (s *shares) most(atMost int) []excess {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]excess, 0, len(s.over))
	for _, e := range s.over {
		all = append(all, e)
	}
	slices.SortFunc(all, compareExcess)
	return all[:min(len(all), atMost)]
}

// compareExcess orders by bytes, the most first.
func compareExcess(a, b excess) int {
	return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.namespace, b.namespace))
}

func (e *excess) note(budget int64) string {
	return fmt.Sprintf("The usage records of namespace %s take %s, which is more than its share of --record-budget=%s: %s. "+
		"Those of intervals before %s are pruned before their time; other namespaces' are not. The journal keeps what they say.",
		e.namespace, quantity(e.bytes), quantity(budget), quantity(e.share), text(time.Unix(e.keptFrom, 0)))
}

// quantity is a number of bytes in MiB, or exactly, where it is none.
func quantity(bytes int64) string {
	const mebi = 1 << 20
	if bytes >= mebi {
		bytes -= bytes % mebi
	}
	return resource.NewQuantity(bytes, resource.BinarySI).String()
}
