package record

import (
	"testing"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// What the release before wrote of these segments.
func TestTheFormerSummary(t *testing.T) {
	vm, balancer := usage.Dimension{Name: "vm_allocated", Unit: usage.Count}, usage.Dimension{Name: "load_balancer", Unit: usage.Count}
	memory, vcpu := usage.Dimension{Name: "memory", Unit: usage.Byte}, usage.Dimension{Name: "vcpu", Unit: usage.Core}
	traffic, licence := usage.Dimension{Name: "egress", Unit: usage.BitPerSecond}, usage.Dimension{Name: "licence", Unit: "millipede"}
	gpu := usage.Dimension{Name: "extended_resource/nvidia.com/gpu", Unit: usage.Count}
	service := *subject("edge")
	service.ResourceType = "load-balancer"
	for want, segments := range map[string][]usage.Segment{
		"": nil,
		"memory 0.1 GiB-hour, vcpu 0.05 core-hour, 0.017 vm_allocated-hour": {
			held(subject("a"), memory, 6<<30, 0, 60), held(subject("a"), vcpu, 3000, 0, 60), held(subject("a"), vm, 1000, 0, 60),
		},
		"load-balancer: 1 load_balancer-hour; vm: vcpu 2.5 core-hour; 1 more": {
			held(&service, balancer, 1000, 0, 3600), held(subject("a"), vcpu, 2500, 0, 3600), held(subject("a"), vm, 1000, 0, 3600),
		},
		"1 nvidia.com/gpu-hour": {held(subject("a"), gpu, 1000, 0, 3600)},
		"egress 2 Gbit_per_second-hour, licence 3 millipede-hour": {
			held(subject("a"), traffic, 2_000_000_000, 0, 3600), held(subject("a"), licence, 3000, 0, 3600),
		},
	} {
		r := one(final("web", segments...), segments, 0, 1)
		if got := FormerSummary(r.Status.Totals); got != want {
			t.Errorf("%q: want %q", got, want)
		}
		before := r.Status.Summary
		if got := Worded(r, want); got.Status.Summary != want || got.Status.Digest != r.Status.Digest || r.Status.Summary != before {
			t.Errorf("a record that is found with the words %q has %q", want, got.Status.Summary)
		}
		if got := Worded(r, want+" and more"); got != r {
			t.Errorf("words that no release wrote are taken over: %q", got.Status.Summary)
		}
	}
}
