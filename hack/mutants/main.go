// Command mutants breaks the product's rules, one at a time, and tells how soon the
// simulator finds it: that is how the simulator itself is tested.
//
//	go run ./hack/mutants [-seeds n] [-run regexp] [test/simulate/mutants.txt]
//
// A mutant replaces some lines of one file. It is compiled with the replacement in
// place of the file (go build -overlay), and the files stay as they are. The exit code
// is 1 if one was not found.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// mutant is one rule that is broken.
type mutant struct {
	name, file, was, is string
}

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
	fmt.Println("| broken rule | found by | seeds | seconds |\n|---|---|---|---|")
	for _, m := range mutants {
		if !chosen.MatchString(m.name) {
			continue
		}
		all++
		began := time.Now() //nolint:forbidigo // a tool measures
		check, at, err := m.hunt(ctx, seeds)
		if err != nil {
			return found, all, fmt.Errorf("%s: %w", m.name, err)
		}
		if check != "" {
			found++
		} else {
			check = "**not found**"
		}
		fmt.Printf("| %s | %s | %s | %.0f |\n", m.name, check, at, time.Since(began).Seconds()) //nolint:forbidigo // a tool measures
	}
	return found, all, nil
}

// read reads the list: "mutant" and a name, "file" and a path, and the lines that are
// taken out (-) and put in (+).
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
		case line[0] == '-':
			m.was += line[1:] + "\n"
		case line[0] == '+':
			m.is += line[1:] + "\n"
		default:
			return nil, fmt.Errorf("%s:%d: neither of mutant, file, - and +", path, n+1)
		}
	}
	return all, nil
}

// hunt compiles the simulator with the mutant, and runs it. The check is empty when
// no seed finds it.
func (m *mutant) hunt(ctx context.Context, seeds int) (check, at string, err error) {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return "", "", err
	}
	defer os.RemoveAll(folder)
	binary := filepath.Join(folder, "simulate.test")
	if err := m.compile(ctx, folder, binary); err != nil {
		return "", "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	hunt := exec.CommandContext(ctx, binary, "-test.run=TestHunt", "-test.timeout=0", fmt.Sprintf("-simulate.hunt=%d", seeds))
	hunt.Dir = "test/simulate"
	out, err := hunt.Output()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		return "", "", err
	}
	tried := 0
	for line := range strings.SplitSeq(string(out), "\n") {
		if rest, is := strings.CutPrefix(line, "found by "); is {
			check, at, _ = strings.Cut(rest, " at ")
			return check, at, nil
		}
		if strings.HasPrefix(line, "trying ") {
			tried++
		}
	}
	switch {
	case ctx.Err() != nil:
		return "it hangs", fmt.Sprint(tried), nil
	case err != nil:
		return "it panics", fmt.Sprint(tried), nil
	}
	return "", fmt.Sprint(tried), nil
}

func (m *mutant) compile(ctx context.Context, folder, binary string) error {
	text, err := os.ReadFile(m.file)
	if err != nil {
		return err
	}
	if n := strings.Count(string(text), m.was); n != 1 || m.was == "" {
		return fmt.Errorf("%s has %d times what is to be replaced:\n%s", m.file, n, m.was)
	}
	changed := filepath.Join(folder, filepath.Base(m.file))
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.was, m.is, 1)), 0o600); err != nil {
		return err
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: changed}})
	if err != nil {
		return err
	}
	description := filepath.Join(folder, "overlay.json")
	if err := os.WriteFile(description, overlay, 0o600); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", description, "-o", binary, "./test/simulate")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
