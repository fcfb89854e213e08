package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/usage-operator/usage-operator/test/postgres"
)

// full is where nothing can be written.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// A token that could not be printed is lost: it is said, and how to get another one.
func TestATokenThatIsNotPrinted(t *testing.T) {
	t.Setenv(environment, postgres.Start(t).Database(t, "hub"))
	if status, _, stderr := run(t, "migrate"); status != exitDone {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"enrol", cluster, "--name", "eu-1"}, {"enrol", cluster, "--rotate"}} {
		var said bytes.Buffer
		status := (&program{stdout: full{}, stderr: &said}).run(t.Context(), args)
		if status != exitFailed || !strings.Contains(said.String(), "usage-hub enrol "+cluster+" --rotate") || !strings.Contains(said.String(), "no space left") {
			t.Errorf("%v: %d: %s", args, status, &said)
		}
	}
	if status, stdout, stderr := run(t, "enrol", cluster, "--rotate"); status != exitDone || !strings.HasPrefix(stdout, "usage-hub-") {
		t.Errorf("%d: %s%s", status, stdout, stderr)
	}
}
