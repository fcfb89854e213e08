package meter

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// optional compiles an expression that may be left out; nil when it is.
func (c *compiler) optional(env *cel.Env, path string, text v1alpha1.Expression, want expectation) *expression {
	if text == "" {
		return nil
	}
	return c.compile(env, path, text, want)
}

// required compiles an expression that may read the member.
func (c *compiler) required(path string, text v1alpha1.Expression, want expectation) *expression {
	return c.compile(c.member, path, text, want)
}

// compile checks one expression's syntax, names, type and cost.
func (c *compiler) compile(env *cel.Env, path string, text v1alpha1.Expression, want expectation) *expression {
	fail := func(problem, wanted string) *expression {
		c.invalid = append(c.invalid, InvalidExpression{Path: path, Expression: string(text), Problem: problem, Want: wanted})
		return nil
	}
	if text == "" {
		return fail("it is empty", want.text)
	}
	ast, issues := env.Compile(string(text))
	if issues.Err() != nil {
		c.issues(path, string(text), c.variables(env), issues)
		return nil
	}
	if given := ast.OutputType(); !want.accepts(given) {
		return fail(fmt.Sprintf("it gives %s", typeName(given)), want.text)
	}
	cost, err := env.EstimateCost(ast, estimator)
	if err != nil {
		return fail(fmt.Sprintf("its cost cannot be estimated: %v", err), "a simpler expression")
	}
	if cost.Max > maxEstimate {
		return fail(fmt.Sprintf("it may cost too much: up to %.1e operations on a large object, where %.1e are allowed", float64(cost.Max), float64(maxEstimate)),
			"fewer loops inside loops (all, exists, filter, map), or shorter lists")
	}
	program, err := env.Program(ast, cel.CostTracking(&actualCosts{}))
	if err != nil {
		return fail(err.Error(), want.text)
	}
	compiled := &expression{path: path, program: program, readsMember: c.readsMember(ast)}
	if !compiled.readsMember {
		compiled.shared = c.meter.shared
		c.meter.shared++
	}
	return compiled
}

// issues lists what CEL found, each with its place in the expression.
func (c *compiler) issues(path, text, variables string, issues *cel.Issues) {
	for _, issue := range issues.Errors() {
		// CEL tells in which package it looked for the name, and there is none.
		problem, undeclared := strings.CutSuffix(issue.Message, " (in container '')")
		want := ""
		if undeclared {
			want = variables
		}
		c.invalid = append(c.invalid, InvalidExpression{
			Path:       path,
			Expression: text,
			Line:       issue.Location.Line(),
			Column:     issue.Location.Column() + 1, // CEL counts columns from 0
			Problem:    problem,
			Want:       want,
		})
	}
}

// variables are the names that an expression may use.
func (c *compiler) variables(env *cel.Env) string {
	if c.variable == "" || env == c.object {
		return "self, the object"
	}
	return fmt.Sprintf("self, the object, or %s, the member", c.variable)
}

// readsMember tells whether an expression reads the forEach variable. One that
// does not is evaluated once per object. A loop's own variable of the same name
// counts too, which costs time and nothing else.
func (c *compiler) readsMember(ast *cel.Ast) bool {
	if c.variable == "" {
		return false
	}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if reference.Name == c.variable {
			return true
		}
	}
	return false
}

// typeName is a static type as people say it: list(string), optional(int).
func typeName(t *cel.Type) string {
	return strings.ReplaceAll(cel.FormatCELType(t), "optional_type(", "optional(")
}
