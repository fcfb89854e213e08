package api_test

import (
	"fmt"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// meter is a UsageMeter that uses every field.
func meter() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageMeter
metadata: {name: databases}
spec:
  resourceType: database
  target: {group: example.com, version: v1, kind: Database}
  selector: {matchLabels: {tier: prod}, matchExpressions: [{key: team, operator: In, values: [a, b]}, {key: test, operator: DoesNotExist}]}
  exclude: "has(self.metadata.labels.free)"
  active: "self.status.phase == 'Running'"
  startTime: "self.status.since"
  endTime: "self.status.until"
  resource: {apiVersion: "'example.com/v1'", kind: "'Cluster'", name: "self.spec.cluster", uid: "self.spec.clusterUID"}
  namespace: "'shop'"
  deployment: "self.spec.cluster"
  region: "self.spec.region"
  bundle: "self.spec.size"
  attributes: {engine: "self.spec.engine"}
  forEach: {in: "self.spec.replicas", as: replica, key: replica.name}
  dimensions:
  - {name: cpu, unit: core, quantity: replica.cpu}
  - {name: storage, unit: byte, quantity: replica.storage}
  suspend: false
status:
  observedGeneration: 1
  conditions: [{type: Ready, status: "True", reason: Metering, message: "", lastTransitionTime: "2026-11-21T20:00:00Z"}]
  dimensions: cpu, storage
  active: 2
  quarantined: 1
  quarantine: [{namespace: shop, name: db-3, message: "spec.region: no such key"}]
  position: {resourceVersion: "4711", observedTime: "2026-11-21T20:00:00Z"}
`)
}

// record is a Final UsageRecord that uses every field but observedTime.
func record() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageRecord
metadata:
  name: web.2026112120
  namespace: default
  labels: {metering.usage-operator.dev/deployment: web, metering.usage-operator.dev/interval: 20261121T2000Z}
spec:
  namespace: default
  namespaceUID: 0b6b2bd4-4f7c-4a9c-8a1e-6a2f0c3c1f11
  deployment: web
  startTime: "2026-11-21T20:00:00Z"
  endTime: "2026-11-21T21:00:00Z"
  part: {index: 0}
status:
  phase: Final
  accuracy: Estimated
  parts: 1
  resources: 1
  totals: [{resourceType: vm, dimension: vcpu, quantity: "2.5", unit: core-hour, exact: "9000000", exactUnit: millicore-second}]
  usage:
  - resourceType: vm
    resource: {apiVersion: kubevirt.io/v1, kind: VirtualMachine, name: db-0, uid: vm-uid}
    instance: {apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, name: db-0, uid: vmi-uid}
    container: main
    region: eu-1
    bundle: u1.large
    attributes: {paused: "false"}
    segments:
    - dimension: vcpu
      level: "4"
      startTime: "2026-11-21T20:00:00Z"
      startEarliest: "2026-11-21T19:59:58Z"
      endTime: "2026-11-21T20:37:30Z"
      endLatest: "2026-11-21T20:37:40Z"
      exact: "9000000"
      evidence: {start: IntervalCut, end: ReplayBound}
  summary: vcpu 2.5 core-hour
  digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
`)
}

// openRecord is an Open one whose segment goes on.
func openRecord() *unstructured.Unstructured {
	object := record()
	for _, change := range []change{
		set("status.phase", "Open"),
		set("status.observedTime", "2026-11-21T20:40:00Z"),
		drop("status.usage.0.segments.0.endTime"),
		drop("status.usage.0.segments.0.endLatest"),
		drop("status.usage.0.segments.0.evidence.end"),
	} {
		change(object)
	}
	return object
}

// block is a Compacted UsageBlock that uses every field.
func block() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageBlock
metadata: {name: "000000000001-000000000016", namespace: usage-system}
spec:
  format: 1
  sequence: 16
  kind: Compacted
  part: {index: 0, count: 1}
  covers: {from: 1, to: 16, digest: "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
  writer: usage-operator-7c9f8d6b5-x2x7q_0b6b2bd4
  cluster: 0b6b2bd4-4f7c-4a9c-8a1e-6a2f0c3c1f11
  time: "2026-11-21T20:00:05Z"
  startTime: "2026-11-21T19:00:00Z"
  endTime: "2026-11-21T20:00:00Z"
  positions: [{group: kubevirt.io, kind: VirtualMachineInstance, resourceVersion: "4711", time: "2026-11-21T20:00:04Z"}]
  meters:
  - name: vm
    version: 65857c30-55f8-4efb-ab3b-30edfc050904/1
    group: kubevirt.io
    kind: VirtualMachineInstance
    since: "2026-11-21T19:00:00Z"
    dimensions: [{name: vcpu, unit: core}]
    listed: true
  coverage: [{meter: vm, startTime: "2026-11-21T19:00:00Z", endTime: "2026-11-21T19:01:00Z", coverage: Replayed}]
  sealed:
  - startTime: "2026-11-21T19:00:00Z"
    endTime: "2026-11-21T20:00:00Z"
    digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
    partial: true
  gaps: [{from: 3, to: 4, acceptedTime: "2026-11-21T19:30:00Z", lost: true, reason: it was lost}]
  segments: UEFSMQ+/
  rows: 1
  size: 6
  digest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
  previousDigest: sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
`)
}

func parse(text string) *unstructured.Unstructured {
	GinkgoHelper()
	object := &unstructured.Unstructured{}
	Expect(yaml.Unmarshal([]byte(text), &object.Object)).To(Succeed())
	return object
}

// change is what a spec does to a valid object.
type change func(*unstructured.Unstructured)

// unchanged leaves the object valid.
func unchanged(*unstructured.Unstructured) {}

// set sets the field at a path such as spec.dimensions.0.unit. The value is what JSON has: strings, float64 or int64,
// bool, []any, map[string]any.
func set(path string, value any) change {
	return func(object *unstructured.Unstructured) {
		parent, last := parentOf(object, path)
		switch parent := parent.(type) {
		case map[string]any:
			parent[last] = value
		case []any:
			parent[position(last)] = value
		}
	}
}

// drop removes the field at a path.
func drop(path string) change {
	return func(object *unstructured.Unstructured) {
		parent, last := parentOf(object, path)
		delete(parent.(map[string]any), last)
	}
}

// all makes several changes.
func all(changes ...change) change {
	return func(object *unstructured.Unstructured) {
		for _, change := range changes {
			change(object)
		}
	}
}

// parentOf finds the map or list that holds a path's last step. A backslash before a dot makes it part of a key.
func parentOf(object *unstructured.Unstructured, path string) (parent any, last string) {
	steps := strings.Split(strings.ReplaceAll(path, `\.`, "\x00"), ".")
	for i := range steps {
		steps[i] = strings.ReplaceAll(steps[i], "\x00", ".")
	}
	parent = object.Object
	for _, step := range steps[:len(steps)-1] {
		switch at := parent.(type) {
		case map[string]any:
			parent = at[step]
		case []any:
			parent = at[position(step)]
		}
	}
	return parent, steps[len(steps)-1]
}

func position(step string) int {
	GinkgoHelper()
	i, err := strconv.Atoi(step)
	Expect(err).NotTo(HaveOccurred())
	return i
}

// long is a text of n letters.
func long(n int) string { return strings.Repeat("a", n) }

// many is a list of n things, each made from its position.
func many(n int, thing func(i int) any) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = thing(i)
	}
	return list
}

// manyKeys is a map of n texts.
func manyKeys(n int, text string) map[string]any {
	keys := map[string]any{}
	for i := range n {
		keys[fmt.Sprintf("k%d", i)] = text
	}
	return keys
}
