// Package cluster serves the objects of a large cluster that is not there: it makes them up as they are asked for, so
// that a hundred thousand of them need neither etcd nor memory.
package cluster

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

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

// uid is an identity that is the same each time it is asked for.
func uid(of string) string {
	sum := md5.Sum([]byte(of))
	text := hex.EncodeToString(sum[:])
	return fmt.Sprintf("%s-%s-4%s-8%s-%s", text[:8], text[8:12], text[13:16], text[17:20], text[20:32])
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
