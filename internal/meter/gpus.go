package meter

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
)

// nodeGPUs are the whole GPUs of a node, of any maker. Node labels are the
// vendors' discovery's, and no tenant can set them.
func nodeGPUs(node map[string]any) int64 {
	labels, capacity := branch(node, "metadata", "labels"), branch(node, "status", "capacity")
	annotations := branch(node, "metadata", "annotations")
	gpus := nvidiaGPUs(labels, annotations, capacity) + amdGPUs(labels, capacity) + intelGPUs(labels, capacity)
	if launched := launchedGPUs(labels); launched > 0 && (gpus == 0 || gpus > launched) {
		return launched
	}
	return gpus
}

// launchedGPUs are those of the machine that Karpenter launched: a node has it from the
// beginning, and its device plugin minutes later, which may state each of them several times.
func launchedGPUs(labels map[string]any) int64 {
	switch entry(labels, "karpenter.k8s.aws/instance-gpu-manufacturer") {
	case "", "nvidia", "amd":
		return max(labelled(labels, "karpenter.k8s.aws/instance-gpu-count"), labelled(labels, "karpenter.azure.com/sku-gpu-count"),
			labelled(labels, "karpenter.k8s.gcp/instance-gpu-count"))
	}
	return 0 // accelerators, which are extended resources
}

// nvidiaGPUs are those that GPU feature discovery counts, or GKE; without that, those
// that the device plugin states, of which each may be one of several of a GPU.
func nvidiaGPUs(labels, annotations, capacity map[string]any) int64 {
	stated := capacityOf(capacity, "nvidia.com/gpu")
	counted := labelled(labels, "nvidia.com/gpu.count")
	if counted == 0 && stated > 0 {
		counted = registeredGPUs(entry(annotations, "hami.io/node-nvidia-register"))
	}
	if counted == 0 && stated == 0 && capacityOf(capacity, "volcano.sh/vgpu-number") > 0 {
		return registeredGPUs(entry(annotations, "volcano.sh/node-vgpu-register"))
	}
	if counted == 0 {
		if counted = gkeGPUs(labels); counted > 0 {
			return counted
		}
		if counted = dividedGPUs(labels, capacity); stated == 0 && counted > 0 {
			return counted
		}
		if shared := capacityOf(capacity, "nvidia.com/gpu.shared"); stated == 0 {
			stated = shared // renamed where it is shared
		}
		replicas := max(1, labelled(labels, "nvidia.com/gpu.replicas"), labelled(labels, "cloud.google.com/gke-max-shared-clients-per-gpu"))
		counted = atLeast(stated, replicas) + atLeast(migSlicesOf(labels, capacity), migSlices)
	}
	if size := entry(labels, "cloud.google.com/gke-gpu-partition-size"); size != "" {
		return atLeast(counted, slicesPerGPU(entry(labels, "cloud.google.com/gke-accelerator"), size, 0))
	}
	product := entry(labels, "nvidia.com/gpu.product")
	if model, size, cut := strings.Cut(product, "-MIG-"); cut && entry(labels, "nvidia.com/mig.strategy") == "single" {
		// What is counted are slices of one size then.
		return atLeast(counted, slicesPerGPU(model, size, labelled(labels, "nvidia.com/gpu.slices.gi")))
	}
	return counted
}

// dividedGPUs are those of which a device plugin states parts alone: slices, hundredths
// (Tencent's gpu-manager), or memory, and their number beside it (Alibaba's gpushare).
func dividedGPUs(labels, capacity map[string]any) int64 {
	if slices := migSlicesOf(labels, capacity); slices > 0 {
		return atLeast(slices, migSlices)
	}
	if counted := max(capacityOf(capacity, "aliyun.com/gpu-count"), labelled(labels, "aliyun.accelerator/nvidia_count")); counted > 0 {
		return counted
	}
	return atLeast(capacityOf(capacity, "tencent.com/vcuda-core"), 100)
}

// migSlicesOf are the compute slices of all parts that the device plugin states by
// their size (nvidia.com/mig-3g.20gb). It may state each several times, which a label says.
func migSlicesOf(labels, capacity map[string]any) (slices int64) {
	for name := range capacity {
		size, cut := strings.CutPrefix(name, "nvidia.com/mig-")
		if said := migSize.FindStringSubmatch(size); cut && said != nil {
			each, _ := strconv.ParseInt(said[1], 10, 32)
			replicas := max(1, labelled(labels, strings.TrimSuffix(name, ".shared")+".replicas"))
			slices += each * atLeast(capacityOf(capacity, name), replicas)
		}
	}
	return slices
}

// gkeGPUs are those that GKE's label counts, which counts TPUs too.
func gkeGPUs(labels map[string]any) int64 {
	if !strings.HasPrefix(entry(labels, "cloud.google.com/gke-accelerator"), "nvidia-") {
		return 0
	}
	return labelled(labels, "cloud.google.com/gke-accelerator-count")
}

// atLeast is how many GPUs so many parts of them are, if a GPU has no more than perGPU.
func atLeast(parts, perGPU int64) int64 { return (parts + perGPU - 1) / perGPU }

