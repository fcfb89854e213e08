package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
)

// Place is where a difference was found.
type Place string

// The places.
const (
	InBlock    Place = "block"
	InInterval Place = "interval"
	InRecord   Place = "record"
	InReport   Place = "report"
)

// Difference is one thing that is not as it should be.
type Difference struct {
	In Place `json:"in"`
	// Name is the block's, the interval as startTime/endTime, the record's or report's
	// namespace/name, or the name of a report of the cluster.
	Name string `json:"name"`
	// Field is where in it; empty where it should not be there at all. For a block
	// that cannot be read it is what kind of fault it has.
	Field string `json:"field,omitempty"`
	// Expected is what was recomputed; Found is what is stored.
	Expected string `json:"expected,omitempty"`
	Found    string `json:"found,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// String is the difference in one line.
func (d Difference) String() string {
	text := string(d.In) + " " + d.Name
	if d.Field != "" {
		text += ": " + d.Field
	}
	if d.Expected != "" || d.Found != "" {
		text += fmt.Sprintf(": expected %s, found %s", d.Expected, d.Found)
	}
	if d.Detail != "" {
		text += " (" + d.Detail + ")"
	}
	return text
}

// compare finds the first field, in alphabetical order, in which a record is not
// what it should be. Labels and annotations that others added are theirs, and the summary may
// be the one that an earlier release made.
func compare(want *v1alpha1.UsageRecord, got *Published) (Difference, bool) {
	d := Difference{In: InRecord, Name: got.Metadata.Namespace + "/" + got.Metadata.Name}
	want = record.Worded(want, got.summary())
	expected, err := document(map[string]any{
		"metadata": map[string]any{"labels": orNone(want.Labels), "annotations": orNone(want.Annotations)},
		"spec":     want.Spec, "status": want.Status,
	})
	if err != nil {
		d.Detail = err.Error()
		return d, false
	}
	found, err := document(map[string]any{
		"metadata": map[string]any{
			"labels":      only(got.Metadata.Labels, want.Labels),
			"annotations": only(got.Metadata.Annotations, want.Annotations),
		},
		"spec": got.Spec, "status": got.Status,
	})
	if err != nil {
		d.Detail = "it cannot be read: " + err.Error()
		return d, false
	}
	return d, !d.find("", expected, found)
}

func orNone(values map[string]string) map[string]string { return only(values, values) }

// only are the values of those keys.
func only(values, keys map[string]string) map[string]string {
	out := map[string]string{}
	for key := range keys {
		if value, there := values[key]; there {
			out[key] = value
		}
	}
	return out
}

// document is a value as JSON has it, with numbers as they are written.
func document(value any) (any, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out any
	err = decoder.Decode(&out)
	return out, err
}

// nothing stands for a field that is not there.
type nothing struct{}

// find sets the difference to the first one between two JSON values, and tells
// whether there is one.
func (d *Difference) find(path string, want, got any) bool {
	switch want := want.(type) {
	case map[string]any:
		if got, ok := got.(map[string]any); ok {
			return d.findInObject(path, want, got)
		}
	case []any:
		if got, ok := got.([]any); ok {
			for i := range max(len(want), len(got)) {
				if d.find(path+"["+strconv.Itoa(i)+"]", at(want, i), at(got, i)) {
					return true
				}
			}
			return false
		}
	default:
		if !isContainer(got) && want == got {
			return false
		}
	}
	d.Field, d.Expected, d.Found = path, show(want), show(got)
	return true
}

func (d *Difference) findInObject(path string, want, got map[string]any) bool {
	all := maps.Clone(want)
	maps.Copy(all, got)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		field := key
		if path != "" {
			field = path + "." + key
		}
		if d.find(field, value(want, key), value(got, key)) {
			return true
		}
	}
	return false
}

// isContainer tells values that cannot be compared with ==.
func isContainer(value any) bool {
	switch value.(type) {
	case map[string]any, []any:
		return true
	}
	return false
}

func value(object map[string]any, key string) any {
	if v, ok := object[key]; ok {
		return v
	}
	return nothing{}
}

func at(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nothing{}
}

// shown is how much of a value is shown.
const shown = 300

func show(value any) string {
	if value == (nothing{}) {
		return "nothing"
	}
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	if len(text) > shown {
		return string(text[:shown]) + "..."
	}
	return string(text)
}
