// Package truth knows what was held, second by second, from what the API server answered when objects were made,
// changed and removed. It judges records by that, and knows nothing of how they came about.
package truth

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Moment is when something happened, in seconds since the epoch: in one of the seconds from First to Last.
type Moment struct{ First, Last int64 }

// At is a moment that is known to the second.
func At(second int64) Moment { return Moment{second, second} }

// Key is what holds one thing at a time: a dimension of an instance, or of one of its containers.
type Key struct{ Instance, Container, Dimension string }

func (k Key) String() string {
	if k.Container == "" {
		return k.Dimension + " of " + k.Instance
	}
	return k.Dimension + " of " + k.Container + " of " + k.Instance
}

// Held is how much is held, in base units, and whose usage it is. The zero value is nothing.
type Held struct {
	Namespace, Deployment string
	Level                 int64
}

func (h Held) String() string {
	if h.Level == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%d under %s/%s", h.Level, h.Namespace, h.Deployment)
}

// Diary is what was done to objects. Several may write in it at once.
type Diary struct {
	mu      sync.Mutex
	changes map[Key][]change // in the order in which they happened
}

// change is what is held from a moment on.
type change struct {
	when Moment
	what Held
}

// Note says that the key holds this from the moment on, and nothing else.
func (d *Diary) Note(key Key, when Moment, what Held) {
	if what.Level == 0 {
		what = Held{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.changes == nil {
		d.changes = map[Key][]change{}
	}
	d.changes[key] = append(d.changes[key], change{when, what})
}

// End says that the instance holds nothing from the moment on.
func (d *Diary) End(instance string, when Moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, changes := range d.changes {
		if key.Instance == instance {
			d.changes[key] = append(changes, change{when: when})
		}
	}
}

// possible is all that the changes say may have been held in the second: one thing, unless a change may have happened
// before it or after.
func possible(changes []change, second int64) []Held {
	var found []Held
	for i := -1; i < len(changes); i++ {
		begun := i < 0 || changes[i].when.First <= second
		over := i+1 < len(changes) && changes[i+1].when.Last <= second
		if !begun || over {
			continue
		}
		held := Held{}
		if i >= 0 {
			held = changes[i].what
		}
		if !slices.Contains(found, held) {
			found = append(found, held)
		}
	}
	return found
}

// Begun is the first second in which anything was held.
func (d *Diary) Begun() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	var first int64
	for _, changes := range d.changes {
		if at := changes[0].when.First; first == 0 || at < first {
			first = at
		}
	}
	return first
}

// copied is what the diary says now.
func (d *Diary) copied() map[Key][]change {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[Key][]change, len(d.changes))
	for key, changes := range d.changes {
		all[key] = slices.Clone(changes)
	}
	return all
}

func stamp(second int64) string { return time.Unix(second, 0).UTC().Format("15:04:05") }
