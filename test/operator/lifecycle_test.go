package operator_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// lifecycles are, for each built-in meter, what happens to objects of its kind.
var lifecycles = map[string]func(*driver){
	"vm":                           machineRuns,
	"vm-allocated":                 machineExists,
	"container":                    podRuns,
	"container-extended-resources": podWithDevices,
	"volume":                       claimIsBound,
	"volume-retained":              volumeIsReleased,
	"snapshot":                     snapshotIsTaken,
	"snapshot-retained":            contentIsRetained,
	"load-balancer":                serviceGetsAddress,
	"gateway":                      gatewayIsProgrammed,
	"ingress":                      ingressHasLoadBalancer,
	"listener-set":                 listenersAreProgrammed("gateway.networking.k8s.io/v1", "ListenerSet"),
	"listener-set-experimental":    listenersAreProgrammed("gateway.networking.x-k8s.io/v1alpha1", "XListenerSet"),
	"resource-claim":               devicesAreAllocated,
	"resource-claim-capacity":      capacityIsConsumed,
	"vpc":                          vpcExists,
	"vpc-udn":                      networkExists,
	"vpc-cudn":                     clusterNetworkExists,
	"connection-directconnect":     connectionIsReady,
	"connection-interconnect":      attachmentIsReady,
	"node-pool":                    nodeExists,
	"node-pool-extended-resources": nodeWithDevices,
	"node-pool-karpenter":          karpenterPoolExists,
	"node-pool-nodeclaim":          machineIsLaunched,
	"node-pool-machinedeployment":  machineDeploymentExists,
	"node-pool-machinepool":        machinePoolExists,
	"machine":                      machineOfClusterExists,
	"cluster":                      clusterExists,
}

// All lifecycles happen at the same time, to one operator; each spec then compares the records of one.
var _ = Describe("The built-in meters", Ordered, ContinueOnFailure, func() {
	var (
		op      *operator
		meters  []*unstructured.Unstructured
		drivers = map[string]*driver{}
		finals  []v1alpha1.UsageRecord
		end     int64
	)

	BeforeAll(func(ctx SpecContext) {
		var err error
		meters, err = config.Meters()
		Expect(err).NotTo(HaveOccurred())
		op = start(ctx, refreshing(0))
		for _, meter := range meters {
			apply(ctx, meter.DeepCopy())
		}
		ready(ctx, namesOf(meters)...)
		afterLateLists(ctx, op)

		var running sync.WaitGroup
		for name, live := range lifecycles {
			d := &driver{diary: newDiary(), ctx: ctx, namespace: newNamespace(ctx, name+"-"), operator: op}
			drivers[name] = d
			running.Go(func() {
				defer GinkgoRecover()
				live(d)
			})
		}
		running.Wait()
		for name, d := range drivers {
			op.reached(ctx, name, d.last)
		}
		end = op.seal(ctx)
		finals = op.finals(ctx)
	})

	It("all have a lifecycle here", func() {
		Expect(slices.Collect(maps.Keys(lifecycles))).To(ConsistOf(namesOf(meters)))
	})

	for _, name := range slices.Sorted(maps.Keys(lifecycles)) {
		It("meter to the second what is held: "+name, func() {
			d := drivers[name]
			Expect(d).NotTo(BeNil())
			Expect(d.held).NotTo(BeEmpty())
			g := NewWithT(GinkgoT())
			Expect(d.compare(g, finals, dimensionsOf(meters, name), end)).To(BeEmpty())
		})
	}

	It("are quarantined by nothing", func(ctx context.Context) {
		list := &v1alpha1.UsageMeterList{}
		Expect(admin.List(ctx, list)).To(Succeed())
		for _, meter := range list.Items {
			Expect(meter.Status.Quarantine).To(BeEmpty(), meter.Name)
		}
	})

	It("are listed in 120 columns, and say when their kinds were last seen", func(ctx context.Context) {
		lines := strings.Split(strings.TrimSpace(kubectl(ctx, "get", "um")), "\n")
		Expect(lines).To(HaveLen(len(meters) + 1))
		Expect(lines).To(HaveEach(WithTransform(func(line string) int { return len(line) }, BeNumerically("<=", 120))))
		Expect(lines[0]).To(ContainSubstring(" SEEN "))
		Expect(lines).NotTo(ContainElement(ContainSubstring("<unknown>")))
	})

	It("make records that are exact and consistent", func() {
		g := NewWithT(GinkgoT())
		expectConsistent(g, finals)
		var late []string
		for i := range finals {
			r := &finals[i]
			if r.Status.Accuracy == v1alpha1.AccuracyExact {
				continue
			}
			Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyEstimated), "%s/%s", r.Namespace, r.Name)
			Expect(bounded(r)).NotTo(BeEmpty(), "%s/%s has no boundary that is known within bounds only: %v, coverage %v",
				r.Namespace, r.Name, r.Status.Usage, op.collector.Coverage(usage.Window{Start: r.Spec.StartTime.Unix(), End: r.Spec.EndTime.Unix()}))
			late = append(late, bounded(r)...)
		}
		// On a machine that stands still for some seconds, a removal that leaves no time is seen that much later, and the
		// record says so. That is not what happens to most.
		Expect(len(late)).To(BeNumerically("<=", len(finals)/10), "%q", late)
	})
})

// afterLateLists waits for the next interval, if a kind was listed so late that this one's records can be Estimated only:
// what was created and removed before the list is not known.
func afterLateLists(ctx context.Context, op *operator) {
	GinkgoHelper()
	now := op.clock.Now().Unix()
	w := usage.Interval(now, interval)
	if slices.ContainsFunc(op.collector.Coverage(w), func(s usage.Stretch) bool { return s.Coverage == usage.CoverageEstimated }) {
		Eventually(ctx, func() int64 { return op.clock.Now().Unix() }).WithTimeout(2 * interval * time.Second).Should(BeNumerically(">=", w.End))
	}
}

// bounded are the boundaries of a record that are known within bounds only.
func bounded(r *v1alpha1.UsageRecord) (all []string) {
	for _, u := range r.Status.Usage {
		for _, s := range u.Segments {
			if s.Evidence.Start == "ReplayBound" || s.Evidence.End == "ReplayBound" {
				all = append(all, fmt.Sprintf("%s/%s %s %s: %s to %s (%s, %s)", r.Namespace, r.Name, u.Resource.Name, s.Dimension,
					s.StartTime.UTC().Format(time.RFC3339), s.EndTime.UTC().Format(time.RFC3339), s.Evidence.Start, s.Evidence.End))
			}
		}
	}
	return all
}

func namesOf(meters []*unstructured.Unstructured) []string {
	names := make([]string, len(meters))
	for i, meter := range meters {
		names[i] = meter.GetName()
	}
	return names
}

func dimensionsOf(meters []*unstructured.Unstructured, name string) []string {
	var names []string
	for _, meter := range meters {
		if meter.GetName() != name {
			continue
		}
		dimensions, _, _ := unstructured.NestedSlice(meter.Object, "spec", "dimensions")
		for _, dimension := range dimensions {
			names = append(names, dimension.(map[string]any)["name"].(string))
		}
	}
	return names
}
