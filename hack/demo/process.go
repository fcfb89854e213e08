package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// stopPatience is how long the operator may take to end by itself before it is killed.
const stopPatience = 15 * time.Second

// launch starts a command that writes to the log file. Unless it is detached it dies with this process.
func launch(command *exec.Cmd, logFile string, detached bool) error {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	return start(command, detached)
}

// end ends the process of this number if it runs this program: since it was noted down, the number may have been
// given to another.
func end(pid int, program string) error {
	if !runs(pid, program) {
		return nil
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("stop process %d: %w", pid, err)
		}
		for until := time.Now().Add(stopPatience); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
			if !runs(pid, program) {
				return nil
			}
		}
	}
	return fmt.Errorf("process %d of %s has not ended", pid, program)
}

func runs(pid int, program string) bool {
	if pid <= 0 {
		return false
	}
	running, err := programOf(pid)
	if err != nil {
		return false
	}
	program, err = filepath.EvalSymlinks(program)
	return err == nil && running == program
}

// tailLines is how many lines of a log tell why something failed.
const tailLines = 12

// tail is the end of a log.
func tail(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-tailLines):], "\n")
}
