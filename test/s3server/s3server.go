// Package s3server builds a real S3 server from its Go module, and starts it on the loopback interface for a test.
package s3server

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

// Who may do everything on the server.
const (
	AccessKey = "archive-tests"
	SecretKey = "not-a-secret-of-anybody"
)

// Start starts a server that keeps its buckets as folders of root until the test ends, and returns its address.
func Start(t testing.TB, root string) string {
	t.Helper()
	program := build(t)
	port := freePort(t)
	address := fmt.Sprintf("127.0.0.1:%d", port)
	command := exec.Command(program, "--port", address, "--quiet", "posix", "--sidecar", t.TempDir(), root)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	output, err := os.Create(filepath.Join(t.TempDir(), "s3.log"))
	if err != nil {
		t.Fatal(err)
	}
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		_ = output.Close()
	})
	err = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address, nil)
		if err != nil {
			return false, err
		}
		answer, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = answer.Body.Close()
		}
		return err == nil, nil
	})
	if err != nil {
		said, _ := os.ReadFile(output.Name())
		t.Fatalf("the S3 server does not answer: %v\n%s", err, said)
	}
	return "http://" + address
}

// build returns the program, which is built once per machine.
func build(t testing.TB) string {
	t.Helper()
	checkout, err := buildcache.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(checkout, "hack", "controlplane", "versitygw")
	inputs := []string{runtime.GOOS, runtime.GOARCH}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, string(text))
	}
	dir, err := buildcache.Folder(t.Context(), "s3server", buildcache.Key(inputs...), io.Discard, func(dir string) error {
		return buildcache.Program{
			Label: "versitygw", Module: module, Package: "github.com/versity/versitygw/cmd/versitygw",
		}.Build(t.Context(), filepath.Join(dir, "versitygw"), io.Discard)
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "versitygw")
}

func freePort(t testing.TB) int {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}
