package operator_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/internal/source"
)

// driver does things to objects, each in a second of its own, and keeps the diary of what they hold since.
type driver struct {
	*diary
	ctx       context.Context
	namespace string
	operator  *operator
	// last is the newest resourceVersion that a request was answered with.
	last string
	made []*unstructured.Unstructured
}

// thing is an object as the API server has it.
type thing struct {
	*unstructured.Unstructured
	// asked is when the last request was made and answered: what it did happened in between.
	asked moment
	// as are those that hold something by this object: itself, or its containers.
	as []holder
}

func (d *driver) do(t *thing, request func() error) {
	GinkgoHelper()
	nextSecond(d.ctx)
	before := time.Now().Unix()
	Expect(request()).To(Succeed(), "%s %s", t.GetKind(), t.GetName())
	t.asked = moment{before, ceiling(time.Now())}
	if version := t.GetResourceVersion(); source.Newer(version, d.last) {
		d.last = version
	}
}

// ceiling is the whole second after t.
func ceiling(t time.Time) int64 { return t.Add(time.Second - 1).Unix() }

// create makes an object. $NAMESPACE in the text is the driver's namespace.
func (d *driver) create(text string) *thing {
	GinkgoHelper()
	t := &thing{Unstructured: parse(strings.ReplaceAll(text, "$NAMESPACE", d.namespace))}
	if !clusterScoped[t.GetKind()] {
		t.SetNamespace(d.namespace)
	}
	// A status that the text has is written after the object, and so are the statuses of real ones.
	d.do(t, func() error { return admin.Create(d.ctx, t.Unstructured) })
	d.knows(string(t.GetUID()))
	d.made = append(d.made, t.Unstructured)
	return t
}

var clusterScoped = map[string]bool{
	"Node": true, "NodePool": true, "NodeClaim": true, "PersistentVolume": true, "VolumeSnapshotContent": true, "Vpc": true, "ClusterUserDefinedNetwork": true, "Connection": true,
}

// patch merges the text into an object, and returns when that happened.
func (d *driver) patch(t *thing, text string) moment {
	GinkgoHelper()
	patch := patchOf(strings.ReplaceAll(text, "$NAMESPACE", d.namespace))
	d.do(t, func() error { return admin.Patch(d.ctx, t.Unstructured, patch) })
	return t.happened()
}

// status merges the text into an object's status. The kinds without such a subresource have it in the object.
func (d *driver) status(t *thing, text string) moment {
	GinkgoHelper()
	if t.GetKind() == "VirtualMachineInstance" {
		return d.patch(t, "status: "+text)
	}
	patch := patchOf("status: " + text)
	d.do(t, func() error { return admin.Status().Patch(d.ctx, t.Unstructured, patch) })
	return t.happened()
}

func patchOf(text string) client.Patch {
	GinkgoHelper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	Expect(err).NotTo(HaveOccurred(), text)
	return client.RawPatch(types.MergePatchType, raw)
}

// resize changes what a pod requests, the way that kubectl does.
func (d *driver) resize(t *thing, text string) moment {
	GinkgoHelper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	Expect(err).NotTo(HaveOccurred(), text)
	patch := client.RawPatch(types.StrategicMergePatchType, raw)
	d.do(t, func() error { return admin.SubResource("resize").Patch(d.ctx, t.Unstructured, patch) })
	return t.happened()
}

// delete removes an object, and what it held ends. Its answer has no resourceVersion, so that settled does not wait for
// the operator to see it: do something else after it, or the clock is stepped before the removal came in.
func (d *driver) delete(t *thing) {
	GinkgoHelper()
	options := &client.DeleteOptions{}
	if t.GetKind() == "Pod" {
		options.GracePeriodSeconds = new(int64(0))
	}
	d.do(t, func() error { return admin.Delete(d.ctx, t.Unstructured, options) })
	for _, who := range t.as {
		d.hold(who, t.asked, "", nil)
	}
}

// holds notes that an object holds these levels from the moment on.
func (d *driver) holds(t *thing, who holder, when moment, facts string, now levels) {
	t.as = append(t.as, who)
	d.hold(who, when, facts, now)
}

// created is the object's creationTimestamp.
func (t *thing) created() moment { return at(t.GetCreationTimestamp().Unix()) }

// happened is when the last request changed the object: the time that the API server wrote. A request that only takes
// fields away leaves none: it is dated when that is seen.
func (t *thing) happened() moment {
	if written := t.written(); written >= t.asked.first {
		return at(written)
	}
	return t.asked
}

// written is the newest time in the object's managedFields.
func (t *thing) written() int64 {
	newest := t.GetCreationTimestamp().Unix()
	for _, entry := range t.GetManagedFields() {
		if entry.Time != nil {
			newest = max(newest, entry.Time.Unix())
		}
	}
	return newest
}

func (t *thing) uid() string { return string(t.GetUID()) }

// self is the object as its own holder.
func (d *driver) self(t *thing, resourceType, deployment string) holder {
	namespace := t.GetNamespace()
	if namespace == "" {
		namespace = d.operator.namespace
	}
	return holder{namespace: namespace, deployment: deployment, resourceType: resourceType, resource: t.uid(), instance: t.uid()}
}

// rfc3339 is a second, as objects state it.
func rfc3339(second int64) string { return time.Unix(second, 0).UTC().Format(time.RFC3339) }
