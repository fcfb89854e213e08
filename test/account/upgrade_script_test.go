package account

import (
	"fmt"
	"time"
)

// chapter is what happens in one part of an upgrade: the same each time, with objects of
// its own, whose names begin with its name, and with those that the chapter before left.
func chapter(number int, name, before string) []step {
	w := &chapterWriter{number: number}
	w.app(name+"-app", 2)
	w.app(name+"-brief", 1)
	w.pod(tenants[1], name+"-pod")
	w.pod(tenants[2], name+"-pod")
	w.claim(name+"-data", 5)
	w.front(name, name+"-app")
	w.resizable(name + "-pod")
	w.resize(name+"-pod", 700)
	w.grow(name+"-data", 8)
	w.label(name+"-app", name)
	if before != "" {
		w.resize(before+"-pod", 900+number)
		w.grow(before+"-data", 10+number)
		w.label(before+"-app", "moved")
		w.scale(before+"-app", 1)
		w.addresses(before, 2)
		w.remove("Deployment", tenants[0], before+"-brief")
		w.remove("Pod", tenants[1], before+"-pod")
		w.remove("Service", tenants[0], before+"-front")
	}
	w.add(step{recreate: true, namespace: tenants[2]})
	return w.steps
}

// chapterWriter writes steps, each some time after the one before.
type chapterWriter struct {
	number int
	steps  []step
}

const (
	chapterPace = 400 * time.Millisecond
	oneSpec     = `{terminationGracePeriodSeconds: 1, containers: [{name: c0, image: web, resources: {requests: {cpu: 250m, memory: 128Mi}}}]}`
)

func (w *chapterWriter) add(s step) {
	s.after = chapterPace
	w.steps = append(w.steps, s)
}

func (w *chapterWriter) put(kind, namespace, name, format string, args ...any) {
	w.add(step{verb: put, kind: kindNamed(kind), namespace: namespace, name: name, text: fmt.Sprintf(format, args...)})
}

func (w *chapterWriter) change(kind, namespace, name, subresource, format string, args ...any) {
	w.add(step{verb: change, kind: kindNamed(kind), namespace: namespace, name: name, subresource: subresource, patch: fmt.Sprintf(format, args...)})
}

func (w *chapterWriter) remove(kind, namespace, name string) {
	w.add(step{verb: remove, kind: kindNamed(kind), namespace: namespace, name: name, cascade: "Background"})
}

func (w *chapterWriter) app(name string, replicas int) {
	w.put("Deployment", tenants[0], name, `spec: {replicas: %d, selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: %s}}`,
		replicas, name, name, oneSpec)
}

func (w *chapterWriter) pod(namespace, name string) {
	w.put("Pod", namespace, name, "spec: %s", oneSpec)
}

func (w *chapterWriter) claim(name string, size int) {
	w.put("PersistentVolumeClaim", tenants[1], name,
		`spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`)
	w.change("PersistentVolumeClaim", tenants[1], name, "status", `status: {phase: Bound, capacity: {storage: %dGi}}`, size)
}

func (w *chapterWriter) front(name, app string) {
	w.put("Service", tenants[0], name+"-front",
		`spec: {type: LoadBalancer, loadBalancerClass: example.com/metal, selector: {app: %s}, ports: [{name: a, port: 80}]}`, app)
	w.addresses(name, 1)
}

// addresses gives a Service so many that no other has.
func (w *chapterWriter) addresses(name string, count int) {
	text := ""
	for i := range count {
		text += fmt.Sprintf(`{ip: "2001:db8::%x:%x"},`, w.number+1, len(w.steps)+100*i)
	}
	w.change("Service", tenants[0], name+"-front", "status", `status: {loadBalancer: {ingress: [%s]}}`, text)
}

// resizable has a pod report resources: who does can be resized.
func (w *chapterWriter) resizable(name string) {
	w.change("Pod", tenants[1], name, "status",
		`status: {containerStatuses: [{name: c0, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}, resources: {}}]}`)
}

func (w *chapterWriter) resize(name string, cpu int) {
	w.change("Pod", tenants[1], name, "resize", `spec: {containers: [{name: c0, resources: {requests: {cpu: %dm}}}]}`, cpu)
}

func (w *chapterWriter) grow(name string, size int) {
	w.change("PersistentVolumeClaim", tenants[1], name, "status", `status: {capacity: {storage: %dGi}}`, size)
}

func (w *chapterWriter) label(name, deployment string) {
	w.change("Deployment", tenants[0], name, "", `metadata: {labels: {%s: %s}}`, deploymentLabel, deployment)
}

func (w *chapterWriter) scale(name string, replicas int) {
	w.change("Deployment", tenants[0], name, "", `spec: {replicas: %d}`, replicas)
}

func kindNamed(name string) *kind {
	for i := range kinds {
		if kinds[i].name == name {
			return &kinds[i]
		}
	}
	panic("the script has no kind " + name)
}
