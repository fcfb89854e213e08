package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

// step is one thing that happens: a change in the world, or a fault. Which object
// it happens to, and how, is drawn from its own number, so that a step does the
// same whether others before it are left out or not, as far as it can.
type step struct {
	at   time.Duration // since the beginning
	what string
	seed uint64
}

func (s step) String() string { return fmt.Sprintf("%9.3fs %s (%x)", s.at.Seconds(), s.what, s.seed) }

// choice is what a step can be, and how often it is drawn.
type choice[T any] struct {
	weight int
	do     func(T, *rand.Rand)
}

// changes are what happens in the world.
var changes = map[string]choice[*world]{
	"create a deployment":                  {8, (*world).createDeployment},
	"create a deployment with a claim":     {3, (*world).createDeploymentWithClaim},
	"create a job":                         {3, (*world).createJob},
	"create a pod of its own":              {2, (*world).createPod},
	"create a widget":                      {4, (*world).createWidget},
	"create a widget without a deployment": {2, (*world).createWidgetOfNobody},
	"create a pod without a deployment":    {2, (*world).createPodOfNobody},
	"create a claim":                       {3, (*world).createClaim},
	"scale up":                             {3, (*world).scaleUp},
	"resize a pod":                         {6, (*world).resizePod},
	"resize a widget":                      {5, (*world).resizeWidget},
	"expand a claim":                       {2, (*world).expandClaim},
	"relabel a deployment":                 {6, (*world).relabelDeployment},
	"take a deployment's label away":       {2, (*world).unlabelDeployment},
	"take a widget's label away":           {2, (*world).unlabelWidget},
	"relabel a widget":                     {3, (*world).relabelWidget},
	"finish a pod":                         {3, (*world).finishPod},
	"stop a widget":                        {3, (*world).stopWidget},
	"touch an object":                      {3, (*world).touch},
	"delete a pod":                         {4, (*world).deletePod},
	"delete a widget":                      {3, (*world).deleteWidget},
	"delete a deployment":                  {4, (*world).deleteDeployment},
	"delete a claim":                       {1, (*world).deleteClaim},
	"delete and create a widget":           {2, (*world).recreateWidget},
	"delete and create a namespace":        {2, (*world).recreateNamespace},
}

// faults are what goes wrong.
var faults = map[string]choice[*simulation]{
	"kill the operator":             {6, (*simulation).kill},
	"kill it, and compact":          {2, (*simulation).killAndCompact},
	"kill it, and forget a kind":    {3, (*simulation).killAndForgetKind},
	"kill it while it catches up":   {3, (*simulation).killAgain},
	"restart the API server":        {3, (*simulation).restartServer},
	"let a watch lag":               {4, (*simulation).lag},
	"let a watch lag for long":      {2, (*simulation).lagLong},
	"take the API server away":      {2, (*simulation).away},
	"answer 429":                    {2, (*simulation).throttle},
	"answer slowly":                 {2, (*simulation).slow},
	"cut a watch":                   {3, (*simulation).cut},
	"lose an answer of the journal": {2, (*simulation).loseAnswer},
}

// rare are faults of which a script has few.
var rare = map[string]choice[*simulation]{
	"let a second operator lead":         {2, (*simulation).lead},
	"kill it, and change the interval":   {2, (*simulation).killAndReschedule},
	"kill it, and state ends afterwards": {3, (*simulation).killAndStateLate},
	"suspend a meter":                    {3, (*simulation).suspendMeter},
	"edit a meter":                       {2, (*simulation).editMeter},
	editsWidgets:                         {0, (*simulation).editWidgets},
}

const (
	// beginning is how long a world is there before the operator is.
	beginning = 10 * time.Second
	interval  = time.Minute
)

