package faults_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/controlplane"
)

// narrow gives the operator a priority level of its own that is as narrow as can be: what does not fit is answered
// with 429.
const narrow = `
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: faults-narrow}
spec: {type: Limited, limited: {nominalConcurrencyShares: 1, lendablePercent: 0, borrowingLimitPercent: 0, limitResponse: {type: Queue, queuing: {queues: 1, handSize: 1, queueLengthLimit: 2}}}}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: faults-narrow}
spec:
  priorityLevelConfiguration: {name: faults-narrow}
  matchingPrecedence: 2
  rules:
  - subjects: [{kind: ServiceAccount, serviceAccount: {namespace: %s, name: usage-operator}}]
    resourceRules: [{apiGroups: ["*"], resources: ["*"], verbs: ["*"], namespaces: ["*"], clusterScope: true}]
`

var refusals = regexp.MustCompile(`(?m)^apiserver_flowcontrol_rejected_requests_total\{flow_schema="faults-narrow".*\} (\d+)$`)

// refused is whether the API server has answered the operator with 429.
func (p *plane) refused(ctx context.Context) bool {
	GinkgoHelper()
	api, err := discovery.NewDiscoveryClientForConfig(p.RESTConfig())
	Expect(err).NotTo(HaveOccurred())
	text, err := api.RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	Expect(err).NotTo(HaveOccurred())
	return refusals.Match(text)
}

var _ = Describe("The API server", func() {
	It("refuses what is too much for it (429): it is written later", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{concurrency: 64}, 20)
		home.applyManifest(ctx, fmt.Sprintf(narrow, op.namespace))
		Eventually(ctx, func() bool { // until it is in force
			return strings.Contains(home.kubectl(ctx, "get", "flowschema", "faults-narrow", "-o", "jsonpath={.status.conditions[?(@.type=='Dangling')].status}"), "False")
		}).Should(BeTrue())
		deployments := 100
		if *full {
			deployments = 1000
		}
		d.crowd(deployments, func(i int) (string, string) { return fmt.Sprintf("one-%d", i), fmt.Sprintf("web-%d", i) })
		d.patience += 3 * time.Minute // what is refused is tried again after up to 30 s, for as long as it takes
		op.reached(ctx, "widgets", d.last)
		end := op.seal(ctx)

		Eventually(ctx, home.refused).WithArguments(ctx).Should(BeTrue())
		d.judged(end)
		Expect(slices.DeleteFunc(d.records(), func(r v1alpha1.UsageRecord) bool { return r.Spec.EndTime.Unix() != end })).To(HaveLen(deployments))
	}, SpecTimeout(minutes))

	It("finds somebody else writing records, too: what is Final stays as the ledger has it", func(ctx SpecContext) {
		op, d := home.begin(ctx, how{}, 20)
		d.widget("one", 2)
		rival, err := client.NewWithWatch(home.asOperator(op.namespace), client.Options{Scheme: scheme})
		Expect(err).NotTo(HaveOccurred())
		open := &v1alpha1.UsageRecordList{}
		Eventually(ctx, func(g Gomega) {
			g.Expect(rival.List(ctx, open, client.InNamespace(d.namespace))).To(Succeed())
			g.Expect(open.Items).To(HaveLen(1))
		}).Should(Succeed())

		By("owning fields of an Open one, and changing it again and again")
		name := client.ObjectKeyFromObject(&open.Items[0])
		stop := make(chan struct{})
		var writing sync.WaitGroup
		written := 0
		writing.Go(func() {
			defer GinkgoRecover()
			for {
				select {
				case <-stop:
					return
				default:
				}
				patch := fmt.Sprintf(`{"apiVersion":"metering.usage-operator.dev/v1alpha1","kind":"UsageRecord","metadata":{"name":%q,"namespace":%q,"annotations":{"rival":"%d"},"labels":{%q:"mine"}},"status":{"summary":"nothing at all"}}`,
					name.Name, name.Namespace, written, v1alpha1.LabelDeployment)
				err := rival.Patch(ctx, &v1alpha1.UsageRecord{ObjectMeta: metav1.ObjectMeta{Name: name.Name, Namespace: name.Namespace}},
					rawApply(patch), client.ForceOwnership, client.FieldOwner("rival"))
				if err == nil {
					written++
				} else if !apierrors.IsInvalid(err) && !apierrors.IsForbidden(err) && !apierrors.IsConflict(err) {
					Expect(err).NotTo(HaveOccurred())
				}
			}
		})
		nextSecond(ctx)
		d.widget("two", 3)
		op.reached(ctx, "widgets", d.last)
		end := op.seal(ctx)
		d.judged(end)
		close(stop)
		writing.Wait()
		Expect(written).To(BeNumerically(">", 10))

		By("being told that a Final one cannot be changed")
		final := &v1alpha1.UsageRecord{}
		Expect(rival.Get(ctx, name, final)).To(Succeed())
		Expect(final.Status.Phase).To(Equal(v1alpha1.PhaseFinal))
		final.Status.Summary = "nothing at all"
		Expect(rival.Update(ctx, final)).To(MatchError(apierrors.IsInvalid, "is invalid"))
		Eventually(ctx, func(g Gomega) {
			r := &v1alpha1.UsageRecord{}
			g.Expect(rival.Get(ctx, name, r)).To(Succeed())
			g.Expect(r.Labels).To(HaveKeyWithValue(v1alpha1.LabelDeployment, "web"))
			g.Expect(r.Status.Summary).NotTo(Equal("nothing at all"))
		}).Should(Succeed())
	})
})

