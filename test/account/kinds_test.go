package account

import (
	"fmt"
	"time"
)

// kind is what a script does to the objects of one kind.
type kind struct {
	apiVersion, name string
	short            string // names begin with it
	names            int    // how many there are in a namespace
	weight           int    // how often it is drawn
	clusterScoped    bool
	settled          bool // it is never in a namespace that is made again
	// owner is the kind that controls its objects, the one of the same number; "":
	// none.
	owner string
	// make is an object, in YAML, but for its name, namespace and owner. change is a
	// patch of one, and through which subresource it goes.
	make   func(d dice, name string) string
	change func(d dice) (patch, subresource string)
}

const (
	// now is replaced by the second in which a step is done.
	now = "$NOW"
	// none removes a label.
	none = "null"
)

// relabel names another deployment, or none.
func relabel(d dice) (patch, subresource string) {
	label := d.pick("red", "blue", "green", none)
	return fmt.Sprintf(`metadata: {labels: {%s: %s}}`, deploymentLabel, label), ""
}

// touch changes nothing that counts, or takes away who wrote what and when.
func touch(d dice) (patch, subresource string) {
	if d.chance(25) {
		return `metadata: {managedFields: [{}]}`, ""
	}
	return fmt.Sprintf(`metadata: {annotations: {touched: "%d"}}`, d.IntN(1000)), ""
}

// oneOf is one of several changes, a relabel or a touch among them.
func oneOf(all ...func(dice) (string, string)) func(dice) (string, string) {
	all = append(all, relabel, touch)
	return func(d dice) (string, string) { return all[d.IntN(len(all))](d) }
}

// text is a change that has one form, in which what is drawn is filled in.
func text(subresource, format string, draw func(dice) []any) func(dice) (string, string) {
	return func(d dice) (string, string) { return fmt.Sprintf(format, draw(d)...), subresource }
}

func numbers(low, high int) func(dice) []any {
	return func(d dice) []any { return []any{d.between(low, high)} }
}

func words(from ...string) func(dice) []any {
	return func(d dice) []any { return []any{d.pick(from...)} }
}

// addresses are the last two parts of so many that no other object has: one that
// several have counts for one of them.
func addresses(n int) func(dice) []any {
	return func(d dice) (parts []any) {
		for range 2 * n {
			parts = append(parts, d.between(1, 1<<16-1))
		}
		return parts
	}
}

// labels are what an object is made with.
func labels(d dice, more string) string {
	all := more
	if d.chance(25) {
		all += fmt.Sprintf(", %s: %s", deploymentLabel, d.pick("red", "blue"))
	}
	if d.chance(15) {
		all += ", app.kubernetes.io/instance: " + d.pick("one", "two")
	}
	return "{" + all + "}"
}

// podSpec is a pod's of one to three containers.
func podSpec(d dice, policy, claim string) string {
	spec := "restartPolicy: " + policy + ", terminationGracePeriodSeconds: 1, containers: ["
	for i := range d.between(1, 3) {
		device := ""
		if d.chance(15) {
			device = ", example.com/nic: 1"
		}
		limits := ""
		if device != "" {
			limits = ", limits: {example.com/nic: 1}"
		}
		spec += fmt.Sprintf("{name: c%d, image: web, resources: {requests: {cpu: %dm, memory: %dMi%s}%s}},", i, d.between(1, 20)*50, d.between(1, 16)*32, device, limits)
	}
	spec += "]"
	if claim != "" {
		spec += fmt.Sprintf(", volumes: [{name: v, persistentVolumeClaim: {claimName: %s}}]", claim)
	}
	return "{" + spec + "}"
}

// mounted is a claim that a pod mounts, or none.
func mounted(d dice) string {
	if d.chance(30) {
		return fmt.Sprintf("claim-%d", d.IntN(3))
	}
	return ""
}

func workload(d dice, name, rest string) string {
	return fmt.Sprintf(`
metadata: {labels: %s}
spec: {selector: {matchLabels: {app: %s}}, %s, template: {metadata: {labels: %s}, spec: %s}}`,
		labels(d, "made: by"), name, rest, labels(d, "app: "+name), podSpec(d, "Always", mounted(d)))
}

var (
	scale    = text("", `spec: {replicas: %d}`, numbers(0, 3))
	rollOut  = text("", `spec: {template: {metadata: {annotations: {rolled: "%d"}}}}`, numbers(0, 1000))
	requests = text("", `spec: {template: {spec: {containers: [{name: c0, image: web, resources: {requests: {cpu: %dm}}}]}}}`, numbers(1, 1000))
)

// stamped is a condition as of now.
func stamped(condition, rest string) func(dice) (string, string) {
	return func(d dice) (string, string) {
		return fmt.Sprintf(`status: {conditions: [{type: %s, status: %q, reason: Told, message: "", lastTransitionTime: %s}]%s}`,
			condition, d.pick("True", "True", "False"), now, rest), "status"
	}
}

var kinds = append(workloadKinds, otherKinds...)

