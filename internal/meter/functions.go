package meter

import (
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// function is one that expressions have beside CEL's and Kubernetes' own. A
// fact that several meters read, or that is long in CEL, gets a name this way.
// docs/meters.md documents each; a test compares.
type function struct {
	name   string
	args   []*cel.Type
	result *cel.Type
	call   func(args ...ref.Val) ref.Val
	// cost is what a call costs, by what it went through.
	cost func(args []ref.Val) uint64
	// most is what a call may cost, for the estimate when a meter is compiled.
	most uint64
}

// functions are all of them, by name.
var functions = func() map[string]*function {
	byName := map[string]*function{}
	for _, f := range slices.Concat(podFunctions, listFunctions, nodeFunctions, guestFunctions, claimFunctions, listenerFunctions) {
		byName[f.name] = f
	}
	return byName
}()

// libraryOptions declare the functions in an environment.
func libraryOptions() []cel.EnvOption {
	options := make([]cel.EnvOption, 0, len(functions))
	for name, f := range functions {
		overload := cel.Overload("usage_"+name, f.args, f.result, cel.FunctionBinding(f.call))
		options = append(options, cel.Function(name, overload))
	}
	return options
}

// estimate is what a call of the function may cost.
func (f *function) estimate() *checker.CallEstimate {
	return &checker.CallEstimate{CostEstimate: checker.CostEstimate{Min: 1, Max: f.most}}
}

// failure is an error as a value: the expression that calls the function fails.
func failure(err error) ref.Val { return types.WrapErr(err) }
