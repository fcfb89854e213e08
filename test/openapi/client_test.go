// Package openapi_test has a program in TypeScript ask the usage API, with the client that openapi-typescript and
// openapi-fetch make of its description.
package openapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	testclock "k8s.io/utils/clock/testing"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi"
)

// day is the first of November 2026.
const day = int64(1793491200)

const token = "reader"

// twoMachines are a ledger's content: one machine all day, and one for an hour.
func twoMachines() *timeline.Timeline {
	vcpu := usage.Dimension{Name: "vcpu", Unit: usage.Core}
	held := func(name string, level, from, to int64) usage.Change {
		object := usage.Object{APIVersion: "kubevirt.io/v1", Kind: "VirtualMachine", Name: name, UID: "uid-" + name}
		return usage.Change{Segment: usage.Segment{
			Meter: "vm", Dimension: vcpu, Level: level,
			Start: usage.Boundary{At: day + from*3600, Evidence: usage.CreationTime}, End: usage.Boundary{At: day + to*3600, Evidence: usage.Observed},
			Subject: &usage.Subject{
				ResourceType: "vm", Resource: object, Instance: object,
				Account: usage.Account{Namespace: "shop", NamespaceUID: "uid-shop", Deployment: "web"},
			},
		}}
	}
	var sealed []usage.Window
	for start := day; start < day+24*3600; start += 3600 {
		sealed = append(sealed, usage.Interval(start, 3600))
	}
	t := timeline.New()
	t.Take(timeline.Commit{
		Time: day + 25*3600, Sealed: sealed,
		Meters:  []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: day, Dimensions: []usage.Dimension{vcpu}}},
		Changes: []usage.Change{held("db", 2000, 0, 24), held("job", 4000, 1, 2)},
	})
	t.Publish()
	return t
}

type answers struct{ *timeline.Timeline }

func (answers) Loaded() bool { return true }

func usageAPI() http.Handler {
	return usageapi.New(usageapi.Options{
		Ledger: answers{twoMachines()}, Clock: testclock.NewFakePassiveClock(time.Unix(day+25*3600, 0)), Log: logr.Discard(),
		Authenticator: authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
			return &authenticator.Response{User: &user.DefaultInfo{Name: token}}, r.Header.Get("Authorization") == "Bearer "+token, nil
		}),
		Authorizer: authorizer.AuthorizerFunc(func(context.Context, authorizer.Attributes) (authorizer.Decision, string, error) {
			return authorizer.DecisionAllow, "", nil
		}),
		RequestsPerSecond: 1000, OperatorNamespace: "usage-system", Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
		Meters: func(context.Context) ([]v1alpha1.UsageMeter, error) { return nil, nil },
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) {
			return []timeline.NamespaceRef{{Name: "shop", UID: "uid-shop"}}, nil
		},
	}).Handler()
}

// in runs a command in the client's folder, and gives what it prints.
func in(t *testing.T, environment []string, name string, args ...string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir, command.Env = "client", append(os.Environ(), environment...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, stdout.Bytes(), stderr.Bytes())
	}
	return stdout.Bytes()
}

// The client compiles under TypeScript's strictest rules, and gets what the ledger has.
func TestClientOfTheDescription(t *testing.T) {
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Logf("THE CLIENT IS NOT COMPILED: there is no npm: %v", err)
		return
	}
	in(t, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--prefer-offline")
	in(t, nil, "npm", "exec", "--offline", "--", "openapi-typescript", "../../../internal/usageapi/openapi.json", "--output", "usage-api.d.ts")
	in(t, nil, "npm", "exec", "--offline", "--", "tsc", "--project", ".")
	server := httptest.NewServer(usageAPI())
	t.Cleanup(server.Close)
	var got map[string]any
	if err := json.Unmarshal(in(t, []string{"USAGE_API=" + server.URL, "TOKEN=" + token}, "node", "out/client.js"), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"names": []any{"db", "job"}, "quantities": []any{48.0}, "totals": []any{"vm.vcpu 187200000 millicore-second"},
		"hours": 2.0, "days": 1.0, "meters": 0.0, "problem": "no_such_name", "status": 404.0,
	}
	if difference := cmp.Diff(want, got); difference != "" {
		t.Errorf("want (-), got (+):\n%s", difference)
	}
}
