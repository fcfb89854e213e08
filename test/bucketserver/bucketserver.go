// Package bucketserver builds real servers of what clouds keep objects in, and starts them on the loopback interface for a test.
package bucketserver

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

// Who may do everything on the S3 server.
const (
	AccessKey = "archive-tests"
	SecretKey = "not-a-secret-of-anybody"
)

// S3 starts a server that keeps its buckets as folders of root until the test ends, and returns its address.
func S3(t testing.TB, root string) string {
	t.Helper()
	program := goProgram(t, "versitygw", "github.com/versity/versitygw/cmd/versitygw")
	address := freeAddress(t)
	command := exec.Command(program, "--port", address, "--quiet", "posix", "--sidecar", t.TempDir(), root)
	command.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	return run(t, command, address)
}

// GCS starts a server that speaks Google Cloud Storage's JSON API, asks for no credentials, and keeps
// its buckets as folders of root until the test ends. It returns its address.
func GCS(t testing.TB, root string) string {
	t.Helper()
	program := goProgram(t, "fakegcs", "github.com/fsouza/fake-gcs-server")
	address := freeAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, exec.Command(program, "-scheme", "http", "-host", "127.0.0.1", "-port", port, "-public-host", address,
		"-external-url", "http://"+address, "-backend", "filesystem", "-filesystem-root", root), address)
}

// The account that Azurite has, as its documentation says.
const (
	AzureAccount = "devstoreaccount1"
	AzureKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
	// azurite is the package that is installed.
	azurite = "azurite@3.37.0"
)

// Azure starts Microsoft's server of Azure Blob Storage until the test ends, and returns its address. It
// is a program of Node.js, which npm installs once per machine.
func Azure(t testing.TB) string {
	t.Helper()
	dir, err := buildcache.Folder(t.Context(), "azurite", buildcache.Key(azurite), io.Discard, func(dir string) error {
		npm := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund", "--silent", azurite)
		npm.Stderr = os.Stderr
		return npm.Run()
	})
	if err != nil {
		t.Fatalf("install %s with npm: %v", azurite, err)
	}
	address := freeAddress(t)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, exec.Command(filepath.Join(dir, "node_modules", ".bin", "azurite-blob"), "--blobHost", host, "--blobPort", port,
		"--location", t.TempDir(), "--silent", "--skipApiVersionCheck"), address)
}

// run starts a server until the test ends, waits until it answers at the address, and returns its URL.
func run(t testing.TB, command *exec.Cmd, address string) string {
	t.Helper()
	output, err := os.Create(filepath.Join(t.TempDir(), "server.log"))
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
		t.Fatalf("%s does not answer: %v\n%s", filepath.Base(command.Path), err, said)
	}
	return "http://" + address
}

// goProgram is a program of a module in hack/controlplane, which is built once per machine.
func goProgram(t testing.TB, name, of string) string {
	t.Helper()
	checkout, err := buildcache.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(checkout, "hack", "controlplane", name)
	inputs := []string{runtime.GOOS, runtime.GOARCH}
	for _, file := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(module, file))
		if err != nil {
			t.Fatal(err)
		}
		inputs = append(inputs, string(text))
	}
	dir, err := buildcache.Folder(t.Context(), name, buildcache.Key(inputs...), io.Discard, func(dir string) error {
		return buildcache.Program{Label: name, Module: module, Package: of}.Build(t.Context(), filepath.Join(dir, name), io.Discard)
	})
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return fmt.Sprint(listener.Addr())
}
