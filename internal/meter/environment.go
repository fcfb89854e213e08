package meter

import (
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/types"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/library"
)

// self is the variable that expressions read the object as.
const self = "self"

// What one expression may cost, in CEL's units. An estimate above maxEstimate
// is refused when the meter is compiled: two loops, one inside the other, over
// the longest lists stay below it, and three do not. An evaluation ends at the API server's own limit per call
// (PerCallLimit, a million, about 0.1 s), which the base environment sets, and
// all evaluations of one object together at maxObjectCost. There is no deadline
// beside it: whether an object can be read must not depend on how busy the
// machine is.
const (
	maxEstimate   = 1_000_000_000
	maxObjectCost = 1_000_000
)

// The sizes that an estimate assumes for what only the object knows.
const (
	assumedLength = 1000 // members of a list or map
	assumedText   = 4096 // characters of a string
)

// baseEnvironment is CEL as Kubernetes 1.37 has it: quantity, optionals, lists,
// sets, strings, regex, format, semver, IPs, two-variable comprehensions. The
// version is fixed, so that an operator's upgrade changes no meter's meaning.
var baseEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, 37)).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			cel.Variable(self, cel.DynType),
			cel.CustomTypeAdapter(nativeAdapter{}),
		},
	})
	if err != nil {
		return nil, err
	}
	return set.StoredExpressionsEnv(), nil
})

// estimator is the API server's estimator of costs, with sizes for what it does not know.
var estimator = &library.CostEstimator{SizeEstimator: assumedSizes{}}

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
