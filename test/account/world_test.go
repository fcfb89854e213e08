package account

import (
	"cmp"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// operatorNamespace is where the operator is, and what is nobody's.
const operatorNamespace = "usage-system"

// thing is an object, there or gone.
type thing struct {
	object
	kind, group          string
	namespace, name, uid string
	home                 string // the UID of the namespace that it was created in
	gone                 bool
	// end is the top of its owners when it went.
	end *thing
	// followed is the deployment that a claim, service or gateway followed last.
	followed string
}

// world is what there is after an event.
type world struct {
	things     map[string]*thing          // by key in etcd
	within     map[string]map[*thing]bool // by namespace; "": cluster-scoped ones
	byUID      map[string]*thing          // also those that are gone
	namespaces map[string]string          // UIDs by name
}

func newWorld() *world {
	return &world{things: map[string]*thing{}, within: map[string]map[*thing]bool{}, byUID: map[string]*thing{}, namespaces: map[string]string{}}
}

// learn takes in an event, and returns the object that it is about, as it was before
// and as it is now; nil, nil: it is about none.
func (w *world) learn(e event) (before object, now *thing) {
	known := w.things[e.key]
	if e.value == nil {
		if known == nil {
			return nil, nil
		}
		known.end, known.gone = w.top(known), true
		delete(w.things, e.key)
		delete(w.within[known.namespace], known)
		if known.kind == "Namespace" && w.namespaces[known.name] == known.uid {
			delete(w.namespaces, known.name)
		}
		return known.object, known
	}
	var o object
	if json.Unmarshal(e.value, &o) != nil || o.text("metadata", "uid") == "" {
		return nil, nil // no object: an allocation of the API server's
	}
	if known != nil && known.uid == o.text("metadata", "uid") {
		before, known.object = known.object, o
		return before, known
	}
	group, _, grouped := strings.Cut(o.text("apiVersion"), "/")
	if !grouped {
		group = ""
	}
	now = &thing{
		object: o, kind: o.text("kind"), group: group,
		namespace: o.text("metadata", "namespace"), name: o.text("metadata", "name"), uid: o.text("metadata", "uid"),
		home: w.namespaces[o.text("metadata", "namespace")],
	}
	if known != nil {
		delete(w.within[known.namespace], known) // which cannot be: names are free before they are taken
	}
	w.things[e.key], w.byUID[now.uid] = now, now
	if w.within[now.namespace] == nil {
		w.within[now.namespace] = map[*thing]bool{}
	}
	w.within[now.namespace][now] = true
	if now.kind == "Namespace" {
		w.namespaces[now.name] = now.uid
	}
	return nil, now
}

// near is what may belong elsewhere because of an object: what is in its namespace; what
// is in none, when it is a namespace, in which that may be put.
func (w *world) near(t *thing) iter.Seq[*thing] {
	return func(yield func(*thing) bool) {
		if t.namespace == "" && t.kind != "Namespace" {
			return
		}
		for other := range w.within[t.namespace] {
			if other != t && !yield(other) {
				return
			}
		}
	}
}

// workloads name themselves; nameless give no name.
var (
	workloads = map[string]bool{
		"ReplicationController": true, "Deployment": true, "ReplicaSet": true, "StatefulSet": true, "DaemonSet": true, "Job": true, "CronJob": true,
		"VirtualMachine": true, "VirtualMachineInstance": true, "Cluster": true, "MachineDeployment": true, "MachineSet": true, "MachinePool": true,
		"Machine": true,
	}
	nameless = map[string]bool{"Node": true, "PersistentVolume": true, "Pod": true, "PersistentVolumeClaim": true}
)

// top is the end of the chain of controlling owners.
func (w *world) top(t *thing) *thing {
	if t.gone {
		return t.end
	}
	for at, n := t, 0; n <= 16; n++ {
		reference := at.controller()
		if reference == nil {
			return at
		}
		owner := w.byUID[reference.text("uid")]
		if owner == nil {
			if reference.text("kind") == "Node" {
				return at
			}
			return &thing{object: object{}, kind: reference.text("kind"), name: reference.text("name"), uid: reference.text("uid"), namespace: t.namespace}
		}
		if owner.kind == "Node" || owner.namespace != "" && owner.namespace != at.namespace {
			return at
		}
		if owner.gone {
			return owner.end
		}
		at = owner
	}
	return t
}

const deploymentLabel = "metering.usage-operator.dev/deployment"

// deployment is under which deployment an object's usage is put.
func (w *world) deployment(t *thing) string {
	top := w.top(t)
	named := top.name
	if nameless[top.kind] || top == t && !workloads[top.kind] && t.namespace != "" {
		named = ""
	}
	named = cmp.Or(t.label(deploymentLabel), top.label(deploymentLabel), named)
	rest := cmp.Or(t.label("app.kubernetes.io/instance"), t.label("app.kubernetes.io/name"))
	followed := w.follow(t, rest)
	if named != "" || followed == "" {
		t.followed = "" // it keeps what places it, and nothing else
	}
	return cmp.Or(named, followed, rest)
}

// follow is the deployment of what mounts a claim, what a service selects, or what a
// gateway's routes send to, when it is one; the last one, when there is none and it holds something.
func (w *world) follow(t *thing, rest string) string {
	found := map[string]bool{}
	switch t.kind {
	case "PersistentVolumeClaim":
		for _, pod := range w.running(t.namespace) {
			if mounts(pod, t.name) {
				found[w.deployment(pod)] = true
			}
		}
	case "Service":
		selector := t.child("spec", "selector")
		if len(selector) == 0 {
			break
		}
		for _, pod := range w.running(t.namespace) {
			if selects(selector, pod) {
				found[w.deployment(pod)] = true
			}
		}
	case "Gateway":
		for _, service := range w.routed(t) {
			found[w.deployment(service)] = true
		}
	default:
		return ""
	}
	delete(found, "")
	return t.keep(found, rest)
}

// keep is the deployment that a thing follows of those that were found, or followed last.
func (t *thing) keep(found map[string]bool, rest string) string {
	if !slices.ContainsFunc(holdings(t.object), func(h holding) bool {
		return slices.ContainsFunc(slices.Collect(maps.Values(h.levels)), func(level int64) bool { return level != 0 })
	}) {
		t.followed = "" // what has no usage keeps nothing
	}
	if len(found) > 1 {
		return ""
	}
	if len(found) == 0 && t.followed == rest {
		t.followed = "" // that places it without
	}
	for name := range found {
		t.followed = name
	}
	return t.followed
}

// running are the pods of a namespace that have not finished.
func (w *world) running(namespace string) []*thing {
	var found []*thing
	for t := range w.within[namespace] {
		if t.kind == "Pod" && t.text("status", "phase") != "Succeeded" && t.text("status", "phase") != "Failed" {
			found = append(found, t)
		}
	}
	return found
}

func mounts(pod *thing, claim string) bool {
	return slices.ContainsFunc(pod.list("spec", "volumes"), func(v object) bool { return v.text("persistentVolumeClaim", "claimName") == claim })
}

func selects(selector object, pod *thing) bool {
	for key := range selector {
		if pod.label(key) != selector.text(key) || pod.at("metadata", "labels", key) == nil {
			return false
		}
	}
	return true
}

// routed are the services, in a gateway's own namespace, that its routes send to.
func (w *world) routed(gateway *thing) []*thing {
	var found []*thing
	for route := range w.within[gateway.namespace] {
		if route.kind != "HTTPRoute" {
			continue
		}
		if !slices.ContainsFunc(route.list("spec", "parentRefs"), func(p object) bool { return p.text("name") == gateway.name }) {
			continue
		}
		for _, rule := range route.list("spec", "rules") {
			for _, backend := range rule.list("backendRefs") {
				if service := w.things["services/specs/"+gateway.namespace+"/"+backend.text("name")]; service != nil {
					found = append(found, service)
				}
			}
		}
	}
	return found
}

// stream is what a member of an object holds of one dimension.
type stream struct{ uid, container, dimension string }

func (s stream) compare(other stream) int {
	return cmp.Or(cmp.Compare(s.uid, other.uid), cmp.Compare(s.container, other.container), cmp.Compare(s.dimension, other.dimension))
}

// held is what a stream holds, and where that belongs; zero: nothing.
type held struct {
	level                               int64
	namespace, namespaceUID, deployment string
	resource                            string // its UID
	resourceType, facts                 string
}

// stated is what an object says of when what it holds began, or ended.
type stated struct {
	held
	since, until time.Time
}

// holds is what an object that is there holds now, by stream.
func (w *world) holds(t *thing) map[stream]stated {
	all := map[stream]stated{}
	for _, h := range holdings(t.object) {
		where := w.place(t, h)
		for _, dimension := range slices.Collect(maps.Keys(h.levels)) {
			now := where
			if now.level = h.levels[dimension]; now.level == 0 {
				now = held{}
			}
			all[stream{t.uid, h.container, dimension}] = stated{now, h.since, h.until}
		}
		if h.levels == nil {
			all[stream{t.uid, h.container, ""}] = stated{until: h.until}
		}
	}
	return all
}

// place is where a holding belongs.
func (w *world) place(t *thing, h holding) held {
	where := held{
		namespace: cmp.Or(h.namespace, t.namespace, operatorNamespace), deployment: w.deployment(t),
		resource: cmp.Or(h.resource, t.uid), resourceType: h.resourceType, facts: h.facts,
	}
	if h.workload {
		where.resource = w.top(t).uid
	}
	if h.namespace == "" && t.namespace == "" {
		where.deployment = t.name
		if h.resource != "" {
			where.deployment = h.resourceName
		}
	}
	where.namespaceUID = w.namespaces[where.namespace]
	if where.namespace == t.namespace && t.home != "" {
		where.namespaceUID = t.home // an object that a deletion of its namespace has left is still that one's
	}
	return where
}
