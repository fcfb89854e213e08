// Package cluster serves the objects of a large cluster that is not there: it makes them up as they are asked for, so
// that a hundred thousand of them need neither etcd nor memory.
package cluster

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// created is when everything was.
const created = "2026-11-21T08:00:00Z"

// words stand in a template for what differs between objects.
const (
	wordName = iota
	wordUID
	wordNamespace
	wordOwner
	wordOwnerUID
	wordVersion
	wordCount
)

var marks = [wordCount]string{"@name@", "@uid@", "@namespace@", "@owner@", "@owneruid@", "@version@"}

// template is an object's JSON, cut where words go in.
type template struct {
	literals [][]byte
	words    []int
}

func newTemplate(object map[string]any) template {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var t template
	for {
		at, word := len(text), -1
		for i, mark := range marks {
			if found := bytes.Index(text, []byte(mark)); found >= 0 && found < at {
				at, word = found, i
			}
		}
		t.literals = append(t.literals, text[:at])
		if word < 0 {
			return t
		}
		t.words = append(t.words, word)
		text = text[at+len(marks[word]):]
	}
}

func (t template) appendTo(text []byte, words [wordCount]string) []byte {
	for i, literal := range t.literals {
		text = append(text, literal...)
		if i < len(t.words) {
			text = append(text, words[t.words[i]]...)
		}
	}
	return text
}

// decoded is an object from YAML, with managed fields as the API server would keep them.
func decoded(text string, managers ...string) map[string]any {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		panic(fmt.Sprintf("%v in:\n%s", err, text))
	}
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = marks[wordVersion]
	metadata["uid"] = marks[wordUID]
	metadata["creationTimestamp"] = created
	custom := object["apiVersion"] == "kubevirt.io/v1"
	var managed []any
	for i, manager := range managers {
		// The first wrote spec and metadata, the others share the status.
		owned := map[string]any{"f:spec": fieldsOf(object["spec"], custom), "f:metadata": fieldsOf(map[string]any{
			"labels": metadata["labels"], "annotations": metadata["annotations"], "ownerReferences": metadata["ownerReferences"],
		}, false)}
		entry := map[string]any{
			"manager": manager, "operation": "Update", "apiVersion": object["apiVersion"], "fieldsType": "FieldsV1", "time": created,
		}
		if i > 0 {
			owned = map[string]any{"f:status": fieldsOf(object["status"], custom)}
			entry["subresource"] = "status"
		}
		entry["fieldsV1"] = owned
		managed = append(managed, entry)
	}
	metadata["managedFields"] = managed
	return object
}

// fieldsOf is the FieldsV1 of a value. The lists of a custom resource are atomic, unless its schema says otherwise.
func fieldsOf(value any, atomicLists bool) any {
	fields := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			fields["f:"+key] = fieldsOf(member, atomicLists)
		}
	case []any:
		if atomicLists {
			return fields
		}
		for _, member := range value {
			object, ok := member.(map[string]any)
			if !ok {
				return fields
			}
			for _, key := range []string{"name", "type", "uid", "mountPath", "containerPort", "ip"} {
				if id, ok := object[key]; ok {
					text, err := json.Marshal(map[string]any{key: id})
					if err != nil {
						panic(err)
					}
					of := fieldsOf(object, atomicLists).(map[string]any)
					of["."] = map[string]any{}
					fields["k:"+string(text)] = of
					break
				}
			}
		}
	}
	return fields
}

// uid is an identity that is the same each time it is asked for.
func uid(of string) string {
	sum := md5.Sum([]byte(of))
	text := hex.EncodeToString(sum[:])
	return fmt.Sprintf("%s-%s-4%s-8%s-%s", text[:8], text[8:12], text[13:16], text[17:20], text[20:32])
}

// kind is a kind that the cluster has, and how its objects are made.
type kind struct {
	schema.GroupVersionKind
	resource   string
	namespaced bool
	// partial: only the metadata is ever asked for.
	partial   bool
	templates []template
	// words are what object i is about, without its resourceVersion.
	words func(i int) [wordCount]string
}

// render appends object i as JSON, as of that revision.
func (k *kind) render(text []byte, i int, version string) []byte {
	words := k.words(i)
	words[wordVersion] = version
	return k.templates[i%len(k.templates)].appendTo(text, words)
}

const (
	podsPerDeployment = 5
	vmsPerNamespace   = 50
	podsPerNamespace  = 50
)

