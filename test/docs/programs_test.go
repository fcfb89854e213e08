package docs

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/usage-operator/usage-operator/internal/usagecli"
)

// readPrograms reads commands and flags. Those of kubectl usage are what its help says; a package main cannot be imported,
// so that those of the others are read from the source.
func (f *facts) readPrograms() error {
	for _, read := range []func() (*program, error){f.operator, f.hub, plugin, f.makefile} {
		p, err := read()
		if err != nil {
			return err
		}
		if len(p.commands) < 4 {
			return fmt.Errorf("%s has the commands %v: they are not read as they are written now", p.name, p.commands)
		}
		f.programs[p.name] = p
	}
	return nil
}

// running is what the operator does without a command.
const running = "(running)"

func (f *facts) operator() (*program, error) {
	p := &program{name: "usage-operator", commands: map[string]map[string]bool{}}
	for command, from := range map[string][]string{
		running: {"flags.go"}, "check": {"check.go", "internal/installcheck/check.go"},
		"verify": {"verify.go", "internal/audit/verification/verification.go"}, "archive": {"archive.go"},
	} {
		flags := map[string]bool{}
		for _, file := range from {
			if err := f.source(file, flagsIn(flags)); err != nil {
				return nil, err
			}
		}
		if len(flags) < 5 {
			return nil, fmt.Errorf("usage-operator %s has the flags %v: they are not read as they are written now", command, flags)
		}
		flags["kubeconfig"] = true // controller-runtime's
		p.commands[command] = flags
	}
	p.commands[running]["version"] = true // made where the command line is read
	for _, name := range []string{"list", "verify", "export", "restore"} {
		p.commands["archive "+name] = p.commands["archive"]
	}
	return p, nil
}

// flagsIn adds the flags that are made: by a method such as StringVar(&x, "name", ...) or Bool("name", false, "...").
func flagsIn(flags map[string]bool) func(ast.Node) bool {
	method := regexp.MustCompile(`^(?:String|StringSlice|Bool|Int|Int64|Float64|Duration)?(Var)?(P)?$`)
	return func(node ast.Node) bool {
		call, is := node.(*ast.CallExpr)
		if !is {
			return true
		}
		selector, is := call.Fun.(*ast.SelectorExpr)
		if !is {
			return true
		}
		found := method.FindStringSubmatch(selector.Sel.Name)
		if found == nil || len(call.Args) < 3 {
			return true
		}
		args := call.Args
		if found[1] != "" {
			args = args[1:]
		}
		if name := literal(args[0]); name != "" {
			flags[name] = true
			if found[2] != "" {
				flags[literal(args[1])] = true
			}
		}
		return true
	}
}

// hub reads each function that begins with the flags of a command.
func (f *facts) hub() (*program, error) {
	p := &program{name: "usage-hub", commands: map[string]map[string]bool{"version": {}}}
	err := f.sources("cmd/usage-hub", func(node ast.Node) bool {
		function, is := node.(*ast.FuncDecl)
		if !is {
			return true
		}
		command, flags := "", map[string]bool{}
		ast.Inspect(function, func(node ast.Node) bool {
			if call, is := node.(*ast.CallExpr); is && len(call.Args) == 2 {
				if made := nameOf(call.Fun); made == "flags" || made == "bare" {
					command, flags["database"] = literal(call.Args[0]), made == "flags"
				}
			}
			return flagsIn(flags)(node)
		})
		if command != "" {
			p.commands[command] = flags
		}
		return false
	})
	return p, err
}

// plugin is kubectl usage, as its help has it.
func plugin() (*program, error) {
	p := &program{name: "kubectl usage", commands: map[string]map[string]bool{}}
	if err := p.readHelp(); err != nil {
		return nil, err
	}
	for _, hidden := range []string{"bash", "zsh", "fish", "powershell"} { // the program's own, as it is called without kubectl
		if err := p.readHelp("completion", hidden); err != nil {
			return nil, err
		}
	}
	return p, nil
}

var (
	helpCommands = regexp.MustCompile(`(?s)\nAvailable Commands:\n(.*?)\n\n`)
	helpCommand  = regexp.MustCompile(`(?m)^  (\S+)`)
	helpFlag     = regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([a-z][a-z0-9-]*)`)
)

func (p *program) readHelp(command ...string) error {
	var out bytes.Buffer
	if status := usagecli.Run("kubectl-usage", append(command, "--help"), genericiooptions.IOStreams{In: &bytes.Buffer{}, Out: &out, ErrOut: &out}, time.Now); status != 0 {
		return errors.New(out.String())
	}
	name := strings.TrimSpace(p.name + " " + strings.Join(command, " "))
	if !strings.Contains(out.String(), "\n  "+name) {
		return fmt.Errorf("%s --help is of something else:\n%s", name, &out)
	}
	flags := map[string]bool{}
	for _, found := range helpFlag.FindAllStringSubmatch(out.String(), -1) {
		flags[found[2]] = true
		if found[1] != "" {
			flags[found[1]] = true
		}
	}
	p.commands[strings.Join(command, " ")] = flags
	if below := helpCommands.FindStringSubmatch(out.String()); below != nil {
		for _, found := range helpCommand.FindAllStringSubmatch(below[1], -1) {
			if found[1] == "help" {
				p.commands["help"] = flags
				continue
			}
			if err := p.readHelp(append(slices.Clip(command), found[1])...); err != nil {
				return err
			}
		}
	}
	return nil
}

// makefile reads the targets, those that help does not list as well, and the variables.
func (f *facts) makefile() (*program, error) {
	p := &program{name: "make", commands: map[string]map[string]bool{}, variables: map[string]bool{}}
	text, err := f.text("Makefile")
	for _, found := range regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):(?:[^=]|$)`).FindAllStringSubmatch(text, -1) {
		p.commands[found[1]] = map[string]bool{}
	}
	for _, found := range regexp.MustCompile(`\$\((?:or \$\()?([A-Z_]+)\)|(?m)^([A-Z_]+) \??=`).FindAllStringSubmatch(text, -1) {
		p.variables[found[1]+found[2]] = true
	}
	return p, err
}
