package soak

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const (
	// containerMemory is the limit of the Deployment's container, and runtimeMemory what the operator gives the Go
	// runtime of it.
	containerMemory = 1 << 30
	runtimeMemory   = containerMemory / 10 * 9
	// flat is how much more may be resident in the last quarter of the attack than in its second one, in percent.
	flat = 25
	// long is a run in which that is looked at.
	long = 5 * time.Minute
)

// operator is a process.
type operator struct {
	program, usage, log string
	command             *exec.Cmd
}

func (s *stage) startOperator(ctx context.Context) *operator {
	o := &operator{program: filepath.Join(s.folder, "usage-operator"), log: filepath.Join(s.folder, "operator.log"), usage: s.freeAddress()}
	s.run(exec.CommandContext(ctx, "go", "build", "-o", o.program, "../.."))
	kubeconfig := filepath.Join(s.folder, "kubeconfig")
	s.must(s.cp.ServiceAccountKubeconfig(ctx, operatorNamespace, "usage-operator", kubeconfig))
	log, err := os.Create(o.log)
	s.must(err)
	defer log.Close()
	o.command = exec.Command(o.program, "--kubeconfig="+kubeconfig, "--namespace="+operatorNamespace, "--interval=1m", "--live-refresh=0",
		"--health-probe-bind-address="+s.freeAddress(), "--metrics-bind-address=0", "--usage-api-bind-address="+o.usage)
	o.command.Env = append(os.Environ(), fmt.Sprint("GOMEMLIMIT=", runtimeMemory))
	o.command.Stdout, o.command.Stderr = log, log
	s.must(controlplane.Launch(o.command))
	ended := make(chan struct{})
	go func() {
		_ = o.command.Wait()
		if ctx.Err() == nil {
			s.Errorf("the operator ended: %s; see %s", o.command.ProcessState, o.log)
		}
		close(ended)
	}()
	s.Cleanup(func() {
		_ = o.command.Process.Kill()
		<-ended
	})
	return o
}

func (s *stage) freeAddress() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	defer listener.Close()
	return listener.Addr().String()
}

// memory is what was resident, second by second.
type memory struct {
	mu       sync.Mutex
	resident []int64 // MiB
	from, to int     // the samples of the attack
}

// watchMemory looks until ctx is done, and ends the operator as the kernel would.
func (o *operator) watchMemory(ctx context.Context) *memory {
	m := &memory{}
	go every(ctx, time.Second, func(int) {
		resident := o.resident()
		m.mu.Lock()
		m.resident = append(m.resident, resident>>20)
		m.mu.Unlock()
		if resident > containerMemory {
			_ = o.command.Process.Kill()
		}
	})
	return m
}

func (o *operator) resident() (bytes int64) {
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", o.command.Process.Pid))
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, is := strings.CutPrefix(lines.Text(), "VmRSS:"); is {
			_, _ = fmt.Sscan(rest, &bytes)
		}
	}
	return bytes << 10
}

// during notes that what is done meanwhile is what is judged: before it and after it nothing attacks.
func (m *memory) during(attack func()) {
	m.from = m.samples()
	attack()
	m.to = m.samples()
}

func (m *memory) samples() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.resident)
}

// most is what was resident at most in a part of the attack, in quarters.
func (m *memory) most(from, to int) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	attack := m.resident[m.from:m.to]
	return most(attack[len(attack)*from/4 : len(attack)*to/4])
}

// ever is what was resident at most, also before the attack and after it.
func (m *memory) ever() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return most(m.resident)
}

func most(resident []int64) (most int64) {
	for _, mib := range resident {
		most = max(most, mib)
	}
	return most
}

// wrong says what is wrong with the memory of an attack that lasted so long; "": nothing is.
func (m *memory) wrong(lasted time.Duration) string {
	if most := m.ever(); most == 0 || most > containerMemory>>20 {
		return fmt.Sprintf("%d MiB were resident: want some, and at most %d", most, containerMemory>>20)
	}
	early, late := m.most(1, 2), m.most(3, 4)
	if lasted >= long && late > early+early*flat/100 {
		return fmt.Sprintf("%d MiB were resident at most in the second quarter of the attack, and %d MiB in its last: want no more than %d %% more", early, late, flat)
	}
	return ""
}

func (m *memory) judge(t *testing.T, lasted time.Duration) {
	if wrong := m.wrong(lasted); wrong != "" {
		t.Error(wrong)
	}
}

func (m *memory) String() string {
	return fmt.Sprintf("resident at most, by quarters of the attack: %d, %d, %d, %d MiB", m.most(0, 1), m.most(1, 2), m.most(2, 3), m.most(3, 4))
}

// seals is what the journal says is sealed, and how long after its end that was seen at most.
type seals struct {
	since int64 // what ended before that is not looked at

	mu   sync.Mutex
	end  int64
	late time.Duration
}

func (l *seals) until() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.end
}

func (l *seals) latest() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.late
}

// watchSeals watches the journal until ctx is done.
func (s *stage) watchSeals(ctx context.Context) *seals {
	found := &seals{since: time.Now().Unix()}
	go every(ctx, time.Second, func(int) {
		events, err := s.admin.Watch(ctx, &v1alpha1.UsageBlockList{}, client.InNamespace(operatorNamespace))
		if err != nil {
			return
		}
		defer events.Stop()
		for event := range events.ResultChan() {
			if block, is := event.Object.(*v1alpha1.UsageBlock); is {
				found.see(block)
			}
		}
	})
	return found
}

func (l *seals) see(block *v1alpha1.UsageBlock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, seal := range block.Spec.Sealed {
		if end := seal.EndTime.Unix(); end > max(l.end, l.since) {
			l.end, l.late = end, max(l.late, time.Since(seal.EndTime.Time))
		}
	}
}
