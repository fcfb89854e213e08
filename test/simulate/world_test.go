package simulate

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/watch"

	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

func kindOf(group, kind, resource string, namespaced bool) apiserver.Kind {
	k := apiserver.Kind{Resource: resource, Namespaced: namespaced}
	k.Group, k.Version, k.Kind = group, "v1", kind
	return k
}

var (
	namespaces  = kindOf("", "Namespace", "namespaces", false)
	pods        = kindOf("", "Pod", "pods", true)
	claims      = kindOf("", "PersistentVolumeClaim", "persistentvolumeclaims", true)
	deployments = kindOf("apps", "Deployment", "deployments", true)
	replicaSets = kindOf("apps", "ReplicaSet", "replicasets", true)
	jobs        = kindOf("batch", "Job", "jobs", true)
	widgets     = kindOf("example.com", "Widget", "widgets", true)
	leases      = kindOf("coordination.k8s.io", "Lease", "leases", true)

	kinds = []apiserver.Kind{namespaces, pods, claims, deployments, replicaSets, jobs, widgets, leases}
)

const deploymentLabel = "metering.usage-operator.dev/deployment"

// object is the truth about one object. It is kept when it is gone, for what it
// owned goes on to be named by it.
type object struct {
	kind           apiserver.Kind
	namespace      *object // nil for a namespace
	name, uid      string
	owner          *object
	label          string // of deployments
	there          bool
	left           *chainEnd // when it went
	leftAt         time.Time
	terminating    time.Time
	created        time.Time
	written        map[string]time.Time // by manager; nil: it says nothing of its writes
	fewer          int                  // fields that were taken away
	touched        int
	scheduled      time.Time // a pod's
	phase          string
	containers     []container
	claims         []*object
	bound          bool      // a claim's
	followed       string    // by a claim: the deployment that mounted it last
	size           int64     // a claim's or widget's
	idle           bool      // a widget's
	ran            time.Time // when it was not idle any more; zero: it never was
	started, ended time.Time
	batch          bool // a pod's: it is not restarted
}

type container struct {
	name        string
	cpu, memory int64 // millicores, bytes
	finished    time.Time
}

// world is what happens in the cluster, whoever looks.
type world struct {
	*rand.Rand
	server  *apiserver.Server
	truth   *truth
	objects []*object // in the order of their creation
	born    int
	agenda  agenda
	entered uint64
	// suspended is since when meters are suspended, by name.
	suspended map[string]time.Time
	factor    int64 // of what the widgets' meter reads
	log       func(format string, args ...any)
}

func newWorld(seed uint64, log func(string, ...any)) *world {
	w := &world{
		Rand: rand.New(rand.NewPCG(seed, 2)), server: apiserver.New(seed, kinds...), truth: newTruth(), log: log, suspended: map[string]time.Time{}, factor: 1,
	}
	for _, name := range []string{"kube-system", "red", "blue"} {
		w.create(&object{kind: namespaces, name: name})
	}
	return w
}

// agenda is what is going to happen, by the time.
type agenda []entry

type entry struct {
	at    time.Time
	order uint64
	do    func()
}

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return cmp.Or(a[i].at.Compare(a[j].at), cmp.Compare(a[i].order, a[j].order)) < 0
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(entry)) }
func (a *agenda) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

// in lets something happen after a time.
func (w *world) in(d time.Duration, do func()) {
	w.entered++
	heap.Push(&w.agenda, entry{at: time.Now().Add(d), order: w.entered, do: do})
}

// until does what is on the agenda up to the moment.
func (w *world) until(end time.Time) {
	for len(w.agenda) > 0 && !w.agenda[0].at.After(end) {
		next := heap.Pop(&w.agenda).(entry)
		time.Sleep(time.Until(next.at))
		next.do()
	}
	time.Sleep(time.Until(end))
}

// between is a duration from one number of milliseconds to another, with odd nanoseconds.
func between(r *rand.Rand, from, to int64) time.Duration {
	return time.Duration(from*1_000_000 + r.Int64N((to-from)*1_000_000))
}

// find are the objects of a kind that are there and that match, in order.
func (w *world) find(k apiserver.Kind, matches func(*object) bool) []*object {
	var found []*object
	for _, o := range w.objects {
		if o.kind == k && o.there && (matches == nil || matches(o)) {
			found = append(found, o)
		}
	}
	return found
}

// one is one of them; nil: there is none.
func one(found []*object, choice uint64) *object {
	if len(found) == 0 {
		return nil
	}
	return found[choice%uint64(len(found))]
}

func (w *world) uid(o *object) string {
	w.born++
	return fmt.Sprintf("%s-%s-%d", cmp.Or(map[string]string{"PersistentVolumeClaim": "pvc"}[o.kind.Kind], o.kind.Resource[:2]), o.name, w.born)
}

// asked is when the request was made that is committed now.
func (w *world) asked() time.Time { return time.Now().Add(-between(w.Rand, 1, 350)) }

// create brings an object into the world. Its name is free.
func (w *world) create(o *object) *object {
	o.uid = w.uid(o)
	o.there = true
	o.created = w.asked()
	if o.namespace != nil && o.created.Before(o.namespace.created) {
		o.created = o.namespace.created
	}
	if w.IntN(5) > 0 || o.kind == leases {
		o.written = map[string]time.Time{"creator": o.created}
	}
	w.truth.names[o.uid] = o.String()
	w.objects = append(w.objects, o)
	w.commit(o, watch.Added, time.Now())
	return o
}

