package account

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

// replica is an operator that is kept running, as a kubelet keeps a container.
type replica struct {
	name    string
	program string
	args    []string
	probes  string
	log     *os.File

	mu      sync.Mutex
	command *exec.Cmd
	ended   chan struct{}
	held    bool // it is not started again for now
	crashes int  // it ended by itself
}

// newReplica is an operator as it is installed, with intervals of a minute, that is
// not started yet.
func newReplica(cp *controlplane.ControlPlane, program, folder, name string) (*replica, error) {
	kubeconfig := filepath.Join(folder, "kubeconfig-"+name)
	if err := cp.ServiceAccountKubeconfig(context.Background(), operatorNamespace, "usage-operator", kubeconfig); err != nil {
		return nil, err
	}
	probes, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(folder, "operator-"+name+".log"))
	if err != nil {
		return nil, err
	}
	return &replica{name: name, program: program, probes: probes, log: log, args: []string{
		"--kubeconfig=" + kubeconfig, "--namespace=" + operatorNamespace, "--interval=1m", "--live-refresh=0",
		"--health-probe-bind-address=" + probes, "--metrics-bind-address=0", "--usage-api-bind-address=0",
	}}, nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// start starts it, unless it runs.
func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	if r.command != nil {
		return nil
	}
	fmt.Fprintf(r.log, "==> %s: started\n", time.Now().UTC().Format("15:04:05.000"))
	r.command = exec.Command(r.program, r.args...)
	r.command.Stdout, r.command.Stderr = r.log, r.log
	if err := controlplane.Launch(r.command); err != nil {
		r.command = nil
		return err
	}
	command, ended := r.command, make(chan struct{})
	r.ended = ended
	go func() {
		_ = command.Wait()
		r.mu.Lock()
		fmt.Fprintf(r.log, "==> %s: ended, %s\n", time.Now().UTC().Format("15:04:05.000"), command.ProcessState)
		r.command = nil
		if !r.held {
			r.crashes++
		}
		r.mu.Unlock()
		close(ended)
	}()
	return nil
}

// keep starts it again whenever it has ended by itself, until ctx is done.
func (r *replica) keep(ctx context.Context) {
	for ctx.Err() == nil {
		r.mu.Lock()
		down := r.command == nil && !r.held
		r.mu.Unlock()
		if down {
			_ = r.start()
		}
		pause(ctx, time.Second)
	}
}

// kill is kill -9. It is not started again until start is called.
func (r *replica) kill() {
	r.mu.Lock()
	r.held = true
	command, ended := r.command, r.ended
	if command != nil {
		_ = command.Process.Kill()
	}
	r.mu.Unlock()
	if command != nil {
		<-ended
	}
}

// signal sends a signal, if it runs.
func (r *replica) signal(signal syscall.Signal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.command != nil {
		_ = r.command.Process.Signal(signal)
	}
}

// ready tells whether it meters, or stands by.
func (r *replica) ready(ctx context.Context) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.probes+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// complaints are the lines of its log that tell of a bug.
func (r *replica) complaints() []string {
	text, err := os.ReadFile(r.log.Name())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		for _, word := range []string{"panic:", "DATA RACE", "fatal error:"} {
			if bytes.Contains(lines.Bytes(), []byte(word)) {
				found = append(found, r.name+": "+lines.Text())
			}
		}
	}
	return found
}

// pause waits, or until ctx is done.
func pause(ctx context.Context, length time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(length):
	}
}
