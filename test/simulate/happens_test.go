package simulate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

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
