package chart_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/cli"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

// TestALifeOnACluster installs the chart on a cluster that has been in use, looks at what a newcomer sees within a minute
// while intervals last an hour, upgrades, uninstalls, finds all data there, installs again and goes on, and deletes
// everything. Then it does the same with the files that kubectl applies.
func TestALifeOnACluster(t *testing.T) {
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Nodes: 1, EtcdUnsafeNoFsync: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	u := &user{T: t, cp: cp, program: build(t, "../../..", "."), plugin: build(t, "../../..", "./cmd/kubectl-usage")}
	step := func(what string, do func(*testing.T)) { // it ends the test where it fails, for the next goes on from it
		u.Log("== " + what)
		do(t)
		if u.Failed() {
			u.FailNow()
		}
	}
	u.kubectl("create", "namespace", "shop")
	u.kubectl("create", "deployment", "web", "-n", "shop", "--image=example.com/web", "--replicas=2")
	u.kubectl("set", "resources", "deployment", "web", "-n", "shop", "--requests=cpu=500m,memory=256Mi")
	u.kubectl("rollout", "status", "deployment", "web", "-n", "shop", "--timeout=180s")

	step("helm install: usage within a minute", func(*testing.T) {
		begun := time.Now()
		u.install(name, "")
		u.start()
		u.seesUsage(begun)
	})
	step("helm test: all is as it should be", func(t *testing.T) {
		if said, err := u.helmTest("--wait=1m"); err != nil || strings.Count(said, "ok ") != 4 {
			t.Errorf("%v\n%s", err, said)
		}
	})
	step("a second release is refused", func(t *testing.T) {
		err := u.tryInstall("another", "")
		if err == nil || !strings.Contains(err.Error(), "another usage-operator is installed") {
			t.Errorf("installed twice: %v", err)
		}
	})
	step("helm upgrade: a meter more, and CRDs brought up to date", func(t *testing.T) {
		u.kubectl("annotate", "crd", "usagemeters.metering.usage-operator.dev", "controller-gen.kubebuilder.io/version=v0.0.1", "--overwrite")
		u.stop()
		if said, err := u.helmTest("--wait=0"); err == nil || !strings.Contains(said, "no replica meters: the last one gave the Lease back") || !strings.Contains(said, "Not right: leader, usage API.") {
			t.Errorf("helm test without an operator: %v\n%s", err, said)
		}
		u.upgrade(extraMeter)
		u.start()
		u.eventually("the meter of the values is Ready", func() bool {
			return strings.Contains(u.kubectl("get", "usagemeter", "service-account", "--ignore-not-found", "-o", "jsonpath={.status.conditions}"), `"Ready"`)
		})
		if got := u.kubectl("get", "crd", "usagemeters.metering.usage-operator.dev", "-o", "jsonpath={.metadata.annotations}"); strings.Contains(got, "v0.0.1") {
			t.Errorf("the CRD was not brought up to date: %s", got)
		}
	})
	before := u.data()
	step("helm uninstall: the data stays", func(*testing.T) {
		u.stop()
		u.uninstall()
		u.gone("deployment,clusterrole,clusterrolebinding,validatingadmissionpolicy,service,serviceaccount")
		u.keeps(before)
	})
	step("helm install again: the ledger goes on", func(*testing.T) {
		u.install(name, "")
		u.start()
		u.goesOn(before)
	})
	step("told to, helm uninstall deletes everything", func(*testing.T) {
		u.stop()
		u.upgrade("crds: {keep: false}")
		u.uninstall()
		u.gone("crd")
	})
	u.kubectl("delete", "namespace", namespace)
	u.eventually("the namespace is gone", func() bool {
		return u.kubectl("get", "namespace", namespace, "--ignore-not-found") == ""
	})

	dist := t.TempDir()
	u.run(cp.Kubeconfig(), root+"/hack/installer.sh", dist)
	step("kubectl apply: usage within a minute", func(*testing.T) {
		begun := time.Now()
		u.kubectl("apply", "--server-side", "-f", filepath.Join(dist, "install.yaml"))
		u.start()
		u.seesUsage(begun)
	})
	step("make undeploy: the data stays", func(*testing.T) {
		before := u.data()
		u.stop()
		u.run(cp.Kubeconfig(), root+"/hack/undeploy.sh", dist)
		u.gone("deployment,clusterrole,clusterrolebinding,validatingadmissionpolicy,service,serviceaccount")
		u.keeps(before)
		u.kubectl("apply", "--server-side", "-f", filepath.Join(dist, "install.yaml"))
		u.start()
		u.goesOn(before)
		u.stop()
	})
	step("make undeploy DELETE_DATA=yes: everything is deleted", func(*testing.T) {
		u.run(cp.Kubeconfig(), root+"/hack/undeploy.sh", dist, "yes")
		u.gone("crd")
	})
}

