package operator_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/config"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// tenantTricks are what a tenant with the role edit writes into a pod to be billed for less, or to have another tenant
// billed. Each pod requests two cores, and holds them.
var tenantTricks = map[string]string{
	"honest":              `spec: {containers: [{name: a, resources: {requests: {cpu: "2"}}}]}`,
	"launcher-label":      `{metadata: {labels: {kubevirt.io: virt-launcher, kubevirt.io/created-by: x}}}`,
	"launcher-owner":      `{metadata: {ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: nothing, uid: 00000000-0000-0000-0000-000000000001, controller: true}]}}`,
	"launcher-both":       `{metadata: {labels: {kubevirt.io: virt-launcher}, ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: nothing, uid: 00000000-0000-0000-0000-000000000001, controller: true}]}}`,
	"owner-node":          `{metadata: {ownerReferences: [{apiVersion: v1, kind: Node, name: n1, uid: 00000000-0000-0000-0000-000000000002, controller: true}]}}`,
	"owner-lease":         `{metadata: {ownerReferences: [{apiVersion: coordination.k8s.io/v1, kind: Lease, name: l, uid: 00000000-0000-0000-0000-000000000003, controller: true}]}}`,
	"owner-namespace":     `{metadata: {ownerReferences: [{apiVersion: v1, kind: Namespace, name: kube-system, uid: 00000000-0000-0000-0000-000000000004, controller: true}]}}`,
	"owner-unknown-kind":  `{metadata: {ownerReferences: [{apiVersion: no.example.com/v1, kind: Such, name: s, uid: 00000000-0000-0000-0000-000000000005, controller: true}]}}`,
	"owner-strange-name":  `{metadata: {ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: "../../kube-system", uid: 00000000-0000-0000-0000-000000000006, controller: true}]}}`,
	"owner-gateway":       `{metadata: {ownerReferences: [{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, name: g, uid: 00000000-0000-0000-0000-000000000007}]}}`,
	"region-label":        `{metadata: {labels: {topology.kubernetes.io/region: cheap-1}}}`,
	"zone-label":          `{metadata: {labels: {topology.kubernetes.io/zone: cheap-1a}}}`,
	"type-label":          `{metadata: {labels: {node.kubernetes.io/instance-type: free}}}`,
	"capacity-label":      `{metadata: {labels: {karpenter.sh/capacity-type: spot}}}`,
	"type-annotation":     `{metadata: {annotations: {kubevirt.io/cluster-instancetype-name: free}}}`,
	"claim-label":         `{metadata: {labels: {crossplane.io/claim-namespace: kube-system}}}`,
	"mirror":              `{metadata: {annotations: {example.com/config.mirror: x, kubernetes.io/config.source: file}}}`,
	"finalizer":           `{metadata: {finalizers: [example.com/never]}}`,
	"init-container":      `{spec: {initContainers: [{name: miner, image: x, resources: {requests: {cpu: "2"}}}], containers: [{name: a, image: x, resources: {requests: {cpu: 1m}}}]}}`,
	"sidecar":             `{spec: {initContainers: [{name: miner, image: x, restartPolicy: Always, resources: {requests: {cpu: 1999m}}}], containers: [{name: a, image: x, resources: {requests: {cpu: 1m}}}]}}`,
	"pod-level":           `{spec: {resources: {requests: {cpu: "2"}}, containers: [{name: a, image: x}]}}`,
	"limits-alone":        `{spec: {containers: [{name: a, image: x, resources: {limits: {cpu: "2"}, requests: null}}]}}`,
	"millis":              `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 2000m}}}]}}`,
	"exponent":            `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 2e0}}}]}}`,
	"micros":              `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: "2.000"}}}]}}`,
	"many-containers":     `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: "1"}}}, {name: b, image: x, resources: {requests: {cpu: 500m}}}, {name: c, image: x, resources: {requests: {cpu: 500m}}}]}}`,
	"kilos":               `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 0.002k}}}]}}`,
	"nanos":               `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 2000000000n}}}]}}`,
	"claims-nowhere":      `{spec: {resourceClaims: [{name: g, resourceClaimName: no-such}], containers: [{name: a, image: x, resources: {requests: {cpu: "2"}, claims: [{name: g}]}}]}}`,
	"volumes-of-others":   `{spec: {volumes: [{name: v, persistentVolumeClaim: {claimName: no-such}}]}}`,
	"zeros":               `{spec: {containers: [{name: a, image: x, resources: {requests: {cpu: "2", memory: "0", ephemeral-storage: "0"}}}]}}`,
	"scheduler":           `{spec: {schedulerName: mine}}`,
	"never-restarts":      `{spec: {restartPolicy: Never, activeDeadlineSeconds: 3600}}`,
	"long-grace":          `{spec: {terminationGracePeriodSeconds: 31536000}}`,
	"host-network":        `{spec: {hostNetwork: true}}`,
	"gates-gone":          `{spec: {tolerations: [{operator: Exists}], readinessGates: [{conditionType: example.com/never}]}}`,
	"strange-labels":      `{metadata: {labels: {app: A_b.c, tier: ""}, annotations: {a: "\u202e"}}}`,
	"deployment-is-other": `{metadata: {labels: {metering.usage-operator.dev/deployment: unattributed}}}`,
	"pod-level-limits":    `{spec: {resources: {limits: {cpu: "2"}}, containers: [{name: a, image: x, resources: null}]}}`,
	"node-is-none":        `{spec: {nodeName: no-such-node}}`,
	"restarts-ruled":      `{spec: {restartPolicy: Never, containers: [{name: a, image: x, restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}], resources: {requests: {cpu: "2"}}}]}}`,
	"instance-is-other":   `{metadata: {labels: {app.kubernetes.io/instance: "0", app.kubernetes.io/name: unattributed}}}`,
}

