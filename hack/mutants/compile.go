package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// mutant is one rule that is broken: a text of a file, and what is there instead. tests is
// the package whose own tests have to find it, where the simulator does not draw what would.
type mutant struct{ name, file, was, is, tests string }

// read reads the list: see its own first lines.
func read(path string) ([]mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []mutant
	for n, line := range strings.Split(string(text), "\n") {
		what, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case what == "mutant":
			all = append(all, mutant{name: rest})
			continue
		case len(all) == 0:
			return nil, fmt.Errorf("%s:%d: no mutant yet", path, n+1)
		}
		m := &all[len(all)-1]
		switch {
		case what == "file":
			m.file = rest
		case what == "tests":
			m.tests = rest
		case line[0] == '-':
			m.was = lines(m.was, line[1:])
		case line[0] == '+':
			m.is = lines(m.is, line[1:])
		default:
			return nil, fmt.Errorf("%s:%d: neither of mutant, file, tests, - and +", path, n+1)
		}
	}
	return all, nil
}

func lines(before, next string) string {
	if before == "" {
		return next
	}
	return before + "\n" + next
}

// chooser is a package that is there for the mutants alone.
const chooser = `package mutant

import "os"

var chosen = os.Getenv("MUTANT")

// Is tells whether it is chosen.
func Is(number string) bool { return number == chosen }

// Of is the first value for what is chosen, and else the second.
func Of[T any](is bool, broken, right T) T {
	if is {
		return broken
	}
	return right
}
`

const module = "github.com/usage-operator/usage-operator"

// breakAll is the files with all mutants in them, by their paths below the root.
func breakAll(root string, mutants []mutant) (map[string]string, error) {
	changed := map[string]string{}
	for i, m := range mutants {
		original, err := os.ReadFile(filepath.Join(root, m.file))
		if err != nil {
			return nil, err
		}
		if n := strings.Count(string(original), m.was); n != 1 || m.was == "" {
			return nil, fmt.Errorf("mutant %q: %s has %d times what is to be replaced:\n%s", m.name, m.file, n, m.was)
		}
		if changed[m.file] == "" {
			head, rest, _ := strings.Cut("\n"+string(original), "\npackage ")
			name, rest, _ := strings.Cut(rest, "\n")
			changed[m.file] = head + "\npackage " + name + "\n\nimport \"" + module + "/internal/mutant\"\n" + rest
		}
		if strings.Count(changed[m.file], m.was) != 1 {
			return nil, fmt.Errorf("mutant %q: another one replaces the same", m.name)
		}
		is := strings.ReplaceAll(m.is, "MUTANT", fmt.Sprintf("mutant.Is(%q)", fmt.Sprint(i+1)))
		changed[m.file] = strings.Replace(changed[m.file], m.was, is, 1)
	}
	changed["internal/mutant/mutant.go"] = chooser
	return changed, nil
}

// overlay writes the files with all mutants in them into the folder, and what tells the
// compiler of them: a file's path.
func overlay(mutants []mutant, folder string) (description string, err error) {
	changed, err := breakAll(".", mutants)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range changed {
		original, err := filepath.Abs(file)
		if err != nil {
			return "", err
		}
		instead := filepath.Join(folder, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(instead, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[original] = instead
	}
	said, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	description = filepath.Join(folder, "overlay.json")
	return description, os.WriteFile(description, said, 0o600)
}

// compile compiles the tests of a package with all mutants in it, once. It returns the program.
func compile(ctx context.Context, description, pkg string) (string, error) {
	binary := filepath.Join(filepath.Dir(description), strings.ReplaceAll(pkg, "/", "_")+".test")
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", description, "-o", binary, "./"+pkg)
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}
