package cluster

import (
	"fmt"
	"strings"
)

func podSpec(containers int) string {
	var b strings.Builder
	b.WriteString(`
spec:
  serviceAccountName: default
  nodeName: worker-17
  restartPolicy: Always
  schedulerName: default-scheduler
  terminationGracePeriodSeconds: 30
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  tolerations:
  - {effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, tolerationSeconds: 300}
  - {effect: NoExecute, key: node.kubernetes.io/unreachable, operator: Exists, tolerationSeconds: 300}
  volumes:
  - name: config
    configMap: {name: settings, defaultMode: 420}
  - name: kube-api-access
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {expirationSeconds: 3607, path: token}
      - configMap: {items: [{key: ca.crt, path: ca.crt}], name: kube-root-ca.crt}
  containers:
`)
	for c := range containers {
		fmt.Fprintf(&b, `
  - name: %[1]s
    image: registry.example.com/shop/%[1]s:2.14.3
    imagePullPolicy: IfNotPresent
    ports: [{containerPort: 80%[2]d0, name: http, protocol: TCP}]
    resources: {requests: {cpu: 250m, memory: 512Mi}, limits: {memory: 512Mi}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    readinessProbe: {httpGet: {path: /readyz, port: http, scheme: HTTP}, periodSeconds: 5, timeoutSeconds: 1, successThreshold: 1, failureThreshold: 3}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
    volumeMounts:
    - {mountPath: /etc/shop, name: config, readOnly: true}
    - {mountPath: /var/run/secrets/kubernetes.io/serviceaccount, name: kube-api-access, readOnly: true}
    env:
`, []string{"app", "proxy"}[c], c)
		for _, name := range []string{"DATABASE_HOST", "DATABASE_NAME", "LOG_LEVEL"} {
			fmt.Fprintf(&b, "    - {name: %s, value: %q}\n", name, strings.ToLower(name)+".shop.svc.cluster.local")
		}
	}
	return b.String()
}

// podTemplates are pods of a Deployment; one in four has a second container.
func podTemplates() []template {
	var templates []template
	for _, containers := range []int{1, 1, 1, 2} {
		var statuses strings.Builder
		for c := range containers {
			fmt.Fprintf(&statuses, `
  - name: %[1]s
    image: registry.example.com/shop/%[1]s:2.14.3
    imageID: registry.example.com/shop/%[1]s@sha256:3f1c9c7f1a0b6f1e1d9a5e9d2b4c8a7e6f5d4c3b2a1908f7e6d5c4b3a2918070
    containerID: containerd://7f1c9c7f1a0b6f1e1d9a5e9d2b4c8a7e6f5d4c3b2a1908f7e6d5c4b3a2918070
    ready: true
    started: true
    restartCount: 0
    state: {running: {startedAt: "2026-11-21T08:00:04Z"}}
    lastState: {}`, []string{"app", "proxy"}[c])
		}
		templates = append(templates, newTemplate(decoded(`
apiVersion: v1
kind: Pod
metadata:
  name: "@name@"
  namespace: "@namespace@"
  generateName: "@owner@-"
  labels: {app.kubernetes.io/name: shop, app.kubernetes.io/part-of: shop, app.kubernetes.io/managed-by: Helm, pod-template-hash: "@owner@"}
  annotations: {checksum/config: 7f1c9c7f1a0b6f1e1d9a5e9d2b4c8a7e6f5d4c3b2a1908f7e6d5c4b3a2918070}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: "@owner@", uid: "@owneruid@", controller: true, blockOwnerDeletion: true}]
`+podSpec(containers)+`
status:
  phase: Running
  qosClass: Burstable
  hostIP: 10.0.3.17
  podIP: 10.42.17.9
  hostIPs: [{ip: 10.0.3.17}]
  podIPs: [{ip: 10.42.17.9}]
  startTime: "2026-11-21T08:00:01Z"
  conditions:
  - {type: PodReadyToStartContainers, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:03Z", observedGeneration: 1}
  - {type: Initialized, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:01Z", observedGeneration: 1}
  - {type: Ready, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:06Z", observedGeneration: 1}
  - {type: ContainersReady, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:06Z", observedGeneration: 1}
  - {type: PodScheduled, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:01Z", observedGeneration: 1}
  containerStatuses:`+statuses.String()+`
`, "kube-controller-manager", "kubelet")))
	}
	return templates
}
