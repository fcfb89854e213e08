package collector

import (
	"cmp"
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/attribution"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// reading is what one meter makes of an object.
type reading struct {
	reader
	node    string // that it runs on
	members []usage.Member
	claims  []usage.Claim
	shows   []string // the keys of its claims, also of those that it does not make
	err     error
}

func read(object *unstructured.Unstructured, readers []reader) []reading {
	readings := make([]reading, len(readers))
	for i, r := range readers {
		readings[i].reader = r
		if r.meter.Matches(object.GetLabels()) {
			readings[i].members, readings[i].err = r.meter.Read(object)
			readings[i].claims = r.meter.Claims(object)
			readings[i].shows = r.meter.Shows(object)
			readings[i].node = r.meter.Node(object)
		}
	}
	return readings
}

// take takes in an object as it is now.
func (f *feed) take(object *unstructured.Unstructured, e event, readers []reader) {
	c := f.collector
	readings := read(object, readers)
	vouched, facts := f.vouches(object), f.readOther(object)
	moved, owner := f.acquaint(object, e, readings)
	uid := string(object.GetUID())
	namespaceUID := c.namespaceUID(readings, object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended {
		return
	}
	f.ownedBy(owner)
	if f.listed != nil {
		f.listed[uid] = struct{}{}
	}
	c.learnNamespace(f.kind(), object)
	c.learnNode(f.kind(), object, e)
	c.asOf(object.GetNamespace(), uid, e, func(late bool) {
		c.await(uid, e)
		_, held := c.holding(uid)
		for _, r := range readings {
			if r.at.listed != nil {
				r.at.listed[uid] = struct{}{}
			}
			if r.current(c) {
				c.observe(r, object, r.at.since(e), namespaceUID)
			}
		}
		for _, v := range vouched {
			c.know(f, v, object, e, held)
		}
		for _, said := range facts {
			c.learnFacts(said, object, e)
		}
		if late { // it may have been elsewhere since: what it holds stays there, but it was here until then
			c.put(uid, e.moments())
		}
		c.reattribute(moved, uid, e.moments())
	})
	if e.isNews() {
		f.advanced(e.resourceVersion, timeOf(e.now))
	}
}

// observe hands one meter's reading to the ledger. Called under the lock.
func (c *Collector) observe(r reading, object *unstructured.Unstructured, e event, namespaceUID func(string) string) {
	uid := string(object.GetUID())
	o := e.observation(r, c.graph.UID(uid))
	o.Created = max(0, object.GetCreationTimestamp().Unix())
	if r.err != nil {
		c.quarantine(r.at, object, r.err)
		if len(o.Members) == 0 {
			c.ledger.Unreadable(o)
			return
		}
	}
	if entry, was := r.at.quarantine[uid]; was {
		entry.partly = r.err != nil
		r.at.quarantine[uid] = entry
	}
	delete(r.at.named, uid)
	if !slices.ContainsFunc(o.Members, func(m usage.Member) bool { return m.Active }) {
		r.node = ""
	}
	c.locate(r.at, uid, r.node)
	for i := range o.Members {
		subject := &o.Members[i].Subject
		if subject.Deployment != "" {
			r.at.named[uid] = struct{}{}
		}
		c.place(r.at, uid, subject)
		c.stay(r.at, uid, subject)
		subject.NamespaceUID = c.incarnation(r.at, uid, &o.Members[i], e, namespaceUID(subject.Namespace))
		c.keep(r.at, uid, subject, e.after)
	}
	if r.err != nil {
		o.Members = withHeld(o.Members, c.ledger.HeldMembers(r.at.ledger, uid))
	}
	if r.at.represented != nil {
		c.represent(r, o, object, e)
		return
	}
	c.hand(r.at, o, quarantinedOf(object))
}

// withHeld are the members that could be read of an object, and, of those that
// could not be, what they held last.
func withHeld(read, held []usage.Member) []usage.Member {
	byContainer := func(a, b usage.Member) int { return cmp.Compare(a.Subject.Container, b.Subject.Container) }
	all := slices.Clone(read)
	for _, m := range held {
		if _, found := slices.BinarySearchFunc(read, m, byContainer); !found {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, byContainer)
	return all
}

// deliver hands what is read of an object to the ledger. Called under the lock.
func (c *Collector) deliver(at *metering, o *ledger.Observation, object Quarantined) {
	if err := c.ledger.Observe(o); err != nil {
		object.Message = err.Error()
		c.isolate(at, o.UID, object)
		return
	}
	if was, quarantined := at.quarantine[o.UID]; quarantined && !was.partly {
		delete(at.quarantine, o.UID)
		c.Notify(at.meter.Name())
	}
}

// keep leaves what others decide of a subject as the journal had it, as long as its
// surroundings are not all there again: its deployment, and the workload that it counts
// for. What the meter reads from the object itself is as it is read. Called under the lock.
func (c *Collector) keep(at *metering, uid string, subject *usage.Subject, earliest int64) {
	if !c.restored.checking {
		return
	}
	held, holds := c.ledger.Held(at.ledger, uid, subject.Container)
	if !holds {
		return
	}
	if at.feed.namespaced() {
		subject.Namespace, subject.NamespaceUID = held.Namespace, held.NamespaceUID
	}
	_, named := at.named[uid]
	if named = named || subject.Namespace == c.Namespace && !at.feed.namespaced(); !named {
		subject.Deployment = held.Deployment
	}
	if at.meter.BillsWorkload() {
		subject.Resource = held.Resource
	}
	c.moves(uid, earliest)
}

// place puts a subject under its namespace and deployment. Called under the lock.
func (c *Collector) place(at *metering, uid string, subject *usage.Subject) {
	at.settleOn(uid, subject)
	placement := c.graph.Place(uid)
	if at.meter.BillsWorkload() {
		subject.Resource = tidy(placement.Workload)
	}
	if _, named := at.named[uid]; !named {
		subject.Deployment = meter.Tidy(placement.Deployment)
	}
	if subject.Deployment == usage.OtherDeployments {
		subject.Deployment = "" // a made-up owner's name: the records' own word is nobody's
	}
	if subject.Namespace == "" {
		// A cluster-scoped resource of nobody's: under its own name, with the operator.
		subject.Namespace = c.Namespace
		if _, named := at.named[uid]; !named {
			subject.Deployment = subject.Resource.Name
		}
	}
}

// tidy makes an owner's reference, in which tenants may write what they like,
// fit a record: one that the API server refuses would bill nobody.
func tidy(o usage.Object) usage.Object {
	return usage.Object{
		APIVersion: meter.Tidy(o.APIVersion), Kind: meter.Tidy(o.Kind), Name: meter.Tidy(o.Name), UID: meter.Tidy(o.UID),
	}
}

// reattribute puts objects whose surroundings changed where they belong now.
// Called under the lock.
func (c *Collector) reattribute(moved []string, except string, moments ledger.Moments) {
	if len(c.provisional) > 0 {
		for _, uid := range moved {
			c.resolved(uid)
		}
	}
	for _, uid := range moved {
		switch {
		case uid == except:
		case c.restored.checking:
			c.moves(uid, moments.End.At)
		default:
			c.put(uid, moments)
		}
	}
}

// put puts an object where it belongs now, from the moment on. Called under the lock.
func (c *Collector) put(uid string, moments ledger.Moments) {
	var of usage.Subject
	reattribute := c.ledger.Reattribute
	if c.recent.retracing {
		reattribute = c.ledger.Retrace
	}
	err := reattribute(uid, moments, func(m *ledger.Meter, subject *usage.Subject) {
		at := c.meters[m.Name]
		if at == nil || (subject.Namespace == c.Namespace && !at.feed.namespaced()) {
			return
		}
		c.place(at, uid, subject)
		of = *subject
	})
	if conflict, refused := errors.AsType[*ledger.ConflictError](err); refused {
		c.isolate(c.meters[conflict.Refused], uid, Quarantined{Namespace: of.Namespace, Name: of.Instance.Name, Message: err.Error()})
	}
}

func (f *feed) namespaced() bool { return f.mapping.Scope.Name() == "namespace" }

// drop takes in that an object is gone; object is its last state.
func (f *feed) drop(object *unstructured.Unstructured, e event, readers []reader) {
	c := f.collector
	readings := read(object, readers)
	uid := string(object.GetUID())
	node := attribution.NodeOf(object)
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ended {
		return
	}
	c.asOf(object.GetNamespace(), uid, e, func(bool) {
		for _, r := range readings {
			if !r.current(c) {
				continue
			}
			c.forgetPart(r.at, uid, e.moments())
			c.tellNow(r.at, uid)
			c.ledger.Remove(e.observation(r, uid))
			c.unshare(r.at, uid, e.moments())
			r.at.depart(uid)
			delete(r.at.quarantine, uid)
		}
		f.lose(object.GetNamespace(), object.GetName(), uid, ledger.Between(e.origin, e.after, e.before))
		f.forgetFacts(object, ledger.Between(e.origin, e.after, e.before))
		c.forgetNamespace(f.kind(), object, e.before)
		c.forgetNode(f.kind(), object.GetName(), uid)
		c.leave(uid, e)
		if c.linger(node, e) {
			return
		}
		for _, r := range readings {
			delete(r.at.named, uid)
		}
		c.reattribute(c.remove(&node, e), uid, ledger.Between(e.origin, e.after, e.before))
	})
	f.advanced(e.resourceVersion, timeOf(e.now))
}

// forget takes an object out of the graph. Called under the lock.
func (c *Collector) forget(uid string, moments ledger.Moments) {
	c.recent.outside(uid)
	c.reattribute(c.graph.Remove(uid), uid, moments)
}

// acquaint tells the graph of an object, and of the owners above it. What that moves
// around it is put right at once, where its owners are known; else it returns that.
// Nobody would take out what a feed that has ended puts in. The owner is the object's.
func (f *feed) acquaint(object *unstructured.Unstructured, e event, readings []reading) (moved []string, owner usage.Object) {
	c := f.collector
	node := attribution.NodeOf(object)
	c.mu.Lock()
	if f.ended {
		c.mu.Unlock()
		return nil, node.Owner
	}
	unknown := false
	c.asOf(node.Namespace, node.Object.UID, e, func(bool) {
		f.seed(object, e)
		node.Holds = f.holds(node.Object.UID, readings)
		moved = c.upsert(node, e)
		c.await(node.Object.UID, e)
		if _, _, unknown = c.graph.Unknown(node.Object.UID); !unknown {
			c.reattribute(moved, node.Object.UID, e.moments())
		}
	})
	c.mu.Unlock()
	if !unknown {
		return nil, node.Owner
	}
	return append(moved, c.findOwners(f, node.Object.UID, e)...), node.Owner
}
