package main

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/usage-operator/usage-operator/test/buildcache"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

func TestDownLeavesNothingOfWhatUpStarted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	t.Cleanup(func() { require(t, run(context.Background(), []string{"down", "--dir", dir})) })
	require(t, run(t.Context(), []string{"up", "--dir", dir, "--nodes", "1"}))
	first := pids(t, dir)
	require(t, run(t.Context(), []string{"up", "--dir", dir}))
	for component, pid := range pids(t, dir) {
		if pid == 0 || pid != first[component] {
			t.Errorf("%s is process %d after a second up, want %d, which was there", component, pid, first[component])
		}
	}
	require(t, run(t.Context(), []string{"status", "--dir", dir}))

	attached, err := attach(dir)
	require(t, err)
	require(t, attached.Kill(controlplane.Kwok))
	if err := run(t.Context(), []string{"status", "--dir", dir}); !errors.Is(err, errNotRunning) {
		t.Errorf("status without kwok: %v, want %v", err, errNotRunning)
	}
	require(t, run(t.Context(), []string{"down", "--dir", dir}))
	if left := len(first) - len(stopped(attached)); left > 0 {
		t.Errorf("%d components still run after down", left)
	}
	if buildcache.Exists(dir) {
		t.Errorf("down left the state in %s", dir)
	}
}

func pids(t *testing.T, dir string) map[string]int {
	t.Helper()
	cp, err := attach(dir)
	require(t, err)
	pids := map[string]int{}
	for _, component := range cp.Components() {
		pids[component] = cp.PID(component)
	}
	return pids
}

func require(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
