package buildcache

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Module is one Go module on this machine.
type Module struct {
	Path, Version, Dir, Sum, Error string
}

// GoVersion returns the version of Go that builds the module in dir.
func GoVersion(ctx context.Context, dir string) (string, error) {
	out, err := runGo(ctx, dir, "env", "GOVERSION")
	return strings.TrimSpace(string(out)), err
}

// Required returns the module that the go.mod in dir requires under this path.
func Required(ctx context.Context, dir, path string) (Module, error) {
	out, err := runGo(ctx, dir, "list", "-m", "-json", path)
	if err != nil {
		return Module{}, err
	}
	module := Module{}
	if err := json.Unmarshal(out, &module); err != nil {
		return Module{}, fmt.Errorf("read what go list says of %s: %w", path, err)
	}
	if module.Dir != "" {
		return module, nil
	}
	// Listing does not fetch. Nothing else in the module's graph is needed, so neither does this fetch it.
	return Download(ctx, module.Path, module.Version)
}

// Download fetches one module outside any module, so that no go.mod and go.sum are involved.
func Download(ctx context.Context, path, version string) (Module, error) {
	module := Module{}
	out, err := runGo(ctx, os.TempDir(), "mod", "download", "-json", path+"@"+version)
	if jsonErr := json.Unmarshal(out, &module); jsonErr == nil && module.Error != "" {
		err = errors.New(module.Error)
	} else if err == nil {
		err = jsonErr
	}
	if err != nil {
		return Module{}, fmt.Errorf("fetch the module %s@%s; is the Go module proxy reachable? %w", path, version, err)
	}
	return module, nil
}

func runGo(ctx context.Context, dir string, args ...string) ([]byte, error) {
	command := goCommand(ctx, dir, args...)
	stderr := &bytes.Buffer{}
	command.Stderr = stderr
	out, err := command.Output()
	if err != nil {
		return out, fmt.Errorf("go %s in %s: %w\n%s", strings.Join(args, " "), dir, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// goCommand is the go command, for this machine. It compiles with the flags that `go run`, `go build` and `go test` have by
// themselves, so that a package that two of them need is compiled once.
func goCommand(ctx context.Context, dir string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, "go", args...)
	command.Dir = dir
	command.Env = append(os.Environ(),
		"PWD="+dir,
		// An empty GOFLAGS would give way to one set by `go env -w`; this is Go's own default, spelt out.
		"GOFLAGS=-mod=readonly",
		"GOWORK=off",
		"GOOS="+runtime.GOOS,
		"GOARCH="+runtime.GOARCH,
	)
	return command
}
