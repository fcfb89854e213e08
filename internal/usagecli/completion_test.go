package usagecli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The script hands kubectl's words to the program, whatever folder that is in.
func TestTheCompletionOfKubectlCallsTheProgram(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(folder, "kubectl-usage_ledger")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be there already
		file, err := writeCompletion(program, folder)
		if err != nil || filepath.Base(file) != "kubectl_complete-usage_ledger" {
			t.Fatal(file, err)
		}
		out, err := exec.Command(file, "list", "--type", "").CombinedOutput()
		if err != nil || string(out) != "<__complete><list><--type><>" {
			t.Errorf("%v, %s", err, out)
		}
	}
	if file, err := writeCompletion("/bin/other", folder); err == nil {
		t.Errorf("it wrote %s for a program that is no plugin", file)
	}
}
