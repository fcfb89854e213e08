// Command mutants breaks the product's rules, one at a time, and tells how soon the
// simulator finds it: that is how the simulator itself is tested. What the simulator does
// not draw, such as objects that lie, a package's own tests have to find.
//
//	go run ./hack/mutants [-seeds n] [-run regexp] [-list test/simulate/mutants.txt]
//
// All mutants are compiled into a program, in which none is chosen: the files are
// replaced for the compiler alone (go build -overlay). The exit code is 1 if one was
// not found.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func main() {
	seeds := flag.Int("seeds", 2000, "how many seeds are tried")
	only := flag.String("run", "", "only mutants whose names match")
	list := flag.String("list", "test/simulate/mutants.txt", "the mutants")
	flag.Parse()
	found, all, err := run(context.Background(), *list, *only, *seeds)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("\n%d of %d found\n", found, all)
	if found < all {
		os.Exit(1)
	}
}

func run(ctx context.Context, list, only string, seeds int) (found, all int, err error) {
	chosen, err := regexp.Compile(only)
	if err != nil {
		return 0, 0, err
	}
	mutants, err := read(list)
	if err != nil {
		return 0, 0, err
	}
	folder, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(folder)
	description, err := overlay(mutants, folder)
	if err != nil {
		return 0, 0, err
	}
	fmt.Println("| broken rule | found by | at seed | seconds |\n|---|---|---|---|")
	for i, m := range mutants {
		if !chosen.MatchString(m.name) {
			continue
		}
		all++
		began := time.Now()
		check, at, err := look(ctx, description, &m, i+1, seeds)
		if err != nil {
			return found, all, fmt.Errorf("%s: %w", m.name, err)
		}
		if check != "" {
			found++
		} else {
			check = "**not found**"
		}
		fmt.Printf("| %s | %s | %s | %.0f |\n", m.name, check, at, time.Since(began).Seconds())
	}
	return found, all, nil
}

// patience is for how long one mutant is looked for.
const patience = 15 * time.Minute

// simulator is the package of the simulator.
const simulator = "test/simulate"

// look has the mutant of the number looked for, by the simulator or by a package's own tests.
func look(ctx context.Context, description string, m *mutant, number, seeds int) (check, at string, err error) {
	binary, err := compile(ctx, description, cmp.Or(m.tests, simulator))
	if err != nil {
		return "", "", err
	}
	if m.tests == "" {
		return hunt(ctx, binary, number, seeds)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tests := exec.CommandContext(ctx, binary, "-test.timeout=2m") // a test that waits for what never comes fails
	tests.Dir, tests.Env = filepath.FromSlash(m.tests), chosen(number)
	err = tests.Run()
	if _, failed := errors.AsType[*exec.ExitError](err); failed {
		return "tests of " + m.tests, "", nil
	}
	return "", "", err
}

// chosen is the environment in which the mutant of the number is chosen.
func chosen(number int) []string { return append(os.Environ(), "MUTANT="+strconv.Itoa(number)) }

// hunt runs the simulator with the mutant of the number. The check is empty when no
// seed finds it.
func hunt(ctx context.Context, binary string, number, seeds int) (check, at string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	hunter := exec.CommandContext(ctx, binary, "-test.run=TestHunt", "-test.timeout=0", fmt.Sprintf("-simulate.hunt=%d", seeds))
	hunter.Dir, hunter.Env = filepath.FromSlash(simulator), chosen(number)
	out, err := hunter.Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return "", "", err
	}
	tried := "0"
	for line := range strings.SplitSeq(string(out), "\n") {
		if rest, is := strings.CutPrefix(line, "found by "); is {
			check, at, _ = strings.Cut(rest, " at ")
			return check, at, nil
		}
		if seed, is := strings.CutPrefix(line, "trying "); is {
			tried = seed
		}
	}
	switch {
	case ctx.Err() != nil:
		return "it hangs", tried, nil
	case err != nil:
		return "it panics", tried, nil
	}
	return "", "none of " + tried, nil
}
