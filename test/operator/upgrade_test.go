package operator_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/usage"
)

const (
	earlierMeters = "testdata/meters-earlier.yaml"
	presentMeters = "../../config/meters"
)

// upgraded is one object, what it holds by the earlier meters, and by the present ones.
type upgraded struct {
	thing         *thing
	who           holder
	facts         string
	before, after levels
	factsAfter    string // "": the same
}

// objectsToUpgrade are objects that both read: some the same, and some differently.
func (d *driver) objectsToUpgrade() (all []upgraded) {
	pod := func(name, metadata, spec string) (*thing, holder, moment) {
		t := d.create(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {app.kubernetes.io/name: web%s}}
spec: {%s}
`, name, metadata, spec))
		who := d.self(t, "container", "web")
		who.container = "a"
		return t, who, d.scheduled(t)
	}
	add := func(u upgraded, since moment) {
		all = append(all, u)
		if u.before != nil {
			d.holds(u.thing, u.who, since, u.facts, u.before)
		}
	}
	web, who, since := pod("web", "", `
  initContainers: [{name: fetch, image: x, resources: {requests: {cpu: "4"}}}],
  containers: [{name: a, image: x, resources: {requests: {cpu: "1", memory: 1Gi}}}]`)
	add(upgraded{thing: web, who: who, before: levels{"cpu": 1000, "memory": gi}, after: levels{"cpu": 1000, "memory": gi}}, since)
	rest := who
	rest.container = ""
	add(upgraded{thing: web, who: rest, after: levels{"cpu": 3000}}, since)

	trainer, who, since := pod("trainer", "", `containers: [{name: a, image: x, resources: {limits: {example.com/gpu: "2"}}}]`)
	who.container = "a/example.com/gpu"
	add(upgraded{
		thing: trainer, who: who, facts: "extendedResource=example.com/gpu",
		before: levels{"extended_resource": 2000}, after: levels{"extended_resource/example.com/gpu": 2000},
	}, since)
	forged, who, since := pod("forged", `, kubevirt.io: virt-launcher}, ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance,
  name: none, uid: 00000000-0000-0000-0000-000000000001, controller: true}], annotations: {`,
		`containers: [{name: a, image: x, resources: {requests: {cpu: "2"}}}]`)
	who.deployment, who.resource = "none", "00000000-0000-0000-0000-000000000001" // what it says is its own namespace's
	add(upgraded{thing: forged, who: who, after: levels{"cpu": 2000}}, since)

	service := d.create(`
apiVersion: v1
kind: Service
metadata: {name: web, labels: {app.kubernetes.io/name: web}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
`)
	add(upgraded{
		thing: service, who: d.self(service, "load_balancer", "web"),
		before: levels{"load_balancer": 1000, "listener": 1000, "public_ip": 3000},
		after:  levels{"load_balancer": 1000, "listener": 1000, "public_ip": 1000},
	}, d.status(service, `{loadBalancer: {ingress: [{ip: 203.0.113.9}, {ip: 203.0.113.9}, {ip: 10.0.0.9}]}}`))

	claim := d.create(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, labels: {app.kubernetes.io/name: web}}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 100Gi}}}
`)
	bound := d.status(claim, `{phase: Bound, capacity: {storage: 10Gi}, allocatedResources: {storage: 100Gi}, allocatedResourceStatuses: {storage: NodeResizePending}}`)
	add(upgraded{
		thing: claim, who: d.self(claim, "volume", "web"), facts: "storageClass=fast volumeMode=Filesystem",
		before: levels{"storage": 10 * gi}, after: levels{"storage": 100 * gi},
	}, bound)

	machine := d.virtualMachine()
	run, who := d.instance(machine)
	began, before := d.runs(run), levels{"vcpu": 2000, "memory": 4 * gi, "gpu": 1000}
	const device = "gpuDevices=nvidia.com/A100"
	add(upgraded{thing: run, who: who, facts: "of u1.large", before: before, after: levels{"vcpu": 2000, "memory": 4 * gi}, factsAfter: device}, began)
	add(upgraded{thing: run, who: gpuOf(who), factsAfter: device, after: levels{"gpu/nvidia.com/A100": 1000}}, began)
	add(upgraded{
		thing: machine, who: d.self(machine, "vm", "db-0"),
		before: levels{"vm_allocated": 1000}, after: levels{"vm_allocated": 1000},
	}, machine.created())

	asked := d.create(fmt.Sprintf(`
apiVersion: cluster.x-k8s.io/v1beta2
kind: Machine
metadata: {name: m1}
spec: %s
`, machineSpec))
	add(upgraded{thing: asked, who: d.self(asked, "node_pool", "m1"), facts: "cluster=prod", before: levels{"machine": 1000}}, asked.created())
	return all
}