const extraMeter = `
extraRules: [{apiGroups: [""], resources: [serviceaccounts], verbs: [get, list, watch]}]
extraMeters:
- metadata: {name: service-account}
  spec:
    resourceType: service_account
    target: {kind: ServiceAccount}
    dimensions: [{name: service_account, unit: count, quantity: "1"}]
`

// user is somebody who has a cluster, and runs the operator there as its Deployment would: there are no containers.
type user struct {
	*testing.T
	cp              *controlplane.ControlPlane
	program, plugin string
	operator        *exec.Cmd
	usageAPI        string
	later           int // how many deployments goesOn has made
}

func build(t *testing.T, module, of string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), filepath.Base(of)+".program")
	command := exec.CommandContext(t.Context(), "go", "build", "-o", program, of)
	command.Dir = module
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func (u *user) kubectl(args ...string) string {
	u.Helper()
	out, err := u.cp.Kubectl(u.Context(), args...)
	if err != nil {
		u.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// run runs a program of the checkout with the control plane's kubectl and kubeconfig.
func (u *user) run(kubeconfig, program string, args ...string) {
	u.Helper()
	command := exec.CommandContext(u.Context(), program, args...)
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECTL="+u.cp.Binaries().Path("kubectl"), "IMG=example.com/usage-operator:test")
	if out, err := command.Output(); err != nil {
		u.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
}

func (u *user) helm() *action.Configuration {
	u.Helper()
	settings := cli.New()
	settings.KubeConfig = u.cp.Kubeconfig()
	settings.SetNamespace(namespace)
	configuration := &action.Configuration{}
	if err := configuration.Init(settings.RESTClientGetter(), namespace, "secret", u.Logf); err != nil {
		u.Fatal(err)
	}
	return configuration
}

func (u *user) values(text string) map[string]any {
	u.Helper()
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		u.Fatal(err)
	}
	return values
}

func (u *user) tryInstall(release, values string) error {
	u.Helper()
	install := action.NewInstall(u.helm())
	install.ReleaseName, install.Namespace, install.CreateNamespace, install.Timeout = release, namespace, true, time.Minute
	_, err := install.RunWithContext(u.Context(), load(u), u.values(values))
	return err
}

func (u *user) install(release, values string) {
	u.Helper()
	if err := u.tryInstall(release, values); err != nil {
		u.Fatal(err)
	}
}

func (u *user) upgrade(values string) {
	u.Helper()
	upgrade := action.NewUpgrade(u.helm())
	upgrade.Namespace, upgrade.Timeout = namespace, time.Minute
	if _, err := upgrade.RunWithContext(u.Context(), name, load(u), u.values(values)); err != nil {
		u.Fatal(err)
	}
}

func (u *user) uninstall() {
	u.Helper()
	if _, err := action.NewUninstall(u.helm()).Run(name); err != nil {
		u.Fatal(err)
	}
}

// helmTest runs helm test, and its pod's program as a kubelet would: with the pod's arguments and account, and more
// arguments. It returns what that says, and whether the test failed.
func (u *user) helmTest(more ...string) (string, error) {
	u.Helper()
	const pod = name + "-check"
	u.kubectl("delete", "pod", pod, "-n", namespace, "--ignore-not-found", "--force")
	testing := action.NewReleaseTesting(u.helm())
	testing.Namespace, testing.Timeout = namespace, 2*time.Minute
	ended := make(chan error, 1)
	go func() {
		_, err := testing.Run(name)
		ended <- err
	}()
	u.eventually("the pod of the test is there", func() bool {
		return u.kubectl("get", "pod", pod, "-n", namespace, "--ignore-not-found", "-o", "name") != ""
	})
	account := u.kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.spec.serviceAccountName}")
	audience := u.kubectl("get", "pod", pod, "-n", namespace, "-o", "jsonpath={.spec.volumes[0].projected.sources[0].serviceAccountToken.audience}")
	args := u.kubectl("get", "pod", pod, "-n", namespace, "-o", `jsonpath={range .spec.containers[0].args[*]}{@}{"\n"}{end}`)
	folder := u.TempDir()
	kubeconfig, token := filepath.Join(folder, "kubeconfig"), filepath.Join(folder, "token")
	if err := u.cp.ServiceAccountKubeconfig(u.Context(), namespace, account, kubeconfig); err != nil {
		u.Fatal(err)
	}
	if err := os.WriteFile(token, []byte(u.kubectl("create", "token", account, "-n", namespace, "--audience="+audience)), 0o600); err != nil {
		u.Fatal(err)
	}
	args = strings.NewReplacer("$(POD_NAMESPACE)", namespace, "/var/run/secrets/usage-api/token", token).Replace(args)
	command := exec.CommandContext(u.Context(), u.program, append(append(strings.Fields(args), more...), "--kubeconfig="+kubeconfig, "--usage-api=https://"+u.usageAPI)...)
	said, err := command.CombinedOutput()
	phase := "Succeeded"
	if err != nil {
		phase = "Failed"
	}
	u.kubectl("patch", "pod", pod, "-n", namespace, "--subresource=status", "--type=merge", "-p", `{"status":{"phase":"`+phase+`"}}`)
	u.Logf("helm test: %s\n%s", phase, said)
	return string(said), <-ended
}

// start runs the operator with the arguments, the account and the meters of its Deployment.
func (u *user) start() {
	u.Helper()
	folder := u.TempDir()
	kubeconfig := filepath.Join(folder, "kubeconfig")
	if err := u.cp.ServiceAccountKubeconfig(u.Context(), namespace, name, kubeconfig); err != nil {
		u.Fatal(err)
	}
	for file, text := range u.configMap(name + "-extra-meters") {
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
			u.Fatal(err)
		}
	}
	said := u.kubectl("get", "deployment", name, "-n", namespace, "-o", `jsonpath={range .spec.template.spec.containers[0].args[*]}{@}{"\n"}{end}`)
	said = strings.NewReplacer("$(POD_NAMESPACE)", namespace, "/etc/usage-operator/meters", folder, "--scratch-dir=/scratch", "--scratch-dir="+u.TempDir()).Replace(said)
	u.usageAPI = free(u.T)
	u.operator = exec.Command(u.program, append(strings.Fields(said), "--kubeconfig="+kubeconfig,
		"--health-probe-bind-address=0", "--metrics-bind-address=0", "--usage-api-bind-address="+u.usageAPI)...)
	log, err := os.Create(filepath.Join(folder, "log"))
	if err != nil {
		u.Fatal(err)
	}
	defer log.Close()
	u.operator.Stdout, u.operator.Stderr = log, log
	if err := u.operator.Start(); err != nil {
		u.Fatal(err)
	}
	running := u.operator
	u.Cleanup(func() {
		_ = running.Process.Kill() // it may have ended
		_ = running.Wait()
		if text, err := os.ReadFile(log.Name()); err == nil && u.Failed() {
			u.Logf("the operator's log:\n%s", text)
		}
	})
}