// laterTricks are what a tenant does to a pod of its own that runs, with two cores. What the API server refuses is no trick.
var laterTricks = map[string]func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error{
	"managed-fields-gone": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return tenant.Patch(ctx, pod, patchOf(`metadata: {managedFields: [{}]}`))
	},
	"managed-fields-ahead": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return dateManagedFields(ctx, tenant, pod, 24*time.Hour)
	},
	"managed-fields-behind": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return dateManagedFields(ctx, tenant, pod, -24*time.Hour)
	},
	"resized-down": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return tenant.SubResource("resize").Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType,
			[]byte(`{"spec": {"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}}]}}`)))
	},
	"deleted-with-years-of-grace": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return tenant.Delete(ctx, pod, client.GracePeriodSeconds(31536000))
	},
	"another-owner": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return tenant.Patch(ctx, pod, patchOf(`metadata: {ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: late, uid: 00000000-0000-0000-0000-000000000008, controller: true}]}`))
	},
	"ephemeral-container": func(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured) error {
		return tenant.SubResource("ephemeralcontainers").Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType,
			[]byte(`{"spec": {"ephemeralContainers": [{"name": "late", "image": "x"}]}}`)))
	},
}

// dateManagedFields rewrites when the object says that it was written.
func dateManagedFields(ctx SpecContext, tenant client.Client, pod *unstructured.Unstructured, by time.Duration) error {
	if err := tenant.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
		return err
	}
	entries := pod.GetManagedFields()
	for i := range entries {
		if entries[i].Time != nil {
			entries[i].Time = &metav1.Time{Time: entries[i].Time.Add(by)}
		}
	}
	pod.SetManagedFields(entries)
	return tenant.Update(ctx, pod)
}

// crowded are pods that are long in something that meters go through.
func crowded() map[string]map[string]any {
	zeros, owners := map[string]any{"cpu": "2"}, make([]any, 3000)
	limits := map[string]any{}
	for i := range 5050 {
		name := fmt.Sprintf("example.com/r%d", i)
		zeros[name], limits[name] = "0", "0"
	}
	for i := range owners {
		owners[i] = map[string]any{
			"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": fmt.Sprintf("i%d", i), "uid": fmt.Sprintf("00000000-0000-0000-0001-%012d", i),
		}
	}
	return map[string]map[string]any{
		"resources-of-zero": {"spec": map[string]any{"containers": []any{map[string]any{
			"name": "a", "image": "x", "resources": map[string]any{"requests": zeros, "limits": limits},
		}}}},
		"owners":     {"metadata": map[string]any{"ownerReferences": owners}},
		"annotation": {"metadata": map[string]any{"annotations": map[string]any{"example.com/long": strings.Repeat("x", 200_000)}}},
	}
}

