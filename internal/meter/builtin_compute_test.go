package meter

const (
	pod1 = "shop/ container; bills (workload); v1 Pod web-7d9-abc pod-1"
	vmi1 = "shop/ vm; bills kubevirt.io/v1 VirtualMachine db-0 vm-1; kubevirt.io/v1 VirtualMachineInstance db-0 vmi-1"
	gpu1 = vmi1 + "; container nvidia.com/A100"
)

var computeLifecycles = []lifecycle{
	{
		meter:  "vm",
		object: runningInstance,
		stages: []stage{
			{name: "created", patch: `status: null`, want: []string{vmi1, gpu1}},
			{name: "scheduled", patch: `status: {phase: Scheduled}`, want: []string{vmi1, gpu1}},
			{name: "running", patch: `
status:
  phase: Running
  phaseTransitionTimestamps:
  - {phase: Scheduled, phaseTransitionTimestamp: "2026-11-21T20:00:20Z"}
  - {phase: Running, phaseTransitionTimestamp: "2026-11-21T20:00:30Z"}
`, want: []string{
				vmi1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=2000 memory=4294967296 gpu=0 host_device=0; from 20:00:30 ObjectTime",
				gpu1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=0 memory=0 gpu=1000 host_device=0; from 20:00:30 ObjectTime",
			}},
			{name: "cpu and memory plugged in", patch: `status: {currentCPUTopology: {sockets: 3, cores: 2, threads: 2}, memory: {guestCurrent: 8Gi}}`,
				want: []string{
					vmi1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=12000 memory=8589934592 gpu=0 host_device=0; from 20:00:30 ObjectTime",
					gpu1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=0 memory=0 gpu=1000 host_device=0; from 20:00:30 ObjectTime",
				}},
			{name: "paused", patch: `status: {conditions: [{type: Paused, status: "True"}]}`,
				want: []string{
					vmi1 + "; [gpuDevices:nvidia.com/A100 paused:true]; holds vcpu=12000 memory=8589934592 gpu=0 host_device=0; from 20:00:30 ObjectTime",
					gpu1 + "; [gpuDevices:nvidia.com/A100 paused:true]; holds vcpu=0 memory=0 gpu=1000 host_device=0; from 20:00:30 ObjectTime",
				}},
			{name: "its host does not answer", patch: `status: {phase: Unknown, conditions: []}`,
				want: []string{
					vmi1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=12000 memory=8589934592 gpu=0 host_device=0; from 20:00:30 ObjectTime",
					gpu1 + "; [gpuDevices:nvidia.com/A100]; holds vcpu=0 memory=0 gpu=1000 host_device=0; from 20:00:30 ObjectTime",
				}},
			{name: "stopped", patch: `
status:
  phase: Succeeded
  phaseTransitionTimestamps:
  - {phase: Running, phaseTransitionTimestamp: "2026-11-21T20:00:30Z"}
  - {phase: Succeeded, phaseTransitionTimestamp: "2026-11-21T20:37:30Z"}
`, want: []string{vmi1 + "; to 20:37:30 ObjectTime", gpu1 + "; to 20:37:30 ObjectTime"}},
			{name: "without topology, memory, owner and instance type", patch: `
metadata: {ownerReferences: null, annotations: null, labels: null}
spec: {domain: {cpu: null, memory: null, devices: {gpus: null}}}
status: {phase: Running, currentCPUTopology: null, memory: null, phaseTransitionTimestamps: null}
`, want: []string{"shop/ vm; kubevirt.io/v1 VirtualMachineInstance db-0 vmi-1; holds vcpu=1000 memory=4294967296 gpu=0 host_device=0"}},
		},
	},
	{
		meter: "vm-allocated",
		object: `
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata: {name: db-0, namespace: shop, uid: vm-1, creationTimestamp: "2026-11-21T20:00:00Z"}
spec: {runStrategy: Always, instancetype: {kind: VirtualMachineClusterInstancetype, name: u1.large}}
`,
		stages: []stage{
			{name: "created", want: []string{"shop/ vm; kubevirt.io/v1 VirtualMachine db-0 vm-1; bundle u1.large; holds vm_allocated=1000; from 20:00:00 CreationTime"}},
			{name: "stopped", patch: `{spec: {runStrategy: Halted, instancetype: null}, status: {printableStatus: Stopped}}`,
				want: []string{"shop/ vm; kubevirt.io/v1 VirtualMachine db-0 vm-1; holds vm_allocated=1000; from 20:00:00 CreationTime"}},
		},
	},
	{
		meter:  "container",
		object: podOfThree,
		stages: []stage{
			{name: "created", patch: `status: {phase: Pending, conditions: null, initContainerStatuses: null, containerStatuses: null}`,
				want: []string{pod1, pod1 + "; container cache", pod1 + "; container proxy", pod1 + "; container web"}},
			{name: "scheduled: its first init container requests more than the rest", patch: `status: {conditions: [{type: PodScheduled, status: "True", lastTransitionTime: "2026-11-21T20:00:03Z"}]}`,
				want: []string{
					pod1 + "; holds cpu=400 memory=2642116608 ephemeral_storage=0; from 20:00:03 ObjectTime",
					pod1 + "; container cache; holds cpu=0 memory=512000000 ephemeral_storage=0; from 20:00:03 ObjectTime",
					pod1 + "; container proxy; holds cpu=100 memory=67108864 ephemeral_storage=0; from 20:00:03 ObjectTime",
					pod1 + "; container web; holds cpu=1500 memory=1073741824 ephemeral_storage=0; from 20:00:03 ObjectTime",
				}},
			{name: "resized in place, and one in a crash loop", patch: `
spec: {initContainers: [{name: proxy, restartPolicy: Always, resources: {requests: {cpu: 100m, memory: 64Mi}}}], containers: [{name: web, resources: {requests: {cpu: "2", memory: 2Gi}}}, {name: cache}]}
status:
  phase: Running
  initContainerStatuses: [{name: proxy, state: {running: {}}}]
  containerStatuses:
  - {name: web, state: {terminated: {exitCode: 1, finishedAt: "2026-11-21T20:10:00Z"}}}
  - {name: cache, state: {running: {}}}
`, want: []string{
				pod1 + "; container cache; holds cpu=0 memory=0 ephemeral_storage=0; from 20:00:03 ObjectTime",
				pod1 + "; container proxy; holds cpu=100 memory=67108864 ephemeral_storage=0; from 20:00:03 ObjectTime",
				pod1 + "; container web; holds cpu=2000 memory=2147483648 ephemeral_storage=0; from 20:00:03 ObjectTime",
			}},
			{name: "a job's pod: what one container is done with is not free as long as another one runs", patch: `
spec: {restartPolicy: Never}
status:
  containerStatuses:
  - {name: web, state: {terminated: {exitCode: 1, finishedAt: "2026-11-21T20:10:00Z"}}}
  - {name: cache, state: {running: {}}}
`, want: []string{
				pod1 + "; container cache; holds cpu=0 memory=0 ephemeral_storage=0; from 20:00:03 ObjectTime",
				pod1 + "; container proxy; holds cpu=100 memory=67108864 ephemeral_storage=0; from 20:00:03 ObjectTime",
				pod1 + "; container web; holds cpu=2000 memory=2147483648 ephemeral_storage=0; from 20:00:03 ObjectTime",
			}},
			{name: "done: it ends with its last container", patch: `
status:
  phase: Failed
  initContainerStatuses: [{name: proxy, state: {terminated: {exitCode: 137, finishedAt: "2026-11-21T20:12:00Z"}}}]
  containerStatuses:
  - {name: web, state: {terminated: {exitCode: 1, finishedAt: "2026-11-21T20:10:00Z"}}}
  - {name: cache, state: {terminated: {exitCode: 0, finishedAt: "2026-11-21T20:11:00Z"}}}
`, want: []string{
				pod1 + "; container cache; to 20:12:00 ObjectTime",
				pod1 + "; container proxy; to 20:12:00 ObjectTime",
				pod1 + "; container web; to 20:12:00 ObjectTime",
			}},
			{name: "evicted: one container's end is not told", patch: `status: {containerStatuses: [{name: cache, state: {terminated: {exitCode: 137, finishedAt: null}}}]}`,
				want: []string{pod1 + "; container cache", pod1 + "; container proxy", pod1 + "; container web"}},
			{name: "a label does not hide a pod", patch: `metadata: {labels: {kubevirt.io: virt-launcher}}`,
				want: []string{pod1 + "; container cache", pod1 + "; container proxy", pod1 + "; container web"}},
			{name: "an owner alone does not either: see TestClaims",
				patch: `metadata: {ownerReferences: [{apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-1, controller: true}]}`,
				want:  []string{pod1 + "; container cache", pod1 + "; container proxy", pod1 + "; container web"}},
		},
	},
	{
		meter:  "container-extended-resources",
		object: podOfThree,
		stages: []stage{
			{name: "running", want: []string{
				pod1 + "; container web/nvidia.com/gpu; [extendedResource:nvidia.com/gpu]; holds extended_resource=1000 hugepages=0; from 20:00:03 ObjectTime",
			}},
			{name: "two devices, one in a sidecar", patch: `
spec:
  initContainers: [{name: proxy, restartPolicy: Always, resources: {requests: {example.com/nic: "2", hugepages-2Mi: 4Mi}}}]
  containers: [{name: web, resources: {requests: {cpu: "1", nvidia.com/gpu: "1", amd.com/gpu: 4}}}]
`, want: []string{
				pod1 + "; container proxy/example.com/nic; [extendedResource:example.com/nic]; holds extended_resource=2000 hugepages=0; from 20:00:03 ObjectTime",
				pod1 + "; container proxy/hugepages-2Mi; [pageSize:2Mi]; holds extended_resource=0 hugepages=4194304; from 20:00:03 ObjectTime",
				pod1 + "; container web/amd.com/gpu; [extendedResource:amd.com/gpu]; holds extended_resource=4000 hugepages=0; from 20:00:03 ObjectTime",
				pod1 + "; container web/nvidia.com/gpu; [extendedResource:nvidia.com/gpu]; holds extended_resource=1000 hugepages=0; from 20:00:03 ObjectTime",
			}},
			{name: "done", patch: `
spec: {initContainers: null}
status: {phase: Succeeded, containerStatuses: [{name: web, state: {terminated: {exitCode: 0, finishedAt: "2026-11-21T20:37:30Z"}}}]}
`, want: []string{
				pod1 + "; container web/amd.com/gpu; to 20:37:30 ObjectTime",
				pod1 + "; container web/nvidia.com/gpu; to 20:37:30 ObjectTime",
			}},
			{name: "a pod without devices", patch: `spec: {containers: [{name: web}]}`, want: []string{}},
		},
	},
}
