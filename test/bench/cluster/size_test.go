package cluster

import "testing"

func TestSize(t *testing.T) {
	for i := range instances.templates {
		t.Log("vmi", len(instances.render(nil, i, "1000000")))
	}
	for i := range pods.templates {
		t.Log("pod", len(pods.render(nil, i, "1000000")))
	}
	t.Log("rs", len(replicaSets.render(nil, 0, "1000000")))
	t.Log(Size())
}
