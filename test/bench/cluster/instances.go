package cluster

import (
	"fmt"
	"strings"
)

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
