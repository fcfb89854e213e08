package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A shell that reads the file has the variables as they are, whatever folders are called.
func TestAShellReadsTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "environment")
	text := environment([]string{"/c d", "/e"}, []string{"KUBECONFIG=/a b/it's $HOME/kubeconfig", "USAGE_OPERATOR_API=https://127.0.0.1:1", "X=`y`"})
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := exec.Command("sh", "-c", `. "$0"; printf '%s|%s|%s|%s' "$KUBECONFIG" "$PATH" "$USAGE_OPERATOR_API" "$X"`, file)
	shell.Env = []string{"PATH=/bin", "HOME=/root"}
	out, err := shell.CombinedOutput()
	if want := "/a b/it's $HOME/kubeconfig|/c d:/e:/bin|https://127.0.0.1:1|`y`"; err != nil || string(out) != want {
		t.Errorf("%v, %s: want %s of\n%s", err, out, want, text)
	}
}

func TestTheAddressOfThePageIsReadOnceItIsWhole(t *testing.T) {
	for said, want := range map[string]string{
		"": "", "The page is at http://127.0.0.1:1/?sec": "", "error: there is no operator\n": "",
		"The page is at http://127.0.0.1:1/?secret=x\nIt ends with Ctrl-C.\n": "http://127.0.0.1:1/?secret=x",
	} {
		if got := pageAddress(said); got != want {
			t.Errorf("%q: got %q, want %q", said, got, want)
		}
	}
}
