package meter

import (
	"fmt"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var errTooExpensive = fmt.Errorf("the object's expressions cost more than %d operations; want simpler ones, or a shorter list", maxObjectCost)

// reading is one object being read: the variables of its expressions, what
// they have cost, and the first thing that failed. After a failure every
// further answer is empty.
type reading struct {
	meter        *Meter
	object       map[string]any
	metadata     map[string]any
	instance     usage.Object
	ownNamespace string

	member ref.Val // the forEach member; nil before the first
	key    string  // and its key

	shared []ref.Val // values that are the same for every member; nil where not yet known
	spent  uint64
	failed *UnreadableError
}

func newReading(m *Meter, object *unstructured.Unstructured) *reading {
	metadata, _ := object.Object["metadata"].(map[string]any)
	r := &reading{meter: m, object: object.Object, metadata: metadata}
	r.ownNamespace = entry(metadata, "namespace")
	r.instance = usage.Object{
		APIVersion: entry(object.Object, "apiVersion"),
		Kind:       entry(object.Object, "kind"),
		Name:       entry(metadata, "name"),
		UID:        entry(metadata, "uid"),
	}
	if m.forEach != nil {
		r.shared = make([]ref.Val, m.shared)
	}
	return r
}

func entry(fields map[string]any, key string) string {
	text, _ := fields[key].(string)
	return text
}

// ResolveName gives the expressions their variables.
func (r *reading) ResolveName(name string) (any, bool) {
	if name == self {
		return r.object, true
	}
	return r.member, r.member != nil // the only other variable there is
}

// Parent is nil: there are no variables but these.
func (r *reading) Parent() cel.Activation { return nil }

// value evaluates an expression. It is nil when the reading has failed, now or before.
func (r *reading) value(e *expression) ref.Val {
	if r.failed != nil {
		return nil
	}
	if !e.readsMember && r.shared != nil && r.shared[e.shared] != nil {
		return r.shared[e.shared]
	}
	value, details, err := e.program.Eval(r)
	if cost := details.ActualCost(); cost != nil {
		r.spent += *cost
	}
	switch {
	case err != nil:
		r.fail(e, err)
		return nil
	case r.spent > maxObjectCost:
		r.fail(e, errTooExpensive)
		return nil
	}
	value = held(value)
	if !e.readsMember && r.shared != nil {
		r.shared[e.shared] = value
	}
	return value
}

func (r *reading) fail(e *expression, err error) {
	if r.failed == nil {
		r.failed = &UnreadableError{Path: e.path, Member: r.key, Reason: err.Error()}
	}
}

// failure is why the reading failed; a nil error when it did not.
func (r *reading) failure() error {
	if r.failed == nil {
		return nil
	}
	return r.failed
}

func (r *reading) truth(e *expression, otherwise bool) bool {
	return evaluate(r, e, otherwise, truth)
}

func (r *reading) text(e *expression) string { return evaluate(r, e, "", words) }

func (r *reading) list(e *expression) traits.Lister { return evaluate(r, e, nil, list) }

func (r *reading) moment(e *expression) usage.Boundary {
	return evaluate(r, e, usage.Boundary{}, moment)
}

func (r *reading) level(e *expression, unit usage.Unit) int64 {
	return evaluate(r, e, 0, func(value ref.Val) (int64, error) { return level(value, unit) })
}

// evaluate is what an expression gives, as the meter needs it; otherwise, for
// one that the meter leaves out.
func evaluate[T any](r *reading, e *expression, otherwise T, convert func(ref.Val) (T, error)) T {
	var none T
	if e == nil {
		return otherwise
	}
	value := r.value(e)
	if value == nil {
		return none
	}
	converted, err := convert(value)
	if err != nil {
		r.fail(e, err)
		return none
	}
	return converted
}

// The labels that tell where an object is, unless the meter has a rule of its own.
const (
	regionLabel = "topology.kubernetes.io/region"
	zoneLabel   = "topology.kubernetes.io/zone"
)

func (r *reading) region() string {
	if r.meter.region != nil {
		return r.text(r.meter.region)
	}
	if r.ownNamespace != "" {
		return "" // whoever is billed writes its labels
	}
	return regionOf(r.metadata)
}

// regionOf is where an object is by its labels.
func regionOf(metadata map[string]any) string {
	labels, _ := metadata["labels"].(map[string]any)
	if region := entry(labels, regionLabel); region != "" {
		return Tidy(region)
	}
	return Tidy(entry(labels, zoneLabel))
}

// created is the object's creationTimestamp; zero when it has none.
func (r *reading) created() usage.Boundary {
	created, err := time.Parse(time.RFC3339, entry(r.metadata, "creationTimestamp"))
	if err != nil || created.Unix() <= 0 {
		return usage.Boundary{}
	}
	return usage.Boundary{At: created.Unix(), Evidence: usage.CreationTime}
}
