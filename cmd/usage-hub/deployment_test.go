package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/postgres"
)

// manifest reads an object of config/hub-server.
func manifest(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../config/hub-server", name))
	if err == nil {
		err = yaml.UnmarshalStrict(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestTheDeployment runs what the Job and the Deployment run, with their arguments, on a real database, and asks for what the
// kubelet asks for. Only folders and addresses are this machine's.
func TestTheDeployment(t *testing.T) {
	var job batchv1.Job
	var deployment appsv1.Deployment
	var fleet corev1.ConfigMap
	manifest(t, "migrate/job.yaml", &job)
	manifest(t, "hub.yaml", &deployment)
	manifest(t, "fleet.yaml", &fleet)
	migrates, serves := job.Spec.Template.Spec.Containers[0], deployment.Spec.Template.Spec.Containers[0]
	for _, container := range []corev1.Container{migrates, serves} {
		if !slices.Equal(container.Command, []string{"/usage-hub"}) || container.Env[0].Name != environment {
			t.Fatalf("%s runs %v with %v", container.Name, container.Command, container.Env)
		}
	}
	t.Setenv(environment, postgres.Start(t).Database(t, "hub"))
	if status, _, stderr := run(t, migrates.Args...); status != exitDone {
		t.Fatalf("%v: %d: %s", migrates.Args, status, stderr)
	}

	folder := t.TempDir()
	certificateFile, keyFile, _ := certificate(t)
	for to, from := range map[string]string{"tls/tls.crt": certificateFile, "tls/tls.key": keyFile} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		putFile(t, filepath.Join(folder, to), text)
	}
	putFile(t, filepath.Join(folder, "fleet/fleet.yaml"), []byte(fleet.Data["fleet.yaml"]))
	args := slices.Clone(serves.Args)
	for i := range args {
		args[i] = strings.NewReplacer("=/etc/usage-hub/", "="+folder+"/", "=:8443", "=127.0.0.1:0", "=:8081", "=127.0.0.1:0").Replace(args[i])
	}
	listens := map[string]string{"https": "--address", "probes": "--probe-address"}
	for _, port := range serves.Ports {
		if want := fmt.Sprintf("%s=:%d", listens[port.Name], port.ContainerPort); !slices.Contains(serves.Args, want) {
			t.Errorf("the arguments are %v, want %s, which is the port %s", serves.Args, want, port.Name)
		}
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	listening, ended := make(chan string, 1), make(chan int, 1)
	var said bytes.Buffer
	go func() {
		p := &program{stdout: io.Discard, stderr: &said, ready: func(_, probes string) { listening <- probes }}
		ended <- p.run(ctx, args)
	}()
	select {
	case at := <-listening:
		isGood(t, at, serves.LivenessProbe)
		isGood(t, at, serves.ReadinessProbe)
		stop()
		if status := <-ended; status != exitDone {
			t.Errorf("stopped, it ends with %d: %s", status, said.String())
		}
	case status := <-ended:
		t.Fatalf("%v: it ends with %d: %s", args, status, said.String())
	}
}

// isGood asks what a probe does.
func isGood(t *testing.T, address string, probe *corev1.Probe) {
	t.Helper()
	if probe.HTTPGet.Port.String() != "probes" {
		t.Errorf("a probe asks the port %s", probe.HTTPGet.Port.String())
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+probe.HTTPGet.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", probe.HTTPGet.Path, response.Status)
	}
}

func putFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheChartKnowsTheFlags compares the flags that the chart's schema admits with those of serve: one that is misspelt fails
// at the installation, and not in the pods.
func TestTheChartKnowsTheFlags(t *testing.T) {
	text, err := os.ReadFile("../../charts/usage-hub/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Flags struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	admitted := schema.Properties.Flags.Properties
	// What the chart's own templates and Secrets decide.
	decided := []string{"database", "address", "probe-address", "tls-cert", "tls-key", "plain-http", "fleet"}
	_, help, _ := run(t, "serve", "--help")
	flags := regexp.MustCompile(`(?m)^ +--([a-z-]+)`).FindAllStringSubmatch(help, -1)
	if len(flags) != len(decided)+len(admitted) {
		t.Errorf("there are %d flags, %d are decided, and %d admitted", len(flags), len(decided), len(admitted))
	}
	for _, flag := range flags {
		if _, is := admitted[flag[1]]; is == slices.Contains(decided, flag[1]) {
			t.Errorf("--%s: in the schema: %t, decided by the chart: %t; want one of them", flag[1], is, is)
		}
	}
}
