package meter

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/google/cel-go/cel"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// defaultMember is the forEach variable when the meter does not name one.
const defaultMember = "item"

// Compile compiles every expression of a UsageMeter. namespaced tells whether
// the target is a namespaced kind. What is wrong comes back all at once, as an
// *InvalidExpressionsError.
func Compile(name string, spec *v1alpha1.UsageMeterSpec, namespaced bool) (*Meter, error) {
	base, err := baseEnvironment()
	if err != nil {
		return nil, fmt.Errorf("CEL environment: %w", err)
	}
	c := &compiler{object: base, member: base, meter: &Meter{name: name, resourceType: spec.ResourceType}}
	c.selector(spec.Selector)
	c.representations(spec.RepresentedBy)
	c.members(spec.ForEach)
	c.activity(spec)
	c.account(spec, namespaced)
	c.resource(spec.Resource)
	c.attributes(spec.Attributes)
	c.node(spec.Node)
	c.levels(spec.Dimensions)
	c.other(spec)
	if len(c.invalid) > 0 {
		return nil, &InvalidExpressionsError{Meter: name, Expressions: c.invalid}
	}
	return c.meter, nil
}

// compiler gathers what is wrong, so that a person sees all of it at once.
type compiler struct {
	meter    *Meter
	object   *cel.Env // knows self
	member   *cel.Env // knows self and the forEach variable, if there is one
	variable string   // the forEach variable; "" without one
	invalid  []InvalidExpression
}

func (c *compiler) reject(path, problem, want string) {
	c.invalid = append(c.invalid, InvalidExpression{Path: path, Problem: problem, Want: want})
}

func (c *compiler) selector(selector *metav1.LabelSelector) {
	if selector == nil {
		selector = &metav1.LabelSelector{} // everything; nil would be nothing
	}
	var err error
	if c.meter.selector, err = metav1.LabelSelectorAsSelector(selector); err != nil {
		c.reject("spec.selector", err.Error(), "a label selector")
	}
}

// members sets up the forEach variable, which the expressions after it may read.
func (c *compiler) members(each *v1alpha1.ForEach) {
	if each == nil {
		return
	}
	variable := cmp.Or(each.As, defaultMember)
	in := c.compile(c.object, "spec.forEach.in", each.In, wantList)
	// CEL's own words are refused with the variable that they cannot be.
	ast, issues := c.object.Parse(variable)
	if issues.Err() != nil || ast.NativeRep().Expr().AsIdent() != variable || variable == self {
		c.reject("spec.forEach.as", fmt.Sprintf("%q cannot be a variable", variable), "another name, such as item")
		return
	}
	env, err := c.object.Extend(cel.Variable(variable, cel.DynType))
	if err != nil {
		c.reject("spec.forEach.as", err.Error(), "another name, such as item")
		return
	}
	c.member, c.variable = env, variable
	c.meter.forEach = &forEach{
		in: in, key: c.required("spec.forEach.key", each.Key, wantText), of: c.optional(c.member, "spec.forEach.of", each.Of, wantText),
	}
}

func (c *compiler) activity(spec *v1alpha1.UsageMeterSpec) {
	c.meter.exclude = c.optional(c.object, "spec.exclude", spec.Exclude, wantTruth)
	c.meter.active = c.optional(c.member, "spec.active", spec.Active, wantTruth)
	c.meter.startTime = c.optional(c.member, "spec.startTime", spec.StartTime, wantTime)
	c.meter.endTime = c.optional(c.member, "spec.endTime", spec.EndTime, wantTime)
}

func (c *compiler) account(spec *v1alpha1.UsageMeterSpec, namespaced bool) {
	if namespaced && spec.Namespace != "" {
		c.reject("spec.namespace", fmt.Sprintf("%s is namespaced, so its usage belongs to its own namespace", spec.Target.Kind),
			"this field left out")
	}
	c.meter.namespace = c.optional(c.member, "spec.namespace", spec.Namespace, wantText)
	c.meter.deployment = c.optional(c.member, "spec.deployment", spec.Deployment, wantText)
	c.meter.region = c.optional(c.member, "spec.region", spec.Region, wantText)
	c.meter.bundle = c.optional(c.member, "spec.bundle", spec.Bundle, wantText)
}

func (c *compiler) resource(resource *v1alpha1.ResourceReference) {
	switch {
	case resource == nil:
	case resource.Workload:
		c.meter.billsWorkload = true
		if resource.APIVersion+resource.Kind+resource.Name+resource.UID != "" {
			c.reject("spec.resource", "workload: true already says which resource is billed", "workload: true alone, or apiVersion, kind, name and uid")
		}
	default:
		c.meter.resource = &resourceExpressions{
			apiVersion: c.required("spec.resource.apiVersion", resource.APIVersion, wantText),
			kind:       c.required("spec.resource.kind", resource.Kind, wantText),
			name:       c.required("spec.resource.name", resource.Name, wantText),
			uid:        c.required("spec.resource.uid", resource.UID, wantText),
		}
	}
}

func (c *compiler) attributes(attributes map[string]v1alpha1.Expression) {
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		value := c.required(fmt.Sprintf("spec.attributes.%s", name), attributes[name], wantText)
		c.meter.attributes = append(c.meter.attributes, attribute{name: name, value: value})
	}
}

func (c *compiler) levels(dimensions []v1alpha1.Dimension) {
	for i, dimension := range dimensions {
		path := dimensionPath(i)
		added := usage.Dimension{Name: dimension.Name, Unit: usage.Unit(dimension.Unit)}
		if slices.ContainsFunc(c.meter.dimensions, func(d usage.Dimension) bool { return d.Name == added.Name }) {
			c.reject(path+".name", fmt.Sprintf("there are two dimensions %q", added.Name), "each name once")
		}
		c.meter.dimensions = append(c.meter.dimensions, added)
		c.quantity(path, &dimension)
	}
	if len(dimensions) == 0 {
		c.reject("spec.dimensions", "it is empty", "at least one")
	}
}

// quantity compiles how much is held in a dimension: a quantity, or a list of things
// that others can have too.
func (c *compiler) quantity(path string, dimension *v1alpha1.Dimension) {
	var quantity, distinct *expression
	switch {
	case dimension.Distinct == "":
		quantity = c.required(path+".quantity", dimension.Quantity, wantQuantity)
	case dimension.Quantity != "":
		c.reject(path+".distinct", "there is a quantity, too", "one of quantity and distinct")
	default:
		distinct = c.required(path+".distinct", dimension.Distinct, wantList)
	}
	c.meter.quantities, c.meter.distinct = append(c.meter.quantities, quantity), append(c.meter.distinct, distinct)
}

func dimensionPath(i int) string { return fmt.Sprintf("spec.dimensions[%d]", i) }