// registeredGPUs are those that HAMi's device plugin registers, or Volcano's, which states each
// of them several times (ten, if nothing else is said): a list in JSON, or text in
// which a colon ends each.
func registeredGPUs(register string) int64 {
	var devices []json.RawMessage
	if json.Unmarshal([]byte(register), &devices) == nil {
		return int64(len(devices))
	}
	gpus := int64(0)
	for device := range strings.SplitSeq(register, ":") {
		if strings.Contains(device, ",") {
			gpus++
		}
	}
	return gpus
}

// migSlices is how many compute slices a GPU can be cut into. Some have fewer, and less
// memory for each, which says the same.
const migSlices = 7

var (
	migSize   = regexp.MustCompile(`^(\d+)g\.(\d+)gb`)
	gpuMemory = regexp.MustCompile(`(\d+)gb`)
)

// migMemory is the memory of GPUs whose name does not say it, in GB.
var migMemory = []struct {
	model  string
	memory int64
}{{"gh200", 96}, {"h200", 141}, {"b200", 180}, {"h100-nvl", 94}, {"h100-pcie", 80}, {"a30", 24}, {"rtx-pro-6000", 96}, {"tesla-a100", 40}}

// slicesPerGPU is how many slices of a size (1g.10gb) fit a GPU of a model: as many as
// it has compute slices for, and memory. The size need not say how many those are.
func slicesPerGPU(model, size string, compute int64) int64 {
	memory := int64(0)
	if said := migSize.FindStringSubmatch(strings.ToLower(size)); said != nil {
		if compute == 0 {
			compute, _ = strconv.ParseInt(said[1], 10, 32)
		}
		memory, _ = strconv.ParseInt(said[2], 10, 32)
	}
	fit := migSlices / max(1, compute)
	if all := memoryOf(strings.ToLower(model)); all > 0 && memory > 0 {
		fit = min(fit, (all+memory/2)/memory) // sizes are rounded
	}
	return max(1, fit)
}

func memoryOf(model string) int64 {
	for _, known := range migMemory {
		if strings.Contains(model, known.model) {
			return known.memory
		}
	}
	if said := gpuMemory.FindStringSubmatch(model); said != nil {
		memory, _ := strconv.ParseInt(said[1], 10, 32)
		return memory
	}
	return 0
}

// amdGPUs are those that the node labeller counts by their device's ID, which parts of
// a GPU do not have; without it, those that the device plugin's parts come from. It states
// parts as GPUs where all are parts of one kind, which a label says, and else by their kind
// (amd.com/cpx_nps4).
func amdGPUs(labels, capacity map[string]any) int64 {
	cpx := amdDies(labels)
	stated, cut := capacityOf(capacity, "amd.com/gpu"), int64(1)
	for _, name := range [...]string{"amd.com/compute-memory-partition", "amd.com/gpu.compute-memory-partition"} {
		if kind := entry(labels, name); kind != "" {
			cut = max(cut, amdPartitions(kind, cpx))
		}
	}
	whole := atLeast(stated, cut)
	for name := range capacity {
		kind, amd := strings.CutPrefix(name, "amd.com/")
		if n := amdPartitions(kind, cpx); amd && n > 0 {
			whole += atLeast(capacityOf(capacity, name), n)
			cut = max(cut, n)
		}
	}
	counted := int64(0)
	for name := range labels {
		if strings.HasPrefix(name, "beta.amd.com/gpu.device-id.") {
			counted += labelled(labels, name)
		}
	}
	if counted == 0 || cut > 1 && whole > 0 && counted > whole {
		return whole
	}
	return counted
}

// amdPartitions is into how many parts a GPU is cut in a mode (cpx_nps4); 0 for what
// is no mode.
func amdPartitions(kind string, cpx int64) int64 {
	mode, memory, _ := strings.Cut(strings.ToLower(kind), "_")
	if !strings.HasPrefix(memory, "nps") {
		return 0
	}
	return map[string]int64{"spx": 1, "dpx": 2, "tpx": 3, "qpx": 4, "cpx": cpx}[mode]
}

// amdDies is how many compute dies a GPU has, each of which is a part of its own in the
// mode CPX: eight, but for two models.
func amdDies(labels map[string]any) int64 {
	said := strings.ToLower(entry(labels, "amd.com/gpu.product-name") + " " + entry(labels, "amd.com/gpu.device-id"))
	switch {
	case strings.Contains(said, "mi300a"), strings.Contains(said, "74a0"):
		return 6
	case strings.Contains(said, "mi308"), strings.Contains(said, "74a2"), strings.Contains(said, "74a8"):
		return 4
	}
	return 8
}

// intelGPUs are those that node feature discovery counts by their device's ID;
// without it, those that the device plugin states.
func intelGPUs(labels, capacity map[string]any) (gpus int64) {
	for name := range labels {
		if strings.HasPrefix(name, "gpu.intel.com/device-id.") && strings.HasSuffix(name, ".count") {
			gpus += labelled(labels, name)
		}
	}
	if gpus > 0 {
		return gpus
	}
	return capacityOf(capacity, "gpu.intel.com/i915") + capacityOf(capacity, "gpu.intel.com/xe")
}
