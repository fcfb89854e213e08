package controlplane_test

import (
	"context"
	"os"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

const patience = time.Minute

// shared is one control plane for the tests that leave it as they found it.
var shared *controlplane.ControlPlane

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashingEnv); dir != "" {
		startAndCrash(dir)
	}
	options := controlplane.Options{Nodes: 2}
	os.Exit(controlplane.Main(m, options, func(_ context.Context, started *controlplane.ControlPlane) error {
		shared = started
		return nil
	}))
}

func clients(t *testing.T, cp *controlplane.ControlPlane) kubernetes.Interface {
	t.Helper()
	clients, err := kubernetes.NewForConfig(cp.RESTConfig())
	require(t, err)
	return clients
}

// eventually waits for a condition. An error is an answer that passes; the last one is told when time is up.
func eventually(t *testing.T, what string, condition func(context.Context) (bool, error)) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, patience, true, func(ctx context.Context) (bool, error) {
		done, err := condition(ctx)
		last = err
		return done, nil
	})
	if err != nil {
		t.Fatalf("%s: %v (last answer: %v)", what, err, last)
	}
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
