package installcheck

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"
	"pgregory.net/rapid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	builtin "github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/authority"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

const namespace = "usage-system"

// installation is one on a real API server. What the operator would write there, the test writes.
type installation struct {
	*testing.T
	cp    *controlplane.ControlPlane
	admin client.Client
	check *Check
	// answers of the usage API, its certificate, and the tokens that it was shown.
	code        int
	body        wire.Status
	certificate *tls.Certificate
	shown       []string
}

func newInstallation(t *testing.T) *installation {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{Components: controlplane.APIOnly(), EtcdUnsafeNoFsync: true, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, corev1.AddToScheme, coordinationv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	admin, err := client.New(cp.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("the-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &installation{T: t, cp: cp, admin: admin, code: http.StatusOK, check: &Check{Namespace: namespace, Clock: clock.RealClock{}, builtIn: true, tokenFile: token}}
}

// expect runs the check, and compares what each line says. A want that begins with FAIL has to say what comes next.
func (i *installation) expect(right bool, wants ...string) {
	i.Helper()
	var out, said bytes.Buffer
	got, err := i.check.Run(i.Context(), i.cp.RESTConfig(), &out, &said)
	if err != nil {
		i.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), " ")
	for _, want := range wants {
		if !strings.Contains(text, want) {
			i.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if got != right || right == strings.Contains(text, "FAIL") || strings.Count(text, "FAIL") != strings.Count(text, " next ") {
		i.Errorf("right: %t, want %t\n%s", got, right, out.String())
	}
	fits(i, out.String())
}

func fits(t interface {
	Helper()
	Errorf(string, ...any)
}, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > width {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func (i *installation) must(err error) {
	i.Helper()
	if err != nil {
		i.Fatal(err)
	}
}

// lease is renewed so long ago.
func (i *installation) lease(holder string, ago time.Duration) {
	i.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: leaseName}}
	i.must(client.IgnoreNotFound(i.admin.Delete(i.Context(), lease)))
	at := metav1.NewMicroTime(clock.RealClock{}.Now().Add(-ago))
	lease.Spec = coordinationv1.LeaseSpec{HolderIdentity: &holder, RenewTime: &at}
	i.must(i.admin.Create(i.Context(), lease))
}

// meter has a status as the operator would write it.
func (i *installation) meter(name, reason string, change ...func(*v1alpha1.UsageMeter)) {
	i.Helper()
	m := &v1alpha1.UsageMeter{}
	i.must(i.admin.Get(i.Context(), client.ObjectKey{Name: name}, m))
	status := metav1.ConditionFalse
	if reason == v1alpha1.ReasonMetering || reason == v1alpha1.ReasonQuarantined {
		status = metav1.ConditionTrue
	}
	m.Status = v1alpha1.UsageMeterStatus{ObservedGeneration: m.Generation, Conditions: []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: status, Reason: reason, LastTransitionTime: metav1.Now(),
	}}}
	for _, c := range change {
		c(m)
	}
	i.must(i.admin.Status().Update(i.Context(), m))
}

// serve serves a usage API, with a certificate for names, and publishes its authority.
func (i *installation) serve() {
	i.Helper()
	set, _, err := authority.Set{}.Renewed(wire.Names(namespace), clock.RealClock{}.Now())
	i.must(err)
	i.certificate, err = set.Serving(nil, wire.Names(namespace), clock.RealClock{}.Now())
	i.must(err)
	ca := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: wire.CAConfigMap}}
	i.must(client.IgnoreNotFound(i.admin.Delete(i.Context(), ca)))
	ca.Data = map[string]string{wire.CAKey: string(authority.Bundle(nil, set.Certificates(), clock.RealClock{}.Now()))}
	i.must(i.admin.Create(i.Context(), ca))
	if i.check.address != "" {
		return
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	i.must(err)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			i.shown = append(i.shown, r.Header.Get("Authorization"))
			w.WriteHeader(i.code)
			if i.code != http.StatusOK {
				_, _ = w.Write([]byte(`{"code":"unauthorized","message":"who asks is not known"}`))
				return
			}
			_ = json.NewEncoder(w).Encode(i.body)
		}),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.certificate, nil }},
	}
	go func() { _ = server.ServeTLS(listener, "", "") }() // until it is closed
	i.Cleanup(func() { _ = server.Close() })
	i.check.address = "https://" + listener.Addr().String()
}

