package soak

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// attacker does what it can until it is stopped.
type attacker struct {
	name string
	pace time.Duration // of one of its clients
	many int           // clients; 0: one
	do   func(ctx context.Context, i int) error

	done, refused atomic.Int64
	mu            sync.Mutex
	failed        []string
}

func (a *attacker) attack(ctx context.Context) {
	var all sync.WaitGroup
	for n := range max(1, a.many) {
		all.Go(func() {
			every(ctx, a.pace, func(i int) {
				err := a.do(ctx, i*max(1, a.many)+n)
				switch {
				case err == nil:
					a.done.Add(1)
				case ctx.Err() != nil:
				case apierrors.IsForbidden(err), apierrors.IsInvalid(err), apierrors.IsTooManyRequests(err), apierrors.IsConflict(err), apierrors.IsNotFound(err):
					a.refused.Add(1)
				default:
					a.fail(err.Error())
				}
			})
		})
	}
	all.Wait()
}

func (a *attacker) fail(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = append(a.failed, what)
}

// judge sees to it that it did what it is there for, and nothing that it must not.
func (a *attacker) judge(t *testing.T) {
	t.Logf("%s: %d times, refused %d times", a.name, a.done.Load(), a.refused.Load())
	if a.done.Load()+a.refused.Load() == 0 {
		t.Errorf("%s: it did nothing", a.name)
	}
	for _, failed := range a.failed[:min(5, len(a.failed))] {
		t.Errorf("%s: %s", a.name, failed)
	}
}

// attackers makes the hostile tenants, and what they need.
func (s *stage) attackers(ctx context.Context) []*attacker {
	all := []*attacker{s.reports(ctx, "reports"), s.owners(ctx, "owners"), s.churn(ctx, "churn"), s.large(ctx, "large"), s.forger(ctx, "forger")}
	for _, namespace := range []string{"churn", "large", "owners"} { // of which there is much to answer
		all = append(all, s.flood(ctx, namespace))
	}
	return all
}

// tenant is a service account with a role in its namespace.
type tenant struct {
	client.Client
	namespace, token string
}

// newTenant makes the namespace, too.
func (s *stage) newTenant(ctx context.Context, namespace, role string) *tenant {
	s.namespace(ctx, namespace)
	return s.tenant(ctx, namespace, role)
}

func (s *stage) tenant(ctx context.Context, namespace, role string) *tenant {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role}}
	s.must(s.admin.Create(ctx, account))
	s.must(s.admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: role}},
	}))
	seconds := int64(12 * 3600)
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	s.must(s.admin.SubResource("token").Create(ctx, account, token))
	config := rest.AnonymousClientConfig(s.cp.RESTConfig())
	config.QPS, config.BearerToken = -1, token.Status.Token
	own, err := client.New(config, client.Options{Scheme: s.admin.Scheme(), Mapper: s.admin.RESTMapper()})
	s.must(err)
	return &tenant{Client: own, namespace: namespace, token: token.Status.Token}
}

