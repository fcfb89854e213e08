package controlplane

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

const stateFile = "state.json"

// state is what another process needs to know in order to take over a control plane.
type state struct {
	Components        []string            `json:"components"`
	Ports             map[string]int      `json:"ports"`
	EtcdUnsafeNoFsync bool                `json:"etcdUnsafeNoFsync,omitempty"`
	ExtraArgs         map[string][]string `json:"extraArgs,omitempty"`
	Detached          bool                `json:"detached,omitempty"`
	Binaries          Binaries            `json:"binaries"`
	// Running has an entry per component that was started and not stopped since.
	Running map[string]identity `json:"running"`
}

// etcdPeers names etcd's second port, for the peers that it has none of.
const etcdPeers = "etcd-peers"

var portNames = []string{Etcd, etcdPeers, APIServer, ControllerManager, Scheduler, Kwok}

var portsNeeded = len(portNames)

func newState(options Options, binaries Binaries, ports []int) state {
	named := map[string]int{}
	for i, name := range portNames {
		named[name] = ports[i]
	}
	return state{
		Components:        slices.Clone(options.Components),
		Ports:             named,
		EtcdUnsafeNoFsync: options.EtcdUnsafeNoFsync,
		ExtraArgs:         options.ExtraArgs,
		Detached:          options.Detached,
		Binaries:          binaries,
		Running:           map[string]identity{},
	}
}

func hasState(dir string) bool {
	return buildcache.Exists(filepath.Join(dir, stateFile))
}

func (s state) save(dir string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(dir, stateFile)
	if err := os.WriteFile(path+".partial", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".partial", path)
}

// ErrNoControlPlane means that a folder holds no control plane's state.
var ErrNoControlPlane = errors.New("no control plane's state there")

// Attach takes over the control plane whose state is in dir, running or not, from the process that started it.
// Two processes must not change what it runs at the same time.
func Attach(dir string, progress io.Writer) (*ControlPlane, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, stateFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", path, ErrNoControlPlane)
	}
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{dir: dir, progress: progress, processes: map[string]*process{}}
	if err := json.Unmarshal(text, &cp.state); err != nil {
		return nil, fmt.Errorf("read %s; remove the folder once none of its components runs: %w", path, err)
	}
	cp.detached, cp.binaries = cp.state.Detached, cp.state.Binaries
	cp.pki, err = loadPKI(cp.path("pki"))
	return cp, err
}
