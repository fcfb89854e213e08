package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

// The cluster whose page is looked at: three tenants and a node pool, in November 2026.
// Metering began on the 8th; on the 15th nothing was seen for some hours.

func utc(text string) int64 {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t.Unix()
}

var (
	began  = utc("2026-11-08T00:00:00Z")
	sealed = utc("2026-11-21T12:00:00Z")
	now    = utc("2026-11-21T12:30:00Z")
)

// hostile is what a tenant may call a deployment.
const hostile = `<img src=x onerror=alert(1)>"'&`

var (
	vcpu    = usage.Dimension{Name: "vcpu", Unit: usage.Core}
	memory  = usage.Dimension{Name: "memory", Unit: usage.Byte}
	cpu     = usage.Dimension{Name: "cpu", Unit: usage.Core}
	storage = usage.Dimension{Name: "storage", Unit: usage.Byte}
	gpu     = usage.Dimension{Name: "gpu", Unit: usage.Count}
	devices = usage.Dimension{Name: "extended_resource", Unit: usage.Count}
)

// shown is a ledger that is filled.
type shown struct{ commit timeline.Commit }

func (s *shown) hold(resourceType, namespace, deployment, name string, d usage.Dimension, level, start, end int64) *usage.Change {
	object := usage.Object{APIVersion: "v1", Kind: "Thing", Name: name, UID: "uid-" + name}
	account := usage.Account{Namespace: namespace, Deployment: deployment}
	if namespace != "" {
		account.NamespaceUID = "uid-" + namespace
	}
	c := usage.Change{Segment: usage.Segment{
		Meter: resourceType, Dimension: d, Level: level, Start: usage.Boundary{At: start, Evidence: usage.Observed},
		Subject: &usage.Subject{ResourceType: resourceType, Resource: object, Instance: object, Region: "eu-1", Account: account},
	}}
	if end > 0 {
		c.End = usage.Boundary{At: end, Evidence: usage.Observed}
	}
	s.commit.Changes = append(s.commit.Changes, c)
	return &s.commit.Changes[len(s.commit.Changes)-1]
}

const (
	hour = int64(3600)
	day  = 24 * hour
	gibi = int64(1 << 30)
)

func filled() *timeline.Timeline {
	s := &shown{commit: timeline.Commit{Time: now}}
	for name, dimensions := range map[string][]usage.Dimension{
		"vm": {vcpu, memory}, "container": {cpu, memory}, "volume": {storage}, "node_pool": {vcpu, memory, gpu},
	} {
		s.commit.Meters = append(s.commit.Meters, timeline.Meter{Name: name, ResourceType: name, Since: began, Dimensions: dimensions})
		s.commit.Coverage = append(s.commit.Coverage, usage.Stretch{Meter: name, Window: usage.Window{Start: utc("2026-11-15T06:00:00Z"), End: utc("2026-11-15T15:00:00Z")}, Coverage: usage.CoverageUnknown},
			usage.Stretch{Meter: name, Window: usage.Window{Start: utc("2026-11-18T02:00:00Z"), End: utc("2026-11-18T06:00:00Z")}, Coverage: usage.CoverageEstimated},
			usage.Stretch{Meter: name, Window: usage.Window{Start: utc("2026-11-20T10:00:00Z"), End: utc("2026-11-20T12:00:00Z")}, Coverage: usage.CoverageReplayed})
	}
	s.commit.Meters = append(s.commit.Meters, timeline.Meter{Name: "container-extended-resources", ResourceType: "container", Since: began, Dimensions: []usage.Dimension{devices}})
	s.hold("node_pool", "usage-system", "", "workers", vcpu, 96_000, began, 0)
	s.hold("node_pool", "usage-system", "", "workers", memory, 384*gibi, began, 0)
	s.hold("node_pool", "usage-system", "", "gpus", gpu, 4000, began, 0)
	s.tenants()
	for at := began; at < sealed; at += hour {
		s.commit.Sealed = append(s.commit.Sealed, usage.Interval(at, hour))
	}
	t := timeline.New()
	t.Take(s.commit)
	t.Publish()
	return t
}

