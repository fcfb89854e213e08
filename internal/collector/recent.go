package collector

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
)

// All resourceVersions of one etcd are one sequence, but each kind has a watch of its
// own: a change may arrive after others that were written later. It is still applied
// as of its revision: later changes of the graph are undone, the change is made, and
// the others are made again. So the deployment of an object does not depend on the
// order of arrival, for changes that arrive within recentFor of each other.

const (
	// recentFor is for how many seconds a change of the graph can be undone.
	recentFor = 600
	// recentSteps and recentBytes bound the steps that are kept for one namespace, so
	// that many changes of one tenant do not affect others; everySteps bounds all steps.
	recentSteps, recentBytes, everySteps = 128, 256 << 10, 1 << 14
	// takenBack bounds how many objects are moved for one late change.
	takenBack = 2_000
)

// step is a change of the graph, and how to undo it.
type step struct {
	revision uint64
	uid      string
	undo     *attribution.Undo // nil: the step is void
	moments  ledger.Moments
	moved    int   // how many objects it moved
	learnt   int64 // seconds since the epoch
}

// recent are the last steps, by namespace and in the order of their revisions; those of one
// revision, that of a list, in the order in which they came. Those of cluster-scoped objects, and of routes, which reach into other namespaces, are under "".
type recent struct {
	steps map[string][]*step
	of    map[string]int // steps, by their objects
	all   int
	// retracing: steps are being undone or made again.
	retracing bool
}

func newRecent() recent { return recent{steps: map[string][]*step{}, of: map[string]int{}} }

// within is the namespace whose objects a node can affect; "": any.
func within(n *attribution.Node) string {
	if len(n.Parents)+len(n.Backends) > 0 {
		return ""
	}
	return n.Namespace
}

// note keeps a step.
func (r *recent) note(namespace string, s *step) {
	if r.all >= everySteps {
		r.steps, r.of, r.all = map[string][]*step{}, map[string]int{}, 0
	}
	steps := r.steps[namespace]
	at, _ := slices.BinarySearchFunc(steps, s.revision+1, func(s *step, next uint64) int { return cmp.Compare(s.revision, next) })
	r.steps[namespace] = slices.Insert(steps, at, s)
	r.of[s.uid]++
	r.all++
	r.trim(namespace, s.learnt)
}

// trim drops the oldest steps of a namespace, as far as they are too many or too old.
func (r *recent) trim(namespace string, now int64) {
	steps, size := r.steps[namespace], 0
	keep := len(steps)
	for keep > 0 && len(steps)-keep < recentSteps && now-steps[keep-1].learnt <= recentFor {
		if undo := steps[keep-1].undo; undo != nil {
			size += undo.Size()
		}
		if size > recentBytes {
			break
		}
		keep--
	}
	for _, s := range steps[:keep] {
		r.drop(s)
	}
	r.steps[namespace] = slices.Delete(steps, 0, keep)
	if keep == len(steps) {
		delete(r.steps, namespace)
	}
}

func (r *recent) drop(s *step) {
	r.all--
	if r.of[s.uid]--; r.of[s.uid] <= 0 {
		delete(r.of, s.uid)
	}
}

// forget drops all steps that are too old.
func (r *recent) forget(now int64) {
	for namespace := range r.steps {
		r.trim(namespace, now)
	}
}

// outside notes that an object's node was changed by something without a revision: its
// steps are void.
func (r *recent) outside(uid string) {
	if r.of[uid] == 0 {
		return
	}
	for _, steps := range r.steps {
		for _, s := range steps {
			if s.uid == uid {
				s.undo = nil
			}
		}
	}
}

// after are the steps that arrived before a change of an object but were written after
// it, the last first; none if they are too many to be undone.
func (r *recent) after(namespace, uid string, revision uint64) []*step {
	if r.all == 0 {
		return nil
	}
	var later []*step
	add := func(steps []*step) {
		for i := len(steps) - 1; i >= 0 && steps[i].revision > revision; i-- {
			if steps[i].undo != nil {
				later = append(later, steps[i])
			}
		}
	}
	if namespace != "" {
		add(r.steps[namespace])
		add(r.steps[""])
	} else {
		for _, steps := range r.steps {
			add(steps)
		}
	}
	slices.SortStableFunc(later, func(a, b *step) int { return cmp.Compare(b.revision, a.revision) })
	moved := 0
	for i, s := range later {
		if moved += 1 + s.moved; moved > takenBack {
			return nil
		}
		if s.uid == uid { // its own changes come in order
			return later[:i]
		}
	}
	return later
}

// upsert updates the graph with an object as it was seen, and returns what moves. Called
// under the lock.
func (c *Collector) upsert(n attribution.Node, e event) []string {
	// What keeps what it followed does so by what was there when its first list was made, as
	// long as that takes no other steps' room.
	first := e.origin == ledger.First && e.shown != 0 && n.Holds && c.recent.all < everySteps/2
	if !e.isNews() && !first || c.restored.checking {
		if c.recent.of[n.Object.UID] == 0 {
			return c.graph.Upsert(n)
		}
		moved, changed := c.graph.Put(n)
		if changed != nil { // a list that shows what is known voids nothing
			c.recent.outside(n.Object.UID)
		}
		return moved
	}
	revision := e.revision
	if first {
		revision = e.shown
	}
	moved, undo := c.graph.Put(n)
	if undo != nil {
		c.recent.note(within(&n), &step{revision: revision, uid: n.Object.UID, undo: undo, moments: e.moments(), moved: len(moved), learnt: e.now})
	}
	return moved
}

// remove removes a deleted object from the graph, and returns what moves.
// Called under the lock.
func (c *Collector) remove(n *attribution.Node, e event) []string {
	uid := n.Object.UID
	if !e.isNews() || c.restored.checking {
		c.recent.outside(uid)
		return c.graph.Remove(uid)
	}
	moved, undo := c.graph.Take(uid)
	if undo != nil {
		moments := ledger.Between(e.origin, e.after, e.before)
		c.recent.note(within(n), &step{revision: e.revision, uid: uid, undo: undo, moments: moments, moved: len(moved), learnt: e.now})
	}
	return moved
}

// asOf calls do, which applies a change of an object, on the graph as of the change's
// revision: later changes that arrived before it are undone meanwhile. late is whether
// there are any. Called under the lock.
func (c *Collector) asOf(namespace, uid string, e event, do func(late bool)) {
	if !e.isNews() || c.restored.checking {
		do(false)
		return
	}
	later := c.recent.after(namespace, uid, e.revision)
	c.recent.retracing = len(later) > 0
	defer func() { c.recent.retracing = false }()
	became, back := make([]attribution.Node, len(later)), make([][]string, len(later))
	for i, s := range later {
		back[i], became[i] = c.graph.Undo(s.undo)
		if slices.Contains(back[i], uid) {
			c.put(uid, s.moments)
		}
	}
	do(len(later) > 0)
	for i, s := range slices.Backward(later) {
		if s.undo == nil {
			continue // do has changed it in another way
		}
		var moved []string
		if became[i].Object.UID == "" {
			moved, s.undo = c.graph.Take(s.uid)
		} else {
			moved, s.undo = c.graph.Put(became[i])
		}
		// What it moved before, and does not move now, has to be placed again, too.
		moved = append(moved, slices.DeleteFunc(back[i], func(uid string) bool { return !c.graph.Contains(uid) })...)
		slices.Sort(moved)
		c.reattribute(slices.Compact(moved), "", s.moments)
	}
}