var workloadKinds = []kind{
	{
		apiVersion: "apps/v1", name: "Deployment", short: "app", names: 4, weight: 24,
		make: func(d dice, name string) string {
			return workload(d, name, fmt.Sprintf("replicas: %d, revisionHistoryLimit: %d", d.between(0, 3), d.between(0, 1)))
		},
		change: oneOf(scale, scale, rollOut, requests, requests),
	},
	{
		apiVersion: "apps/v1", name: "StatefulSet", short: "set", names: 2, weight: 6,
		make: func(d dice, name string) string {
			return workload(d, name, fmt.Sprintf("serviceName: %s, podManagementPolicy: Parallel, replicas: %d", name, d.between(0, 2)))
		},
		change: oneOf(scale, scale, rollOut),
	},
	{
		apiVersion: "apps/v1", name: "DaemonSet", short: "daemon", names: 1, weight: 2,
		make:   func(d dice, name string) string { return workload(d, name, "minReadySeconds: 0") },
		change: oneOf(rollOut),
	},
	{
		apiVersion: "batch/v1", name: "Job", short: "job", names: 4, weight: 8,
		make: func(d dice, _ string) string {
			return fmt.Sprintf("metadata: {labels: %s}\nspec: {ttlSecondsAfterFinished: %d, completions: %d, template: {spec: %s}}",
				labels(d, "made: by"), d.between(0, 20), d.between(1, 2), podSpec(d, "Never", mounted(d)))
		},
		change: oneOf(text("", `spec: {suspend: %s}`, words("true", "false"))),
	},
	{
		apiVersion: "batch/v1", name: "CronJob", short: "cron", names: 1, weight: 2,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: %s}
spec: {schedule: "* * * * *", successfulJobsHistoryLimit: %d, jobTemplate: {spec: {template: {spec: %s}}}}`,
				labels(d, "made: by"), d.between(0, 1), podSpec(d, "Never", ""))
		},
		change: oneOf(text("", `spec: {suspend: %s}`, words("true", "false"))),
	},
	{
		apiVersion: "v1", name: "Pod", short: "pod", names: 4, weight: 12,
		make: func(d dice, _ string) string {
			return fmt.Sprintf("metadata: {labels: %s}\nspec: %s", labels(d, "app: app-0"), podSpec(d, d.pick("Always", "Never", "OnFailure"), mounted(d)))
		},
		change: oneOf(
			// Who reports resources can resize them.
			text("status", `status: {containerStatuses: [{name: c%d, image: web, imageID: web, ready: true, restartCount: 0, state: {running: {}}, resources: {}}]}`, numbers(0, 0)),
			text("resize", `spec: {containers: [{name: c0, resources: {requests: {cpu: %dm}}}]}`, numbers(1, 2000)),
			text("resize", `spec: {containers: [{name: c0, resources: {requests: {cpu: %dm}}}]}`, numbers(1, 2000)),
			text("", `metadata: {labels: {app: %s}}`, words("app-0", "app-1", "none")),
			text("status", `status: {phase: %s}`, words("Running", "Failed")),
			func(d dice) (string, string) {
				return fmt.Sprintf(`status: {containerStatuses: [{name: c0, image: web, imageID: web, ready: false, restartCount: 0, state: {terminated: {exitCode: %d, finishedAt: %s}}}]}`,
					d.IntN(2), now), "status"
			},
		),
	},
	{
		apiVersion: "v1", name: "PersistentVolumeClaim", short: "claim", names: 3, weight: 8, settled: true,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: %s}
spec: {storageClassName: fast, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}`, labels(d, "made: by"))
		},
		change: oneOf(
			text("status", `status: {capacity: {storage: %dGi}}`, numbers(1, 20)),
			text("status", `status: {phase: %s}`, words("Bound", "Bound", "Lost")),
		),
	},
	{
		apiVersion: "v1", name: "PersistentVolume", short: "volume", names: 4, weight: 5, clusterScoped: true,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
spec:
  capacity: {storage: %dGi}
  accessModes: [ReadWriteOnce]
  storageClassName: fast
  persistentVolumeReclaimPolicy: %s
  csi: {driver: csi.example.com, volumeHandle: one}
  claimRef: {apiVersion: v1, kind: PersistentVolumeClaim, namespace: %s, name: claim-%d}`,
				d.between(1, 20), d.pick("Retain", "Retain", "Delete"), tenants[d.IntN(2)], d.IntN(3))
		},
		change: func(d dice) (string, string) {
			if d.chance(50) {
				return fmt.Sprintf(`spec: {persistentVolumeReclaimPolicy: %s}`, d.pick("Retain", "Delete")), ""
			}
			return touch(d)
		},
	},
	{
		apiVersion: "v1", name: "Service", short: "front", names: 3, weight: 8,
		make: func(d dice, _ string) string {
			return fmt.Sprintf(`
metadata: {labels: %s}
spec: {type: LoadBalancer, loadBalancerClass: example.com/metal, selector: {app: app-%d}, ports: [{name: a, port: 80}]}`, labels(d, "made: by"), d.IntN(4))
		},
		change: oneOf(
			text("status", `status: {loadBalancer: {ingress: [{ip: "2001:db8::%x:%x"}]}}`, addresses(1)),
			text("status", `status: {loadBalancer: {ingress: [{ip: "2001:db8::%x:%x"}, {ip: "2001:db8::%x:%x"}]}}`, addresses(2)),
			text("status", `status: {loadBalancer: {ingress: %s}}`, words("[]")),
			text("", `spec: {ports: %s}`, words("[{name: a, port: 80}]", "[{name: a, port: 80}, {name: b, port: 443}]")),
			text("", `spec: {selector: {app: app-%d}}`, numbers(0, 3)),
			text("", `spec: %s`, words("{type: ClusterIP, loadBalancerClass: null}", "{type: LoadBalancer, loadBalancerClass: example.com/metal}")),
		),
	},
}

// rfc3339 is a second as objects state it.
func rfc3339(t time.Time) string { return `"` + t.UTC().Format(time.RFC3339) + `"` }
