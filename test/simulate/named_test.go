package simulate

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

// unwatchable refuses to watch what the operator may only list.
type unwatchable struct {
	metadata.Interface
	watchable func(schema.GroupVersionResource) bool
}

func (u unwatchable) Resource(r schema.GroupVersionResource) metadata.Getter {
	getter := u.Interface.Resource(r)
	if u.watchable(r) {
		return getter
	}
	return refusing{getter, r}
}

type refusing struct {
	metadata.Getter
	resource schema.GroupVersionResource
}

func (r refusing) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, apierrors.NewForbidden(r.resource.GroupResource(), "", fmt.Errorf("it may only be listed"))
}

// placed is an object of a namespace, as small as it can be.
func placed(k apiserver.Kind, namespace, name string, owner map[string]any) map[string]any {
	at := map[string]any{
		"namespace": namespace, "name": name, "uid": fmt.Sprintf("%s-%s-%s", k.Kind, namespace, name), "creationTimestamp": stamp(time.Now()),
	}
	if namespace == "" {
		delete(at, "namespace")
	}
	if owner != nil {
		at["ownerReferences"] = []any{owner}
	}
	return map[string]any{"apiVersion": k.GroupVersion().String(), "kind": k.Kind, "metadata": at}
}

func controlledBy(k apiserver.Kind, name, uid string) map[string]any {
	return map[string]any{"apiVersion": k.GroupVersion().String(), "kind": k.Kind, "name": name, "uid": uid, "controller": true}
}

// running is a pod that holds a core.
func running(namespace, name string, owner map[string]any) map[string]any {
	pod := placed(pods, namespace, name, owner)
	o := &object{phase: "Running", scheduled: time.Now(), containers: []container{{name: "c", cpu: 1000, memory: 1 << 30}}}
	o.pod(pod)
	return pod
}

// Tenants name 500 kinds as the owners of their pods: kinds that are not there, that
// can be listed and not watched, of which there is an owner and of which there is
// none. Every interval is sealed within 10 s of its end, an honest tenant's own kind
// is followed, and none of it is for good.
func TestIntervalsAreSealedWhateverTenantsName(t *testing.T) {
	const made, tenants = 500, 5
	served := slices.Clone(kinds)
	honest := kindOf("rollouts.example.com", "Rollout", "rollouts", true)
	served = append(served, honest)
	var named []apiserver.Kind
	for i := range made {
		k := kindOf(fmt.Sprintf("g%d.example.com", i%50), fmt.Sprint("Kind", i), fmt.Sprint("kinds", i), true)
		named = append(named, k)
		if i%2 == 0 {
			served = append(served, k)
		}
	}
	named = append(named, leases)
	synctest.Test(t, func(t *testing.T) {
		server := apiserver.New(1, served...)
		ctx, cancel := context.WithCancel(context.Background())
		steady := steadyclock.New(clock.RealClock{}, nil)
		c := collector.New(collector.Options{
			Dynamic: server.Dynamic(), Mapper: server.Mapper(), Clock: steady, Namespace: "kube-system", Log: logr.Discard(), Retention: 3600,
			Metadata: unwatchable{server.Metadata(), func(r schema.GroupVersionResource) bool {
				return r == honest.GroupVersionResource() || slices.ContainsFunc(kinds, func(k apiserver.Kind) bool { return k != leases && k.GroupVersionResource() == r })
			}},
		})
		keeper := &controllers.Keeper{
			Collector: c, Clock: steady, Schedule: controllers.Schedule{Interval: 60, Flush: 1, SealTimeout: 600, Retention: 3600},
			Sealed: controllers.NewSealed(), Health: &controllers.Health{Log: logr.Discard()}, Log: logr.Discard(),
			TakeUp: func(context.Context) error {
				mapping, err := server.Mapper().RESTMapping(pods.GroupKind())
				if err != nil {
					return err
				}
				return c.Apply(meters[0].meter, collector.Target{Mapping: mapping, Version: "1"})
			},
			Journal: journal.New(journal.Options{Store: &handle{store: &store{blocks: map[journal.Key]journal.Stored{}}}, Writer: "a", Cluster: "c", Clock: steady, Log: logr.Discard()}),
		}
		for i := range tenants {
			server.Commit(namespaces, watch.Added, placed(namespaces, "", fmt.Sprint("tenant-", i), nil))
		}
		server.Commit(namespaces, watch.Added, placed(namespaces, "", "honest", nil))
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := keeper.Start(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}()
		defer func() { cancel(); <-ended }()

		followed := func() (all []string) {
			for _, s := range c.Sources() {
				all = append(all, s.Kind)
			}
			return all
		}
		// sealed waits until 10 s after the interval's end.
		sealed := func() {
			t.Helper()
			end := usage.Interval(time.Now().Unix(), 60).End
			time.Sleep(time.Until(time.Unix(end+10, 0)))
			synctest.Wait()
			if got := c.Sealed(); got < end {
				t.Fatalf("10 s after the interval's end at %d only what ended at %d is sealed; followed are %s", end, got, followed())
			}
		}
		sealed()
		var attackers []map[string]any
		for round := range 3 {
			for i, k := range named {
				tenant := fmt.Sprint("tenant-", i%tenants)
				name := fmt.Sprint("owner-", round)
				owner := placed(k, tenant, name, nil)
				if i%4 == 0 { // there is such an object
					if k == leases || i%2 == 0 {
						server.Commit(k, watch.Added, owner)
					}
				}
				uid := owner["metadata"].(map[string]any)["uid"].(string)
				pod := running(tenant, fmt.Sprintf("pod-%d-%d", round, i), controlledBy(k, name, uid))
				attackers = append(attackers, pod)
				server.Commit(pods, watch.Added, pod)
				time.Sleep(100 * time.Millisecond) // some at the end of an interval, too
			}
			if round == 0 {
				server.Commit(honest, watch.Added, placed(honest, "honest", "web", nil))
				server.Commit(pods, watch.Added, running("honest", "web-1", controlledBy(honest, "web", "Rollout-honest-web")))
			}
			sealed()
		}
		all := followed()
		if !slices.Contains(all, "Rollout") {
			t.Errorf("the honest tenant's owners are not followed; followed are %s", all)
		}
		if slices.Contains(all, "Lease") {
			t.Error("Leases are followed")
		}
		if n := len(all); n > 6+1+8*tenants {
			t.Errorf("%d kinds are followed: %s", n, all)
		}
		deployments := map[string]bool{}
		w := usage.Interval(time.Now().Unix(), 60)
		for _, account := range c.Accounts(w, time.Now().Unix()) {
			deployments[account.Namespace+"/"+account.Deployment] = true
		}
		for _, want := range []string{"honest/web", "tenant-0/owner-0", "tenant-1/owner-2"} {
			if !deployments[want] {
				t.Errorf("nothing is put under %s", want)
			}
		}

		for _, pod := range attackers {
			server.Commit(pods, watch.Deleted, pod)
		}
		time.Sleep(25 * time.Minute)
		sealed()
		if all := followed(); len(all) > 7 || !slices.Contains(all, "Rollout") {
			t.Errorf("when the tenants' pods are gone, followed are %s", all)
		}
	})
}
