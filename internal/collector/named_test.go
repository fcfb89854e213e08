package collector

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhichOwnersKindsAreFollowed(t *testing.T) {
	n := newNamed([]schema.GroupKind{{Group: "batch.example.com", Kind: "Set"}, {Kind: "ConfigMap"}})
	for kind, want := range map[schema.GroupKind]struct{ named, found bool }{
		{Group: "apps", Kind: "ReplicaSet"}:                            {true, true},
		{Group: "apps", Kind: "ControllerRevision"}:                    {false, false},
		{Group: "batch", Kind: "Job"}:                                  {true, true},
		{Group: "kubevirt.io", Kind: "VirtualMachine"}:                 {true, true},
		{Group: "cluster.x-k8s.io", Kind: "MachineSet"}:                {true, true},
		{Group: "gateway.networking.k8s.io", Kind: "Gateway"}:          {true, true},
		{Kind: "ReplicationController"}:                                {true, true},
		{Kind: "PersistentVolumeClaim"}:                                {true, true},
		{Kind: "Pod"}:                                                  {true, true},
		{Kind: "Secret"}:                                               {false, false},
		{Kind: "ConfigMap"}:                                            {true, true}, // the administrator says so
		{Group: "batch.example.com", Kind: "Set"}:                      {true, true},
		{Group: "coordination.k8s.io", Kind: "Lease"}:                  {false, false},
		{Group: "networking.k8s.io", Kind: "Ingress"}:                  {false, false},
		{Group: "autoscaling", Kind: "HorizontalPodAutoscaler"}:        {false, false},
		{Group: "jobset.x-k8s.io", Kind: "JobSet"}:                     {false, true},
		{Group: "argoproj.io", Kind: "Rollout"}:                        {false, true},
		{Group: "apps", Kind: "MadeUp"}:                                {false, false},
		{Group: "apps.evil.example.com", Kind: "Deployment"}:           {false, true},
		{Group: "metering.usage-operator.dev", Kind: "UsageSomething"}: {false, true},
	} {
		if got := n.admits(kind, "shop", false); got != want.named {
			t.Errorf("%s, that an object names: %t", kind, got)
		}
		if got := n.admits(kind, "shop", true); got != want.found {
			t.Errorf("%s, of which there is an owner: %t", kind, got)
		}
	}
}

// What one namespace brings in leaves room for others', up to what all may.
func TestNamespacesShareTheKindsThatAreNamed(t *testing.T) {
	n := newNamed(nil)
	brought := map[string]int{}
	total := 0
	for i := range 1000 {
		kind := schema.GroupKind{Group: "example.com", Kind: fmt.Sprint("Kind", i)}
		namespace := "greedy"
		if i >= 500 {
			namespace = fmt.Sprint("ns-", i%100)
		}
		if n.admits(kind, namespace, true) {
			n.by[kind] = namespace
			brought[namespace]++
			total++
		}
		if i == 499 && total != maxNamedBy {
			t.Errorf("one namespace has brought in %d kinds", total)
		}
	}
	if total != maxNamed {
		t.Errorf("%d kinds are followed, want %d", total, maxNamed)
	}
	for namespace, kinds := range brought {
		if kinds > maxNamedBy {
			t.Errorf("%s has brought in %d kinds", namespace, kinds)
		}
	}
	if !n.admits(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "late", false) {
		t.Error("there is no room for Deployments")
	}
}

func TestWhoIsAskedForBeforeAnObjectIsTakenIn(t *testing.T) {
	n := newNamed(nil)
	asked := map[string]int{}
	for i := range 1000 {
		for _, namespace := range []string{"greedy", "greedy", fmt.Sprint("ns-", i%3)} {
			if n.mayAsk(namespace) {
				asked[namespace]++
			}
		}
	}
	if asked["greedy"] != maxAskedBy || asked["ns-0"] != maxAskedBy {
		t.Errorf("asked for %v", asked)
	}
	for i := range 100 {
		if n.mayAsk(fmt.Sprint("more-", i)) {
			asked["more"]++
		}
	}
	if asked["more"] != maxAsked-4*maxAskedBy {
		t.Errorf("asked for %v", asked)
	}
}
