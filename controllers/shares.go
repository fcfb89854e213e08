package controllers

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// shares are the namespaces whose records take, or took, more than their share of the
// budget. They are safe for concurrent use.
type shares struct {
	mu   sync.Mutex
	over map[string]excess
	// last are those whose records of the last sealed interval list less than all.
	last []record.Reduced
	// open are those whose Open records, of the interval that starts at openStart, list
	// totals alone.
	open      map[string]bool
	openStart int64
	told      announced
}

// announced is when something was announced, in seconds since the epoch, by the kind of Event and the
// namespace.
type announced map[[2]string]int64

// may tells whether something may be announced now, and notes that it is. Each thing has
// its own number of Events: what is announced of many does not silence another.
func (t announced) may(what, namespace string, now int64) bool {
	maps.DeleteFunc(t, func(_ [2]string, at int64) bool { return now-at >= toldAgain })
	key := [2]string{what, namespace}
	if _, is := t[key]; is {
		return false
	}
	told := 0
	for of := range t {
		if of[0] == what {
			told++
		}
	}
	if told >= toldAtMost {
		return false
	}
	t[key] = now
	return true
}

// excess is what a namespace takes beyond its share, and what it loses for that.
type excess struct {
	namespace    string
	bytes, share int64 // what it took when that was found, and what it may take, in bytes
	// keptFrom is the moment from which on its records are kept: those of intervals
	// that ended by then are pruned.
	keptFrom int64
}

const (
	// toldAgain is how long the same is not announced of a namespace again, in seconds.
	toldAgain = 60 * 60
	// toldAtMost is of how many namespaces the same is announced in that time. Metrics
	// name the others.
	toldAtMost = 10
)

// keptFrom is from when on the namespace's records are kept, by its share; 0: all are.
func (s *shares) keptFrom(namespace string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.over[namespace].keptFrom
}

// found updates the namespaces that are over their share. A namespace's moment never
// goes back, since what was pruned is deleted. It returns the namespaces to announce,
// those that take most first. Namespaces that lose nothing any more, because the
// retention's moment is later, are forgotten.
func (s *shares) found(over map[string]excess, retainedFrom, now int64) (tell []excess) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	for namespace, e := range s.over {
		if e.keptFrom <= retainedFrom {
			delete(s.over, namespace)
		}
	}
	for namespace, e := range over {
		if e.keptFrom <= max(retainedFrom, s.over[namespace].keptFrom) {
			continue
		}
		e.namespace = namespace
		s.over[namespace] = e
		tell = append(tell, e)
	}
	slices.SortFunc(tell, compareExcess)
	return slices.DeleteFunc(tell, func(e excess) bool { return !s.told.may("pruned", e.namespace, now) })
}

// begin makes the maps. Called under the lock.
func (s *shares) begin() {
	if s.over == nil {
		s.over, s.told = map[string]excess{}, announced{}
	}
}

// reduced sets the namespaces whose records of the last sealed interval list less than
// all. It returns those to announce.
func (s *shares) reduced(last []record.Reduced, now int64) (tell []record.Reduced) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin()
	s.last = last
	for _, of := range last {
		if s.told.may("reduced", of.Namespace, now) {
			tell = append(tell, of)
		}
	}
	return tell
}

// inLast are those whose records of the last sealed interval list less than all, at
// most so many.
func (s *shares) inLast(atMost int) []record.Reduced {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last[:min(len(s.last), atMost)]
}

// foundOpen notes the namespaces whose Open records take more than their share, in the
// interval that starts then. They stay so for the rest of it, since records that list
// less also take less.
func (s *shares) foundOpen(start int64, over []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil || s.openStart != start {
		s.open, s.openStart = map[string]bool{}, start
	}
	for _, namespace := range over {
		s.open[namespace] = true
	}
}

// coarse tells whether the namespace's Open records list only totals.
func (s *shares) coarse(namespace string, start int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openStart == start && s.open[namespace]
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

func noteReduced(of record.Reduced, interval usage.Window, deployments int64) string {
	var less []string
	if of.Others > 0 {
		less = append(less, fmt.Sprintf("%d deployments, beyond the %d that held something for longest, are in one record of %q",
			of.Others, deployments, usage.OtherDeployments))
	}
	switch of.Detail {
	case usage.DetailResources:
		less = append(less, "they list what each resource used, not its segments, because they would take more than the namespace's share")
	case usage.DetailTotals:
		less = append(less, "they list totals alone, because they would take more than the namespace's share")
	}
	return fmt.Sprintf("The usage records of namespace %s of the interval from %s list less than all: %s. The totals are the same; "+
		"the journal keeps the rest.", of.Namespace, text(time.Unix(interval.Start, 0)), strings.Join(less, "; "))
}

// quantity is a number of bytes as text: rounded down to MiB, or exact below one MiB.
func quantity(bytes int64) string {
	const mebi = 1 << 20
	if bytes >= mebi {
		bytes -= bytes % mebi
	}
	return resource.NewQuantity(bytes, resource.BinarySI).String()
}
