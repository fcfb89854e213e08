package attribution_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/usage-operator/usage-operator/internal/attribution"
)

// A large cluster: 5 namespaces of 20,000 pods, each with 500 deployments of 40
// replicas and a service for every deployment.
const (
	benchNamespaces  = 5
	benchDeployments = 500
	benchReplicas    = 40
	benchPods        = benchNamespaces * benchDeployments * benchReplicas
)

type shape func(namespace string, workload, replica, generation int) attribution.Node

// replica is a pod of a Deployment; generation is that of its template.
func replica(namespace string, workload, replica, generation int) attribution.Node {
	set := fmt.Sprintf("app-%03d-%08x", workload, generation)
	n := made("Pod", fmt.Sprintf("%s-%05d", set, replica), in(namespace), ownedBy("ReplicaSet", set),
		uid(fmt.Sprintf("00000000-%s-%03d-%03d-%011d", namespace, workload, replica, generation)))
	n.Owner.UID = namespace + "/" + n.Owner.UID
	app := fmt.Sprintf("app-%03d", workload)
	n.Labels = map[string]string{
		attribution.InstanceLabel:      "release",
		attribution.NameLabel:          app,
		"app.kubernetes.io/managed-by": "Helm",
		"app.kubernetes.io/version":    "1.2.3",
		"pod-template-hash":            fmt.Sprintf("%08x", generation),
		"team":                         fmt.Sprintf("team-%d", workload%20),
	}
	n.Instance, n.Name = "release", app
	return n
}

// member is a pod of a StatefulSet: no other has its labels, and it mounts a claim of its own.
func member(namespace string, workload, replica, generation int) attribution.Node {
	app := fmt.Sprintf("app-%03d", workload)
	n := made("Pod", fmt.Sprintf("%s-%d", app, replica), in(namespace), ownedBy("StatefulSet", app),
		uid(fmt.Sprintf("00000000-%s-%03d-%03d-%011d", namespace, workload, replica, generation)))
	n.Owner.UID = namespace + "/" + n.Owner.UID
	n.Labels = map[string]string{
		attribution.InstanceLabel:            "release",
		attribution.NameLabel:                app,
		"app.kubernetes.io/managed-by":       "Helm",
		"controller-revision-hash":           app + "-7d9f8c6b5",
		"statefulset.kubernetes.io/pod-name": n.Object.Name,
		"apps.kubernetes.io/pod-index":       fmt.Sprint(replica),
	}
	n.Claims = []string{"data-" + n.Object.Name}
	n.Instance, n.Name = "release", app
	return n
}

// bare is a pod that nothing controls.
func bare(namespace string, workload, index, generation int) attribution.Node {
	n := replica(namespace, workload, index, generation)
	ownedBy("", "")(&n)
	n.Owner.UID = ""
	return n
}

func benchNamespace(i int) string { return fmt.Sprintf("%04d", i) }

// addServices adds a service for each deployment, and the ReplicaSets of the first generation.
func addServices(g *attribution.Graph) {
	for i := range benchNamespaces {
		namespace := benchNamespace(i)
		for workload := range benchDeployments {
			app := fmt.Sprintf("app-%03d", workload)
			set := made("ReplicaSet", app+"-00000000", in(namespace), ownedBy("Deployment", app))
			set.Object.UID, set.Owner.UID = namespace+"/"+set.Object.UID, namespace+"/"+set.Owner.UID
			g.Upsert(set)
			g.Upsert(made("Service", app, in(namespace), uid(namespace+"/service/"+app),
				selecting(attribution.InstanceLabel+"=release", attribution.NameLabel+"="+app)))
		}
	}
}

func addPods(g *attribution.Graph, of shape, keep bool) (pods []attribution.Node) {
	for i := range benchNamespaces {
		for workload := range benchDeployments {
			for index := range benchReplicas {
				pod := of(benchNamespace(i), workload, index, 0)
				g.Upsert(pod)
				if keep {
					pods = append(pods, pod)
				}
			}
		}
	}
	return pods
}

// An event that changes nothing, of 100,000 pods: what a pod's status updates cost.
func BenchmarkUpsert(b *testing.B) {
	for name, of := range map[string]shape{"replica": replica, "member": member} {
		b.Run(name, func(b *testing.B) {
			g := attribution.New()
			addServices(g)
			pods := addPods(g, of, true)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if changed := g.Upsert(pods[i*7919%len(pods)]); changed != nil {
					b.Fatal(changed)
				}
			}
		})
	}
}

// One pod replaced by one of the next template, in a namespace of 20,000 pods and 500 services.
func BenchmarkRollout(b *testing.B) {
	for name, of := range map[string]shape{"replica": replica, "member": member} {
		b.Run(name, func(b *testing.B) {
			g := attribution.New()
			addServices(g)
			pods := addPods(g, of, true)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				b.StopTimer()
				at, generation := i%len(pods), i/len(pods)+1
				next := of(pods[at].Namespace, at/benchReplicas%benchDeployments, at%benchReplicas, generation)
				b.StartTimer()
				g.Upsert(next)
				g.Remove(pods[at].Object.UID)
				pods[at] = next
			}
		})
	}
}

// The top of a chain renamed by its label: 20,000 pods and 500 services below it follow.
func BenchmarkRelabel(b *testing.B) {
	g := attribution.New()
	top := made("Kafka", "top")
	g.Upsert(top)
	for workload := range benchDeployments {
		app := fmt.Sprintf("app-%03d", workload)
		g.Upsert(made("ReplicaSet", app+"-00000000", ownedBy("Kafka", "top")))
		g.Upsert(made("Service", app, selecting(attribution.NameLabel+"="+app)))
		for index := range benchReplicas {
			pod := replica("shop", workload, index, 0)
			pod.Owner.UID = "replicaset/" + pod.Owner.Name
			g.Upsert(pod)
		}
	}
	for i := 0; b.Loop(); i++ {
		top.Deployment = fmt.Sprint("name-", i%2)
		if changed := g.Upsert(top); len(changed) != 1+benchDeployments*(benchReplicas+2) {
			b.Fatal(len(changed))
		}
	}
}

// What the graph keeps of a pod, its own name and UID included (about 100 bytes).
func BenchmarkMemory(b *testing.B) {
	for name, of := range map[string]shape{"replica": replica, "member": member, "bare": bare} {
		b.Run(name, func(b *testing.B) {
			var perPod float64
			for b.Loop() {
				g := attribution.New()
				addServices(g)
				before := heap()
				addPods(g, of, false)
				perPod = (heap() - before) / benchPods
				runtime.KeepAlive(g)
			}
			b.ReportMetric(perPod, "B/pod")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func heap() float64 {
	for range 3 { // unique lets go of its values over several collections
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
