package release

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/cli"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

const namespace = "usage-system"

// VerifyOnCluster has a real API server look at what is installed, without installing it: install.yaml, the meters, what
// uninstall.yaml deletes, and the chart. Only the namespace and the kinds are created, for the rest needs them.
func VerifyOnCluster(ctx context.Context, o Options, progress func(string), log io.Writer) (err error) {
	cp, err := controlplane.Start(ctx, controlplane.Options{Components: controlplane.APIOnly(), EtcdUnsafeNoFsync: true, Progress: log})
	if err != nil {
		return err
	}
	defer func() {
		if stopped := cp.Stop(); err == nil {
			err = stopped
		}
	}()
	first, total, err := o.kindsAndNamespace()
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "kinds-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	kinds := filepath.Join(folder, "kinds.yaml")
	if err := os.WriteFile(kinds, first, 0o600); err != nil {
		return err
	}
	if err := o.dryRunChart(ctx, cp); err != nil { // before the kinds are there, which are the chart's
		return fmt.Errorf("helm install --dry-run=server: %w", err)
	}
	progress("ok: helm install --dry-run=server on a real API server")
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", kinds},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"},
	} {
		if _, err := cp.Kubectl(ctx, args...); err != nil {
			return err
		}
	}
	said, err := cp.Kubectl(ctx, "apply", "--server-side", "--dry-run=server", "-f", o.file("install.yaml"))
	if err != nil {
		return err
	}
	if taken := strings.Count(said, "(server dry run)"); taken != total {
		return fmt.Errorf("install.yaml has %d objects, and %d were taken:\n%s", total, taken, said)
	}
	progress(fmt.Sprintf("ok: install.yaml, %d objects, by kubectl apply --dry-run=server on a real API server", total))
	if _, err := cp.Kubectl(ctx, "apply", "--server-side", "--dry-run=server", "-f", o.file("meters.yaml")); err != nil {
		return err
	}
	progress("ok: meters.yaml likewise")
	if _, err := cp.Kubectl(ctx, "delete", "--ignore-not-found", "--dry-run=server", "-f", o.file("uninstall.yaml")); err != nil {
		return err
	}
	progress("ok: uninstall.yaml likewise")
	return nil
}

// kindsAndNamespace are those documents of install.yaml, and how many documents it has.
func (o Options) kindsAndNamespace() (first []byte, total int, err error) {
	text, err := os.ReadFile(o.file("install.yaml"))
	if err != nil {
		return nil, 0, err
	}
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var object struct{ Kind string }
		if err := yaml.Unmarshal(document, &object); err != nil {
			return nil, 0, err
		}
		total++
		if object.Kind == "CustomResourceDefinition" || object.Kind == "Namespace" {
			first = append(append(first, document...), "\n---\n"...)
		}
	}
	return first, total, nil
}

func (o Options) dryRunChart(ctx context.Context, cp *controlplane.ControlPlane) error {
	settings := cli.New()
	settings.KubeConfig = cp.Kubeconfig()
	settings.SetNamespace(namespace)
	configuration := &action.Configuration{}
	if err := configuration.Init(settings.RESTClientGetter(), namespace, "secret", func(string, ...any) {}); err != nil {
		return err
	}
	loaded, err := loader.LoadFile(o.file(o.chartFile()))
	if err != nil {
		return err
	}
	install := action.NewInstall(configuration)
	install.ReleaseName, install.Namespace, install.DryRun, install.DryRunOption = chartName, namespace, true, "server"
	_, err = install.RunWithContext(ctx, loaded, nil)
	return err
}
