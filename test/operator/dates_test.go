package operator_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// madeUpDates are what a tenant adds to the time at which it writes, and gives out for it.
var madeUpDates = []time.Duration{
	-24 * time.Hour, -time.Minute, -10 * time.Second, -5 * time.Second, -4 * time.Second, -3 * time.Second,
	0, 2 * time.Second, 3 * time.Second, 5 * time.Second, 6 * time.Second, time.Minute, 24 * time.Hour,
}

// dated writes into the object's managedFields that it was written then, and by nobody else at any other time.
func dated(object *unstructured.Unstructured, by time.Duration) {
	at := &metav1.Time{Time: time.Now().Add(by)}
	entries := object.GetManagedFields()
	if len(entries) == 0 {
		entries = []metav1.ManagedFieldsEntry{{
			Manager: "made-up", Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: "v1", FieldsType: "FieldsV1",
			FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:annotations":{"f:a":{}}}}`),
		}}
	}
	for i := range entries {
		entries[i].Time = at
	}
	object.SetManagedFields(entries)
}

// wrote is between which seconds something was written.
type wrote struct{ after, before int64 }

var _ = Describe("A tenant that dates its own writes", func() {
	It("has none of them counted where the operator's clock says that it cannot have been", func(ctx SpecContext) {
		op, d := begin(ctx)
		meters, err := config.Meters()
		Expect(err).NotTo(HaveOccurred())
		for _, meter := range meters {
			if meter.GetName() == "load-balancer" {
				apply(ctx, meter.DeepCopy())
			}
		}
		ready(ctx, "load-balancer")
		tenant := tenantOf(ctx, d.namespace)

		var last string
		writes := func(write func() (*unstructured.Unstructured, error)) wrote {
			var w wrote
			Eventually(func() error {
				w.after = op.clock.Now().Unix()
				object, err := write()
				if w.before = op.clock.Now().Unix(); err == nil {
					last = object.GetResourceVersion()
				}
				return client.IgnoreAlreadyExists(err)
			}).WithContext(ctx).Should(Succeed())
			return w
		}
		ports := func(n int) []any {
			list := make([]any, n)
			for i := range list {
				list[i] = map[string]any{"name": fmt.Sprintf("p%d", i), "port": int64(80 + i)}
			}
			return list
		}
		laterOn := func() { // what is there is seen as it is, and seconds have passed
			op.reached(ctx, "load-balancer", last)
			now := op.clock.Now().Unix()
			Eventually(func() int64 { return op.clock.Now().Unix() }).WithContext(ctx).Should(BeNumerically(">=", now+3))
		}
		began, changed, ended, uids := map[string]wrote{}, map[string]wrote{}, map[string]wrote{}, map[string]string{}
		services := map[string]*unstructured.Unstructured{}
		eachWay := func(do func(name string, by time.Duration, from, then int)) {
			for i, by := range madeUpDates {
				do(fmt.Sprintf("fewer-%d", i), by, 3, 1)
				do(fmt.Sprintf("more-%d", i), by, 1, 3)
			}
		}
		eachWay(func(name string, by time.Duration, from, _ int) {
			service := parse(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: %s}, spec: {type: LoadBalancer}}`, name, d.namespace))
			Expect(unstructured.SetNestedSlice(service.Object, ports(from), "spec", "ports")).To(Succeed())
			dated(service, by)
			writes(func() (*unstructured.Unstructured, error) { return service, tenant.Create(ctx, service) })
			began[name] = writes(func() (*unstructured.Unstructured, error) {
				return service, admin.Status().Patch(ctx, service, patchOf(`status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}`))
			})
			services[name], uids[string(service.GetUID())] = service, name
		})
		laterOn()
		eachWay(func(name string, by time.Duration, _, then int) {
			service := services[name]
			changed[name] = writes(func() (*unstructured.Unstructured, error) {
				if err := tenant.Get(ctx, client.ObjectKeyFromObject(service), service); err != nil {
					return nil, err
				}
				if err := unstructured.SetNestedSlice(service.Object, ports(then), "spec", "ports"); err != nil {
					return nil, err
				}
				dated(service, by)
				return service, tenant.Update(ctx, service)
			})
		})
		laterOn()
		for name, service := range services {
			ended[name] = writes(func() (*unstructured.Unstructured, error) {
				return service, client.IgnoreNotFound(tenant.Delete(ctx, service))
			})
		}
		marker := parse(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: marker, namespace: %s}, spec: {ports: [{port: 80}]}}`, d.namespace))
		Expect(admin.Create(ctx, marker)).To(Succeed())
		op.reached(ctx, "load-balancer", marker.GetResourceVersion())

		// A date counts within a second of what the operator's clock says, which asks once a second, or later when the
		// machine is busy.
		near := func(w wrote) OmegaMatcher {
			return And(BeNumerically(">=", w.after-3), BeNumerically("<=", w.before+2))
		}
		window, found := usage.Window{Start: op.started, End: op.clock.Now().Unix() + 1}, 0
		for _, account := range op.collector.Accounts(window, window.End) {
			for _, s := range op.collector.Cut(account, window, window.End) {
				name, mine := uids[s.Subject.Instance.UID]
				if !mine || s.Dimension.Name != "listener" {
					continue
				}
				found++
				first := s.Level == 3000 == (name[0] == 'f')
				if first {
					Expect(s.Start.At).To(near(began[name]), "%s begins", name)
					Expect(s.End.At).To(near(changed[name]), "%s changes", name)
				} else {
					Expect(s.Start.At).To(near(changed[name]), "%s has changed", name)
					Expect(s.End.At).To(near(ended[name]), "%s ends", name)
				}
				Expect(s.Start.Slack+s.End.Slack).To(BeZero(), name)
			}
		}
		Expect(found).To(Equal(2 * len(uids)))
	})
})