// draw is the script of a seed.
func draw(seed uint64) []step {
	r := rand.New(rand.NewPCG(seed, 1))
	length := between(r, 150_000, 420_000)
	moment := func() time.Duration {
		switch r.IntN(5) {
		case 0: // around an interval's boundary
			return interval*time.Duration(1+r.Int64N(int64(length/interval))) + between(r, -2_000, 3_000)
		default:
			return between(r, beginning.Milliseconds(), length.Milliseconds())
		}
	}
	var steps []step
	add := func(at time.Duration, what string) {
		steps = append(steps, step{at: at, what: what, seed: r.Uint64()})
	}
	for range 3 + r.IntN(5) {
		add(between(r, 0, beginning.Milliseconds()-3_000), pick(r, changes, "delete a", "finish a", "stop a"))
	}
	for range 4 + r.IntN(40) {
		at := moment()
		add(at, pick(r, changes))
		for r.IntN(4) == 0 { // more in the same second
			at += between(r, 1, 400)
			add(at, pick(r, changes))
		}
	}
	if r.IntN(8) > 0 && len(steps) > 0 {
		for range 1 + r.IntN(4) {
			at := beginning + moment()
			add(at, pick(r, faults))
			for r.IntN(2) == 0 { // and the world goes on meanwhile
				add(at+between(r, -3_000, 30_000), pick(r, changes))
			}
		}
	}
	// Of a source of its own: what is drawn above is the same without.
	if r := rand.New(rand.NewPCG(seed, 5)); r.IntN(3) == 0 {
		for range 1 + r.IntN(2) {
			at := between(r, beginning.Milliseconds()+2_000, length.Milliseconds())
			if r.IntN(2) == 0 { // soon after an interval is sealed
				at = interval*time.Duration(1+r.Int64N(int64(length/interval))) + between(r, 1_000, 6_000)
			}
			steps = append(steps, step{at: at, what: pick(r, rare), seed: r.Uint64()})
		}
	}
	if r := rand.New(rand.NewPCG(seed, 6)); r.IntN(3) == 0 {
		for range 1 + r.IntN(3) { // soon before or after something else
			at := steps[r.IntN(len(steps))].at + between(r, -1_500, 1_500)
			add(max(at, beginning+2*time.Second), editsWidgets)
		}
	}
	for i := range steps {
		if !strings.HasPrefix(steps[i].what, "create") {
			steps[i].at = max(steps[i].at, beginning+time.Second)
		}
		steps[i].at = max(steps[i].at, 0)
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	return steps
}

// editsWidgets is the step that edits the widgets' meter. It is drawn by itself.
const editsWidgets = "edit the widgets' meter"

// fault is the fault of the name; do is nil where there is none.
func fault(name string) choice[*simulation] {
	if c, is := faults[name]; is {
		return c
	}
	return rare[name]
}

// pick draws by weight, and none of those that begin like those left out.
func pick[T any](r *rand.Rand, from map[string]choice[T], left ...string) string {
	var names []string
	for name, c := range from {
		if slices.ContainsFunc(left, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			continue
		}
		for range c.weight {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names[r.IntN(len(names))]
}

// What happens in the world.

func (w *world) namespaceFor(r *rand.Rand) *object {
	return one(w.find(namespaces, func(o *object) bool { return o.name != "kube-system" && o.terminating.IsZero() }), r.Uint64())
}

func (w *world) free(k apiserver.Kind, in *object, prefix string) string {
	for i := 0; ; i++ {
		name := fmt.Sprintf("%s%d", prefix, i)
		if len(w.find(k, func(o *object) bool { return o.namespace == in && o.name == name })) == 0 {
			return name
		}
	}
}

func label(r *rand.Rand) string { return []string{"", "shop", "desk", "farm"}[r.IntN(4)] }

// named is a label that is there.
func named(r *rand.Rand) string { return []string{"shop", "desk", "farm"}[r.IntN(3)] }

func twoContainers(r *rand.Rand) []container {
	list := []container{{name: "app", cpu: 100 * (1 + r.Int64N(9)), memory: 1 << 20 * (1 + r.Int64N(9))}}
	if r.IntN(2) == 0 {
		list = append(list, container{name: "side", cpu: 10 * (1 + r.Int64N(9)), memory: 1 << 16 * (1 + r.Int64N(9))})
	}
	return list
}

func (w *world) createDeployment(r *rand.Rand) { w.deploy(r, false) }

func (w *world) createDeploymentWithClaim(r *rand.Rand) { w.deploy(r, true) }

func (w *world) deploy(r *rand.Rand, mounts bool) {
	in := w.namespaceFor(r)
	if in == nil {
		return
	}
	d := w.create(&object{kind: deployments, namespace: in, name: w.free(deployments, in, "web"), label: label(r)})
	var claim *object
	if mounts {
		claim = w.makeClaim(in, r)
	}
	replicas := 1 + r.IntN(2)
	choices := r.Uint64()
	w.in(between(r, 5, 800), func() {
		if !d.there || !in.terminating.IsZero() {
			return
		}
		r := rand.New(rand.NewPCG(choices, 0))
		s := w.create(&object{kind: replicaSets, namespace: in, name: w.free(replicaSets, in, d.name+"-rs"), owner: d})
		for range replicas {
			w.in(between(r, 5, 600), func() { w.podOf(s, claim, r) })
		}
	})
}

// podOf creates a pod, and has it scheduled.
func (w *world) podOf(owner, claim *object, r *rand.Rand) {
	if !owner.there || !owner.namespace.terminating.IsZero() {
		return
	}
	p := &object{
		kind: pods, namespace: owner.namespace, owner: owner, phase: "Pending", containers: twoContainers(r), batch: owner.kind == jobs,
		name: w.free(pods, owner.namespace, owner.name+"-"),
	}
	if claim != nil && claim.there {
		p.claims = []*object{claim}
	}
	w.create(p)
	w.schedule(p, r)
}

func (w *world) schedule(p *object, r *rand.Rand) {
	w.in(between(r, 20, 2_500), func() {
		if p.there && p.scheduled.IsZero() {
			p.scheduled, p.phase = time.Now().Add(-20*time.Millisecond), "Running"
			w.write(p, "scheduler")
		}
	})
}

func (w *world) createJob(r *rand.Rand) {
	in := w.namespaceFor(r)
	if in == nil {
		return
	}
	j := w.create(&object{kind: jobs, namespace: in, name: w.free(jobs, in, "job"), label: label(r)})
	choices := r.Uint64()
	w.in(between(r, 5, 800), func() { w.podOf(j, nil, rand.New(rand.NewPCG(choices, 0))) })
}

func (w *world) createPod(r *rand.Rand) { w.makePod(named(r), r) }

func (w *world) createPodOfNobody(r *rand.Rand) { w.makePod("", r) }

func (w *world) makePod(label string, r *rand.Rand) {
	in := w.namespaceFor(r)
	if in == nil {
		return
	}
	p := &object{
		kind: pods, namespace: in, name: w.free(pods, in, "own"), label: label, phase: "Pending", containers: twoContainers(r), batch: r.IntN(2) == 0,
	}
	if p.label != "" && r.IntN(2) == 0 {
		p.claims = []*object{w.makeClaim(in, r)}
	}
	w.create(p)
	w.schedule(p, r)
}

func (w *world) createWidget(r *rand.Rand) {
	if in := w.namespaceFor(r); in != nil {
		w.makeWidget(in, w.free(widgets, in, "widget"), named(r), r)
	}
}

func (w *world) createWidgetOfNobody(r *rand.Rand) {
	if in := w.namespaceFor(r); in != nil {
		w.makeWidget(in, w.free(widgets, in, "widget"), "", r)
	}
}

func (w *world) makeWidget(in *object, name, label string, r *rand.Rand) {
	o := &object{kind: widgets, namespace: in, name: name, label: label, size: 1 + r.Int64N(9)}
	switch r.IntN(4) {
	case 0:
		o.owner = one(w.find(deployments, func(d *object) bool { return d.namespace == in }), r.Uint64())
	case 1:
		o.idle = true
		w.in(between(r, 100, 8_000), func() {
			if o.there && o.ended.IsZero() {
				o.idle, o.ran = false, time.Now()
				if r.IntN(2) == 0 {
					o.started = time.Now()
				}
				w.write(o, "controller")
			}
		})
	}
	w.create(o)
}

func (w *world) makeClaim(in *object, r *rand.Rand) *object {
	c := w.create(&object{kind: claims, namespace: in, name: w.free(claims, in, "data"), label: "", size: 1 << 30 * (1 + r.Int64N(9))})
	w.in(between(r, 50, 3_000), func() {
		if c.there {
			c.bound = true
			w.write(c, "controller")
		}
	})
	return c
}

func (w *world) createClaim(r *rand.Rand) {
	if in := w.namespaceFor(r); in != nil {
		w.makeClaim(in, r)
	}
}

func (w *world) scaleUp(r *rand.Rand) {
	if s := one(w.find(replicaSets, nil), r.Uint64()); s != nil {
		w.podOf(s, nil, r)
	}
}

func (w *world) resizePod(r *rand.Rand) {
	p := one(w.find(pods, nil), r.Uint64())
	if p == nil {
		return
	}
	i := r.IntN(len(p.containers))
	p.containers[i].cpu = 50 * (1 + r.Int64N(30))
	w.write(p, "user")
}

func (w *world) resizeWidget(r *rand.Rand) {
	if o := one(w.find(widgets, nil), r.Uint64()); o != nil {
		o.size = 1 + r.Int64N(20)
		w.write(o, "user")
	}
}

func (w *world) expandClaim(r *rand.Rand) {
	if c := one(w.find(claims, func(c *object) bool { return c.bound }), r.Uint64()); c != nil {
		c.size += 1 << 30 * (1 + r.Int64N(9))
		w.write(c, "controller")
	}
}

func (w *world) relabelDeployment(r *rand.Rand) {
	if d := one(w.find(deployments, nil), r.Uint64()); d != nil {
		w.relabel(d, r)
	}
}

func (w *world) relabelWidget(r *rand.Rand) {
	if o := one(w.find(widgets, nil), r.Uint64()); o != nil {
		w.relabel(o, r)
	}
}

// relabel gives an object a label, or another one.
func (w *world) relabel(o *object, r *rand.Rand) {
	for was := o.label; o.label == was; {
		o.label = named(r)
	}
	w.write(o, "user")
}

// A write that takes a label away, and does nothing else, leaves no time.

func (w *world) unlabelDeployment(r *rand.Rand) { w.unlabel(deployments, r) }

func (w *world) unlabelWidget(r *rand.Rand) { w.unlabel(widgets, r) }

func (w *world) unlabel(k apiserver.Kind, r *rand.Rand) {
	if o := one(w.find(k, func(o *object) bool { return o.label != "" }), r.Uint64()); o != nil {
		o.label = ""
		w.write(o, "")
	}
}

// finishPod lets the work of a pod that is not restarted end, and says when that was.
func (w *world) finishPod(r *rand.Rand) {
	p := one(w.find(pods, func(p *object) bool { return p.batch && p.phase == "Running" }), r.Uint64())
	if p == nil {
		return
	}
	finished := time.Now()
	w.in(between(r, 10, 2_500), func() {
		if !p.there {
			return
		}
		for i := range p.containers {
			p.containers[i].finished = finished
		}
		p.phase = "Succeeded"
		w.write(p, "kubelet")
	})
}

func (w *world) stopWidget(r *rand.Rand) {
	o := one(w.find(widgets, func(o *object) bool { return !o.idle && o.ended.IsZero() }), r.Uint64())
	if o == nil {
		return
	}
	ended := time.Now()
	w.in(between(r, 10, 2_500), func() {
		if o.there && o.ended.IsZero() {
			o.ended = ended
			w.write(o, "controller")
		}
	})
}

func (w *world) touch(r *rand.Rand) {
	var all []*object
	for _, o := range w.objects {
		if o.there && o.kind != leases && o.kind != namespaces {
			all = append(all, o)
		}
	}
	if o := one(all, r.Uint64()); o != nil {
		o.touched++
		w.write(o, "toucher")
	}
}

func (w *world) deletePod(r *rand.Rand) {
	if p := one(w.find(pods, nil), r.Uint64()); p != nil {
		w.end(p, r)
	}
}

// end deletes an object: many say first that they are about to go.
func (w *world) end(o *object, r *rand.Rand) {
	if !o.there || !o.terminating.IsZero() {
		return
	}
	if r.IntN(2) == 0 {
		w.remove(o)
		return
	}
	o.terminating = time.Now()
	w.write(o, "")
	w.in(between(r, 50, 3_000), func() { w.remove(o) })
}

func (w *world) deleteWidget(r *rand.Rand) {
	if o := one(w.find(widgets, nil), r.Uint64()); o != nil {
		w.end(o, r)
	}
}

func (w *world) deleteClaim(r *rand.Rand) {
	used := func(c *object) bool {
		return len(w.find(pods, func(p *object) bool { return slices.Contains(p.claims, c) })) > 0
	}
	if c := one(w.find(claims, func(c *object) bool { return !used(c) }), r.Uint64()); c != nil {
		w.end(c, r)
	}
}

// deleteDeployment deletes the owner first, and then what it owns, from above.
func (w *world) deleteDeployment(r *rand.Rand) {
	d := one(w.find(deployments, nil), r.Uint64())
	if d == nil {
		return
	}
	w.remove(d)
	for _, s := range w.find(replicaSets, func(s *object) bool { return s.owner == d }) {
		choices := r.Uint64()
		w.in(between(r, 20, 1_500), func() {
			w.remove(s)
			r := rand.New(rand.NewPCG(choices, 0))
			for _, p := range w.find(pods, func(p *object) bool { return p.owner == s }) {
				w.in(between(r, 20, 4_000), func() { w.end(p, r) })
			}
		})
	}
	for _, o := range w.find(widgets, func(o *object) bool { return o.owner == d }) {
		w.in(between(r, 20, 1_500), func() { w.end(o, r) })
	}
}

func (w *world) recreateWidget(r *rand.Rand) {
	o := one(w.find(widgets, nil), r.Uint64())
	if o == nil || !o.namespace.terminating.IsZero() {
		return
	}
	w.remove(o)
	choices := r.Uint64()
	w.in(between(r, 1, 700), func() {
		free := len(w.find(widgets, func(x *object) bool { return x.namespace == o.namespace && x.name == o.name })) == 0
		if free && o.namespace.there && o.namespace.terminating.IsZero() {
			r := rand.New(rand.NewPCG(choices, 0))
			w.makeWidget(o.namespace, o.name, named(r), r)
		}
	})
}

// recreateNamespace deletes a namespace with all that is in it, and makes another
// one of its name, with objects that are called the same.
func (w *world) recreateNamespace(r *rand.Rand) {
	in := w.namespaceFor(r)
	if in == nil {
		return
	}
	in.terminating = time.Now()
	w.write(in, "")
	var within []*object
	for _, o := range w.objects {
		if o.there && o.namespace == in {
			within = append(within, o)
		}
	}
	var last time.Duration
	for _, o := range within {
		after := between(r, 10, 2_000)
		last = max(last, after)
		w.in(after, func() { w.remove(o) })
	}
	choices := r.Uint64()
	w.in(last+between(r, 10, 500), func() {
		for _, o := range w.objects { // what came meanwhile
			if o.there && o.namespace == in {
				w.remove(o)
			}
		}
		w.remove(in)
		r := rand.New(rand.NewPCG(choices, 0))
		w.in(between(r, 5, 1_500), func() {
			again := w.create(&object{kind: namespaces, name: in.name})
			for _, o := range within {
				if o.kind == widgets && r.IntN(2) == 0 {
					w.in(between(r, 5, 1_000), func() {
						if again.terminating.IsZero() && len(w.find(widgets, func(x *object) bool { return x.namespace == again && x.name == o.name })) == 0 {
							w.makeWidget(again, o.name, named(r), r)
						}
					})
				}
			}
		})
	})
}

var (
	errCut  = apierrors.NewInternalError(fmt.Errorf("etcdserver: leader changed"))
	errGone = apierrors.NewResourceExpired("the watch cache has moved on")
)