func (s *shown) tenants() {
	gpus := devices
	gpus.Name += "/nvidia.com/gpu"
	s.hold("container", "lab", "training", "trainer", gpus, 1000, began+2*day, 0).Meter = "container-extended-resources"
	for i := range int64(6) { // what is made by day, and ended by night
		for d := began; d < now; d += day {
			end := d + (17-i)*hour
			if end > now {
				end = 0
			}
			s.hold("container", "shop", []string{"web", "cart", "search"}[i%3], fmt.Sprintf("pod-%d-%d", i, (d-began)/day), cpu, 2000+500*i, d+(6+i%2)*hour, end)
		}
	}
	s.hold("container", "shop", hostile, hostile, cpu, 1500, began, 0)
	s.hold("container", "shop", "=1+1", "formula", cpu, 100, began, 0)
	s.hold("container", "lab", "", "notebook", cpu, 3000, began+3*day, 0)
	for i, name := range []string{"db-0", "db-1", "cache"} {
		s.hold("vm", "bank", "ledger", name, vcpu, int64(4+4*i)*1000, began+int64(i)*day, 0)
		s.hold("vm", "bank", "ledger", name, memory, int64(16+8*i)*gibi, began+int64(i)*day, 0)
		s.hold("volume", "bank", "ledger", name+"-disk", storage, 200*gibi, began, 0)
	}
	// A machine that was resized, ended without being seen, and has a correction.
	s.hold("vm", "shop", "batch", "render", vcpu, 4000, began, began+3*day)
	s.hold("vm", "shop", "batch", "render", vcpu, 16_000, began+3*day, began+5*day)
	last := s.hold("vm", "shop", "batch", "render", vcpu, 8000, began+5*day, began+9*day)
	last.End.Slack, last.End.Evidence = 1800, usage.ReplayBound
	s.hold("vm", "shop", "batch", "render", memory, 32*gibi, began, began+9*day)
	less := s.hold("vm", "shop", "batch", "render", vcpu, 8000, began+9*day-2*hour, began+9*day-hour)
	less.Kind, less.Corrects = usage.Less, began+9*day-2*hour
}

// people are who asks, by token: namespaces, and "" is all. A meterer and an auditor may list no reports.
var people = map[string][]string{"admin": {""}, "auditor": {""}, "shop": {"shop"}, "bank": {"bank"}, "meterer": {"shop"}, "nobody": {}}

type served struct {
	*timeline.Timeline
	clock     *testclock.FakePassiveClock
	loading   atomic.Bool
	revoked   atomic.Bool // no token is good any more
	broken    atomic.Bool // the meters cannot be listed
	forbidden atomic.Bool // tenants may list nothing any more
	gone      atomic.Bool // the namespace bank is deleted
	crowded   atomic.Bool // there are a hundred namespaces more
}

func (s *served) Loaded() bool { return !s.loading.Load() }

func (s *served) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "-renewed")
	if people[name] == nil || s.revoked.Load() {
		return nil, false, nil
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: name}}, true, nil
}

func (s *served) Authorize(_ context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if s.forbidden.Load() && a.GetUser().GetName() != "admin" {
		return authorizer.DecisionNoOpinion, "", nil
	}
	if slices.Contains([]string{"meterer", "auditor"}, a.GetUser().GetName()) && a.GetResource() != "usagerecords" {
		return authorizer.DecisionNoOpinion, "", nil
	}
	for _, namespace := range people[a.GetUser().GetName()] {
		if namespace == "" || namespace == a.GetNamespace() {
			return authorizer.DecisionAllow, "", nil
		}
	}
	return authorizer.DecisionNoOpinion, "", nil
}

var errBroken = errors.New("the cache is not synced")

func (s *served) meters(context.Context) ([]v1alpha1.UsageMeter, error) {
	if s.broken.Load() {
		return nil, errBroken
	}
	var list []v1alpha1.UsageMeter
	for _, name := range []string{"container", "node_pool", "vm", "volume"} {
		m := v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: name}}
		m.Spec.Target = v1alpha1.TargetReference{Group: "example.com", Kind: "Thing"}
		m.Spec.Dimensions = []v1alpha1.Dimension{{Name: "vcpu", Unit: "core", Quantity: "self.spec.cores"}}
		m.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Metering"}}
		list = append(list, m)
	}
	list[3].Status.Quarantined = 2
	return list, nil
}

// serve serves the page of the cluster.
func serve(t *testing.T) (*httptest.Server, *served) {
	t.Helper()
	s := &served{Timeline: filled(), clock: testclock.NewFakePassiveClock(time.Unix(now+5, 0))}
	server := httptest.NewTLSServer(usageapi.New(usageapi.Options{
		Ledger: s, Authenticator: s, Authorizer: s, Clock: s.clock, Log: logr.Discard(),
		RequestsPerSecond: 1000, OperatorNamespace: "usage-system", Meters: s.meters, Reports: keptReports, Timeout: time.Minute, Observe: func(string, int, time.Duration) {},
		Namespaces: func(context.Context, labels.Selector) ([]timeline.NamespaceRef, error) {
			refs := []timeline.NamespaceRef{{Name: "bank", UID: "uid-bank"}, {Name: "lab", UID: "uid-lab"}, {Name: "shop", UID: "uid-shop"}}
			if s.gone.Load() {
				refs = refs[1:]
			}
			for i := 0; i < 100 && s.crowded.Load(); i++ {
				refs = append(refs, timeline.NamespaceRef{Name: fmt.Sprint("tenant-", i), UID: fmt.Sprint("uid-tenant-", i)})
			}
			return refs, nil
		},
	}).Handler())
	t.Cleanup(server.Close)
	return server, s
}
