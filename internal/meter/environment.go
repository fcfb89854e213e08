package meter

import (
	"slices"
	"sync"

	"github.com/google/cel-go/cel"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apiserver/pkg/cel/environment"
)

// self is the variable that expressions read the object as.
const self = "self"

// baseEnvironment is CEL as Kubernetes 1.37 has it: quantity, optionals, lists,
// sets, strings, regex, format, semver, IPs, two-variable comprehensions; and
// the functions of this package. The version is fixed, so that an operator's
// upgrade changes no meter's meaning.
var baseEnvironment = sync.OnceValues(func() (*cel.Env, error) {
	set, err := environment.MustBaseEnvSet(version.MajorMinor(1, 37)).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			cel.Variable(self, cel.DynType),
			cel.CustomTypeAdapter(nativeAdapter{}),
		},
	}, environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        slices.Concat(libraryOptions(), growingOptions()),
	})
	if err != nil {
		return nil, err
	}
	return set.StoredExpressionsEnv(), nil
})
