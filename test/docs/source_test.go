package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"strconv"
	"strings"
)

// sources calls each with every Go file of a folder that is no test.
func (f *facts) sources(folder string, each func(ast.Node) bool) error {
	for _, text := range f.texts {
		if path.Dir(text.path) != folder || path.Ext(text.path) != ".go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), text.path, text.text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, each)
	}
	return nil
}

// source is the same for one file.
func (f *facts) source(name string, each func(ast.Node) bool) error {
	text, err := f.text(name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
	if err == nil {
		ast.Inspect(file, each)
	}
	return err
}

// text is that of a file that people read.
func (f *facts) text(name string) (string, error) {
	for _, text := range f.texts {
		if text.path == name {
			return text.text, nil
		}
	}
	return "", fmt.Errorf("%s is not there", name)
}

// literal is the text of a literal; "" where it is none.
func literal(node ast.Expr) string {
	basic, is := node.(*ast.BasicLit)
	if !is || basic.Kind != token.STRING {
		return ""
	}
	text, _ := strconv.Unquote(basic.Value)
	return text
}

// nameOf is an identifier's name, or a selector's last one.
func nameOf(node ast.Expr) string {
	switch node := node.(type) {
	case *ast.Ident:
		return node.Name
	case *ast.SelectorExpr:
		return node.Sel.Name
	}
	return ""
}

// readReasons reads the constants Reason... and Condition... of the API, the reasons of Events that stand where they are
// said, and those of the hub.
func (f *facts) readReasons() error {
	add := func(node ast.Expr) {
		if text := literal(node); text != "" {
			f.reasons[text] = true
		}
	}
	apiConstants := regexp.MustCompile(`^(Reason|Condition)[A-Z]`)
	if err := f.sources("api/v1alpha1", constants(func(name, _ string, value ast.Expr) {
		if apiConstants.MatchString(name) {
			add(value)
		}
	})); err != nil {
		return err
	}
	hubs := map[string]bool{"busy": true, "unavailable": true, "passes": true}
	for _, folder := range []string{"internal/hub", "internal/hub/endpoint", "internal/hub/sender"} {
		if err := f.sources(folder, constants(func(name, kind string, value ast.Expr) {
			if kind == "Reason" || hubs[name] {
				add(value)
			}
		})); err != nil {
			return err
		}
	}
	for _, folder := range []string{"controllers", "internal/hub/sender"} {
		if err := f.sources(folder, saidReasons(add)); err != nil {
			return err
		}
	}
	return nil
}

// constants calls each with every constant: its name, the name of its type, its value.
func constants(each func(name, kind string, value ast.Expr)) func(ast.Node) bool {
	return func(node ast.Node) bool {
		declared, is := node.(*ast.GenDecl)
		if !is || declared.Tok != token.CONST {
			return true
		}
		for _, spec := range declared.Specs {
			spec, _ := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				if i < len(spec.Values) {
					each(name.Name, nameOf(spec.Type), spec.Values[i])
				}
			}
		}
		return true
	}
}

// saidReasons adds what stands as a reason: of a field, or as an argument of what makes an Event.
func saidReasons(add func(ast.Expr)) func(ast.Node) bool {
	places := map[string]int{"announce": 1, "Eventf": 3}
	return func(node ast.Node) bool {
		switch node := node.(type) {
		case *ast.KeyValueExpr:
			if strings.EqualFold(nameOf(node.Key), "reason") {
				add(node.Value)
			}
		case *ast.AssignStmt:
			for i, to := range node.Lhs {
				if field, is := to.(*ast.SelectorExpr); is && strings.EqualFold(field.Sel.Name, "reason") && i < len(node.Rhs) {
					add(node.Rhs[i])
				}
			}
		case *ast.CallExpr:
			if place, is := places[nameOf(node.Fun)]; is && place < len(node.Args) {
				add(node.Args[place])
			}
		}
		return true
	}
}
