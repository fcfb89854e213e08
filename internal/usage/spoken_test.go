package usage

import "testing"

func TestCountsAreSaidAsPeopleDo(t *testing.T) {
	for dimension, want := range map[string][3]string{
		"vm_allocated":                     {"VM-hours allocated", "1 VM allocated", "2 VMs allocated"},
		"public_ip":                        {"public IP-hours", "1 public IP", "2 public IPs"},
		"load_balancer":                    {"load balancer-hours", "1 load balancer", "2 load balancers"},
		"storage_retained":                 {"storage-hours retained", "1 storage retained", "2 storages retained"},
		"gpu":                              {"GPU-hours", "1 GPU", "2 GPUs"},
		"extended_resource/nvidia.com/gpu": {"nvidia.com/gpu-hours", "1 nvidia.com/gpu", "2 nvidia.com/gpu"},
	} {
		one, two := Count.LevelWords(Held(1000, 1), dimension, 3), Count.LevelWords(Held(2000, 1), dimension, 3)
		if got := [3]string{Count.SpokenHours(dimension), one, two}; got != want {
			t.Errorf("%s is %q: want %q", dimension, got, want)
		}
	}
	if got := Byte.SpokenHours("memory"); got != "GiB-hour" {
		t.Errorf("memory is in %q", got)
	}
}
