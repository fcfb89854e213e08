package meter

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// hostilePods are pods that a tenant makes as costly to read as their size allows, by what they
// have most of, and one that is as others are. Each of the large ones is of about so many bytes.
func hostilePods(bytes int) map[string]*unstructured.Unstructured {
	repeat := func(item string) string {
		items := make([]string, bytes/(len(item)+4))
		for i := range items {
			items[i] = strings.ReplaceAll(item, "N", fmt.Sprintf("%05d", i))
		}
		return strings.Join(items, ",")
	}
	pods := map[string]*unstructured.Unstructured{}
	for name, c := range map[string]struct{ metadata, containers, status string }{
		"plain":         {containers: `{"name": "a", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}`},
		"labels":        {metadata: `, "labels": {` + repeat(`"example.com/labelN": "value"`) + `}`, containers: `{"name": "a", "resources": {"requests": {"cpu": "1"}}}`},
		"annotations":   {metadata: `, "annotations": {"a": "` + strings.Repeat("a", bytes) + `"}`, containers: `{"name": "a", "resources": {"requests": {"cpu": "1"}}}`},
		"environment":   {containers: `{"name": "a", "env": [` + repeat(`{"name": "VARIABLE_N", "value": "value"}`) + `], "resources": {"requests": {"cpu": "1"}}}`},
		"containers":    {containers: repeat(`{"name": "cN", "image": "x", "resources": {"requests": {"cpu": "1m"}}}`)},
		"resources":     {containers: `{"name": "a", "resources": {"requests": {"cpu": "1",` + repeat(`"x.io/rN": "1"`) + `}}}`},
		"zeros":         {containers: `{"name": "a", "resources": {"requests": {"cpu": "1",` + repeat(`"x.io/rN": "0"`) + `}}}`},
		"owners":        {metadata: `, "ownerReferences": [` + repeat(`{"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": "N", "uid": "N", "controller": true}`) + `]`, containers: `{"name": "a", "resources": {"requests": {"cpu": "1"}}}`},
		"conditions":    {status: repeat(`{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-21T20:00:03Z"}`) + ",", containers: `{"name": "a", "resources": {"requests": {"cpu": "1"}}}`},
		"long quantity": {containers: `{"name": "a", "resources": {"requests": {"cpu": "` + strings.Repeat("1", bytes) + `"}}}`},
	} {
		text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop", "uid": "1", "creationTimestamp": "2026-11-21T20:00:00Z"%s},
			"spec": {"nodeName": "n", "containers": [%s]},
			"status": {"phase": "Running", "conditions": [%s{"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-21T20:00:03Z"}]}}`, c.metadata, c.containers, c.status)
		o := &unstructured.Unstructured{}
		if err := json.Unmarshal([]byte(text), &o.Object); err != nil {
			panic(name + ": " + err.Error())
		}
		pods[name] = o
	}
	return pods
}

// processTime is how much of the processors the process has had: a machine that is busy does not
// change it.
func processTime(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// podMeters are the built-in meters that read a pod at each of its events.
var podMeters = []string{"container", "container-extended-resources"}

// BenchmarkHostilePods reads pods of 96 KB by all meters of pods, as one event of theirs does.
func BenchmarkHostilePods(b *testing.B) {
	var meters []*Meter
	for _, name := range podMeters {
		meters = append(meters, builtin(b, name))
	}
	for name, pod := range hostilePods(96 << 10) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			members, unreadable := 0, 0
			before := processTime(b)
			for b.Loop() {
				members, unreadable = 0, 0
				for _, m := range meters {
					list, err := m.Read(pod)
					if members += len(list); err != nil {
						unreadable++
					}
				}
			}
			b.ReportMetric(float64((processTime(b)-before).Microseconds())/1000/float64(b.N), "cpu-ms/op")
			b.ReportMetric(float64(members), "members")
			b.ReportMetric(float64(unreadable), "unreadable")
		})
	}
}
