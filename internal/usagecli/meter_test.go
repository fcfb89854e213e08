package usagecli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	queueMeter = `
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageMeter
metadata: {name: queue}
spec:
  resourceType: queue
  target: {group: example.com, kind: Queue}
  selector: {matchLabels: {metered: "yes"}}
  attributes: {tier: "self.spec.tier"}
  dimensions:
  - {name: storage, unit: byte, quantity: self.spec.shards * self.spec.size}
`
	queueObject = `
apiVersion: example.com/v1
kind: Queue
metadata:
  name: orders
  namespace: shop
  uid: queue-1
  creationTimestamp: "2026-11-21T20:00:00Z"
  labels: {app.kubernetes.io/name: shop}
spec: {shards: 4, size: 1073741824, tier: gold}
`
	queueCase = "case: of four shards\nobject: {apiVersion: example.com/v1, kind: Queue, metadata: {name: q, namespace: shop, uid: u}, spec: {shards: 4, size: 1024, tier: gold}}\n" +
		"expect: [{attributes: {tier: gold}, levels: {storage: 4Ki}}]\n"
)

func TestMeterTest(t *testing.T) {
	folder := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	meter, object, cases := file("meter.yaml", queueMeter), file("object.yaml", queueObject), file("cases.yaml", queueCase)
	wrong := file("wrong.yaml", strings.Replace(queueCase, "4Ki", "5Ki", 1)+"---\n"+queueCase)
	for name, c := range map[string]struct {
		args     []string
		status   int
		out, err []string
	}{
		"what is read of an object": {
			args: []string{meter, "--object", object},
			out: []string{
				"# UsageMeter queue, queue: Queue orders\n", " of 1000000, in 0s\n", "the meter's selector does not choose it",
				"# deployment: shop, by the object alone", "- attributes:\n    tier: gold\n  levels:\n    storage: 4Gi\n  start: \"2026-11-21T20:00:00Z\"\n",
			},
		},
		"an object that cannot be read": {
			args:   []string{meter, "--object", file("big.yaml", strings.Replace(queueObject, "shards: 4", "shards: many", 1))},
			status: 1, err: []string{"it cannot be read, and is quarantined: spec.dimensions[0].quantity: no such overload"},
		},
		"cases as expected":        {args: []string{meter, cases}, out: []string{"ok      of four shards\n"}},
		"a case that is not":       {args: []string{meter, wrong}, status: 1, out: []string{"-     storage: 5Ki\n", "+     storage: 4Ki\n", "ok      of"}, err: []string{"1 of 2 cases are not as expected"}},
		"a meter that is none":     {args: []string{object, cases}, status: 2, err: []string{"object.yaml"}},
		"an invalid expression":    {args: []string{file("bad.yaml", strings.Replace(queueMeter, "self.spec.tier", "self.spec.", 1)), cases}, status: 2, err: []string{"spec.attributes.tier"}},
		"no cases":                 {args: []string{meter, file("none.yaml", "# none\n")}, status: 2, err: []string{"there are no cases"}},
		"neither object nor cases": {args: []string{meter}, status: 2, err: []string{"want a UsageMeter's file"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, err := run(append([]string{"meter", "test"}, c.args...)...)
			if status != c.status {
				t.Errorf("it ends with %d; want %d: %s%s", status, c.status, out, err)
			}
			for _, want := range c.out {
				if !strings.Contains(out, want) {
					t.Errorf("got\n%s\nwant %q", out, want)
				}
			}
			for _, want := range c.err {
				if !strings.Contains(err, want) {
					t.Errorf("got\n%s\nwant %q", err, want)
				}
			}
		})
	}
}