func namespaceOf(i, per int) string { return fmt.Sprintf("tenant-%04d", i/per) }

func deploymentOf(i int) string {
	return fmt.Sprintf("%s-%02d", []string{"frontend", "checkout", "catalogue", "search"}[i/podsPerDeployment%4], i/podsPerDeployment%10)
}

func replicaSetOf(i int) (name, id string) {
	id = uid(fmt.Sprintf("replicaset %d", i/podsPerDeployment))
	return deploymentOf(i) + "-" + id[:8], id
}

var (
	namespaces = kind{
		GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Namespace"), resource: "namespaces",
		templates: []template{newTemplate(decoded(`
apiVersion: v1
kind: Namespace
metadata: {name: "@name@", labels: {kubernetes.io/metadata.name: "@name@"}}
spec: {finalizers: [kubernetes]}
status: {phase: Active}
`, "kubectl-create"))},
		words: func(i int) [wordCount]string {
			return [wordCount]string{wordName: namespaceOf(i, 1), wordUID: uid(fmt.Sprintf("namespace %d", i))}
		},
	}
	pods = kind{
		GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Pod"), resource: "pods", namespaced: true,
		templates: podTemplates(),
		words: func(i int) [wordCount]string {
			owner, ownerUID := replicaSetOf(i)
			id := uid(fmt.Sprintf("pod %d", i))
			return [wordCount]string{
				wordName: owner + "-" + id[:5], wordUID: id, wordNamespace: namespaceOf(i, podsPerNamespace),
				wordOwner: owner, wordOwnerUID: ownerUID,
			}
		},
	}
	replicaSets = kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
		resource:         "replicasets", namespaced: true, partial: true,
		templates: []template{metadataTemplate("apps/v1", "Deployment")},
		words: func(i int) [wordCount]string {
			name, id := replicaSetOf(i * podsPerDeployment)
			return [wordCount]string{
				wordName: name, wordUID: id, wordNamespace: namespaceOf(i*podsPerDeployment, podsPerNamespace),
				wordOwner: deploymentOf(i * podsPerDeployment), wordOwnerUID: uid(fmt.Sprintf("deployment %d", i)),
			}
		},
	}
	deployments = kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "apps", Version: "v1", Kind: "Deployment"},
		resource:         "deployments", namespaced: true, partial: true,
		templates: []template{metadataTemplate("", "")},
		words: func(i int) [wordCount]string {
			return [wordCount]string{
				wordName: deploymentOf(i * podsPerDeployment), wordUID: uid(fmt.Sprintf("deployment %d", i)),
				wordNamespace: namespaceOf(i*podsPerDeployment, podsPerNamespace),
			}
		},
	}
	machines = kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachine"},
		resource:         "virtualmachines", namespaced: true, partial: true,
		templates: []template{metadataTemplate("", "")},
		words: func(i int) [wordCount]string {
			return [wordCount]string{
				wordName: machineName(i), wordUID: uid(fmt.Sprintf("vm %d", i)), wordNamespace: namespaceOf(i, vmsPerNamespace),
			}
		},
	}
	instances = kind{
		GroupVersionKind: schema.GroupVersionKind{Group: "kubevirt.io", Version: "v1", Kind: "VirtualMachineInstance"},
		resource:         "virtualmachineinstances", namespaced: true,
		templates: instanceTemplates(),
		words: func(i int) [wordCount]string {
			return [wordCount]string{
				wordName: machineName(i), wordUID: uid(fmt.Sprintf("vmi %d", i)), wordNamespace: namespaceOf(i, vmsPerNamespace),
				wordOwner: machineName(i), wordOwnerUID: uid(fmt.Sprintf("vm %d", i)),
			}
		},
	}
	services = kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Service"), resource: "services", namespaced: true}
)

func machineName(i int) string { return fmt.Sprintf("postgres-%05d", i) }