func (u *user) configMap(name string) map[string]string {
	u.Helper()
	var object struct{ Data map[string]string }
	text := u.kubectl("get", "configmap", name, "-n", namespace, "--ignore-not-found", "-o", "yaml")
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		u.Fatal(err)
	}
	return object.Data
}

// stop ends the operator as a kubelet does.
func (u *user) stop() {
	u.Helper()
	if err := u.operator.Process.Signal(os.Interrupt); err != nil {
		u.Fatal(err)
	}
	if err := u.operator.Wait(); err != nil {
		u.Fatalf("the operator ends: %v", err)
	}
}

func free(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (u *user) eventually(what string, condition func() bool) {
	u.Helper()
	err := wait.PollUntilContextTimeout(u.Context(), 200*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		u.Fatalf("%s: %v", what, err)
	}
}

// seesUsage waits until a newcomer sees what is held, by kubectl get and kubectl usage.
func (u *user) seesUsage(since time.Time) {
	u.Helper()
	var record, usage string
	defer func() {
		if u.Failed() {
			u.Logf("seen last:\n%s\n%s\n%s", record, usage, u.kubectl("get", "usagemeters,usagerecords,pods", "-A"))
		}
	}()
	u.eventually("there is a record of what the pods hold", func() bool {
		record = u.kubectl("get", "usagerecords", "-n", "shop")
		return strings.Contains(record, "Open") && strings.Contains(record, "holds cpu 1 core, memory 0.5 GiB")
	})
	token := strings.TrimSpace(u.kubectl("create", "token", "default", "-n", "shop"))
	u.run(u.cp.Kubeconfig(), "bash", "-c", `"$KUBECTL" create rolebinding view -n shop --clusterrole=view --serviceaccount=shop:default -o yaml --dry-run=client | "$KUBECTL" apply -f -`)
	u.eventually("kubectl usage lists it", func() bool {
		command := exec.CommandContext(u.Context(), u.plugin, "list", "-n", "shop", "--token="+token,
			"--usage-api=https://"+u.usageAPI, "--insecure-skip-usage-api-verify")
		command.Env = append(os.Environ(), "KUBECONFIG="+u.cp.Kubeconfig())
		out, err := command.Output()
		usage = string(out)
		return err == nil && strings.Contains(usage, "web")
	})
	took := time.Since(since)
	u.Logf("after %s:\n%s\n%s", took.Round(100*time.Millisecond), record, usage)
	if took > time.Minute {
		u.Errorf("it took %s, want at most a minute", took)
	}
}

// data are the UIDs of what has to outlive the operator.
func (u *user) data() string {
	u.Helper()
	return u.kubectl("get", "crd,usagemeters,usagerecords,usageblocks", "-A", "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid}{"\n"}{end}`)
}

// keeps fails unless all of it is there.
func (u *user) keeps(before string) {
	u.Helper()
	now := u.data()
	for line := range strings.Lines(before) {
		if !strings.Contains(now, line) {
			u.Errorf("it is gone: %s", line)
		}
	}
	for _, kind := range []string{"CustomResourceDefinition ", "UsageMeter ", "UsageRecord ", "UsageBlock "} {
		if !strings.Contains(now, kind) {
			u.Errorf("no %s is kept", kind)
		}
	}
}

// goesOn waits until the operator, installed again, meters, and has written to the same journal. Records are there still;
// blocks may have been merged.
func (u *user) goesOn(before string) {
	u.Helper()
	block := regexp.MustCompile(`(?m)^UsageBlock \d+`)
	last := slices.Max(block.FindAllString(before, -1))
	u.later++
	deployment := fmt.Sprintf("later-%d", u.later)
	u.kubectl("create", "deployment", deployment, "-n", "shop", "--image=example.com/later")
	u.kubectl("set", "resources", "deployment", deployment, "-n", "shop", "--requests=cpu=250m,memory=128Mi")
	u.eventually("there is a record of what began since, and the journal has more blocks", func() bool {
		blocks := block.FindAllString(u.data(), -1)
		return strings.Contains(u.kubectl("get", "usagerecords", "-n", "shop"), deployment) &&
			len(blocks) > 0 && slices.Max(blocks) > last
	})
	now := u.data()
	for line := range strings.Lines(before) {
		if !strings.HasPrefix(line, "UsageBlock ") && !strings.Contains(now, line) {
			u.Errorf("it is gone: %s", line)
		}
	}
}

// gone fails if the operator still has one of the kinds.
func (u *user) gone(kinds string) {
	u.Helper()
	u.eventually("nothing of "+kinds+" is left", func() bool {
		left := u.kubectl("get", kinds, "-A", "-o", "name")
		return !strings.Contains(left, name) && !strings.Contains(left, "usage-api")
	})
}
