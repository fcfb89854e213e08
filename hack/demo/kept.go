package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// explain says how to play with what goes on running. The variables that it takes are in a file, to be read by a shell.
func (s *stage) explain(ctx context.Context) error {
	variables, err := s.directly(ctx)
	if err != nil {
		return err
	}
	programs := []string{filepath.Dir(s.plane.Binaries().Path("kubectl")), filepath.Dir(s.plugin())}
	file := s.path("environment")
	if err := os.WriteFile(file, []byte(environment(s.plane.Kubeconfig(), programs, variables)), 0o600); err != nil {
		return err
	}
	s.say(`
Everything goes on running. To play with it, in a shell (bash or zsh):

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

To end it: make demo-down`, quoted(file), quoted(s.operatorLog()))
	return nil
}

// environment is a file for a shell that sets the variables, and puts the programs first in the PATH.
func environment(kubeconfig string, programs, variables []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "export KUBECONFIG=%s\n", quoted(kubeconfig))
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
