package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// explain says how to play with what goes on running. The variables that it takes are in a file, to be read by a shell.
func (s *stage) explain(ctx context.Context) error {
	variables, err := s.directly(ctx)
	if err != nil {
		return err
	}
	programs := []string{filepath.Dir(s.plane.Binaries().Path("kubectl")), filepath.Dir(s.plugin())}
	file := s.path("environment")
	if err := os.WriteFile(file, []byte(environment(programs, append(variables, "KUBECONFIG="+s.plane.Kubeconfig()))), 0o600); err != nil {
		return err
	}
	page, err := s.showPage(ctx, append(os.Environ(), append(variables, "KUBECONFIG="+s.plane.Kubeconfig())...))
	if err != nil {
		return err
	}
	s.say(`
Everything goes on running. The page with what you have just seen, for one
browser (kubectl usage dashboard is for the next):

  %s

To play with it, in a shell (bash or zsh):

  . %s

That sets KUBECONFIG, PATH, and where the operator is. Then what the
documentation shows can be tried as it is there, such as:

  kubectl usage top namespaces -A --last 7d    # who used most
  kubectl usage explain vm/db -n shop          # why its figures are so
  kubectl usage dashboard                      # the page, in a browser
  kubectl usage verify                         # does it all add up?
  kubectl get usagerecords -A --watch
  kubectl scale -n shop deployment web --replicas=5
  kubectl explain usagerecord.status
  tail -f %s

To end it: make demo-down`, page, quoted(file), quoted(s.operatorLog()))
	return nil
}

// pagePatience bounds how long kubectl usage dashboard takes to say where the page is.
const pagePatience = 30 * time.Second

// showPage has kubectl usage dashboard serve the page until the demo is ended, and returns its address.
func (s *stage) showPage(ctx context.Context, variables []string) (address string, err error) {
	command := exec.Command(s.plugin(), "dashboard", "--browser=false")
	command.Dir, command.Env = s.dir, variables
	if err := launch(command, s.pageLog(), s.keep); err != nil {
		return "", fmt.Errorf("start kubectl usage dashboard: %w", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = command.Wait() // what it said is in its log
	}()
	p := s.readProps()
	p.PagePID = command.Process.Pid
	if err := s.writeProps(p); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, pagePatience)
	defer cancel()
	for {
		if text, err := os.ReadFile(s.pageLog()); err == nil {
			if address := pageAddress(string(text)); address != "" {
				return address, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("kubectl usage dashboard has not said in %s where the page is:\n%s", pagePatience, tail(s.pageLog()))
		case <-ended:
			return "", fmt.Errorf("kubectl usage dashboard has ended by itself:\n%s", tail(s.pageLog()))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// pageAddress is what kubectl usage dashboard says in its first line, once that is whole.
func pageAddress(said string) string {
	line, _, whole := strings.Cut(said, "\n")
	address, is := strings.CutPrefix(line, "The page is at ")
	if !whole || !is {
		return ""
	}
	return address
}

// environment is a file for a shell that sets the variables, and puts the programs first in the PATH.
func environment(programs, variables []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "export PATH=%s:$PATH\n", quoted(strings.Join(programs, ":")))
	for _, variable := range variables {
		name, value, _ := strings.Cut(variable, "=")
		fmt.Fprintf(&out, "export %s=%s\n", name, quoted(value))
	}
	return out.String()
}

// quoted is a text as a shell reads it, whatever is in it.
func quoted(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-:@%+=,", r)
	}
	if text != "" && strings.TrimFunc(text, plain) == "" {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
