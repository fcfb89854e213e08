package faults_test

import (
	"context"
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/source"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/faults/truth"
	"github.com/usage-operator/usage-operator/test/widgets"
)

// driver does things to objects in a namespace of its own, and keeps the diary of what they hold since.
type driver struct {
	*truth.Diary
	*plane
	ctx       context.Context
	namespace string
	// last is the newest resourceVersion that a request was answered with.
	last string
	// patience is how long its records may take, and polling how often they are looked at.
	patience, polling time.Duration
}

func (p *plane) newDriver(ctx context.Context) *driver {
	GinkgoHelper()
	namespace := p.newNamespace(ctx, "shop-")
	p.tenants[namespace] = true
	return &driver{Diary: &truth.Diary{}, plane: p, ctx: ctx, namespace: namespace, patience: patience, polling: 100 * time.Millisecond}
}

// thing is an object as the API server has it.
type thing struct {
	*unstructured.Unstructured
	driver *driver
	// deployment is under which it is held.
	deployment string
	// asked is when the last request was sent and answered: what it did happened in between.
	asked truth.Moment
}

func (t *thing) do(request func() error) {
	GinkgoHelper()
	sent := time.Now().Unix()
	Expect(request()).To(Succeed(), "%s %s", t.GetKind(), t.GetName())
	t.asked = truth.Moment{First: sent, Last: time.Now().Unix()}
	t.driver.came(t.GetResourceVersion())
}

// came notes how far the API server has come.
func (d *driver) came(resourceVersion string) {
	if source.Newer(resourceVersion, d.last) {
		d.last = resourceVersion
	}
}

// create makes an object.
func (d *driver) create(deployment, text string) *thing {
	GinkgoHelper()
	t := &thing{Unstructured: parse(text), driver: d, deployment: deployment}
	t.SetNamespace(d.namespace)
	t.do(func() error { return d.admin.Create(d.ctx, t.Unstructured) })
	return t
}

// patch merges the text into an object, and returns when the API server did.
func (t *thing) patch(text string) truth.Moment {
	GinkgoHelper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	Expect(err).NotTo(HaveOccurred(), text)
	t.do(func() error {
		return t.driver.admin.Patch(t.driver.ctx, t.Unstructured, client.RawPatch(types.MergePatchType, raw))
	})
	return t.happened()
}

// happened is when the last request changed the object: the time that the API server wrote, if it did.
func (t *thing) happened() truth.Moment {
	if written := t.written(); written >= t.asked.First {
		return truth.At(written)
	}
	return t.asked
}

// written is the newest time that the API server wrote on the object.
func (t *thing) written() int64 {
	newest := t.GetCreationTimestamp().Unix()
	for _, entry := range t.GetManagedFields() {
		if entry.Time != nil {
			newest = max(newest, entry.Time.Unix())
		}
	}
	return newest
}

// delivery is how long a live operator may take to see that an object went, in seconds: a removal has no other time.
const delivery = 1

// remove deletes the object: it holds nothing from some second on, the one in which an operator that looks on sees that
// included.
func (t *thing) remove() {
	GinkgoHelper()
	t.do(func() error { return t.driver.admin.Delete(t.driver.ctx, t.Unstructured) })
	// A finalizer may hold it for a moment.
	Eventually(t.driver.ctx, func() error {
		return t.driver.admin.Get(t.driver.ctx, client.ObjectKeyFromObject(t.Unstructured), t.DeepCopy())
	}).Should(MatchError(apierrors.IsNotFound, "is not found"))
	t.asked.Last = time.Now().Unix()
	t.driver.End(string(t.GetUID()), truth.Moment{First: t.asked.First, Last: t.asked.Last + delivery})
}

// holds notes that the object holds these levels, in base units, from the moment on.
func (t *thing) holds(when truth.Moment, levels map[string]int64) {
	for dimension, level := range levels {
		t.driver.Note(truth.Key{Instance: string(t.GetUID()), Dimension: dimension}, when,
			truth.Held{Namespace: t.driver.namespace, Deployment: t.deployment, Level: level})
	}
}

// sized makes an object of the kind.
func (d *driver) sized(k widgets.Kind, name, deployment string, size int64) *thing {
	GinkgoHelper()
	t := d.create(deployment, fmt.Sprintf(`
apiVersion: %s/v1
kind: %s
metadata: {name: %q, labels: {%s: %q}}
spec: {size: %d}
`, testGroup, k, name, v1alpha1.LabelDeployment, deployment, size))
	t.holds(truth.At(t.GetCreationTimestamp().Unix()), map[string]int64{"size": size * 1000})
	return t
}

