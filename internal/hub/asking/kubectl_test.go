package asking_test

import (
	"bytes"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/usage-operator/usage-operator/internal/usagecli"
)

// kubectl usage asks the hub: of the fleet, with the cluster as a column, and of one cluster as in it.
func TestKubectlUsageOfAHub(t *testing.T) {
	w := small(t)
	server := httptest.NewTLSServer(w.hub)
	defer server.Close()
	certificate := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", "/nowhere")
	t.Setenv("USAGE_HUB", server.URL)
	t.Setenv("USAGE_HUB_CERTIFICATE_AUTHORITY", certificate)
	const between = " --from 2026-11-21T15:00:00Z --to 2026-11-21T18:00:00Z"
	for _, test := range []struct {
		token, args string
		status      int
		want, lacks string
	}{
		{"all", "list" + between, 0, "CLUSTER   NAMESPACE   TYPE", "21:00"},
		{"all", "list" + between, 0, "us-1      shop        vm     vm-us-1", "(none)"},
		{"all", "top namespaces" + between, 0, "eu-1      vm.vcpu   bank", "nothing"},
		{"all", "list -o csv --no-headers" + between, 0, "Z,eu-1,bank,vm,bank-eu-1,uid-bank-eu-1,web,vcpu,4,core-hour,14400000,millicore-second,Exact", "CLUSTER"},
		{"all", "list -n shop --hub-cluster eu-1" + between, 0, "NAMESPACE   TYPE", "CLUSTER"},
		{"all", "chart deployment/web -n shop --by hour --hub-cluster eu-1" + between, 0, "vcpu", "us-1"},
		{"eu", "list" + between, 0, "eu-1", "us-1"},
		{"eu", "list --hub-cluster us-1" + between, 1, "may see no cluster \"us-1\"", "vm-us-1"},
		{"all", "list --hub-cluster us-2" + between, 2, "there is no cluster \"us-2\": did you mean \"us-1\"?", "vm-us-1"},
		{"nobody", "list" + between, 1, "the hub does not know your token", "vm-us-1"},
		{"all", "get vm/vm-eu-1" + between, 2, "get is about one cluster", "vcpu"},
		{"all", "records", 2, "a hub has no answer to records", "vcpu"},
	} {
		t.Setenv("USAGE_HUB_TOKEN", test.token)
		var out, said bytes.Buffer
		status := usagecli.Run("kubectl-usage", strings.Fields(test.args), genericiooptions.IOStreams{In: &out, Out: &out, ErrOut: &said},
			func() time.Time { return time.Unix(hour0, 0) })
		if all := out.String() + said.String(); status != test.status || !strings.Contains(all, test.want) || strings.Contains(all, test.lacks) {
			t.Errorf("%s: kubectl usage %s: %d\n%s", test.token, test.args, status, all)
		}
	}
}
