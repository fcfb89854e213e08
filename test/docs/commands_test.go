package docs

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// program is one of the project's, or make.
type program struct {
	name string
	// commands are by their path, such as "meter test", with the flags of each: "interval", and "n" for -n. "" are
	// those that all have.
	commands map[string]map[string]bool
	// variables are what make takes as NAME=value.
	variables map[string]bool
}

// call is a command as it is typed.
type call struct {
	program string
	args    []string
}

var (
	comment   = regexp.MustCompile(`(^|\s)#(\s.*)?$`)
	between   = regexp.MustCompile(`;|&&|\|+|\$\(|\)| -- |\s>+\s*\S+`)
	assigned  = regexp.MustCompile(`^[A-Z_]+=`)
	aWord     = regexp.MustCompile(`^[a-z][a-z-]*$`)
	longFlag  = regexp.MustCompile(`^--([a-z][a-z0-9-]*)`)
	shortFlag = regexp.MustCompile(`^-([a-zA-Z])$`)
)

// calls are the commands in a line.
func calls(line string) (all []call) {
	for _, part := range between.Split(comment.ReplaceAllString(line, ""), -1) {
		var words []string
		for word := range strings.FieldsSeq(part) {
			if words = append(words, strings.Trim(word, `'",`)); len(words) == 1 && (assigned.MatchString(word) || word == "sudo" || word == "time") {
				words = nil
			}
		}
		if len(words) > 0 {
			all = append(all, called(words))
		}
	}
	return all
}

// called is a command as the program that runs is called: a plugin by kubectl, a program of the checkout by go run.
func called(words []string) call {
	c := call{path.Base(words[0]), words[1:]}
	starts := func(with ...string) bool { return len(c.args) >= len(with) && slices.Equal(c.args[:len(with)], with) }
	switch {
	case c.program == "kubectl" && (starts("usage") || starts("usage-ledger")):
		return call{"kubectl usage", c.args[1:]}
	case c.program == "kubectl-usage":
		return call{"kubectl usage", c.args}
	case c.program == "go" && starts("run", "."):
		return call{"usage-operator", c.args[2:]}
	case c.program == "go" && starts("run", "./cmd/kubectl-usage"):
		return call{"kubectl usage", c.args[2:]}
	case c.program == "go" && starts("run", "./cmd/usage-hub"):
		return call{"usage-hub", c.args[2:]}
	}
	return c
}

// wrong says what of a call there is not.
func (p *program) wrong(args []string) (all []string) {
	if p.name == "make" {
		return p.wrongTargets(args)
	}
	at := ""
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name := args[0]
		below := strings.TrimSpace(at + " " + name)
		_, known := p.commands[below]
		if !known {
			if p.below(at) && aWord.MatchString(name) {
				all = append(all, fmt.Sprintf("%s has no command %q", strings.TrimSpace(p.name+" "+at), name))
			}
			break
		}
		at, args = below, args[1:]
	}
	for _, arg := range args {
		found := longFlag.FindStringSubmatch(arg)
		if found == nil {
			found = shortFlag.FindStringSubmatch(arg)
		}
		if found != nil && !p.takes(at, found[1]) {
			all = append(all, fmt.Sprintf("%s has no flag %s", strings.TrimSpace(p.name+" "+at), found[0]))
		}
	}
	return all
}

// below tells whether a command has commands of its own.
func (p *program) below(at string) bool {
	for name := range p.commands {
		if name != "" && (at == "" || strings.HasPrefix(name, at+" ")) {
			return true
		}
	}
	return false
}

// takes tells whether a command takes a flag. Where none is named, it is the operator itself that runs, or any is meant.
func (p *program) takes(at, flag string) bool {
	if flag == "help" || flag == "h" || p.commands[""][flag] {
		return true
	}
	if at != "" {
		return p.commands[at][flag]
	}
	if runs, is := p.commands[running]; is {
		return runs[flag]
	}
	for _, flags := range p.commands {
		if flags[flag] {
			return true
		}
	}
	return false
}

func (p *program) wrongTargets(args []string) (all []string) {
	for i, arg := range args {
		name, _, isVariable := strings.Cut(arg, "=")
		switch {
		case isVariable && regexp.MustCompile(`^[A-Z_]+$`).MatchString(name):
			if !p.variables[name] {
				all = append(all, "the Makefile reads no "+name)
			}
		case i > 0 && !slices.ContainsFunc(args[:i], func(before string) bool { return strings.Contains(before, "=") }) || i == 0:
			if _, known := p.commands[arg]; !known && aWord.MatchString(arg) {
				all = append(all, fmt.Sprintf("make has no target %q", arg))
			}
		}
	}
	return all
}

// flagOfAny tells whether one of the programs takes a flag.
func (f *facts) flagOfAny(flag string) bool {
	for _, p := range f.programs {
		for at := range p.commands {
			if p.takes(at, flag) {
				return true
			}
		}
	}
	return false
}
