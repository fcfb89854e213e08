package cluster

import (
	"bytes"
	"encoding/json"
	"fmt"

	"sigs.k8s.io/yaml"
)

// created is when everything was.
const created = "2026-11-21T08:00:00Z"

// words stand in a template for what differs between objects.
const (
	wordName = iota
	wordUID
	wordNamespace
	wordOwner
	wordOwnerUID
	wordVersion
	wordCount
)

var marks = [wordCount]string{"@name@", "@uid@", "@namespace@", "@owner@", "@owneruid@", "@version@"}

// template is an object's JSON, cut where words go in.
type template struct {
	literals [][]byte
	words    []int
}

func newTemplate(object map[string]any) template {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var t template
	for {
		at, word := len(text), -1
		for i, mark := range marks {
			if found := bytes.Index(text, []byte(mark)); found >= 0 && found < at {
				at, word = found, i
			}
		}
		t.literals = append(t.literals, text[:at])
		if word < 0 {
			return t
		}
		t.words = append(t.words, word)
		text = text[at+len(marks[word]):]
	}
}

func (t template) appendTo(text []byte, words [wordCount]string) []byte {
	for i, literal := range t.literals {
		text = append(text, literal...)
		if i < len(t.words) {
			text = append(text, words[t.words[i]]...)
		}
	}
	return text
}

// decoded is an object from YAML, with managed fields as the API server would keep them.
func decoded(text string, managers ...string) map[string]any {
	var object map[string]any
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		panic(fmt.Sprintf("%v in:\n%s", err, text))
	}
	metadata := object["metadata"].(map[string]any)
	metadata["resourceVersion"] = marks[wordVersion]
	metadata["uid"] = marks[wordUID]
	metadata["creationTimestamp"] = created
	custom := object["apiVersion"] == "kubevirt.io/v1"
	var managed []any
	for i, manager := range managers {
		// The first wrote spec and metadata, the others share the status.
		owned := map[string]any{"f:spec": fieldsOf(object["spec"], custom), "f:metadata": fieldsOf(map[string]any{
			"labels": metadata["labels"], "annotations": metadata["annotations"], "ownerReferences": metadata["ownerReferences"],
		}, false)}
		entry := map[string]any{
			"manager": manager, "operation": "Update", "apiVersion": object["apiVersion"], "fieldsType": "FieldsV1", "time": created,
		}
		if i > 0 {
			owned = map[string]any{"f:status": fieldsOf(object["status"], custom)}
			entry["subresource"] = "status"
		}
		entry["fieldsV1"] = owned
		managed = append(managed, entry)
	}
	metadata["managedFields"] = managed
	return object
}

// fieldsOf is the FieldsV1 of a value. The lists of a custom resource are atomic, unless its schema says otherwise.
func fieldsOf(value any, atomicLists bool) any {
	fields := map[string]any{}
	switch value := value.(type) {
	case map[string]any:
		for key, member := range value {
			fields["f:"+key] = fieldsOf(member, atomicLists)
		}
	case []any:
		if atomicLists {
			return fields
		}
		for _, member := range value {
			object, ok := member.(map[string]any)
			if !ok {
				return fields
			}
			for _, key := range []string{"name", "type", "uid", "mountPath", "containerPort", "ip"} {
				if id, ok := object[key]; ok {
					text, err := json.Marshal(map[string]any{key: id})
					if err != nil {
						panic(err)
					}
					of := fieldsOf(object, atomicLists).(map[string]any)
					of["."] = map[string]any{}
					fields["k:"+string(text)] = of
					break
				}
			}
		}
	}
	return fields
}
