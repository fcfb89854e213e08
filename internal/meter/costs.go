package meter

import (
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apiserver/pkg/cel/library"
)

// What one expression may cost, in CEL's units. An estimate above maxEstimate
// is refused when the meter is compiled: two loops, one inside the other, over
// the longest lists stay below it, and three do not. An evaluation ends at the
// API server's own limit per call (PerCallLimit, a million: a second or two of
// the dearest operations), which the base environment sets, and all evaluations of one object together at
// maxObjectCost. There is no deadline beside it: whether an object can be read
// must not depend on how busy the machine is.
const (
	maxEstimate   = 1_000_000_000
	maxObjectCost = 1_000_000
)

// The sizes that an estimate assumes for what only the object knows.
const (
	assumedLength = 1000 // members of a list or map
	assumedText   = 4096 // characters of a string
)

// estimator is the API server's estimator of costs, with sizes for what it does not know.
var estimator = &estimatedCosts{library.CostEstimator{SizeEstimator: assumedSizes{}}}

// estimatedCosts knows the functions of this package too.
type estimatedCosts struct{ library.CostEstimator }

// EstimateCallCost is what a call may cost; nil leaves it to CEL.
func (c *estimatedCosts) EstimateCallCost(name, overload string, target *checker.AstNode, args []checker.AstNode) *checker.CallEstimate {
	if f := functions[name]; f != nil {
		return f.estimate()
	}
	return c.CostEstimator.EstimateCallCost(name, overload, target, args)
}

type assumedSizes struct{}

func (assumedSizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	switch node.Type().Kind() {
	case types.StringKind, types.BytesKind:
		return &checker.SizeEstimate{Max: assumedText}
	case types.ListKind, types.MapKind, types.DynKind, types.AnyKind:
		return &checker.SizeEstimate{Max: assumedLength}
	}
	return nil // scalars, whose size CEL knows
}

// EstimateCallCost leaves it to the estimator around it.
func (assumedSizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// actualCosts counts what operators cost on values whose type the compiler did
// not know, which is how all of an object's fields come: CEL takes joining two
// such strings, or searching such a list, for a single operation.
type actualCosts struct{ library.CostEstimator }

// charactersPerCost is how much text CEL goes through for one unit of cost.
const charactersPerCost = 10

// CallCost is the cost of a call; nil leaves it to CEL.
func (c *actualCosts) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	if f := functions[function]; f != nil {
		cost := f.cost(args)
		return &cost
	}
	switch {
	case (function == operators.Equals || function == operators.NotEquals) && isNested(args[0]) && isNested(args[1]):
		cost := 1 + min(nestedIn(args[0].Value()), nestedIn(args[1].Value()))
		return &cost
	case overload != "": // of known types
	case function == operators.Add:
		if text, ok := result.(types.String); ok {
			cost := uint64(1 + len(text)/charactersPerCost)
			return &cost
		}
	case function == operators.In:
		if list, ok := args[1].(traits.Lister); ok {
			cost := 1 + uint64(max(0, list.Size().(types.Int)))
			return &cost
		}
	}
	return c.CostEstimator.CallCost(function, overload, args, result)
}

// isNested tells whether a value is a map or list of the object: CEL takes comparing two of these
// for as much as their own members are, however much is in those.
func isNested(value ref.Val) bool {
	switch value.Type() {
	case types.MapType, types.ListType:
		return true
	}
	return false
}

// nestedIn is how much is in a value of an object, and in all that is in that.
func nestedIn(value any) uint64 {
	cost := uint64(1)
	switch value := value.(type) {
	case string:
		cost += uint64(len(value) / charactersPerCost)
	case map[string]any:
		for name, in := range value {
			cost += uint64(len(name)/charactersPerCost) + nestedIn(in)
		}
	case []any:
		for _, in := range value {
			cost += nestedIn(in)
		}
	case []ref.Val:
		for _, in := range value {
			cost += nestedIn(in.Value())
		}
	}
	return cost
}