func (o *object) String() string {
	in := ""
	if o.namespace != nil {
		in = o.namespace.name + "/"
	}
	return fmt.Sprintf("%s %s%s (%s)", o.kind.Kind, in, o.name, o.uid)
}

// write is a change of the object, by a manager; "" takes fields away alone.
func (w *world) write(o *object, manager string) {
	if !o.there {
		return
	}
	at := w.asked()
	if at.Before(o.created) {
		at = o.created
	}
	switch {
	case o.written == nil:
	case manager == "":
		o.fewer++
	default:
		o.written[manager] = at
	}
	w.commit(o, watch.Modified, time.Now())
}

// remove lets the object go. What it owns goes on as under it then.
func (w *world) remove(o *object) {
	if !o.there {
		return
	}
	end := o.chain()
	o.there, o.left, o.leftAt = false, &end, time.Now()
	w.commit(o, watch.Deleted, time.Now())
}

func (w *world) commit(o *object, what watch.EventType, at time.Time) {
	revision := w.server.Commit(o.kind, what, o.content())
	if o.kind != leases {
		w.log("revision %d: %s %s%s", revision, what, o, o.says())
	}
	w.note(at)
}

func (o *object) says() string {
	text := ""
	if o.label != "" {
		text += " label=" + o.label
	}
	if o.written == nil {
		text += " without managedFields"
	}
	for _, c := range o.containers {
		text += fmt.Sprintf(" %s=%dm", c.name, c.cpu)
	}
	if o.size != 0 {
		text += fmt.Sprintf(" size=%d", o.size)
	}
	return text
}

// chainEnd is the end of a chain of owners, and its label.
type chainEnd struct {
	*object
	label string
}

// chain is the end of the object's chain of owners. An owner that is gone stands for
// what its chain ended in then.
func (o *object) chain() chainEnd {
	for ; o.owner != nil; o = o.owner {
		if o.owner.left != nil {
			return *o.owner.left
		}
	}
	return chainEnd{o, o.label}
}

// deployment is under which deployment the object's usage is put (docs of
// internal/attribution); claims are looked up by who mounts them.
func (w *world) deployment(o *object) string {
	top := o.chain()
	switch {
	case o.label != "":
		return o.label
	case top.label != "":
		return top.label
	case top.kind == deployments || top.kind == replicaSets || top.kind == jobs:
		return top.name
	case o.kind == claims:
		return o.followed
	}
	return ""
}

// follow finds who mounts each claim now. One that has no usage keeps nothing of it.
func (w *world) follow() {
	for _, c := range w.objects {
		if c.kind != claims || !c.there {
			continue
		}
		if !c.bound || !w.suspended[meterOf["storage"]].IsZero() {
			c.followed = ""
		}
		found := map[string]bool{}
		for _, p := range w.objects {
			if p.kind != pods || !p.there || p.namespace != c.namespace || p.phase == "Succeeded" {
				continue
			}
			if slices.ContainsFunc(p.claims, func(m *object) bool { return m.name == c.name }) {
				if d := w.deployment(p); d != "" {
					found[d] = true
				}
			}
		}
		switch len(found) {
		case 0: // it keeps what it followed
		case 1:
			for d := range found {
				c.followed = d
			}
		default: // it is of several
			c.followed = ""
		}
	}
}

// forget lets claims that nobody mounts follow nobody: nobody knows whom they
// followed before the operator ran first.
func (w *world) forget() {
	for _, c := range w.objects {
		c.followed = ""
	}
	w.note(time.Now())
}

// note brings the truth up to date with what was committed at the moment.
func (w *world) note(at time.Time) {
	w.follow()
	for _, o := range w.objects {
		if o.kind != pods && o.kind != claims && o.kind != widgets {
			continue
		}
		where := held{namespace: o.namespace.name, namespaceUID: o.namespace.uid, deployment: w.deployment(o), resource: o.uid}
		set := func(container, dimension string, level int64, ended time.Time) {
			where.level = level
			if !o.there || !w.suspended[meterOf[dimension]].IsZero() {
				where.level = 0
			}
			s, from := stream{o.uid, container, dimension}, at
			if since := w.suspended[meterOf[dimension]]; !ended.IsZero() && !since.IsZero() && at.Sub(since) < time.Second {
				w.truth.stated[s] = append(w.truth.stated[s], usage.Window{Start: ended.Unix(), End: since.Unix() + 1})
			}
			if !ended.IsZero() {
				where.level, from = 0, ended
			}
			if facts := w.truth.facts[s]; len(facts) == 0 && where.level == 0 || len(facts) > 0 && facts[len(facts)-1].level == 0 && where.level == 0 {
				return
			}
			w.truth.set(s, from, where)
		}
		switch o.kind {
		case pods:
			where.resource = o.chain().uid
			runs := !o.scheduled.IsZero()
			for _, c := range o.containers {
				cpu, memory, ended := c.cpu, c.memory, time.Time{}
				if !runs {
					cpu, memory = 0, 0
				}
				if o.batch {
					ended = c.finished
				}
				set(c.name, "cpu", cpu, ended)
				set(c.name, "memory", memory, ended)
			}
		case claims:
			level := o.size
			if !o.bound {
				level = 0
			}
			set("", "storage", level, time.Time{})
		case widgets:
			level := o.size * 1000 * w.factor
			if o.idle {
				level = 0
			}
			set("", "size", level, o.ended)
		}
	}
}