// takeOver notes that everything is read by the present meters from the moment on.
func (d *driver) takeOver(all []upgraded, from moment) {
	for _, u := range all {
		d.holds(u.thing, u.who, from, cmp.Or(u.factsAfter, u.facts), u.after)
	}
}

var _ = Describe("An upgrade of the built-in meters", func() {
	It("lets what is open go on, leaves what is sealed as it is, and is readable beforehand", func(ctx SpecContext) {
		present, err := config.Meters()
		Expect(err).NotTo(HaveOccurred())
		op := start(ctx, refreshing(0))
		DeferCleanup(func(ctx SpecContext) {
			for _, meter := range present {
				Expect(client.IgnoreNotFound(admin.Delete(ctx, meter))).To(Succeed())
			}
		})
		kubectl(ctx, "apply", "--server-side", "-f", earlierMeters)
		ready(ctx, metersIn(earlierMeters)...)
		d := newDriver(ctx, op)
		midInterval(ctx, 24)
		objects := d.objectsToUpgrade()

		By("sealing what the earlier meters read")
		Eventually(op.collector.Sealed).WithContext(ctx).
			Should(BeNumerically(">=", usage.Interval(op.clock.Now().Unix(), interval).End))
		sealed := map[string]v1alpha1.UsageRecord{}
		for _, r := range d.mine(op.finals(ctx)) {
			Expect(r.Status.Accuracy).To(Equal(v1alpha1.AccuracyExact), r.Name)
			sealed[r.Name] = r
		}
		Expect(sealed).NotTo(BeEmpty())

		By("reading what would change")
		diff, err := cp.Kubectl(ctx, "diff", "--server-side", "-k", presentMeters)
		Expect(err).To(MatchError(ContainSubstring("exit status 1")), "there is a difference")
		Expect(diff).To(And(
			ContainSubstring("UsageMeter..container\n"), ContainSubstring("+    in: podRequestsByContainer(self)\n"),
			ContainSubstring("-    quantity: size(self.status.loadBalancer.ingress)\n"), ContainSubstring("UsageMeter..resource-claim\n")))
		Expect(diff).NotTo(ContainSubstring("UsageMeter..vpc\n"), "it is as it was")
		Expect(changed(diff)).NotTo(ContainElement(Or(ContainSubstring("managedFields:"), ContainSubstring("observedGeneration:"), ContainSubstring("status:"))))

		By("applying it")
		first := nextSecond(ctx)
		kubectl(ctx, "apply", "--server-side", "-k", presentMeters)
		ready(ctx, namesOf(present)...)
		d.takeOver(objects, moment{first, nextSecond(ctx)})

		end := op.seal(ctx)
		finals := d.mine(op.finals(ctx))
		Expect(d.compare(NewWithT(GinkgoT()), finals, nil, end)).To(BeEmpty())
		expectConsistent(NewWithT(GinkgoT()), finals)
		for key, stretches := range segmentsOf(NewWithT(GinkgoT()), finals, d.uids, nil) {
			for i := range stretches[1:] {
				Expect(stretches[i+1].start).To(Equal(stretches[i].end), "without a gap: %s", key)
			}
		}
		after := map[string]v1alpha1.UsageRecord{}
		for _, r := range finals {
			if _, earlier := sealed[r.Name]; earlier {
				after[r.Name] = r
			}
		}
		Expect(after).To(Equal(sealed))
	})
})

// changed are the lines of a diff that are not the same on both sides.
func changed(diff string) (lines []string) {
	for line := range strings.Lines(diff) {
		if line[0] == '+' || line[0] == '-' {
			lines = append(lines, line)
		}
	}
	return lines
}

// mine are the records of the driver's namespace.
func (d *driver) mine(records []v1alpha1.UsageRecord) (own []v1alpha1.UsageRecord) {
	for _, r := range records {
		if r.Spec.Namespace == d.namespace {
			own = append(own, r)
		}
	}
	return own
}

// metersIn are the names of the meters in a file.
func metersIn(path string) (names []string) {
	GinkgoHelper()
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		names = append(names, parse(string(document)).GetName())
	}
	return names
}
