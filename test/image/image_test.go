// Package image_test builds the operator's image as far as that goes without a container: from the files that
// .dockerignore admits, by the commands of the Dockerfile. It needs Go, and nothing else.
package image_test

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"go/version"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// platform is what an image is built for, in Go's words.
type platform struct{ system, architecture string }

// platforms are what images are built for. What they are compiled from is looked at for each; compiling takes minutes
// where nothing is cached, and is done for this machine.
var platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}

// TestContext compares what .dockerignore admits with what the operator is compiled from. More is a secret or a layer
// that is built anew for nothing, less is an image that does not build.
func TestContext(t *testing.T) {
	admitted, err := repositoryIgnores(t).files(repository)
	if err != nil {
		t.Fatal(err)
	}
	needed := map[string]bool{"go.mod": true, "go.sum": true}
	for _, p := range platforms {
		for _, file := range sources(t, p) {
			needed[file] = true
		}
	}
	for _, file := range admitted {
		if !needed[file] {
			t.Errorf("%s is part of the image's context, and the operator is not compiled from it: let .dockerignore exclude it", file)
		}
		delete(needed, file)
	}
	for file := range needed {
		t.Errorf("%s is not part of the image's context, and the operator is compiled from it: let .dockerignore admit it", file)
	}
}

// sources lists the files of this module that the operator and the hub are compiled from, relative to the repository.
func sources(t *testing.T, p platform) []string {
	t.Helper()
	root, err := filepath.Abs(repository)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=Dir,Module,GoFiles,CgoFiles,CFiles,CXXFiles,HFiles,SFiles,SysoFiles,EmbedFiles", ".", "./cmd/usage-hub")
	command.Dir = root
	command.Env = append(goEnvironment(), "PWD="+root, "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.architecture)
	stderr := &bytes.Buffer{}
	command.Stderr = stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	var files []string
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			Dir                                                                        string
			Module                                                                     *struct{ Main bool }
			GoFiles, CgoFiles, CFiles, CXXFiles, HFiles, SFiles, SysoFiles, EmbedFiles []string
		}
		if err := decoder.Decode(&listed); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if listed.Module == nil || !listed.Module.Main {
			continue
		}
		folder, err := filepath.Rel(root, listed.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range slices.Concat(listed.GoFiles, listed.CgoFiles, listed.CFiles, listed.CXXFiles,
			listed.HFiles, listed.SFiles, listed.SysoFiles, listed.EmbedFiles) {
			files = append(files, filepath.ToSlash(filepath.Join(folder, file)))
		}
	}
}

// TestImage builds the image for this machine, and runs what is in it.
func TestImage(t *testing.T) {
	const tag = "v1.2.3-test"
	image := buildImage(t, tag)
	if image.user == "" {
		t.Error("the image has no USER, so that it runs as root")
	}
	if len(image.entrypoint) == 0 {
		t.Fatal("the image has no ENTRYPOINT")
	}
	program := filepath.Join(image.root, image.entrypoint[0])
	if runtime.GOOS == "linux" {
		checkStatic(t, program)
	}
	hub := filepath.Join(image.root, "usage-hub")
	if runtime.GOOS == "linux" {
		checkStatic(t, hub)
	}
	if out, err := exec.CommandContext(t.Context(), hub, "version").Output(); err != nil || string(out) != "usage-hub "+tag+"\n" {
		t.Errorf("version of the hub in the image for VERSION=%s says %q (%v)", tag, out, err)
	}
	run := func(arguments ...string) (stdout, stderr string) {
		command := exec.CommandContext(t.Context(), program, slices.Concat(image.entrypoint[1:], arguments)...)
		command.Env = []string{} // a container has little more
		var out, err bytes.Buffer
		command.Stdout, command.Stderr = &out, &err
		if failure := command.Run(); failure != nil {
			t.Errorf("%v: %v\n%s", arguments, failure, err.String())
		}
		return out.String(), err.String()
	}
	if stdout, _ := run("--version"); stdout != "usage-operator "+tag+"\n" {
		t.Errorf("--version of the image for VERSION=%s says %q", tag, stdout)
	}
	if _, stderr := run("--help"); !strings.Contains(stderr, "--record-retention") {
		t.Errorf("--help says %q", stderr)
	}
	run("verify", "--help")
}

// checkStatic wants a program that needs no library, as the base image has none.
func checkStatic(t *testing.T, path string) {
	t.Helper()
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	for _, part := range program.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Errorf("the program has a %v: it is not static", part.Type)
		}
	}
}

// buildImage builds the image as make docker-build does on this machine, and returns its last stage.
func buildImage(t *testing.T, tag string) *stage {
	t.Helper()
	dockerfile, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{context: buildContext(t), work: t.TempDir(), arguments: map[string]string{
		"TARGETOS": runtime.GOOS, "TARGETARCH": runtime.GOARCH, "VERSION": tag,
	}}
	image, err := b.build(t.Context(), string(dockerfile))
	if err != nil {
		t.Fatalf("Dockerfile: %v", err)
	}
	return image
}

// TestBuilderIsNewEnough compares the Go of the image that builds with what go.mod requires: that image does not
// fetch another Go.
func TestBuilderIsNewEnough(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join(repository, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	tag := regexp.MustCompile(`(?m)^ARG BUILDER=golang:([\d.]+)(@sha256:[0-9a-f]{64})?$`).FindSubmatch(dockerfile)
	if tag == nil {
		t.Fatal("the Dockerfile has no ARG BUILDER=golang:VERSION")
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.GoVersion}}")
	list.Dir, list.Env = repository, goEnvironment()
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	builds, required := "go"+string(tag[1]), "go"+strings.TrimSpace(string(out))
	if builds == version.Lang(builds) { // golang:1.26 is the newest 1.26
		required = version.Lang(required)
	}
	if version.Compare(builds, required) < 0 {
		t.Errorf("the image is built with %s, go.mod requires %s", builds, required)
	}
}
