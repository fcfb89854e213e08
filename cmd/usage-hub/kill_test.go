package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/util/wait"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// replica is a process that serves.
type replica struct {
	program, address string
	process          *exec.Cmd
}

func (r *replica) start(t *testing.T) {
	t.Helper()
	r.process = exec.Command(r.program, "serve", "--plain-http", "--address", r.address, "--probe-address", "127.0.0.1:0")
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
}

// kill ends the process as if by kill -9.
func (r *replica) kill() {
	_ = r.process.Process.Kill()
	_ = r.process.Wait()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// memory is a journal's store, that keeps what is written.
type memory struct {
	blocks []journal.Stored
}

func (m *memory) Create(_ context.Context, key journal.Key, spec []byte) error {
	m.blocks = append(m.blocks, journal.Stored{Key: key, Spec: spec})
	return nil
}

func (m *memory) Get(_ context.Context, key journal.Key) (journal.Stored, error) {
	return m.blocks[key.From-1], nil
}
func (m *memory) Keys(context.Context) ([]journal.Key, error)            { return nil, nil }
func (m *memory) List(context.Context, func(journal.Stored) error) error { return nil }
func (m *memory) Delete(context.Context, journal.Key) error              { return nil }

// write writes a journal of so many blocks.
func write(t *testing.T, uid string, n int) []journal.Stored {
	t.Helper()
	clock, kept := clocktesting.NewFakeClock(time.Unix(1795284000, 0)), &memory{}
	j := journal.New(journal.Options{Store: kept, Writer: "w", Cluster: uid, Clock: clock, Log: logr.Discard()})
	if _, err := j.Load(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		batch := &journal.Batch{Time: 1795280000 + int64(i)}
		for row := range 50 {
			batch.Changes = append(batch.Changes, usage.Change{Kind: usage.Put, Segment: usage.Segment{
				Meter: "vm", Subject: &usage.Subject{ResourceType: "vm", Resource: usage.Object{UID: fmt.Sprint(i, "-", row)}},
				Dimension: usage.Dimension{Name: "vcpu", Unit: usage.Core}, Level: 1000, Start: usage.Boundary{At: batch.Time, Evidence: usage.Observed},
			}})
		}
		if err := j.Append(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	return kept.blocks
}

// Replicas end as by kill -9, while clusters send to any of them, and again until they are
// answered: every ledger adds up, and is the cluster's own.
func TestKillsLoseNothing(t *testing.T) {
	const clusters, blocks, kills = 3, 80, 12
	t.Setenv(environment, postgres.Start(t).Database(t, "hub"))
	binary := filepath.Join(t.TempDir(), "usage-hub")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if status, _, stderr := run(t, "migrate"); status != exitDone {
		t.Fatal(stderr)
	}
	replicas := []*replica{{program: binary, address: freeAddress(t)}, {program: binary, address: freeAddress(t)}}
	for _, r := range replicas {
		r.start(t)
		t.Cleanup(func() { r.kill() })
	}
	var sent, again atomic.Int64
	var sending sync.WaitGroup
	heads := make([]string, clusters)
	for c := range clusters {
		uid := fmt.Sprintf("00000000-0000-4000-8000-%012x", c+1)
		_, token, stderr := run(t, "enrol", uid, "--name", "a cluster")
		if token == "" {
			t.Fatal(stderr)
		}
		history := write(t, uid, blocks)
		heads[c] = digestOf(t, history[blocks-1])
		sending.Go(func() {
			for n, block := range history {
				for try := n; t.Context().Err() == nil; try++ {
					if put(t, replicas[try%2].address, uid, strings.TrimSpace(token), block) {
						break
					}
					again.Add(1)
				}
				sent.Add(1)
			}
		})
	}
	for kill := range kills {
		reached := int64(clusters * blocks / (kills + 1) * (kill + 1))
		if err := wait.PollUntilContextTimeout(t.Context(), time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) {
			return sent.Load() >= reached, nil
		}); err != nil {
			t.Fatal(err)
		}
		replicas[kill%2].kill()
		replicas[kill%2].start(t)
	}
	sending.Wait()
	t.Logf("%d blocks, and %d answers that did not come", sent.Load(), again.Load())
	for c := range clusters {
		status, stdout, stderr := run(t, "verify", fmt.Sprintf("00000000-0000-4000-8000-%012x", c+1))
		for _, said := range []string{"All of it adds up.", fmt.Sprintf("%d, up to sequence %d", blocks, blocks), fmt.Sprintf("%d, which add up to %d", 50*blocks, 50*blocks), heads[c]} {
			if status != exitDone || !strings.Contains(stdout, said) {
				t.Errorf("verify does not say %q: %s%s", said, stdout, stderr)
			}
		}
	}
}

func digestOf(t *testing.T, block journal.Stored) string {
	t.Helper()
	b, err := journal.Open(block)
	if err != nil {
		t.Fatal(err)
	}
	return b.Digest.String()
}

// put sends a block, and tells whether it was acknowledged. A refusal that does not pass fails the test.
func put(t *testing.T, address, uid, token string, block journal.Stored) bool {
	url := fmt.Sprintf("http://%s/v1alpha1/clusters/%s/blocks/%s", address, uid, block.Key)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, url, bytes.NewReader(block.Spec))
	if err != nil {
		t.Error(err)
		return true
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	switch answer.StatusCode {
	case http.StatusOK:
		return true
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return false
	}
	t.Errorf("block %s: %s: %s", block.Key, answer.Status, body)
	return true
}
