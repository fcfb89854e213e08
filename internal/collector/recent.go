package collector

import (
	"cmp"
	"slices"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
)

// All resourceVersions of one etcd are one sequence, but each kind has a watch of its
// own: a change may come after others that were written later. It is taken in as of
// its revision all the same: what changed in the graph later is taken back, the change
// is made, and the others are made again. So whom an object belongs to does not depend
// on the order of arrival, for changes that come within recentFor of each other.

const (
	// recentFor is for how many seconds a change of the graph can be taken back.
	recentFor = 600
	// recentSteps and recentBytes bound what is kept of a namespace for that, so that
	// a tenant's flood of changes costs no other tenant, and everySteps what is kept in all.
	recentSteps, recentBytes, everySteps = 128, 256 << 10, 1 << 14
	// takenBack bounds the objects that are placed anew for one change that comes late.
	takenBack = 2_000
)

// step is a change of the graph, with what takes it back.
type step struct {
	revision uint64
	uid      string
	undo     *attribution.Undo // nil: it does not count any more
	moments  ledger.Moments
	moved    int   // how many objects were placed anew
	learnt   int64 // seconds since the epoch
}

// recent are the last steps, by namespace and in the order of their revisions. Those of
// cluster-scoped objects, and of routes, which reach into other namespaces, are under "".
type recent struct {
	steps map[string][]*step
	of    map[string]int // steps, by their objects
	all   int
	// retracing tells that steps are taken back, or made again.
	retracing bool
}

func newRecent() recent { return recent{steps: map[string][]*step{}, of: map[string]int{}} }

// within is the namespace whose objects a node has to do with; "": any.
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
	at, _ := slices.BinarySearchFunc(steps, s.revision, func(s *step, revision uint64) int { return cmp.Compare(s.revision, revision) })
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

// outside tells that the graph was changed at an object by what has no revision: its
// steps do not count any more.
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

// after are the steps that came before a change of an object though they were written
// after it, the last first. None, if that were too many to be taken back.
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
	slices.SortFunc(later, func(a, b *step) int { return cmp.Compare(b.revision, a.revision) })
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

// upsert tells the graph of an object as it was seen, and returns what moves. Called
// under the lock.
func (c *Collector) upsert(n attribution.Node, e event) []string {
	if !e.isNews() || c.restored.checking {
		c.recent.outside(n.Object.UID)
		return c.graph.Upsert(n)
	}
	moved, undo := c.graph.Put(n)
	if undo != nil {
		c.recent.note(within(&n), &step{revision: e.revision, uid: n.Object.UID, undo: undo, moments: e.moments(), moved: len(moved), learnt: e.now})
	}
	return moved
}

// remove takes an object out of the graph that went as seen, and returns what moves.
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

// asOf lets do take in a change of an object as of its revision: what changed in the
// graph later, and came before it, is taken back meanwhile, and late tells whether there
// is such. Called under the lock.
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
		// What it does not move any more was put where it did.
		moved = append(moved, slices.DeleteFunc(back[i], func(uid string) bool { return !c.graph.Contains(uid) })...)
		slices.Sort(moved)
		c.reattribute(slices.Compact(moved), "", s.moments)
	}
}