// refusedStatuses are statuses in its own namespace that meters read, and that the role edit does not let a tenant write.
var refusedStatuses = map[string]struct{ object, status string }{
	"a pod's status":      {`{apiVersion: v1, kind: Pod, metadata: {name: honest}}`, `{phase: Succeeded}`},
	"a Service's status":  {`{apiVersion: v1, kind: Service, metadata: {name: the-s}}`, `{loadBalancer: {ingress: []}}`},
	"a claim's status":    {`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: the-c}}`, `{phase: Lost}`},
	"a Gateway's status":  {`{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: the-g}}`, `{addresses: []}`},
	"devices' status":     {`{apiVersion: resource.k8s.io/v1, kind: ResourceClaim, metadata: {name: the-r}}`, `{allocation: null}`},
	"a snapshot's status": {`{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshot, metadata: {name: the-s}}`, `{readyToUse: false}`},
}

// refusedObjects are objects that the role edit lets a tenant neither create nor change.
var refusedObjects = map[string]string{
	"a node":              `{apiVersion: v1, kind: Node, metadata: {name: the-n, labels: {node.kubernetes.io/instance-type: free}}}`,
	"a volume":            `{apiVersion: v1, kind: PersistentVolume, metadata: {name: the-v}, spec: {claimRef: {namespace: kube-system, name: the-x}}}`,
	"a snapshot content":  `{apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshotContent, metadata: {name: the-c}, spec: {volumeSnapshotRef: {namespace: kube-system, name: the-x}}}`,
	"a NodeClaim":         `{apiVersion: karpenter.sh/v1, kind: NodeClaim, metadata: {name: the-c}}`,
	"a UsageMeter":        `{apiVersion: metering.usage-operator.dev/v1alpha1, kind: UsageMeter, metadata: {name: container}, spec: {suspend: true}}`,
	"a UsageRecord":       `{apiVersion: metering.usage-operator.dev/v1alpha1, kind: UsageRecord, metadata: {name: the-r, namespace: $NAMESPACE}}`,
	"a UsageBlock":        `{apiVersion: metering.usage-operator.dev/v1alpha1, kind: UsageBlock, metadata: {name: the-b, namespace: $NAMESPACE}}`,
	"another's namespace": `{apiVersion: v1, kind: Pod, metadata: {name: the-p, namespace: kube-system}}`,
	"its own namespace":   `{apiVersion: v1, kind: Namespace, metadata: {name: $NAMESPACE, annotations: {a: b}}}`,
	"a DeviceClass":       `{apiVersion: resource.k8s.io/v1, kind: DeviceClass, metadata: {name: the-d}}`,
	"a RuntimeClass":      `{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: the-r}, handler: x}`,
	"an admission policy": `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: the-p}}`,
}

// tenantOf is a client with the rights of the role edit in a namespace. No controller aggregates roles here, so that its
// parts are bound.
func tenantOf(ctx SpecContext, namespace string) client.Client {
	GinkgoHelper()
	for _, role := range []string{"system:aggregate-to-edit", "system:aggregate-to-view"} {
		Expect(admin.Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: strings.ReplaceAll(role, ":", "-"), Namespace: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "tenant-" + namespace}},
		})).To(Succeed())
	}
	config := unlimited(cp.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{UserName: "tenant-" + namespace, Groups: []string{"system:authenticated"}}
	tenant, err := client.New(config, client.Options{Scheme: scheme, Mapper: admin.RESTMapper()})
	Expect(err).NotTo(HaveOccurred())
	return tenant
}

