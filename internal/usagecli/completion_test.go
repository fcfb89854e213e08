package usagecli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// asPlugin has TestRunsAsAPlugin run a command line as main does.
const asPlugin = "RUN_AS_PLUGIN"

func TestRunsAsAPlugin(_ *testing.T) {
	if line := os.Getenv(asPlugin); line != "" {
		os.Exit(Run(filepath.Base(os.Args[0]), strings.Fields(line), genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, noon))
	}
}

// krew links from a folder of the PATH to the version that it has installed. kubectl calls the
// script after the link, which calls whatever version there is then.
func TestCompletionIsInstalledForALink(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "it's here")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(folder, "kubectl-usage_ledger")
	tests, err := os.Executable()
	if err == nil {
		err = os.Symlink(tests, link)
	}
	if err != nil {
		t.Fatal(err)
	}
	path := folder + string(filepath.ListSeparator) + os.Getenv("PATH")
	for range 2 { // it may be there already
		install := exec.Command(link, "-test.run=^TestRunsAsAPlugin$")
		install.Env = append(os.Environ(), asPlugin+"=completion install", "PATH="+path)
		script := filepath.Join(folder, "kubectl_complete-usage_ledger")
		if out, err := install.CombinedOutput(); err != nil || string(out) != "wrote "+script+"\n" {
			t.Fatalf("%v, %s", err, out)
		}
		// Another version is installed.
		next := filepath.Join(t.TempDir(), "kubectl-usage")
		if err := os.WriteFile(next, []byte("#!/bin/sh\nprintf '<%s>' \"$@\"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		relink(t, next, link)
		call := exec.Command(script, "list", "--type", "")
		call.Env = append(os.Environ(), "PATH="+path)
		if out, err := call.CombinedOutput(); err != nil || string(out) != "<__complete><list><--type><>" {
			t.Errorf("%v, %s", err, out)
		}
		relink(t, tests, link)
	}
}

func relink(t *testing.T, to, link string) {
	t.Helper()
	err := os.Remove(link)
	if err == nil {
		err = os.Symlink(to, link)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCompletionThatCannotBeInstalled(t *testing.T) {
	for _, c := range []struct{ system, program, want string }{
		{"linux", "/bin/other", "other is no plugin of kubectl"},
		{"windows", "kubectl-usage.exe", `write a file kubectl_complete-usage.cmd with the line "@kubectl-usage __complete %*" into a folder of the PATH`},
	} {
		folder := t.TempDir()
		file, err := writeCompletion(c.system, c.program, folder)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %s: wrote %q, %v: want %s", c.program, c.system, file, err, c.want)
		}
		if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
			t.Errorf("%s on %s left %v, %v", c.program, c.system, files, err)
		}
	}
}

// What shells complete the program by, where it is called by its own name, is there as it was.
func TestShellsCompleteTheProgramItself(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		described, plainly := "", ""
		for flag, to := range map[string]*string{"": &described, "--no-descriptions": &plainly} {
			status, out, stderr := runPlainly(strings.Fields("completion " + shell + " " + flag)...)
			if status != exitDone || stderr != "" || !strings.Contains(out, "kubectl-usage") {
				t.Errorf("%s %s: status %d, %s", shell, flag, status, stderr)
			}
			*to = out
		}
		if described == plainly {
			t.Errorf("%s: descriptions are there or not alike", shell)
		}
	}
	if status, out, _ := runPlainly("completion", "--help"); status != exitDone || strings.Contains(out, "fish") {
		t.Errorf("status %d: they are shown: %s", status, out)
	}
}
