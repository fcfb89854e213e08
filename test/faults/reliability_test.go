package faults_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	page         = "../../docs/reliability.md"
	securityPage = "../../docs/security.md"
)

// row is a line of the page's table: the fault, what is promised, the tests.
var (
	row    = regexp.MustCompile(`(?m)^\|[^|]*\|[^|]*\|(.*)\|$`)
	quoted = regexp.MustCompile("`([^`]+)`")
)

func TestTheReliabilityPageListsTheSpecs(t *testing.T) {
	listed := namedBy(t, page)
	here := testsIn(t, ".")
	all := slices.Clone(here)
	for _, folder := range []string{
		"../operator", "../e2e", "../lifecycle", "../simulate", "../../controllers",
		"../../internal/archive", "../../internal/collector", "../../internal/journal", "../../internal/record", "../../internal/steadyclock", "../../internal/usage",
	} {
		all = append(all, testsIn(t, folder)...)
	}
	for _, name := range listed {
		if !slices.Contains(all, name) {
			t.Errorf("%s names a test that is not there: %s", page, name)
		}
	}
	for _, name := range here {
		if !strings.HasPrefix(name, "Test") && !slices.Contains(listed, name) {
			t.Errorf("%s does not name the spec: %s", page, name)
		}
	}
}

func TestTheSecurityPageListsTests(t *testing.T) {
	listed := namedBy(t, securityPage)
	all := testsIn(t, ".")
	for _, folder := range []string{
		"../api", "../operator", "../e2e", "../lifecycle", "../simulate", "../verify", "../../controllers", "../../internal/audit", "../../internal/collector", "../../internal/journal", "../../internal/meter",
		"../../internal/publisher", "../../internal/record", "../../internal/connlimit", "../../internal/hub/sender", "../../internal/fairqueue", "../../internal/authority", "../../internal/servingcert", "../../internal/report", "../../internal/timeline", "../../internal/usageapi", "../../internal/usagecli", "../../internal/dashboard", "../dashboard",
	} {
		all = append(all, testsIn(t, folder)...)
	}
	for _, name := range listed {
		if !slices.Contains(all, name) {
			t.Errorf("%s names a test that is not there: %s", securityPage, name)
		}
	}
}

// namedBy are the tests that the rows of a page's tables name: those of three columns.
func namedBy(t *testing.T, page string) (listed []string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range row.FindAllStringSubmatch(string(text), -1) {
		if strings.Trim(line[1], " -") == "" || strings.TrimSpace(line[1]) == "test" {
			continue
		}
		names := quoted.FindAllStringSubmatch(line[1], -1)
		if len(names) == 0 {
			t.Errorf("%s names no test: %s", page, line[0])
		}
		for _, name := range names {
			listed = append(listed, name[1])
		}
	}
	return listed
}

// testsIn are the specs of a folder, each as "container spec", and its test functions.
func testsIn(t *testing.T, folder string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, declaration := range file.Decls {
			if function, ok := declaration.(*ast.FuncDecl); ok && strings.HasPrefix(function.Name.Name, "Test") {
				names = append(names, function.Name.Name)
			}
		}
		names = append(names, specs(file, "")...)
	}
	return names
}

// specs are those below a node, with what their containers are called.
func specs(below ast.Node, containers string) []string {
	var names []string
	ast.Inspect(below, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok || len(call.Args) < 2 {
			return true
		}
		function, _ := call.Fun.(*ast.Ident)
		text, _ := call.Args[0].(*ast.BasicLit)
		if function == nil || text == nil || text.Kind != token.STRING {
			return true
		}
		name, err := strconv.Unquote(text.Value)
		if err != nil {
			return true
		}
		switch function.Name {
		case "Describe", "Context":
			for _, argument := range call.Args[1:] {
				names = append(names, specs(argument, containers+name+" ")...)
			}
			return false
		case "It":
			names = append(names, containers+name)
			return false
		}
		return true
	})
	return names
}
