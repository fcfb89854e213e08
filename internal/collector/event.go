package collector

import (
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// skew is how far two clocks may be apart, the API servers' and the operator's, in seconds.
const skew = 5

// vague is how many seconds apart the bounds of a change may be, if the write that its
// object states at the earlier one is to count as this one, and not as one before it.
const vague = 2

// event is when and how an object came to be seen as it is.
type event struct {
	revision        uint64 // of the object
	shown           uint64 // as of which it is taken in: whom it belongs to is what was so then
	resourceVersion string
	written, now    int64 // seconds since the epoch
	after, before   int64 // when it can have happened
	fields          uint32
	existed         bool
	origin          ledger.Origin
	checks          bool // a check shows it
}

// moments are when the change happened: the same, unless it was not seen.
func (e event) moments() ledger.Moments {
	latest := e.before
	if e.origin == ledger.First { // for an edited meter: what the list shows may be later than the edit
		latest = e.now
	}
	// A write that only takes fields away leaves the time of the one before it.
	stated := e.isNews() && e.written >= e.after-1 && e.written <= latest+1
	if stated && (!e.existed || e.written > e.after+1 || e.before-e.after <= vague) {
		// It was committed after it was dated, and after what is known to be before it.
		written := usage.Boundary{At: max(e.written, e.after), Evidence: usage.ManagedFields}
		return ledger.Moments{End: written, Start: written}
	}
	return ledger.Between(e.origin, e.after, e.before)
}

func (f *feed) eventOf(list source.List, object *unstructured.Unstructured, now time.Time) event {
	written, fields := lastWrite(object)
	e := event{
		resourceVersion: object.GetResourceVersion(), written: written, fields: fields, now: now.Unix(), origin: ledger.First,
	}
	e.revision = source.Revision(e.resourceVersion)
	e.shown, e.checks = max(e.revision, list.Shows), list.Origin == source.Check
	// By a second the API server's clock may be ahead. By more, the date may be made up: who
	// writes the object can write that, too, so that what it takes begins later.
	if e.written == e.now+1 {
		e.now = e.written
	}
	e.before = e.now
	if list.Origin == source.Resumed || list.Origin == source.Check {
		e.origin = ledger.Resumed
		e.after, e.before = f.when(list, now)
	}
	if edited, ok := f.collector.amendedAt(list); ok {
		e.before = edited // what is read differently counts from the edit
	} else if f.overtakes(list) {
		e.origin = ledger.Resumed
		e.after, e.before = f.when(list, now)
	}
	return e
}

// lastWrite is the newest time at which the object says that it was written, in
// seconds since the epoch, 0 when it does not say; and how many fields it says
// that have a manager. One without any does not say: it may
// have been written at any time since its creation.
func lastWrite(object *unstructured.Unstructured) (written int64, fields uint32) {
	newest := ""
	metadata, _ := object.Object["metadata"].(map[string]any)
	entries, _ := metadata["managedFields"].([]any)
	for _, entry := range entries {
		manager, _ := entry.(map[string]any)
		if at, _ := manager["time"].(string); at > newest { // RFC 3339 in UTC sorts as text
			newest = at
		}
		fields += count(manager["fieldsV1"])
	}
	if created, _ := metadata["creationTimestamp"].(string); newest != "" && created > newest {
		newest = created
	}
	t, err := time.Parse(time.RFC3339, newest)
	if err != nil {
		return 0, fields
	}
	return t.Unix(), fields
}

// count is how many fields a set of managedFields names.
func count(set any) uint32 {
	fields, _ := set.(map[string]any)
	sum := uint32(len(fields))
	for _, below := range fields {
		sum += count(below)
	}
	return sum
}

// isNews tells whether the watch delivered it: the position moves on with what
// is taken in, at once, so that the journal never has one without the other.
func (e event) isNews() bool { return e.origin == ledger.Live || e.origin == ledger.Replayed }

func timeOf(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

func (e event) observation(r reading, uid string) *ledger.Observation {
	return &ledger.Observation{
		Meter: r.at.ledger, UID: uid, Members: r.members,
		Written: e.written, Fields: e.fields, After: e.after, Before: e.before, Now: e.now, Origin: e.origin, Existed: e.existed,
	}
}
