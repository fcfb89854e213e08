//go:build !linux

package main

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// start starts a command. Without Linux's Pdeathsig, one that is not detached stays in this process's group, so that
// at least a terminal's Ctrl-C reaches both.
func start(command *exec.Cmd, detached bool) error {
	if detached {
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	return command.Start()
}

// programOf is the file that a process runs.
func programOf(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "comm=", "-p", strconv.Itoa(pid)).Output()
	return strings.TrimSpace(string(out)), err
}
