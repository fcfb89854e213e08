package operator_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
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
	"listener-set":                 listenersAreProgrammed,
	"resource-claim":               devicesAreAllocated,
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
		for _, r := range finals {
			Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyExact), "%s/%s", r.Namespace, r.Name)
		}
	})
})

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
