//go:build !linux

package controlplane

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// identify asks ps for a process's start and command line; ok is false when there is none, or just a zombie.
func identify(pid int) (_ identity, ok bool) {
	ps := exec.Command("ps", "-o", "stat=", "-o", "lstart=", "-o", "command=", "-p", strconv.Itoa(pid))
	ps.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	out, err := ps.Output()
	if err != nil {
		return identity{}, false
	}
	status, rest, found := strings.Cut(strings.TrimSpace(string(out)), " ")
	if !found || strings.HasPrefix(status, "Z") {
		return identity{}, false
	}
	return identity{PID: pid, Started: strings.TrimSpace(rest)}, true
}

// launch starts a command. Without Linux's Pdeathsig, one that is not detached stays in this process's group, so that
// at least a terminal's Ctrl-C reaches both.
func launch(command *exec.Cmd, detached bool) error {
	if detached {
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	return command.Start()
}
