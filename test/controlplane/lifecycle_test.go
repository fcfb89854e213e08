package controlplane_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

func TestComponentsThatAreKilledComeBackWithTheirData(t *testing.T) {
	clients := clients(t, shared)
	namespace := newNamespace(t, clients)
	_, err := clients.CoreV1().ConfigMaps(namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "kept"},
	}, metav1.CreateOptions{})
	require(t, err)
	for _, component := range []string{controlplane.APIServer, controlplane.Etcd} {
		require(t, shared.Kill(component))
		if shared.Running(component) {
			t.Fatalf("%s runs after it was killed", component)
		}
		require(t, shared.StartComponent(t.Context(), component))
	}
	eventually(t, "the config map can be read", func(ctx context.Context) (bool, error) {
		_, err := clients.CoreV1().ConfigMaps(namespace).Get(ctx, "kept", metav1.GetOptions{})
		return err == nil, err
	})
	// Controllers go on, too: this one makes a service account for each new namespace.
	after := newNamespace(t, clients)
	eventually(t, "a new namespace has its service account", func(ctx context.Context) (bool, error) {
		_, err := clients.CoreV1().ServiceAccounts(after).Get(ctx, "default", metav1.GetOptions{})
		return err == nil, err
	})
}

func TestAnotherProcessCanStopWhatIsDetached(t *testing.T) {
	started, err := controlplane.Start(t.Context(), controlplane.Options{
		Dir:        t.TempDir(),
		Components: controlplane.APIOnly(),
		Detached:   true,
	})
	require(t, err)
	t.Cleanup(func() { require(t, started.Stop()) })
	_, err = controlplane.Start(t.Context(), controlplane.Options{Dir: started.Dir()})
	if err == nil {
		t.Error("a second control plane started in the folder of the first")
	}

	attached, err := controlplane.Attach(started.Dir(), io.Discard)
	require(t, err)
	pids := map[string]int{}
	for _, component := range controlplane.APIOnly() {
		pids[component] = attached.PID(component)
		if pids[component] == 0 {
			t.Errorf("%s does not run", component)
		}
	}
	require(t, attached.Stop())
	for component, pid := range pids {
		if attached.Running(component) || started.Running(component) {
			t.Errorf("%s still runs, as process %d", component, pid)
		}
	}
}

func TestAComponentThatEndsEarlySaysWhyInTheError(t *testing.T) {
	cp, err := controlplane.Start(t.Context(), controlplane.Options{
		Dir:        t.TempDir(),
		Components: []string{controlplane.Etcd},
		ExtraArgs:  map[string][]string{controlplane.Etcd: {"--name=stranger"}},
	})
	if err == nil {
		require(t, cp.Stop())
		t.Fatal("etcd started under a name that is not in its cluster")
	}
	if !strings.Contains(err.Error(), "stranger") {
		t.Errorf("the error is %q, without the cause", err)
	}
}

// crashingEnv makes this test's own program start etcd in the folder that it names, print its number, and wait to be
// killed.
const crashingEnv = "CONTROLPLANE_TEST_CRASHING"

func startAndCrash(dir string) {
	cp, err := controlplane.Start(context.Background(), controlplane.Options{
		Dir:        dir,
		Components: []string{controlplane.Etcd},
	})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cp.PID(controlplane.Etcd))
	select {}
}

func TestComponentsDieWithAProcessThatIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends children with their parent")
	}
	self, err := os.Executable()
	require(t, err)
	parent := exec.Command(self)
	dir := t.TempDir()
	parent.Env = append(os.Environ(), crashingEnv+"="+dir)
	out, err := parent.StdoutPipe()
	require(t, err)
	require(t, parent.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require(t, err)
	if _, err := strconv.Atoi(strings.TrimSpace(line)); err != nil {
		t.Fatalf("the process that is to be killed says %q, want etcd's number", line)
	}
	orphan, err := controlplane.Attach(dir, io.Discard)
	require(t, err)
	if !orphan.Running(controlplane.Etcd) {
		t.Fatal("etcd does not run before its parent is killed")
	}
	require(t, parent.Process.Signal(syscall.SIGKILL))
	_ = parent.Wait()
	eventually(t, "etcd has died with its parent", func(context.Context) (bool, error) {
		return !orphan.Running(controlplane.Etcd), nil
	})
}