var _ = Describe("The dates in managedFields", func() {
	It("are the API server's own where a write adds something, and the writer's where it only takes something away", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "dated-")
		tenant := tenantOf(ctx, namespace)
		madeUp := metav1.NewTime(time.Now().Add(-30 * time.Hour).Truncate(time.Second))
		// times are those of all managers, but for what the API server has just written.
		times := func(object *unstructured.Unstructured) (all []string) {
			for _, entry := range object.GetManagedFields() {
				when := "now"
				if time.Since(entry.Time.Time) > time.Minute {
					when = "made up"
				}
				all = append(all, entry.Manager+" "+when)
			}
			return all
		}
		service := func(rest string) *unstructured.Unstructured {
			return parse(fmt.Sprintf(`{apiVersion: v1, kind: Service, metadata: {name: dates, namespace: %s%s`, namespace, rest))
		}
		write := func(change func(*unstructured.Unstructured)) *unstructured.Unstructured {
			object := service("}}")
			Eventually(func() error {
				if err := tenant.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
					return err
				}
				change(object)
				return tenant.Update(ctx, object, client.FieldOwner("tenant"))
			}).WithContext(ctx).Should(Succeed())
			return object
		}
		date := func(object *unstructured.Unstructured) {
			entries := object.GetManagedFields()
			for i := range entries {
				entries[i].Time = &madeUp
			}
			object.SetManagedFields(entries)
		}
		Expect(tenant.Create(ctx, service(", labels: {a: b}}, spec: {ports: [{port: 80, name: a}, {port: 81, name: b}]}}"), client.FieldOwner("tenant"))).To(Succeed())

		By("an update that changes nothing but the dates is none")
		Expect(times(write(date))).To(Equal([]string{"tenant now"}))
		By("one that adds something is dated by the API server")
		Expect(times(write(func(o *unstructured.Unstructured) {
			date(o)
			o.SetLabels(map[string]string{"a": "b", "c": "d"})
		}))).To(Equal([]string{"tenant now"}))
		By("one that takes something away is not")
		Expect(times(write(func(o *unstructured.Unstructured) {
			date(o)
			o.SetLabels(map[string]string{"a": "b"})
		}))).To(Equal([]string{"tenant made up"}))
	})
})
