package collector

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// namespace is what is known of one: enough to tell it from another of the same name.
type namespace struct {
	uid         string
	terminating int64 // when its deletion was asked for; 0: it was not
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
		c.namespaces[object.GetName()] = namespaceOf(object)
	}
}

func namespaceOf(object metav1.Object) namespace {
	at := namespace{uid: string(object.GetUID())}
	if deleted := object.GetDeletionTimestamp(); deleted != nil {
		at.terminating = deleted.Unix()
	}
	return at
}

// forgetNamespace notes that a namespace is gone. Called under the lock.
func (c *Collector) forgetNamespace(kind schema.GroupKind, object *unstructured.Unstructured) {
	if kind == namespaceKind && c.namespaces[object.GetName()].uid == string(object.GetUID()) {
		delete(c.namespaces, object.GetName())
	}
}

// namespaceUID looks up, without the lock, the namespaces that the readings
// belong to, and gives a function that answers under it.
func (c *Collector) namespaceUID(readings []reading, object *unstructured.Unstructured) func(string) string {
	uids := map[string]string{}
	created := object.GetCreationTimestamp().Unix()
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
// of creation lives in. The namespace's own event may come after the object's:
// then the API server is asked.
func (c *Collector) lookUpNamespace(name string, created int64) string {
	c.mu.Lock()
	at, known := c.namespaces[name]
	c.mu.Unlock()
	// Nothing is created in a namespace that is being deleted: this is a new one.
	stale := at.terminating != 0 && created > at.terminating
	if known && !stale {
		return at.uid
	}
	mapping, err := c.Mapper.RESTMapping(namespaceKind)
	if err != nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(c.ctx, ownersWait)
	defer cancel()
	found, err := c.Metadata.Resource(mapping.Resource).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return at.uid
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespaces[name] = namespaceOf(found)
	return string(found.GetUID())
}
