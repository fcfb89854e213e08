package controlplane

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/usage-operator/usage-operator/test/buildcache"
)

// EnvAssets is the environment variable that names a folder with programs to prefer to our own, as for envtest.
const EnvAssets = "KUBEBUILDER_ASSETS"

// recipe is a part of the cache key: change it when programs must be built anew though no module has changed.
const recipe = "1"

// Binaries are the programs of a control plane on this machine.
type Binaries struct {
	// Dir is the cache folder with all that was built here. Programs from KUBEBUILDER_ASSETS are not in it.
	Dir string `json:"dir"`
	// Paths has each program's file by its name.
	Paths map[string]string `json:"paths"`
	// KwokStages is kwok's own account of how nodes and pods live, as a configuration file.
	KwokStages string `json:"kwokStages"`
}

// Path returns a program's file.
func (b Binaries) Path(name string) string { return b.Paths[name] }

type program struct {
	name, module, pkg string
}

// programs are built in this order, the biggest first: what is compiled for it serves the next.
var programs = []program{
	{Etcd, "etcd", "go.etcd.io/etcd/server/v3"},
	{"etcdctl", "etcd", "go.etcd.io/etcd/etcdctl/v3"},
	{APIServer, "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{ControllerManager, "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	{Scheduler, "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"},
	{"kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"},
	{Kwok, "kwok", "sigs.k8s.io/kwok/cmd/kwok"},
}

// Build returns the programs, after it has built those that neither KUBEBUILDER_ASSETS nor the cache has.
// Built once, they serve every checkout that pins the same versions. It prints nothing when nothing is missing.
func Build(ctx context.Context, progress io.Writer) (Binaries, error) {
	binaries, modules, err := locate(ctx)
	if err != nil {
		return Binaries{}, err
	}
	if len(binaries.missing()) == 0 {
		return binaries, nil
	}
	fmt.Fprintf(progress, "building the control plane into %s; this is done once, and takes some minutes\n", binaries.Dir)
	unlock, err := buildcache.Lock(ctx, binaries.Dir+".lock", progress)
	if err != nil {
		return Binaries{}, err
	}
	defer unlock()

	for _, name := range binaries.missing() { // again: another process may have built them meanwhile
		if err := binaries.build(ctx, name, modules, progress); err != nil {
			return Binaries{}, err
		}
	}
	return binaries, nil
}

// AssetsDir returns the cache folder that Build fills for this checkout's pinned versions.
func AssetsDir(ctx context.Context) (string, error) {
	binaries, _, err := locate(ctx)
	return binaries.Dir, err
}

// locate tells where each program is or would be, and the folder of the modules that pin them.
func locate(ctx context.Context) (Binaries, string, error) {
	checkout, err := buildcache.Checkout()
	if err != nil {
		return Binaries{}, "", err
	}
	modules := filepath.Join(checkout, "hack", "controlplane")
	key, err := cacheKey(ctx, modules)
	if err != nil {
		return Binaries{}, "", err
	}
	cache, err := buildcache.Dir()
	if err != nil {
		return Binaries{}, "", err
	}
	dir := filepath.Join(cache, "controlplane", key)
	binaries := Binaries{Dir: dir, Paths: map[string]string{}, KwokStages: filepath.Join(dir, "kwok-stages.yaml")}
	assets := os.Getenv(EnvAssets)
	if assets != "" {
		// Components run in another folder.
		if assets, err = filepath.Abs(assets); err != nil {
			return Binaries{}, "", err
		}
	}
	for _, program := range programs {
		binaries.Paths[program.name] = filepath.Join(dir, program.name)
		if asset := filepath.Join(assets, program.name); assets != "" && buildcache.Exists(asset) {
			binaries.Paths[program.name] = asset
		}
	}
	return binaries, modules, nil
}

func cacheKey(ctx context.Context, modules string) (string, error) {
	inputs := []string{recipe, runtime.GOOS, runtime.GOARCH}
	for _, module := range []string{"etcd", "kubernetes", "kwok"} {
		dir := filepath.Join(modules, module)
		version, err := buildcache.GoVersion(ctx, dir)
		if err != nil {
			return "", err
		}
		inputs = append(inputs, version)
		for _, file := range []string{"go.mod", "go.sum"} {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				return "", err
			}
			inputs = append(inputs, string(text))
		}
	}
	return buildcache.Key(inputs...), nil
}

// missing returns the names of the programs, and of kwok's stages, that are not there.
func (b Binaries) missing() []string {
	var names []string
	for _, program := range programs {
		if !buildcache.Exists(b.Paths[program.name]) {
			names = append(names, program.name)
		}
	}
	if !buildcache.Exists(b.KwokStages) {
		names = append(names, stages)
	}
	return names
}

func (b Binaries) build(ctx context.Context, name string, modules string, progress io.Writer) error {
	if name == stages {
		return writeKwokStages(ctx, filepath.Join(modules, "kwok"), b.KwokStages)
	}
	for i, program := range programs {
		if program.name != name {
			continue
		}
		module := filepath.Join(modules, program.module)
		flags, err := linkerFlags(ctx, module, program)
		if err != nil {
			return err
		}
		return buildcache.Program{
			Label:       fmt.Sprintf("[%d/%d] %s", i+1, len(programs), name),
			Module:      module,
			Package:     program.pkg,
			LinkerFlags: flags,
		}.Build(ctx, b.Paths[name], progress)
	}
	return fmt.Errorf("there is no program %q", name)
}

// linkerFlags put in the version that Kubernetes' own build would put in; without it, they call themselves v0.0.0.
// etcd and kwok know theirs.
func linkerFlags(ctx context.Context, module string, program program) (string, error) {
	if program.module != "kubernetes" {
		return "", nil
	}
	kubernetes, err := buildcache.Required(ctx, module, "k8s.io/kubernetes")
	if err != nil {
		return "", err
	}
	major, rest, _ := strings.Cut(strings.TrimPrefix(kubernetes.Version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags,
			"-X "+pkg+".gitVersion="+kubernetes.Version,
			"-X "+pkg+".gitMajor="+major,
			"-X "+pkg+".gitMinor="+minor,
			"-X "+pkg+".gitTreeState=clean")
	}
	return strings.Join(flags, " "), nil
}
