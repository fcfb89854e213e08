package cluster

import (
	"bytes"
	"fmt"
)

// Stored hands out every object of a cluster of so many VirtualMachineInstances and pods as an API server keeps it in
// etcd: under its key, as JSON. What is handed out is overwritten by the next one.
func Stored(instanceCount, podCount int, each func(key string, value []byte) error) error {
	var text []byte
	for _, k := range kindsOf(instanceCount, podCount) {
		for i := range k.count {
			words := k.words(i)
			text = k.render(text[:0], i, "")
			if err := each(k.key(words), k.whole(text)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Objects is how many objects Stored hands out.
func Objects(instanceCount, podCount int) (count int) {
	for _, k := range kindsOf(instanceCount, podCount) {
		count += k.count
	}
	return count
}

func kindsOf(instanceCount, podCount int) []*served {
	owners := (podCount + podsPerDeployment - 1) / podsPerDeployment
	tenants := max((instanceCount+vmsPerNamespace-1)/vmsPerNamespace, (podCount+podsPerNamespace-1)/podsPerNamespace)
	return []*served{
		{&namespaces, tenants}, {&pods, podCount}, {&services, 0}, {&replicaSets, owners}, {&deployments, owners},
		{&machines, instanceCount}, {&instances, instanceCount},
	}
}

// key is where an API server keeps an object.
func (k *kind) key(words [wordCount]string) string {
	folder := k.resource
	if k == &machines || k == &instances {
		folder = k.Group + "/" + k.resource
	}
	if !k.namespaced {
		return fmt.Sprintf("/registry/%s/%s", folder, words[wordName])
	}
	return fmt.Sprintf("/registry/%s/%s/%s", folder, words[wordNamespace], words[wordName])
}

// whole is the object's metadata as an object of the kind.
func (k *kind) whole(text []byte) []byte {
	if !k.partial {
		return text
	}
	partial := []byte(`"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadata"`)
	return bytes.Replace(text, partial, fmt.Appendf(nil, `"apiVersion":%q,"kind":%q`, k.GroupVersion(), k.Kind), 1)
}

// Place is the namespace and name of an instance, and of a pod.
func Place(i int) (instance, pod [2]string) {
	at := func(k *kind) [2]string {
		words := k.words(i)
		return [2]string{words[wordNamespace], words[wordName]}
	}
	return at(&instances), at(&pods)
}