// crowd makes many widgets of size 1 to 7, at once. They are gone when the next spec begins.
func (d *driver) crowd(many int, nameAndDeployment func(i int) (string, string)) {
	GinkgoHelper()
	d.patience += time.Duration(many) * 30 * time.Millisecond
	d.polling += time.Duration(many) * time.Millisecond // to read them all takes its time from what writes them
	DeferCleanup(func(ctx SpecContext) {
		one, list := &unstructured.Unstructured{}, widgetKind.List()
		one.SetAPIVersion(testGroup + "/v1")
		one.SetKind(string(widgetKind))
		Eventually(ctx, func(g Gomega) {
			g.Expect(d.admin.DeleteAllOf(ctx, one, client.InNamespace(d.namespace))).To(Succeed())
			g.Expect(d.admin.List(ctx, list, client.InNamespace(d.namespace), client.Limit(1))).To(Succeed())
			g.Expect(list.Items).To(BeEmpty())
		}).WithTimeout(d.patience).Should(Succeed())
	})
	const writers = 16
	var running sync.WaitGroup
	newest := make([]*driver, writers)
	for writer := range writers {
		mine := *d // a copy, whose newest resourceVersion is its own
		newest[writer] = &mine
		running.Go(func() {
			defer GinkgoRecover()
			for i := writer; i < many; i += writers {
				name, deployment := nameAndDeployment(i)
				mine.sized(widgetKind, name, deployment, int64(i%7+1))
			}
		})
	}
	running.Wait()
	for _, mine := range newest {
		d.came(mine.last)
	}
}

var _ = Describe("etcd", func() {
	It("is full: metering goes on in memory, and is written once there is room", func(ctx SpecContext) {
		cp, err := controlplane.Start(ctx, controlplane.Options{
			Components:        controlplane.APIOnly(),
			EtcdUnsafeNoFsync: true,
			ExtraArgs: map[string][]string{
				controlplane.Etcd:      {"--quota-backend-bytes=16777216"},
				controlplane.APIServer: {"--etcd-compaction-interval=0", "--disable-admission-plugins=ServiceAccount"},
			},
			Progress: os.Stderr,
		})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { Expect(cp.Stop()).To(Succeed()) })
		small := &plane{ControlPlane: cp, admin: clientOf(cp)}
		small.witness()
		// There is no controller that would give the operator its rights: it is an administrator.
		small.kubectl(ctx, "apply", "--server-side", "-k", "../../config/crd")
		small.kubectl(ctx, "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
		small.installKind(ctx, widgetKind)
		op, d := small.begin(ctx, how{namespace: small.newNamespace(ctx, "usage-"), config: cp.RESTConfig()}, 25)
		d.widget("one", 2)
		two := d.widget("two", 3)
		op.reached(ctx, "widgets", d.last)

		By("filling it")
		filler := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "filler-", Namespace: d.namespace, Labels: map[string]string{"filler": "yes"}}}
		for _, size := range []int{1 << 19, 1 << 14, 1 << 6} {
			filler.BinaryData = map[string][]byte{"nothing": bytes.Repeat([]byte{0xff}, size)}
			var full error
			for range 200 {
				if full = small.admin.Create(ctx, filler.DeepCopy()); full != nil {
					break
				}
			}
			Expect(full).To(MatchError(ContainSubstring("database space exceeded")))
		}
		Expect(small.etcdctl(ctx, "alarm", "list")).To(ContainSubstring("NOSPACE"))

		By("metering all the same")
		nextSecond(ctx)
		two.remove() // to remove is all that etcd still lets one do
		tries := len(op.life.Writes())
		end := op.pass()
		Eventually(ctx, func() int { return len(op.life.Writes()) }).Should(BeNumerically(">", tries+3))
		Expect(d.records()).To(BeEmpty())

		By("making room")
		Expect(small.admin.DeleteAllOf(ctx, &corev1.ConfigMap{}, client.InNamespace(d.namespace), client.MatchingLabels{"filler": "yes"})).To(Succeed())
		var status []struct {
			Status struct{ Header struct{ Revision int64 } }
		}
		parseJSON(small.etcdctl(ctx, "endpoint", "status", "-w", "json"), &status)
		small.etcdctl(ctx, "compact", fmt.Sprint(status[0].Status.Header.Revision))
		small.etcdctl(ctx, "defrag")
		small.etcdctl(ctx, "alarm", "disarm")
		op.sealed(ctx, end)

		d.judged(end)
	}, SpecTimeout(minutes))
})