// flood has clients ask for what is largest 50 times a second, and read no more than how the answer begins.
func (s *stage) flood(ctx context.Context, namespace string) *attacker {
	const clients = 100
	t := s.tenant(ctx, namespace, "view")
	request := fmt.Sprintf("GET /v1/usage?limit=1000&project_id=%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", namespace, t.token)
	today := time.Now().UTC().Truncate(24 * time.Hour)
	body := fmt.Sprintf(`{"window_size":"hour","starting_on":%q,"ending_before":%q,"billable_metrics":[{"id":"container.cpu","group_by":{"key":"deployment"}}]}`,
		today.Format(time.RFC3339), today.AddDate(0, 0, 1).Format(time.RFC3339))
	batched := fmt.Sprintf("POST /v1/usage HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", t.token, len(body), body)
	return &attacker{name: "a flood of the usage API by " + namespace, pace: 2 * time.Second, many: clients, do: func(ctx context.Context, i int) error {
		conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(ctx, "tcp", s.operator.usage)
		if err != nil {
			return apierrors.NewTooManyRequestsError(err.Error()) // connections are refused, too
		}
		defer conn.Close()
		text := request
		if i%4 == 0 {
			text = batched
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if status, _ := bufio.NewReaderSize(conn, 16).ReadString(' '); status == "" {
			return apierrors.NewTooManyRequestsError("cut off")
		}
		unread, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		<-unread.Done()
		return nil
	}}
}

// reports makes 40 expensive ones and a schedule of years, and makes each again and again.
func (s *stage) reports(ctx context.Context, namespace string) *attacker {
	t := s.newTenant(ctx, namespace, "edit")
	hour := time.Now().UTC().Truncate(time.Hour)
	text := `{"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": "UsageReport", "metadata": {"name": "r%d"}, "spec": {"startingOn": %q,
		"endingBefore": %q, "windowSize": "hour", "groupBy": ["instance", "container", "resource", "deployment"], "limit": 1000, "zeros": "Fill"}}`
	schedule := `{"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": "UsageReportSchedule", "metadata": {"name": "flood"}, "spec": {"schedule": "* * * * *",
		"startingOn": "2020-01-01T00:00:00Z", "historyLimit": 1000, "template": {"spec": {"windowSize": "hour",
		"groupBy": ["instance", "container", "resource", "deployment"], "limit": 1000, "zeros": "Fill"}}}}`
	s.made(ctx, t, t.of(schedule))
	return &attacker{name: "expensive reports", pace: 500 * time.Millisecond, do: func(ctx context.Context, i int) error {
		report := t.of(fmt.Sprintf(text, i%40, hour.Add(-90*time.Minute).Format(time.RFC3339), hour.Add(time.Hour).Format(time.RFC3339)))
		if err := client.IgnoreNotFound(t.Delete(ctx, report.DeepCopy())); err != nil {
			return err
		}
		return t.Create(ctx, report)
	}}
}

// ownerKinds are some that nothing can follow, or that there are none of.
var ownerKinds = []string{
	"v1 Secret", "v1 ConfigMap", "v1 ServiceAccount", "v1 Endpoints", "v1 Event", "v1 LimitRange", "v1 ResourceQuota", "v1 PodTemplate",
	"coordination.k8s.io/v1 Lease", "apps/v1 ControllerRevision", "discovery.k8s.io/v1 EndpointSlice", "networking.k8s.io/v1 Ingress",
	"networking.k8s.io/v1 NetworkPolicy", "policy/v1 PodDisruptionBudget", "autoscaling/v2 HorizontalPodAutoscaler", "rbac.authorization.k8s.io/v1 Role",
	"rbac.authorization.k8s.io/v1 RoleBinding", "storage.k8s.io/v1 CSIStorageCapacity", "no.example.com/v1 Such", "authorization.k8s.io/v1 LocalSubjectAccessReview",
}

// owners makes pods with controllers of such kinds.
func (s *stage) owners(ctx context.Context, namespace string) *attacker {
	t := s.newTenant(ctx, namespace, "edit")
	return &attacker{name: "owners that cannot be watched", pace: time.Second, do: func(ctx context.Context, i int) error {
		group, kind, _ := strings.Cut(ownerKinds[i%len(ownerKinds)], " ")
		return t.make(ctx, fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "own-%d", "ownerReferences": [
			{"apiVersion": %q, "kind": %q, "name": "n%[1]d", "uid": "11111111-0000-0000-0000-%012[1]d", "controller": true}]},
			"spec": {"containers": [{"name": "a", "image": "x", "resources": {"requests": {"cpu": "1m"}}}]}}`, i, group, kind))
	}}
}

// made has a tenant make an object, once it has the right to.
func (s *stage) made(ctx context.Context, t *tenant, o *unstructured.Unstructured) {
	s.must(poll(ctx, time.Minute, func() bool {
		err := t.Create(ctx, o)
		if err != nil && !apierrors.IsForbidden(err) {
			s.Fatal(err)
		}
		return err == nil
	}))
}

// running has a pod of a tenant's run, as a scheduler and a kubelet would say.
func (s *stage) running(ctx context.Context, t *tenant, name string, containers []any) *unstructured.Unstructured {
	pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": map[string]any{"containers": containers}}}
	pod.SetName(name)
	pod.SetNamespace(t.namespace)
	s.made(ctx, t, pod)
	status := fmt.Sprintf(`{"status": {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": %q}]}}`, time.Now().UTC().Format(time.RFC3339))
	s.must(s.admin.Status().Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, []byte(status))))
	return pod
}

// churn relabels a pod of 100 containers each second.
func (s *stage) churn(ctx context.Context, namespace string) *attacker {
	t := s.newTenant(ctx, namespace, "edit")
	containers := make([]any, 100)
	for i := range containers {
		containers[i] = map[string]any{"name": fmt.Sprintf("c%d", i), "image": "x", "resources": map[string]any{"requests": map[string]any{"cpu": "1m", "memory": "1Mi"}}}
	}
	pod := s.running(ctx, t, "churn", containers)
	return &attacker{name: "a pod that is relabelled each second", pace: time.Second, do: func(ctx context.Context, i int) error {
		return t.Patch(ctx, pod.DeepCopy(), client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata": {"labels": {%q: "d%d"}}}`, v1alpha1.LabelDeployment, i)))
	}}
}

// large rewrites a pod of 96 KB each second.
func (s *stage) large(ctx context.Context, namespace string) *attacker {
	t := s.newTenant(ctx, namespace, "edit")
	requests, limits := map[string]any{"cpu": "1"}, map[string]any{}
	for i := range 2400 {
		name := fmt.Sprintf("x.io/r%d", i)
		requests[name], limits[name] = "1", "1"
	}
	pod := s.running(ctx, t, "large", []any{map[string]any{"name": "a", "image": "x", "resources": map[string]any{"requests": requests, "limits": limits}}})
	return &attacker{name: "a pod of 96 KB that is rewritten each second", pace: time.Second, do: func(ctx context.Context, i int) error {
		return t.Patch(ctx, pod.DeepCopy(), client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata": {"annotations": {"a": "%d"}}}`, i)))
	}}
}

// forger writes what only the operator may write, with all rights in its namespace.
func (s *stage) forger(ctx context.Context, namespace string) *attacker {
	t := s.newTenant(ctx, namespace, "cluster-admin")
	const of = `{"apiVersion": "metering.usage-operator.dev/v1alpha1", "kind": %q, "metadata": {"name": "forged"}, "spec": %s}`
	report := t.of(fmt.Sprintf(of, "UsageReport", `{"startingOn": "2026-01-01T00:00:00Z", "endingBefore": "2026-01-02T00:00:00Z", "windowSize": "hour"}`))
	schedule := t.of(fmt.Sprintf(of, "UsageReportSchedule", `{"schedule": "0 0 * * *", "startingOn": "2026-01-01T00:00:00Z", "template": {"spec": {"windowSize": "hour"}}}`))
	record := t.of(fmt.Sprintf(of, "UsageRecord", fmt.Sprintf(`{"namespace": %q, "deployment": "x", "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:01:00Z"}`, namespace)))
	s.made(ctx, t, report)
	s.made(ctx, t, schedule)
	a := &attacker{name: "forgeries", pace: 250 * time.Millisecond}
	a.do = func(ctx context.Context, i int) error {
		var err error
		switch i % 3 {
		case 0:
			err = t.Status().Patch(ctx, report.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status": {"rowCount": 1}}`)))
		case 1:
			err = t.Status().Patch(ctx, schedule.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status": {"lastPeriod": {"startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-02T00:00:00Z"}}}`)))
		case 2:
			err = t.Create(ctx, record.DeepCopy())
		}
		if err == nil {
			a.fail(fmt.Sprintf("forgery %d was taken", i%3))
		}
		return err
	}
	return a
}

func object(text string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
		panic(fmt.Sprintf("%v: %s", err, text))
	}
	return o
}

// of is an object in the tenant's namespace.
func (t *tenant) of(text string) *unstructured.Unstructured {
	o := object(text)
	o.SetNamespace(t.namespace)
	return o
}

func (t *tenant) make(ctx context.Context, text string) error { return t.Create(ctx, t.of(text)) }
