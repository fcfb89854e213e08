package meter

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Meter is a compiled UsageMeter. It may be used by several goroutines at once.
type Meter struct {
	name          string
	resourceType  string
	selector      labels.Selector
	dimensions    []usage.Dimension
	billsWorkload bool

	// An expression that the meter leaves out is nil.
	exclude, active, startTime, endTime   *expression
	namespace, deployment, region, bundle *expression
	resource                              *resourceExpressions
	attributes                            []attribute // by name
	forEach                               *forEach
	quantities                            []*expression // by dimension
	distinct                              []*expression // by dimension: in the place of a quantity
	shared                                int           // how many expressions do not read the member
	claims                                []claim
	vouching                              []vouching
	node                                  *nodeExpressions
	other                                 *otherExpressions
}

// resourceExpressions name the billed resource where it is not the object itself.
type resourceExpressions struct {
	apiVersion, kind, name, uid *expression
}

type attribute struct {
	name  string
	value *expression
}

type forEach struct {
	in, key, of *expression
}

// Name is the UsageMeter's name.
func (m *Meter) Name() string { return m.name }

// ResourceType is the type under which the usage is listed.
func (m *Meter) ResourceType() string { return m.resourceType }

// Dimensions are what is measured, in the order of a member's levels.
func (m *Meter) Dimensions() []usage.Dimension { return m.dimensions }

// BillsWorkload tells whether the billed resource is the top of the object's
// owner chain, which the object alone does not tell.
func (m *Meter) BillsWorkload() bool { return m.billsWorkload }

// Matches tells whether the meter's selector chooses an object with these labels.
func (m *Meter) Matches(objectLabels map[string]string) bool {
	return m.selector.Matches(labels.Set(objectLabels))
}
