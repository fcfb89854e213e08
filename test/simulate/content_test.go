package simulate

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// content is the object as the API server has it.
func (o *object) content() map[string]any {
	metadata := map[string]any{"name": o.name, "uid": o.uid, "creationTimestamp": stamp(o.created)}
	if o.namespace != nil {
		metadata["namespace"] = o.namespace.name
	}
	labels := map[string]any{"touched": fmt.Sprint(o.touched)}
	if o.label != "" {
		labels[deploymentLabel] = o.label
	}
	metadata["labels"] = labels
	if !o.terminating.IsZero() {
		metadata["deletionTimestamp"] = stamp(o.terminating)
	}
	if o.owner != nil {
		metadata["ownerReferences"] = []any{map[string]any{
			"apiVersion": o.owner.kind.GroupVersion().String(), "kind": o.owner.kind.Kind,
			"name": o.owner.name, "uid": o.owner.uid, "controller": true,
		}}
	}
	if o.written != nil {
		var entries []any
		for _, manager := range slices.Sorted(maps.Keys(o.written)) {
			fields := map[string]any{"f:spec": map[string]any{}}
			if manager == "creator" {
				for i := range max(1, 50-o.fewer) {
					fields[fmt.Sprintf("f:field%d", i)] = map[string]any{}
				}
			}
			entries = append(entries, map[string]any{
				"manager": manager, "operation": "Update", "fieldsType": "FieldsV1",
				"time": stamp(o.written[manager]), "fieldsV1": fields,
			})
		}
		metadata["managedFields"] = entries
	}
	content := map[string]any{"apiVersion": o.kind.GroupVersion().String(), "kind": o.kind.Kind, "metadata": metadata}
	switch o.kind {
	case pods:
		o.pod(content)
	case claims:
		content["spec"] = map[string]any{"storageClassName": "fast", "volumeMode": "Filesystem"}
		if o.bound {
			content["status"] = map[string]any{"phase": "Bound", "capacity": map[string]any{"storage": fmt.Sprint(o.size)}}
		} else {
			content["status"] = map[string]any{"phase": "Pending"}
		}
	case widgets:
		content["spec"] = map[string]any{"size": o.size, "running": !o.idle && o.ended.IsZero()}
		status := map[string]any{}
		if !o.started.IsZero() {
			status["startedAt"] = stamp(o.started)
		}
		if !o.ended.IsZero() {
			status["finishedAt"] = stamp(o.ended)
		}
		content["status"] = status
	}
	return content
}

func (o *object) pod(content map[string]any) {
	var containers, statuses, volumes []any
	for _, c := range o.containers {
		containers = append(containers, map[string]any{
			"name": c.name, "resources": map[string]any{"requests": map[string]any{
				"cpu": fmt.Sprintf("%dm", c.cpu), "memory": fmt.Sprint(c.memory),
			}},
		})
		if !c.finished.IsZero() {
			statuses = append(statuses, map[string]any{"name": c.name, "state": map[string]any{
				"terminated": map[string]any{"exitCode": int64(0), "finishedAt": stamp(c.finished)},
			}})
		}
	}
	for _, c := range o.claims {
		volumes = append(volumes, map[string]any{"name": c.name, "persistentVolumeClaim": map[string]any{"claimName": c.name}})
	}
	restart := "Always"
	if o.batch {
		restart = "Never"
	}
	content["spec"] = map[string]any{"containers": containers, "restartPolicy": restart, "volumes": volumes}
	status := map[string]any{"phase": o.phase, "containerStatuses": statuses}
	if !o.scheduled.IsZero() {
		status["conditions"] = []any{map[string]any{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp(o.scheduled)}}
	}
	content["status"] = status
}
