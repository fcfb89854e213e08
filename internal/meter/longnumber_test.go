package meter

import (
	"errors"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// However an object's numbers are written, reading them costs no more than their length.
func TestLongNumbersAreNotParsed(t *testing.T) {
	digits := strings.Repeat("1", 96<<10)
	for _, text := range []string{digits, "0." + digits, digits + "Ki", strings.Repeat(" ", 96<<10)} {
		if _, err := parseQuantity(text); !errors.Is(err, errLongNumber) {
			t.Errorf("%.20s...: %v", text, err)
		}
	}
	if q, err := parseQuantity("1500m"); err != nil || q.MilliValue() != 1500 {
		t.Errorf("%v, %v", q, err)
	}
	pod := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "p", "namespace": "shop", "uid": "1", "creationTimestamp": "2026-11-21T20:00:00Z"},
		"spec": map[string]any{"nodeName": "n", "containers": []any{map[string]any{
			"name": "a", "resources": map[string]any{"requests": map[string]any{"cpu": digits}},
		}}},
		"status": map[string]any{"phase": "Running", "startTime": "2026-11-21T20:00:03Z"},
	}}
	if _, err := builtin(t, "container").Read(pod); err == nil || len(err.Error()) > maxMessage || !strings.Contains(err.Error(), errLongNumber.Error()) {
		t.Errorf("a pod: %.300v", err)
	}
	for _, list := range []string{"limits", "requests"} {
		_, err := guestCPUs(map[string]any{"spec": map[string]any{"domain": map[string]any{"resources": map[string]any{list: map[string]any{"cpu": digits}}}}})
		if err == nil || len(err.Error()) > maxMessage {
			t.Errorf("a machine: %.300v", err)
		}
	}
}
