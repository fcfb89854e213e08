package cluster

import (
	"bytes"
	"fmt"
	"time"
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

// Changed is an object as an API server keeps it after its nth change, at that time: an instance has got more or less
// memory, a pod a label.
func Changed(i, n int, at time.Time, instance bool) (key string, value []byte) {
	k, from, to := &pods, `"labels":{`, fmt.Sprintf(`"labels":{"bench":"%d",`, n)
	if instance {
		k, from, to = &instances, `"guestCurrent":"8Gi"`, fmt.Sprintf(`"guestCurrent":"%dMi"`, 8192+n%1000)
	}
	text := bytes.Replace(k.render(nil, i, ""), []byte(from), []byte(to), 1)
	const written = `"time":"`
	last := bytes.LastIndex(text, []byte(written+created)) // of its managers
	copy(text[last+len(written):], at.UTC().Format(time.RFC3339))
	return k.key(k.words(i)), text
}
