package e2e_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// holders are what is recorded now: "type kind/name" -> deployment. An instance counts as what it is an instance of.
func holders(g Gomega, ctx SpecContext, namespace string) map[string]string {
	found := map[string]string{}
	for _, r := range records(ctx, g, namespace, v1alpha1.PhaseOpen) {
		for _, usage := range r.Status.Usage {
			for _, s := range usage.Segments {
				if s.EndTime == nil {
					found[fmt.Sprintf("%s %s/%s", usage.ResourceType, usage.Resource.Kind, usage.Resource.Name)] = r.Spec.Deployment
				}
			}
		}
	}
	return found
}

const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: main, image: example.com/web, resources: {requests: {cpu: 100m}}, volumeMounts: [{name: data, mountPath: /data}]}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: web-data}}]
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: web-data}
spec: {storageClassName: static, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: queue}
spec:
  selector: {matchLabels: {app: queue}}
  template:
    metadata: {labels: {app: queue}}
    spec:
      containers: [{name: main, image: example.com/queue, resources: {requests: {cpu: 100m}}, volumeMounts: [{name: data, mountPath: /data}]}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: static, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: report}
spec:
  schedule: "0 0 29 2 *"
  jobTemplate:
    spec:
      template:
        metadata: {labels: {app: report}}
        spec:
          restartPolicy: Never
          # kwok would complete it at once.
          nodeSelector: {e2e: bare}
          tolerations: [{operator: Exists}]
          containers: [{name: main, image: example.com/report, resources: {requests: {cpu: 100m}}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: labelled, labels: {metering.usage-operator.dev/deployment: team-a}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: by-label, labels: {app.kubernetes.io/instance: shop-eu}}
spec: {type: LoadBalancer, selector: {app: nothing}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: nobodys}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge}
spec: {gatewayClassName: any, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: edge}
spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web, port: 80}]}]}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: disk}
spec: {storageClassName: static, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
`

var _ = Describe("Usage", func() {
	It("is put under the workload that controls, mounts, serves or routes to", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "attributed")
		for i := range 3 {
			create(ctx, "", fmt.Sprintf(`
apiVersion: v1
kind: PersistentVolume
metadata: {name: static-%d}
spec: {storageClassName: static, capacity: {storage: 1Gi}, accessModes: [ReadWriteMany], hostPath: {path: /static}}`, i))
		}
		create(ctx, "", `{apiVersion: v1, kind: Node, metadata: {name: bare, labels: {e2e: bare}}}`)
		DeferCleanup(func(ctx SpecContext) { kubectl(ctx, "delete", "node", "bare") })
		kubectl(ctx, "patch", "node", "bare", "--subresource=status", "--type=merge", "-p",
			`{"status":{"allocatable":{"cpu":"4","memory":"4Gi","pods":"10"},"capacity":{"cpu":"4","memory":"4Gi","pods":"10"}}}`)
		apply(ctx, namespace, workloads)
		kubectl(ctx, "create", "job", "report-now", "--from=cronjob/report", "-n", namespace)

		vm := create(ctx, namespace, `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: db}
spec: {runStrategy: Always, template: {spec: {domain: {devices: {}}}}}`)
		vmi, _ := run(ctx, vm)
		apply(ctx, namespace, fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata:
  name: virt-launcher-db
  labels: {kubevirt.io: virt-launcher}
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db, uid: %s, controller: true}]
spec:
  containers: [{name: compute, image: example.com/launcher, resources: {requests: {cpu: 100m}}, volumeMounts: [{name: disk, mountPath: /disk}]}]
  volumes: [{name: disk, persistentVolumeClaim: {claimName: disk}}]`, vmi.GetUID()))
		for _, service := range []string{"web", "labelled", "by-label", "nobodys"} {
			kubectl(ctx, "patch", "service", service, "-n", namespace, "--subresource=status", "--type=merge", "-p",
				`{"status":{"loadBalancer":{"ingress":[{"ip":"203.0.113.1"}]}}}`)
		}
		kubectl(ctx, "patch", "gateway", "edge", "-n", namespace, "--subresource=status", "--type=merge", "-p", fmt.Sprintf(
			`{"status":{"addresses":[{"type":"IPAddress","value":"203.0.113.2"}],"conditions":[{"type":"Programmed","status":"True",`+
				`"reason":"Programmed","message":"","lastTransitionTime":%q}]}}`, time.Now().UTC().Format(time.RFC3339)))

		Eventually(ctx, func(g Gomega) {
			g.Expect(holders(g, ctx, namespace)).To(And(
				HaveKeyWithValue("container Deployment/web", "web"),
				HaveKeyWithValue("container StatefulSet/queue", "queue"),
				HaveKeyWithValue("container CronJob/report", "report"),
				HaveKeyWithValue("volume PersistentVolumeClaim/web-data", "web"),
				HaveKeyWithValue("volume PersistentVolumeClaim/data-queue-0", "queue"),
				HaveKeyWithValue("volume PersistentVolumeClaim/disk", "db"),
				HaveKeyWithValue("vm VirtualMachine/db", "db"),
				HaveKeyWithValue("load_balancer Service/web", "web"),
				HaveKeyWithValue("load_balancer Service/labelled", "team-a"),
				HaveKeyWithValue("load_balancer Service/by-label", "shop-eu"),
				HaveKeyWithValue("load_balancer Service/nobodys", ""),
				HaveKeyWithValue("load_balancer Gateway/edge", "web"),
				Not(HaveKey(ContainSubstring("virt-launcher"))),
			))
		}).Should(Succeed())
	}, SpecTimeout(4*time.Minute))
})
