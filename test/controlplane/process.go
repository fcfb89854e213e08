package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// readyPatience is for a machine that compiles something else at the same time.
	readyPatience = 3 * time.Minute
	// stopPatience is how long a component may take to end by itself before it is killed.
	stopPatience = 20 * time.Second
	poll         = 50 * time.Millisecond
)

// process is a component that this process started.
type process struct {
	ended chan struct{}
	err   error // to be read after ended
}

// StartComponent starts a component that does not run, on its own port and data, and waits until it is ready.
func (cp *ControlPlane) StartComponent(ctx context.Context, component string) error {
	if err := cp.launch(component); err != nil {
		return err
	}
	return cp.waitUntilReady(ctx, component)
}

func (cp *ControlPlane) launch(component string) error {
	if !slices.Contains(Everything(), component) {
		return fmt.Errorf("there is no component %q; there are %q", component, Everything())
	}
	if cp.Running(component) {
		return fmt.Errorf("start %s: it runs already", component)
	}
	log, err := os.OpenFile(cp.LogFile(component), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(cp.binaries.Path(component), cp.arguments(component)...)
	command.Stdout, command.Stderr = log, log
	command.Dir = cp.dir
	command.Env = cp.environment()
	if err := launch(command, cp.detached); err != nil {
		return fmt.Errorf("start %s: %w", component, err)
	}
	started := &process{ended: make(chan struct{})}
	// Before it is waited for, the process is there to be identified even if it has ended; then it is not alive.
	id, _ := identify(command.Process.Pid)
	go func() {
		defer close(started.ended)
		started.err = command.Wait()
	}()

	cp.mu.Lock()
	defer cp.mu.Unlock()
	cp.processes[component] = started
	cp.state.Running[component] = id
	return cp.state.save(cp.dir)
}

// environment is this process's own, without what would change a component's settings behind its flags.
func (cp *ControlPlane) environment() []string {
	own := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "ETCD_") || strings.HasPrefix(variable, "KWOK_")
	})
	// kwok reads the configuration of the user's own kwok first, in a folder that this moves away.
	return append(own, "KWOK_WORKDIR="+cp.path("kwok"))
}

// Running tells whether a component's process is there; whether it is ready is another matter.
func (cp *ControlPlane) Running(component string) bool {
	id, _, ok := cp.process(component)
	return ok && id.alive()
}

// PID returns the number of a component's process, or 0 when it does not run.
func (cp *ControlPlane) PID(component string) int {
	id, _, ok := cp.process(component)
	if !ok || !id.alive() {
		return 0
	}
	return id.PID
}

func (cp *ControlPlane) process(component string) (identity, *process, bool) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	id, ok := cp.state.Running[component]
	return id, cp.processes[component], ok
}

// Signal sends any signal to a component, like SIGSTOP and SIGCONT.
func (cp *ControlPlane) Signal(component string, signal syscall.Signal) error {
	id, _, ok := cp.process(component)
	if !ok || !id.alive() {
		return fmt.Errorf("send %s to %s: it does not run; its log is %s", signal, component, cp.LogFile(component))
	}
	return id.signal(signal)
}

// Kill ends a component as kill -9 does, and waits until it is gone. StartComponent brings it back.
func (cp *ControlPlane) Kill(component string) error {
	if err := cp.Signal(component, syscall.SIGKILL); err != nil {
		return err
	}
	return cp.waitUntilGone(component, stopPatience)
}

// StopComponent asks a component to end, and kills it if it does not. One that does not run is no error.
func (cp *ControlPlane) StopComponent(component string) error {
	id, _, ok := cp.process(component)
	if !ok {
		return nil
	}
	// A stopped process would see the first of these only after the second.
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGCONT} {
		if err := id.signal(signal); err != nil {
			return fmt.Errorf("stop %s, process %d: %w", component, id.PID, err)
		}
	}
	if cp.waitUntilGone(component, stopPatience) == nil {
		return nil
	}
	if err := id.signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("kill %s, process %d: %w", component, id.PID, err)
	}
	return cp.waitUntilGone(component, stopPatience)
}

// Restart stops a component and starts it again.
func (cp *ControlPlane) Restart(ctx context.Context, component string) error {
	if err := cp.StopComponent(component); err != nil {
		return err
	}
	return cp.StartComponent(ctx, component)
}

func (cp *ControlPlane) waitUntilGone(component string, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, child, _ := cp.process(component)
	if child != nil {
		select {
		case <-child.ended:
		case <-ctx.Done():
		}
	} else {
		_ = wait.PollUntilContextCancel(ctx, poll, true, func(context.Context) (bool, error) { return !id.alive(), nil })
	}
	if id.alive() {
		return fmt.Errorf("%s, process %d, has not ended after %s", component, id.PID, patience)
	}
	cp.mu.Lock()
	defer cp.mu.Unlock()
	delete(cp.state.Running, component)
	delete(cp.processes, component)
	if _, err := os.Stat(cp.dir); errors.Is(err, os.ErrNotExist) {
		return nil // somebody removed the state before its processes
	}
	return cp.state.save(cp.dir)
}
