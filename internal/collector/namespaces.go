package collector

import (
	"context"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// namespace is what is known of one: enough to tell it from another of the same name.
type namespace struct {
	uid         string
	created     int64      // seconds since the epoch
	terminating int64      // when its deletion was asked for; 0: it was not
	gone        bool       // it is not there any more
	before      *namespace // of the same name
}

// maxIncarnations bounds what is remembered of namespaces of one name.
const maxIncarnations = 8

// of is the namespace of the name in which an object of the given time of creation
// is: nothing is older than its namespace.
func (n *namespace) of(created int64) *namespace {
	for at := n; at != nil; at = at.before {
		if created <= 0 || at.created <= created || at.before == nil && at.created <= created+skew {
			return at
		}
	}
	return nil
}

// Ready tells whether the ledger has begun, and every namespace is known: until
// then nobody can tell where records belong.
func (c *Collector) Ready() bool {
	if !c.Started() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.feeds[namespaceKind]
	return f != nil && f.known
}

// Home is the namespace in which an account's records are written: its own, or
// the operator's when that is gone or on its way.
func (c *Collector) Home(account usage.Account) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, known := c.namespaces[account.Namespace]
	if known && at.terminating == 0 && (account.NamespaceUID == "" || at.uid == account.NamespaceUID) {
		return account.Namespace
	}
	return c.Namespace
}

// learnNamespace notes a namespace that a feed delivered. Called under the lock.
func (c *Collector) learnNamespace(kind schema.GroupKind, object *unstructured.Unstructured) {
	if kind == namespaceKind {
		c.knowNamespace(object.GetName(), namespaceOf(object))
	}
}

// knowNamespace notes a namespace. What the ledger has of its name under another
// UID, and began after its creation, is its own: its objects' watch was ahead. What
// began before was the former one's, though its end may not have been seen yet.
// Called under the lock.
func (c *Collector) knowNamespace(name string, now namespace) {
	known := c.namespaces[name]
	switch {
	case known.uid == now.uid:
		now.before = known.before
	case known.uid != "" && known.created > now.created:
		return // it is a former one
	case known.uid != "":
		now.before = &known
	}
	c.namespaces[name] = now
	if known.uid == now.uid {
		return
	}
	last := &now
	for range maxIncarnations {
		if last = last.before; last == nil {
			break
		}
	}
	if last != nil {
		last.before = nil
	}
	created := usage.Boundary{At: now.created, Evidence: usage.CreationTime}
	for _, uid := range c.ledger.Within(name, now.uid, now.created) {
		c.ledger.Amend(uid, created, func(m *ledger.Meter, subject *usage.Subject) {
			if at := c.meters[m.Name]; at != nil && at.feed.namespaced() && subject.Namespace == name {
				subject.NamespaceUID = now.uid
			}
		})
	}
}

func namespaceOf(object metav1.Object) namespace {
	at := namespace{uid: string(object.GetUID()), created: object.GetCreationTimestamp().Unix()}
	if deleted := object.GetDeletionTimestamp(); deleted != nil {
		at.terminating = deleted.Unix()
	}
	return at
}

// forgetNamespace notes that a namespace is gone: nothing is created in it any
// more, and what was is its own. Called under the lock.
func (c *Collector) forgetNamespace(kind schema.GroupKind, object *unstructured.Unstructured, gone int64) {
	if kind == namespaceKind {
		c.endNamespace(object.GetName(), string(object.GetUID()), gone)
	}
}

func (c *Collector) endNamespace(name, uid string, gone int64) {
	at, known := c.namespaces[name]
	if !known || at.uid != uid || at.gone {
		return
	}
	if c.departed++; c.departed > maxVanished {
		maps.DeleteFunc(c.namespaces, func(_ string, n namespace) bool { return n.gone })
		c.departed = 1
	}
	if at.terminating == 0 {
		at.terminating = gone
	}
	at.gone = true
	c.namespaces[name] = at
}

// formerNamespace stands for the UID of a namespace of the name that was before
// any that is remembered: its usage is no later namespace's.
const formerNamespace = "former"

// incarnation is the UID of the namespace that a member belongs to. What is in a
// namespace is as old as that, at most. What is not, and names one, means the one
// that was when it began to: it stays that one's, whoever bears the name later, as
// long as it names it. byCreation is the one that was when the object was created.
// Called under the lock.
func (c *Collector) incarnation(at *metering, uid string, m *usage.Member, e event, byCreation string) string {
	if at.feed.namespaced() {
		return byCreation
	}
	name := m.Subject.Namespace
	held, holds := c.ledger.Held(at.ledger, uid, m.Subject.Container)
	if holds && held.Namespace == name && held.NamespaceUID != "" {
		return held.NamespaceUID
	}
	known, there := c.namespaces[name]
	switch {
	case !there:
	case m.Start.Evidence == usage.ObjectTime:
		if of := known.of(m.Start.At); of != nil {
			return of.uid
		}
		return formerNamespace
	case e.isNews() && e.existed:
		if of := known.of(e.before); of != nil {
			return of.uid
		}
	}
	return byCreation
}

// namespaceUID looks up, without the lock, the namespaces that the readings
// belong to, and gives a function that answers under it.
func (c *Collector) namespaceUID(readings []reading, object *unstructured.Unstructured) func(string) string {
	uids := map[string]string{}
	created := object.GetCreationTimestamp().Unix()
	if object.GetNamespace() == "" {
		created = 0 // it is in none, and may be older than the one that it is put in
	}
	for _, r := range readings {
		for i := range r.members {
			name := r.members[i].Subject.Namespace
			if name == "" {
				name = c.Namespace
			}
			if _, done := uids[name]; !done {
				uids[name] = c.lookUpNamespace(name, created)
			}
		}
	}
	return func(name string) string { return uids[name] }
}

// lookUpNamespace is the UID of the namespace that an object of the given time
// of creation is in. The namespace's own event may come after the object's: then
// the API server is asked. Empty: it is not known.
func (c *Collector) lookUpNamespace(name string, created int64) string {
	c.mu.Lock()
	at, known := c.namespaces[name]
	c.mu.Unlock()
	// Nothing is created in a namespace that is being deleted: this is a new one.
	if !known || at.terminating != 0 && created > at.terminating {
		c.findNamespace(name)
		c.mu.Lock()
		at, known = c.namespaces[name]
		c.mu.Unlock()
	}
	if known {
		if of := at.of(created); of != nil {
			return of.uid
		}
	}
	return ""
}

// findNamespace asks the API server for the namespace of the name.
func (c *Collector) findNamespace(name string) {
	mapping, err := c.Mapper.RESTMapping(namespaceKind)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	found, err := c.Metadata.Resource(mapping.Resource).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.knowNamespace(name, namespaceOf(found))
}