func TestACheckSaysWhatIsNotRightAndWhatToDo(t *testing.T) {
	i := newInstallation(t)
	i.must(i.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))

	t.Log("nothing is installed")
	i.expect(false, "FAIL kinds not served in metering.usage-operator.dev/v1alpha1: ClusterUsageReport, ", "FAIL leader no replica has metered yet: there is no Lease usage-operator in namespace usage-system",
		"FAIL meters not known: ", "FAIL usage API there is no ConfigMap usage-api-ca in namespace usage-system", "Not right: kinds, leader, meters, usage API.")

	t.Log("the operator has not started")
	i.install()
	i.lease("", 5*time.Second)
	i.must(i.admin.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: wire.CAConfigMap}}))
	i.expect(false, "ok kinds all 8 are served", "FAIL leader no replica meters: the last one gave the Lease back, 5s ago", "FAIL meters built-in ones were never created: ", "and 2",
		"FAIL usage API the ConfigMap usage-api-ca has no certificate")
	i.check.builtIn = false
	i.expect(false, "FAIL meters there is none: nothing is metered")
	i.check.builtIn = true

	t.Log("all is right")
	meters, err := builtin.CreateMeters(t.Context(), i.admin, namespace)
	i.must(err)
	i.expect(false, fmt.Sprintf("of %d do not meter: ", len(meters)), "(not taken up)")
	for _, name := range meters {
		i.meter(name, v1alpha1.ReasonMetering)
	}
	i.meter("vm", v1alpha1.ReasonTargetNotInstalled)
	i.meter("volume", v1alpha1.ReasonSuspended)
	i.meter("container", v1alpha1.ReasonQuarantined, func(m *v1alpha1.UsageMeter) { m.Status.Quarantined = 2 })
	i.must(i.admin.Delete(t.Context(), &v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "vpc"}}))
	i.lease("usage-operator-5d4c_0f3b", time.Second)
	i.serve()
	i.body.Known = "2026-11-30T00:25:03Z"
	i.expect(true, "ok kinds", "ok leader usage-operator-5d4c renewed its Lease 1s ago", "ok usage API answers, verified; figures up to 2026-11-30T00:25:03Z",
		fmt.Sprintf("ok meters %d are Ready; ", len(meters)-3)+"1 wait for kinds that are not installed; 1 suspended; 1 deleted by someone; 1 cannot read some objects: kubectl get usagemeters")
	if i.shown[0] != "Bearer the-token" {
		t.Errorf("the usage API was shown %q", i.shown)
	}

	t.Log("a replica that died, and one whose clock is wrong")
	i.lease("usage-operator-5d4c_0f3b", 3*time.Minute)
	i.expect(false, "FAIL leader no replica meters: usage-operator-5d4c renewed the Lease last 3m0s ago", "Not right: leader.")
	i.lease("usage-operator-5d4c_0f3b", -time.Hour)
	i.expect(false, "FAIL leader usage-operator-5d4c renewed the Lease in the future, in ", "set the clocks of the nodes right")
	i.lease("usage-operator-5d4c_0f3b", time.Second)

	t.Log("meters that do not meter")
	i.meter("vm", v1alpha1.ReasonAccessDenied)
	i.meter("volume", v1alpha1.ReasonMetering, func(m *v1alpha1.UsageMeter) { m.Status.ObservedGeneration = 0 })
	i.expect(false, fmt.Sprintf("FAIL meters 2 of %d do not meter: ", len(meters)-1)+"vm (AccessDenied), volume (not taken up)", "which right is missing")
	i.meter("vm", v1alpha1.ReasonMetering)
	i.meter("volume", v1alpha1.ReasonMetering)

	t.Log("a usage API that does not answer as it should")
	i.code = http.StatusUnauthorized
	i.expect(false, "FAIL usage API it does not answer: 401 Unauthorized: who asks is not known")
	i.code, i.body.Known = http.StatusOK, ""
	i.expect(false, "FAIL usage API it answers, verified, but has no figures yet")
	i.body.Known = "2026-11-30T00:25:03Z"

	t.Log("another in its place: it is shown no token")
	theirs := i.certificate
	i.serve()
	i.certificate, i.shown = theirs, nil
	i.expect(false, "FAIL usage API what answers is not verified by the ConfigMap usage-api-ca, and got no token", "Not right: usage API.")
	if len(i.shown) > 0 {
		t.Errorf("it was shown %q", i.shown)
	}
}

// install installs the kinds.
func (i *installation) install() {
	i.Helper()
	if out, err := i.cp.Kubectl(i.Context(), "apply", "--server-side", "-k", "../../config/crd"); err != nil {
		i.Fatal(err, out)
	}
	if out, err := i.cp.Kubectl(i.Context(), "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		i.Fatal(err, out)
	}
}

// TestACheckWaits has the installation become right while it is waited for.
func TestACheckWaits(t *testing.T) {
	i := newInstallation(t)
	i.must(i.admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}))
	i.serve()
	i.body.Known = "2026-11-30T00:25:03Z"
	i.check.wait, i.check.builtIn = 5*time.Minute, false
	read, write, err := os.Pipe()
	i.must(err)
	defer read.Close()
	done := make(chan bool)
	go func() {
		defer write.Close()
		right, err := i.check.Run(t.Context(), i.cp.RESTConfig(), &bytes.Buffer{}, write)
		if err != nil {
			t.Error(err)
		}
		done <- right
	}()
	first := make([]byte, 256)
	n, err := read.Read(first) // it waits
	i.must(err)
	if got := string(first[:n]); got != "... waiting until these are right: kinds, leader, meters\n" {
		t.Errorf("it says %q", got)
	}
	go func() { _, _ = io.Copy(io.Discard, read) }() // what it waits for next
	i.install()
	i.must(i.admin.Create(t.Context(), &v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "pods"}, Spec: v1alpha1.UsageMeterSpec{
		ResourceType: "pod", Target: v1alpha1.TargetReference{Kind: "Pod"}, Dimensions: []v1alpha1.Dimension{{Name: "pod", Unit: "count", Quantity: "1"}},
	}}))
	i.meter("pods", v1alpha1.ReasonMetering)
	i.lease("usage-operator_1", 0)
	if right := <-done; !right {
		t.Error("it is not right")
	}
}

// What is said fits, whatever names and messages are in it.
func TestLinesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.Map(rapid.SliceOfN(rapid.StringMatching(`[!-~é]{1,120}`), 1, 20), func(all []string) string { return strings.Join(all, " ") })
		got := text([]finding{{name: "kinds", said: words.Draw(t, "said"), next: words.Draw(t, "next")}, {name: "usage API", said: words.Draw(t, "other")}})
		fits(t, got)
	})
}
