package controlplane

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
)

// identify reads a process's start from /proc; ok is false when there is none, or just a zombie.
func identify(pid int) (_ identity, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return identity{}, false
	}
	// The program's name is in parentheses, and may hold anything. State is the first field after it, and starttime,
	// in clock ticks since the machine started, the twentieth (proc(5) counts them as the 3rd and the 22nd).
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return identity{}, false
	}
	return identity{PID: pid, Started: bootID() + "/" + fields[19]}, true
}

// bootID tells one run of the machine from the next, in which the ticks start again.
var bootID = sync.OnceValue(func() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
})

// launch starts a command that dies with this process, unless it is detached.
func launch(command *exec.Cmd, detached bool) error {
	if detached {
		command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return command.Start()
	}
	// A group of its own keeps a terminal's Ctrl-C away: this process stops its components in order.
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	launches() <- func() { started <- command.Start() }
	return <-started
}

// launches takes what is to run on one thread that lives as long as this process. The kernel sends Pdeathsig when the
// thread ends that started the child, not when its process does, and Go ends threads.
var launches = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})
