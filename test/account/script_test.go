package account

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// dice are what a seed decides.
type dice struct{ *rand.Rand }

func newDice(seed, what uint64) dice { return dice{rand.New(rand.NewPCG(seed, what))} }

// chance is true so many times of a hundred.
func (d dice) chance(percent int) bool { return d.IntN(100) < percent }

// pick is one of them.
func (d dice) pick(from ...string) string { return from[d.IntN(len(from))] }

// between is a whole number from low to high.
func (d dice) between(low, high int) int { return low + d.IntN(high-low+1) }

// verb is what is done to an object.
type verb int

const (
	put    verb = iota // make it; change it, when it is there
	change             // change it; make it, when it is not there
	remove             // delete it
)

// step is one thing that is done.
type step struct {
	after     time.Duration // since the step before
	verb      verb
	kind      *kind
	namespace string
	name      string
	// text is the object that is made, patch what it is changed by, through the
	// subresource.
	text, patch, subresource string
	cascade                  string // of remove
	// boundary lets the step wait until shortly before the end of an interval.
	boundary bool
	// recreate is a step that removes the namespace, and makes it again.
	recreate bool
}

func (s step) String() string {
	where := s.name
	if s.namespace != "" {
		where = s.namespace + "/" + s.name
	}
	switch {
	case s.recreate:
		return "recreate namespace " + s.namespace
	case s.verb == remove:
		return fmt.Sprintf("delete %s %s (%s)", s.kind.name, where, s.cascade)
	case s.verb == put:
		return fmt.Sprintf("make %s %s", s.kind.name, where)
	}
	return fmt.Sprintf("change %s %s: %s %s", s.kind.name, where, s.subresource, strings.Join(strings.Fields(s.patch), " "))
}

// The namespaces: the last one is made again and again.
var tenants = []string{"shop", "lab", "passing"}

// writer draws the script.
type writer struct {
	dice
	steps []step
	total int // of the kinds' weights
}

// write draws steps for so long.
func write(seed uint64, length time.Duration) []step {
	w := &writer{dice: newDice(seed, 1)}
	for _, k := range kinds {
		w.total += k.weight
	}
	for range 60 { // so that there is something
		s := w.one(put)
		s.after = 50 * time.Millisecond
		w.steps = append(w.steps, s)
	}
	for sum := time.Duration(0); sum < length; {
		before := len(w.steps)
		w.scene()
		for _, s := range w.steps[before:] {
			sum += s.after
		}
	}
	return w.steps
}

// scene draws what belongs together.
func (w *writer) scene() {
	switch n := w.IntN(100); {
	case n < 1:
		w.add(step{recreate: true, namespace: tenants[2]})
	case n < 8: // many changes of one object within a second
		s := w.one(change)
		for range w.between(4, 12) {
			s.after = time.Duration(w.between(0, 120)) * time.Millisecond
			s.patch, s.subresource = s.kind.change(w.dice)
			w.steps = append(w.steps, s)
		}
	case n < 11: // changes around the boundary of an interval
		for i := range w.between(3, 8) {
			s := w.one(verb(w.IntN(3)))
			s.boundary = i == 0
			s.after = time.Duration(w.between(20, 250)) * time.Millisecond
			w.steps = append(w.steps, s)
		}
	case n < 16: // made and removed at once
		s := w.one(put)
		w.add(s)
		s.verb, s.cascade, s.after = remove, "Background", time.Duration(w.between(50, 2500))*time.Millisecond
		w.steps = append(w.steps, s)
	case n < 45:
		w.add(w.one(put))
	case n < 85:
		w.add(w.one(change))
	default:
		w.add(w.one(remove))
	}
}

func (w *writer) add(s step) {
	s.after = time.Duration(w.ExpFloat64() * float64(pace))
	w.steps = append(w.steps, s)
}

// pace is how much time there is between two scenes, on average.
const pace = 250 * time.Millisecond

// one draws what is done to one object.
func (w *writer) one(v verb) step {
	k := w.kind()
	s := step{verb: v, kind: k, name: fmt.Sprintf("%s-%d", k.short, w.IntN(k.names)), cascade: w.pick("Background", "Background", "Foreground", "Orphan")}
	if !k.clusterScoped {
		s.namespace = tenants[w.IntN(len(tenants))]
		if k.settled {
			s.namespace = tenants[w.IntN(2)]
		}
	}
	s.text = k.make(w.dice, s.name)
	s.patch, s.subresource = k.change(w.dice)
	return s
}

func (w *writer) kind() *kind {
	n := w.IntN(w.total)
	for i := range kinds {
		if n -= kinds[i].weight; n < 0 {
			return &kinds[i]
		}
	}
	panic("the weights do not add up")
}