// widget makes a widget of the deployment web.
func (d *driver) widget(name string, size int64) *thing {
	GinkgoHelper()
	return d.sized(widgetKind, name, "web", size)
}

// resize changes a widget's size.
func (t *thing) resize(size int64) {
	GinkgoHelper()
	t.holds(t.patch(fmt.Sprintf(`spec: {size: %d}`, size)), map[string]int64{"size": size * 1000})
}

// relabel puts a widget of that size under another deployment.
func (t *thing) relabel(deployment string, size int64) {
	GinkgoHelper()
	when := t.patch(fmt.Sprintf(`metadata: {labels: {%s: %q}}`, v1alpha1.LabelDeployment, deployment))
	t.deployment = deployment
	t.holds(when, map[string]int64{"size": size * 1000})
}

const gi = 1 << 30

// machine is a virtual machine of KubeVirt's and its run.
type machine struct{ vm, run *thing }

// machine makes a virtual machine that runs, with so many cores and 4 GiB.
func (d *driver) machine(name string, cores int64) *machine {
	GinkgoHelper()
	vm := d.create(name, fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: %s}
spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}}}}`, name))
	vm.holds(truth.At(vm.GetCreationTimestamp().Unix()), map[string]int64{"vm_allocated": 1000})
	run := d.create(name, fmt.Sprintf(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: %s
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: %[1]s, uid: %s, controller: true}]
spec: {domain: {devices: {}, cpu: {cores: %d}, memory: {guest: 4Gi}}}`, name, vm.GetUID(), cores))
	since := nextSecond(d.ctx) // what states a time before the object's own is not believed
	run.patch(fmt.Sprintf(`status: {phase: Running, phaseTransitionTimestamps: [{phase: Running, phaseTransitionTimestamp: %q}]}`, rfc3339(since)))
	run.holds(truth.At(since), map[string]int64{"vcpu": cores * 1000, "memory": 4 * gi})
	return &machine{vm, run}
}

// plug changes how many cores the machine has while it runs.
func (m *machine) plug(cores int64) {
	GinkgoHelper()
	m.run.holds(m.run.patch(fmt.Sprintf(`status: {currentCPUTopology: {sockets: 1, cores: %d, threads: 1}}`, cores)), map[string]int64{"vcpu": cores * 1000})
}

// stop has the machine state when it stopped.
func (m *machine) stop() {
	GinkgoHelper()
	at := nextSecond(m.run.driver.ctx)
	m.run.patch(fmt.Sprintf(`status: {phase: Succeeded, phaseTransitionTimestamps: [{phase: Succeeded, phaseTransitionTimestamp: %q}]}`, rfc3339(at)))
	m.run.driver.End(string(m.run.GetUID()), truth.At(at))
}

// claim makes a claim, and a volume of 10 GiB for it, which the controller manager binds.
func (d *driver) claim(name, deployment string) *thing {
	GinkgoHelper()
	volume := parse(fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: %s-%s}
spec:
  capacity: {storage: 10Gi}
  accessModes: [ReadWriteOnce]
  storageClassName: ""
  hostPath: {path: /nowhere}
  claimRef: {namespace: %[1]s, name: %[2]s}`, d.namespace, name))
	Expect(d.admin.Create(d.ctx, volume)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(d.admin.Delete(ctx, volume))).To(Succeed()) })
	t := d.create(deployment, fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: %s, labels: {%s: %q}}
spec: {accessModes: [ReadWriteOnce], storageClassName: "", volumeName: %s-%[1]s, resources: {requests: {storage: 10Gi}}}`,
		name, v1alpha1.LabelDeployment, deployment, d.namespace))
	Eventually(d.ctx, func(g Gomega) {
		g.Expect(d.admin.Get(d.ctx, client.ObjectKeyFromObject(t.Unstructured), t.Unstructured)).To(Succeed())
		phase, _, _ := unstructured.NestedString(t.Object, "status", "phase")
		g.Expect(phase).To(Equal(string(corev1.ClaimBound)))
	}).Should(Succeed())
	t.holds(truth.At(t.written()), map[string]int64{"storage": 10 * gi})
	return t
}