// metadataTemplate is an owner's metadata, with the managed fields of the whole object.
func metadataTemplate(ownerVersion, ownerKind string) template {
	owners := ""
	if ownerKind != "" {
		owners = fmt.Sprintf(`
  ownerReferences: [{apiVersion: %s, kind: %s, name: "@owner@", uid: "@owneruid@", controller: true, blockOwnerDeletion: true}]`, ownerVersion, ownerKind)
	}
	whole := decoded(`
apiVersion: meta.k8s.io/v1
kind: PartialObjectMetadata
metadata:
  name: "@name@"
  namespace: "@namespace@"
  generation: 1
  labels: {app.kubernetes.io/name: shop, app.kubernetes.io/part-of: shop}
  annotations: {deployment.kubernetes.io/revision: "1"}`+owners+`
`+podSpec(1)+`
status: {observedGeneration: 1, replicas: 5, readyReplicas: 5, availableReplicas: 5}
`, "kubectl", "kube-controller-manager")
	delete(whole, "spec")
	delete(whole, "status")
	return newTemplate(whole)
}

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

// instanceTemplates are running virtual machines with two to nine disks and cloud-init data of one to eight KiB.
func instanceTemplates() []template {
	var templates []template
	for size := 1; size <= 8; size++ {
		var disks, volumes, statuses strings.Builder
		for d := range size + 1 {
			fmt.Fprintf(&disks, `
      - {name: data-%[1]d, bootOrder: %[2]d, cache: none, io: native, dedicatedIOThread: true, serial: "4f1c9c7f1a0b%[1]d", disk: {bus: virtio}}`, d, d+1)
			fmt.Fprintf(&volumes, `
  - {name: data-%[1]d, dataVolume: {name: "@name@-data-%[1]d", hotpluggable: true}}`, d)
			fmt.Fprintf(&statuses, `
  - name: data-%[1]d
    target: vd%[1]d
    persistentVolumeClaimInfo:
      claimName: "@name@-data-%[1]d"
      accessModes: [ReadWriteMany]
      volumeMode: Block
      capacity: {storage: 100Gi}
      requests: {storage: 100Gi}
      preallocated: true
      filesystemOverhead: "0.055"`, d)
		}
		userData := strings.Repeat("  - [sh, -c, 'echo configuring the database; systemctl enable --now postgresql']\n", 12*size)
		object := decoded(`
apiVersion: kubevirt.io/v1
kind: VirtualMachineInstance
metadata:
  name: "@name@"
  namespace: "@namespace@"
  generation: 12
  finalizers: [kubevirt.io/virtualMachineControllerFinalize, foregroundDeleteVirtualMachine]
  labels: {kubevirt.io/domain: "@name@", kubevirt.io/nodeName: worker-17, kubevirt.io/size: large, app.kubernetes.io/name: postgres, vm.kubevirt.io/name: "@name@"}
  annotations:
    kubevirt.io/cluster-instancetype-name: u1.large
    kubevirt.io/cluster-preference-name: rhel.9
    kubevirt.io/latest-observed-api-version: v1
    kubevirt.io/storage-observed-api-version: v1
    kubevirt.io/vm-generation: "3"
    vm.kubevirt.io/os: rhel9
    vm.kubevirt.io/workload: server
  ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: "@owner@", uid: "@owneruid@", controller: true, blockOwnerDeletion: true}]
spec:
  architecture: amd64
  evictionStrategy: LiveMigrate
  hostname: "@name@"
  terminationGracePeriodSeconds: 180
  domain:
    cpu: {cores: 1, sockets: 2, threads: 1, maxSockets: 8, model: host-model}
    memory: {guest: 8Gi, maxGuest: 32Gi}
    resources: {requests: {memory: 8Gi}}
    machine: {type: pc-q35-rhel9.4.0}
    firmware: {uuid: 0f2b1c7e-9a11-5c55-8e0b-7d1c2e3f4a5b, serial: 3a1f2b7c-9d10-4b55-8e0b-1c2d3e4f5a6b, bootloader: {efi: {secureBoot: true}}}
    features: {acpi: {enabled: true}, smm: {enabled: true}, apic: {enabled: true}}
    clock: {utc: {}, timer: {hpet: {present: false}, pit: {tickPolicy: delay, present: true}, rtc: {tickPolicy: catchup, present: true}}}
    devices:
      networkInterfaceMultiqueue: true
      rng: {}
      inputs: [{bus: virtio, name: tablet, type: tablet}]
      interfaces:
      - {name: default, model: virtio, masquerade: {}, macAddress: "02:0f:3a:00:00:07"}
      - {name: storage, model: virtio, bridge: {}, macAddress: "02:0f:3a:00:00:08"}
      disks:`+disks.String()+`
      - {name: cloudinit, disk: {bus: virtio}}
  networks:
  - {name: default, pod: {}}
  - {name: storage, multus: {networkName: storage/vlan-42}}
  tolerations:
  - {effect: NoExecute, key: dedicated, operator: Equal, value: database}
  affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, podAffinityTerm: {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app.kubernetes.io/name: postgres}}}}]}}
  volumes:`+volumes.String()+`
  - {name: cloudinit, cloudInitNoCloud: {userData: ""}}
status:
  phase: Running
  nodeName: worker-17
  qosClass: Burstable
  launcherContainerImageVersion: registry.example.com/kubevirt/virt-launcher@sha256:3f1c9c7f1a0b6f1e1d9a5e9d2b4c8a7e6f5d4c3b2a1908f7e6d5c4b3a2918070
  migrationMethod: LiveMigration
  migrationTransport: Unix
  runtimeUser: 107
  virtualMachineRevisionName: "revision-start-vm-@owneruid@-3"
  selinuxContext: system_u:object_r:container_file_t:s0:c12,c411
  activePods: {"@uid@": worker-17}
  currentCPUTopology: {cores: 1, sockets: 2, threads: 1}
  memory: {guestAtBoot: 8Gi, guestCurrent: 8Gi, guestRequested: 8Gi}
  machine: {type: pc-q35-rhel9.4.0}
  guestOSInfo: {id: rhel, kernelRelease: 5.14.0-427.el9.x86_64, kernelVersion: '#1 SMP PREEMPT_DYNAMIC', machine: x86_64, name: Red Hat Enterprise Linux, prettyName: Red Hat Enterprise Linux 9.4 (Plow), version: 9.4 (Plow), versionId: "9.4"}
  conditions:
  - {type: Ready, status: "True", lastProbeTime: null, lastTransitionTime: "2026-11-21T08:00:19Z"}
  - {type: LiveMigratable, status: "True", lastProbeTime: null, lastTransitionTime: null}
  - {type: StorageLiveMigratable, status: "True", lastProbeTime: null, lastTransitionTime: null}
  - {type: AgentConnected, status: "True", lastProbeTime: "2026-11-21T08:00:41Z", lastTransitionTime: null}
  - {type: DataVolumesReady, status: "True", lastProbeTime: null, lastTransitionTime: null, reason: AllDVsReady, message: All of the VMI's DVs are bound and ready}
  interfaces:
  - {name: default, infoSource: "domain, guest-agent", interfaceName: eth0, ipAddress: 10.42.17.9, ipAddresses: [10.42.17.9, "fd10:42:17::9"], linkState: up, mac: "02:0f:3a:00:00:07", queueCount: 2}
  - {name: storage, infoSource: "domain, guest-agent, multus-status", interfaceName: eth1, ipAddress: 10.60.17.9, ipAddresses: [10.60.17.9], linkState: up, mac: "02:0f:3a:00:00:08", queueCount: 2}
  phaseTransitionTimestamps:
  - {phase: Pending, phaseTransitionTimestamp: "2026-11-21T08:00:00Z"}
  - {phase: Scheduling, phaseTransitionTimestamp: "2026-11-21T08:00:02Z"}
  - {phase: Scheduled, phaseTransitionTimestamp: "2026-11-21T08:00:14Z"}
  - {phase: Running, phaseTransitionTimestamp: "2026-11-21T08:00:18Z"}
  volumeStatus:`+statuses.String()+`
  - {name: cloudinit, size: 1048576, target: vdz}
`, "virt-controller", "virt-handler", "virt-launcher")
		spec := object["spec"].(map[string]any)
		last := spec["volumes"].([]any)
		last[len(last)-1].(map[string]any)["cloudInitNoCloud"].(map[string]any)["userData"] = "#cloud-config\nruncmd:\n" + userData
		templates = append(templates, newTemplate(object))
	}
	return templates
}

// Size is the mean length of the JSON of a virtual machine instance, and of a pod.
func Size() (instance, pod int) {
	mean := func(k *kind) int {
		total := 0
		for i := range k.templates {
			total += len(k.render(nil, i, "1000000"))
		}
		return total / len(k.templates)
	}
	return mean(&instances), mean(&pods)
}

// listKind is what a list of the kind is called.
func (k *kind) listKind() metav1.TypeMeta {
	if k.partial {
		return metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"}
	}
	return metav1.TypeMeta{APIVersion: k.GroupVersion().String(), Kind: k.Kind + "List"}
}