var _ = Describe("A tenant with the role edit", func() {
	It("lowers its bill by none of the tricks that are documented, and may not write what decides", func(ctx SpecContext) {
		op, d := begin(ctx)
		meters, err := config.Meters()
		Expect(err).NotTo(HaveOccurred())
		for _, meter := range meters {
			switch meter.GetName() {
			case "container", "vm", "load-balancer":
				apply(ctx, meter.DeepCopy())
			}
		}
		ready(ctx, "container", "vm", "load-balancer")
		tenant := tenantOf(ctx, d.namespace)
		DeferCleanup(func(ctx SpecContext) {
			pods := &corev1.PodList{}
			Expect(admin.List(ctx, pods, client.InNamespace(d.namespace))).To(Succeed())
			for i := range pods.Items {
				pod := &pods.Items[i]
				Expect(client.IgnoreNotFound(admin.Patch(ctx, pod, patchOf(`metadata: {finalizers: null}`)))).To(Succeed())
				Expect(client.IgnoreNotFound(admin.Delete(ctx, pod, client.GracePeriodSeconds(0)))).To(Succeed())
			}
		})

		tricks := crowded()
		for name, trick := range tenantTricks {
			tricks[name] = parse(trick).Object
		}
		for name := range laterTricks {
			tricks[name] = map[string]any{"spec": map[string]any{"nodeName": "no-such-node"}} // else a deleted one is gone at once
		}
		uids, began := map[string]string{}, map[string]int64{}
		var last string
		for name, trick := range tricks {
			pod := parse(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec: {containers: [{name: a, image: x, resources: {requests: {cpu: "2"}}}]}
`, name, d.namespace))
			if name != "honest" {
				mergeInto(pod.Object, trick)
			}
			Eventually(func() error { return client.IgnoreAlreadyExists(tenant.Create(ctx, pod)) }).WithContext(ctx).Should(Succeed(), name)
			began[name] = op.clock.Now().Unix()
			status := fmt.Sprintf(`phase: Running, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: %q}]`, rfc3339(began[name]))
			if laterTricks[name] != nil { // as a kubelet says what it has given
				status += `, containerStatuses: [{name: a, image: x, imageID: x, ready: true, restartCount: 0, allocatedResources: {cpu: "2"}, resources: {requests: {cpu: "2"}}}]`
			}
			Expect(admin.Status().Patch(ctx, pod, patchOf("status: {"+status+"}"))).To(Succeed(), name)
			uids[string(pod.GetUID())] = name
			if late := laterTricks[name]; late != nil {
				if err := late(ctx, tenant, pod); err != nil {
					Expect(apierrors.IsForbidden(err) || apierrors.IsInvalid(err)).To(BeTrue(), "%s: %v", name, err)
				}
				Expect(admin.Get(ctx, client.ObjectKeyFromObject(pod), pod)).To(Succeed(), name)
			}
			last = pod.GetResourceVersion()
		}
		for what, r := range refusedStatuses {
			object := parse(r.object)
			object.SetNamespace(d.namespace)
			Expect(apierrors.IsForbidden(tenant.Status().Patch(ctx, object, patchOf("status: "+r.status)))).To(BeTrue(), what)
		}
		for what, text := range refusedObjects {
			object := parse(strings.ReplaceAll(text, "$NAMESPACE", d.namespace))
			Expect(apierrors.IsForbidden(tenant.Create(ctx, object.DeepCopy()))).To(BeTrue(), what)
			Expect(apierrors.IsForbidden(tenant.Patch(ctx, object.DeepCopy(), patchOf(`metadata: {labels: {a: b}}`)))).To(BeTrue(), what)
		}

		op.reached(ctx, "container", last)
		nodes, want := map[string]string{}, map[string]map[string]int64{}
		for uid, name := range uids {
			nodes[uid], want[name] = name, map[string]int64{"cpu": 2000}
		}
		Expect(op.ledgerOf(nodes)).To(Equal(want))
		window := usage.Window{Start: op.started, End: op.clock.Now().Unix()}
		for _, account := range op.collector.Accounts(window, window.End) {
			for _, s := range op.collector.Cut(account, window, window.End) {
				if name, mine := uids[s.Subject.Instance.UID]; mine {
					Expect(account.Namespace).To(Equal(d.namespace), name)
					Expect(s.Start.At).To(BeNumerically("<=", began[name]+1), name)
					Expect(s.Subject.Region+string(s.Subject.Attributes)).To(BeEmpty(), name)
				}
			}
		}
	})
})

// mergeInto merges more into a map, recursively; what more has wins.
func mergeInto(into, more map[string]any) {
	for key, value := range more {
		below, isMap := value.(map[string]any)
		there, wasMap := into[key].(map[string]any)
		if isMap && wasMap {
			mergeInto(there, below)
			continue
		}
		into[key] = value
	}
}