// judged waits until the records of the interval in which the driver began, up to the end, say what happened, as far as
// it is not unknown.
func (d *driver) judged(end int64, unknown ...usage.Window) {
	GinkgoHelper()
	window := usage.Window{Start: usage.Interval(d.Begun(), interval).Start, End: end}
	DeferCleanup(func() {
		if CurrentSpecReport().Failed() {
			text, err := yaml.Marshal(d.records())
			Expect(err).NotTo(HaveOccurred())
			AddReportEntry("the records of "+d.namespace, string(text), ReportEntryVisibilityFailureOrVerbose)
		}
	})
	Eventually(d.ctx, func() []string {
		return d.Judge(truth.Case{Records: d.records(), Window: window, Unknown: unknown})
	}).WithTimeout(d.patience).WithPolling(d.polling).Should(BeEmpty(), "the records of %s to %s", stamp(window.Start), stamp(window.End))
}

// records are all Final records of the driver's namespace that there have been.
func (d *driver) records() []v1alpha1.UsageRecord { return d.seen.Finals(d.namespace) }

// deleteNamespace deletes the driver's namespace, and returns when what was in it went.
func (d *driver) deleteNamespace() truth.Moment {
	GinkgoHelper()
	asked := between(func() {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: d.namespace}}
		Expect(d.admin.Delete(d.ctx, namespace)).To(Succeed())
		Eventually(d.ctx, func() error {
			return d.admin.Get(d.ctx, client.ObjectKeyFromObject(namespace), namespace)
		}).Should(MatchError(apierrors.IsNotFound, "is not found"))
	})
	return truth.Moment{First: asked.First, Last: asked.Last + delivery}
}

// between is when what is done happens.
func between(done func()) truth.Moment {
	GinkgoHelper()
	first := time.Now().Unix()
	done()
	return truth.Moment{First: first, Last: time.Now().Unix()}
}

// rfc3339 is a second, as objects state it.
func rfc3339(second int64) string { return time.Unix(second, 0).UTC().Format(time.RFC3339) }

func stamp(second int64) string { return time.Unix(second, 0).UTC().Format("15:04:05") }

// nextSecond waits until the next second begins, so that what follows does not fall together with what was before.
func nextSecond(ctx context.Context) int64 {
	GinkgoHelper()
	before := time.Now().Unix()
	Eventually(ctx, func() int64 { return time.Now().Unix() }).WithPolling(2 * time.Millisecond).Should(BeNumerically(">", before))
	return time.Now().Unix()
}

// midInterval waits until an interval is under way, and ends in no less than so many seconds.
func midInterval(ctx context.Context, left int64) {
	GinkgoHelper()
	Eventually(ctx, func() int64 { return time.Now().Unix() % interval }).
		Should(And(BeNumerically(">=", 2), BeNumerically("<=", interval-left)))
}

// accuracies are those of a deployment's records, in order of their intervals.
func (d *driver) accuracies(deployment string) []v1alpha1.Accuracy {
	var found []v1alpha1.Accuracy
	for _, r := range d.records() {
		if r.Spec.Deployment == deployment {
			found = append(found, r.Status.Accuracy)
		}
	}
	return found
}

// beEstimated is what the records are in one of which a moment is estimated: another interval may have begun since.
var beEstimated = And(ContainElement(v1alpha1.AccuracyEstimated), HaveEach(Not(Equal(v1alpha1.AccuracyPartial))))

// end is a removal as a record has it.
type end struct {
	evidence      string
	first, latest int64
}

// endsOf are the ends of an object's segments of a dimension, but for those where an interval cuts them.
func (d *driver) endsOf(t *thing, dimension string) []end {
	var ends []end
	for _, r := range d.records() {
		for _, u := range r.Status.Usage {
			instance := u.Resource.UID
			if u.Instance != nil {
				instance = u.Instance.UID
			}
			for _, s := range u.Segments {
				if instance != string(t.GetUID()) || s.Dimension != dimension || s.Evidence.End == "IntervalCut" {
					continue
				}
				e := end{s.Evidence.End, s.EndTime.Unix(), s.EndTime.Unix()}
				if s.EndLatest != nil {
					e.latest = s.EndLatest.Unix()
				}
				ends = append(ends, e)
			}
		}
	}
	return ends
}

// passes waits until so many seconds have passed: for what happens next to be later than what happened before.
func passes(ctx context.Context, seconds int64) {
	GinkgoHelper()
	begin := time.Now().Unix()
	Eventually(ctx, func() int64 { return time.Now().Unix() - begin }).Should(BeNumerically(">=", seconds))
}
