package meter

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/cel-go/cel"
)

func TestFunctionsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/meters.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, line := range regexp.MustCompile("(?m)^\\| `(\\w+)\\(").FindAllStringSubmatch(string(text), -1) {
		documented[line[1]] = true
		if functions[line[1]] == nil {
			t.Errorf("docs/meters.md has %s, which there is not", line[1])
		}
	}
	for name := range functions {
		if !documented[name] {
			t.Errorf("docs/meters.md does not have %s", name)
		}
	}
}

// A call costs by what it goes through, when it is compiled and when it is made.
func TestFunctionsHaveACost(t *testing.T) {
	env, err := baseEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range functions {
		argument := map[*cel.Type]string{cel.DynType: self}[f.args[0]]
		if argument == "" {
			argument = "self.spec.containers"
		}
		ast, issues := env.Compile(name + "(" + argument + ")")
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		estimate, err := env.EstimateCost(ast, estimator)
		if err != nil || estimate.Max < f.most || estimate.Max > maxEstimate {
			t.Errorf("%s: the estimate is %+v, %v; want at least %d", name, estimate, err, f.most)
		}
		program, err := env.Program(ast, cel.CostTracking(&actualCosts{}))
		if err != nil {
			t.Fatal(err)
		}
		_, details, err := program.Eval(map[string]any{self: object(t, podOfThree).Object})
		if err != nil || *details.ActualCost() < 3*addressCost {
			t.Errorf("%s of a small object costs %d, %v", name, *details.ActualCost(), err)
		}
	}
}
