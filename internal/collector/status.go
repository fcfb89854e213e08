package collector

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Quarantined is an object that a meter could not read.
type Quarantined struct {
	Namespace, Name, Message string
	partly                   bool // what could be read of it is metered
	created                  int64
}

// maxMessages bounds the messages that are kept when all objects are bad.
const maxMessages = 100

// Status is a meter's current state.
type Status struct {
	// Synced tells that the meter has seen every object, and sees every change.
	Synced bool
	// Amending tells that an edit has not taken effect yet.
	Amending bool
	// Durable tells that it goes on where it is, whatever happens to the operator:
	// the journal has it.
	Durable bool
	// Err is why the kind cannot be read now; nil when it can.
	Err error
	// NodesErr is why nodes cannot be read now, for a meter that reads something of
	// its objects' nodes; nil when they can, and for any other meter.
	NodesErr error
	// OtherErr is why the kind that tells what the meter's objects hold cannot be read
	// now, and OtherResource which that is; nil when it can, or there is none.
	OtherErr      error
	OtherResource schema.GroupResource
	// Active is how many objects have an open segment.
	Active int
	// Quarantined are the objects that cannot be read, by namespace and name.
	Quarantined []Quarantined
	// ResourceVersion and ObservedTime are how far the watch has come.
	ResourceVersion string
	ObservedTime    time.Time
}

// Status is the meter's current state; false when it is not applied.
func (c *Collector) Status(name string) (Status, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.meters[name]
	if at == nil || at.stopping() {
		return Status{}, false
	}
	status := Status{
		Synced:          at.from != 0 && (at.listed == nil || at.feed.checking),
		Amending:        len(at.amendments) > 0,
		Durable:         at.durable,
		Err:             at.feed.err,
		Active:          at.ledger.Active(),
		ResourceVersion: at.feed.resourceVersion,
		ObservedTime:    at.feed.observed,
		Quarantined:     make([]Quarantined, 0, len(at.quarantine)),
	}
	if nodes := c.feeds[nodeKind]; nodes != nil && at.meter.RunsOnNodes() {
		status.NodesErr = nodes.err
	}
	if f := c.otherFeed(at); f != nil {
		status.OtherErr, status.OtherResource = f.err, f.mapping.Resource.GroupResource()
	}
	for _, q := range at.quarantine {
		status.Quarantined = append(status.Quarantined, q)
	}
	slices.SortFunc(status.Quarantined, func(a, b Quarantined) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return status, true
}

// Meters are the names of the meters that are applied, in order.
func (c *Collector) Meters() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.meters))
}

// Settled tells whether every kind that is metered was listed once, or cannot be
// read: what can be metered is. After a start it is every kind that is followed.
// Before Start nobody knows which kinds are.
func (c *Collector) Settled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.Started() && c.settled()
}

func (c *Collector) settled() bool {
	for _, f := range c.feeds {
		if !f.isSettled && (c.restored.checking || f.isMetered()) {
			return false
		}
	}
	return true
}

// quarantine notes that the meter could not read the object. Called under the lock.
func (c *Collector) quarantine(at *metering, object *unstructured.Unstructured, err error) {
	entry := quarantinedOf(object)
	entry.Message = err.Error()
	c.isolate(at, string(object.GetUID()), entry)
}

func quarantinedOf(object *unstructured.Unstructured) Quarantined {
	return Quarantined{Namespace: object.GetNamespace(), Name: object.GetName(), created: object.GetCreationTimestamp().Unix()}
}

func (c *Collector) isolate(at *metering, uid string, entry Quarantined) {
	before, was := at.quarantine[uid]
	entry.partly = before.partly
	if was && before == entry {
		return
	}
	if !was && len(at.quarantine) >= maxMessages {
		entry.Message = "cannot be read; see the others' messages"
	}
	at.quarantine[uid] = entry
	c.Log.Info("an object cannot be metered", "meter", at.meter.Name(),
		"namespace", entry.Namespace, "name", entry.Name, "error", entry.Message)
	c.Notify(at.meter.Name())
}
