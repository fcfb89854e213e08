package usagecli

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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
	shardsMeter = `
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageMeter
metadata: {name: shards}
spec:
  resourceType: queue
  target: {group: example.com, kind: Queue}
  forEach: {in: self.spec.shards, as: shard, key: shard.name}
  dimensions:
  - {name: storage, unit: byte, quantity: shard.size}
`
	shardsObject = `
apiVersion: example.com/v1
kind: Queue
metadata: {name: orders, namespace: shop, uid: queue-1}
spec: {shards: [{name: a, size: 1Gi}, {name: b, size: many}]}
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
		"one of two members that cannot be read": {
			args:   []string{file("shards.yaml", shardsMeter), "--object", file("shards-object.yaml", shardsObject)},
			status: 1, out: []string{"- container: a\n  levels:\n    storage: 1Gi\n"}, err: []string{"what is above can be read; the rest is quarantined: spec.dimensions[0].quantity"},
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

// clusterOfPods has a pod of a Deployment on a node, a virtual machine's pod, and Queues in an old version. Whoever
// asks may read no nodes of the name hidden.
func clusterOfPods(t *testing.T) *httptest.Server {
	t.Helper()
	list := func(groupVersion, resources string) string {
		return fmt.Sprintf(`{"kind":"APIResourceList","apiVersion":"v1","groupVersion":%q,"resources":[%s]}`, groupVersion, resources)
	}
	kind := func(plural, kind string, namespaced bool) string {
		return fmt.Sprintf(`{"name":%q,"singularName":%q,"kind":%q,"namespaced":%t,"verbs":["get","list","watch"],"shortNames":[%q]}`,
			plural, strings.ToLower(kind), kind, namespaced, plural[:2])
	}
	group := func(name, version string) string {
		return fmt.Sprintf(`{"name":%q,"versions":[{"groupVersion":"%s/%s","version":%q}],"preferredVersion":{"groupVersion":"%s/%s","version":%q}}`,
			name, name, version, version, name, version, version)
	}
	owned := func(name, uid, node, ownerVersion, ownerKind, ownerName, ownerUID string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"namespace":"shop","uid":%q,"creationTimestamp":"2026-11-21T20:00:00Z",
			"ownerReferences":[{"apiVersion":%q,"kind":%q,"name":%q,"uid":%q,"controller":true}]},
			"spec":{"nodeName":%q,"containers":[{"name":"a","resources":{"requests":{"cpu":"2"}}}]},"status":{"phase":"Running"}}`,
			name, uid, ownerVersion, ownerKind, ownerName, ownerUID, node)
	}
	claim := func(name, uid, volume string) string {
		return fmt.Sprintf(`{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{"name":%q,"namespace":"shop","uid":%q},"spec":{"volumeName":%q},
			"status":{"phase":"Bound","capacity":{"storage":"10Gi"}}}`, name, uid, volume)
	}
	answers := map[string]string{
		"/api":                         `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":                        fmt.Sprintf(`{"kind":"APIGroupList","apiVersion":"v1","groups":[%s,%s,%s]}`, group("apps", "v1"), group("kubevirt.io", "v1"), group("example.com", "v1")),
		"/api/v1":                      list("v1", kind("pods", "Pod", true)+","+kind("nodes", "Node", false)+","+kind("persistentvolumeclaims", "PersistentVolumeClaim", true)+","+kind("persistentvolumes", "PersistentVolume", false)),
		"/api/v1/persistentvolumes/pv": `{"apiVersion":"v1","kind":"PersistentVolume","metadata":{"name":"pv","uid":"v1"},"spec":{"capacity":{"storage":"100Gi"},"claimRef":{"uid":"c1"}}}`,
		"/api/v1/namespaces/shop/persistentvolumeclaims/data":   claim("data", "c1", "pv"),
		"/api/v1/namespaces/shop/persistentvolumeclaims/greedy": claim("greedy", "c2", "pv"),
		"/api/v1/namespaces/shop/persistentvolumeclaims/lone":   claim("lone", "c3", "none"),
		"/apis/apps/v1":                                                   list("apps/v1", kind("replicasets", "ReplicaSet", true)+","+kind("deployments", "Deployment", true)),
		"/apis/kubevirt.io/v1":                                            list("kubevirt.io/v1", kind("virtualmachineinstances", "VirtualMachineInstance", true)),
		"/apis/example.com/v1":                                            list("example.com/v1", kind("queues", "Queue", true)),
		"/api/v1/nodes/big-1":                                             `{"apiVersion":"v1","kind":"Node","metadata":{"name":"big-1","uid":"n","labels":{"node.kubernetes.io/instance-type":"big","topology.kubernetes.io/region":"north"}}}`,
		"/api/v1/namespaces/shop/pods/web":                                owned("web", "p1", "big-1", "apps/v1", "ReplicaSet", "web-1", "r1"),
		"/api/v1/namespaces/shop/pods/lost":                               owned("lost", "p2", "hidden", "apps/v1", "ReplicaSet", "gone", "r2"),
		"/api/v1/namespaces/shop/pods/launcher":                           owned("launcher", "p3", "big-1", "kubevirt.io/v1", "VirtualMachineInstance", "db", "i1"),
		"/api/v1/namespaces/shop/pods/forged":                             owned("forged", "p4", "big-1", "kubevirt.io/v1", "VirtualMachineInstance", "db", "i1"),
		"/apis/apps/v1/namespaces/shop/replicasets/web-1":                 `{"apiVersion":"apps/v1","kind":"ReplicaSet","metadata":{"name":"web-1","namespace":"shop","uid":"r1","ownerReferences":[{"apiVersion":"apps/v1","kind":"Deployment","name":"web","uid":"d1","controller":true}]}}`,
		"/apis/apps/v1/namespaces/shop/deployments/web":                   `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"d1"}}`,
		"/apis/kubevirt.io/v1/namespaces/shop/virtualmachineinstances/db": `{"apiVersion":"kubevirt.io/v1","kind":"VirtualMachineInstance","metadata":{"name":"db","namespace":"shop","uid":"i1"},"status":{"activePods":{"p3":"big-1"}}}`,
		"/apis/example.com/v1/namespaces/shop/queues/orders":              `{"apiVersion":"example.com/v1","kind":"Queue","metadata":{"name":"orders","namespace":"shop","uid":"q1"},"spec":{"shards":4,"size":1073741824,"tier":"gold"}}`,
		"/apis/example.com/v1/namespaces/shop/queues/without":             `{"apiVersion":"example.com/v1","kind":"Queue","metadata":{"name":"without","namespace":"shop","uid":"q2"}}`,
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, there := answers[r.URL.Path]
		switch {
		case strings.HasSuffix(r.URL.Path, "/nodes/hidden"):
			w.WriteHeader(http.StatusForbidden)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"no","code":403}`
		case !there:
			w.WriteHeader(http.StatusNotFound)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"not found","code":404}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestMeterTestOfTheClustersObjects(t *testing.T) {
	t.Setenv("KUBECACHEDIR", t.TempDir())
	kubeconfig := kubeconfig(t, clusterOfPods(t), "me", "shop")
	pinned := filepath.Join(t.TempDir(), "pinned.yaml")
	queue := filepath.Join(t.TempDir(), "queue.yaml")
	for path, text := range map[string]string{queue: queueMeter, pinned: strings.Replace(queueMeter, "kind: Queue", "version: v2, kind: Queue", 1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const container, volume = "../../config/meters/container.yaml", "../../config/meters/volume.yaml"
	for name, c := range map[string]struct {
		args     []string
		status   int
		out, err []string
	}{
		"with its node and its owners": {
			args: []string{container, "--object", "pod/web"},
			out: []string{
				"# bills the workload: Deployment web\n", "# deployment: web, by the object and its owners", "container: a\n",
				"instanceType: big\n", "region: north\n", `cpu: "2"`,
			},
		},
		"by a short name, in another namespace": {
			args: []string{container, "--object", "po/web", "-n", "shop"}, out: []string{"Deployment web"},
		},
		"what cannot be read is said": {
			args: []string{container, "--object", "pods/lost"},
			out: []string{
				"# there is no ReplicaSet gone in the namespace shop: what owns it is not known\n",
				"# you may not get the Node hidden: the attributes and the region of its node are left out\n", `cpu: "2"`,
			},
		},
		"a virtual machine's own pod": {
			args: []string{container, "--object", "pod/launcher"},
			out:  []string{"# is a part of VirtualMachineInstance db, which vouches for it: while a meter meters that, this is not metered by itself\n"},
		},
		"a pod that says so": {
			args: []string{container, "--object", "pod/forged"},
			out:  []string{"# says that it is a part of VirtualMachineInstance db, which does not vouch for it: metered by itself\n"},
		},
		"a claim, with its volume": {
			args: []string{volume, "--object", "persistentvolumeclaim/data"},
			out:  []string{"# names the PersistentVolume pv, which vouches for it: what that says of it goes first\n", "storage: 100Gi\n"},
		},
		"a claim that names another's volume": {
			args: []string{volume, "--object", "persistentvolumeclaim/greedy"},
			out:  []string{"# names the PersistentVolume pv, which does not vouch for it: what is held is what the object says itself\n", "storage: 10Gi\n"},
		},
		"a claim whose volume is not there": {
			args: []string{volume, "--object", "persistentvolumeclaim/lone"},
			out:  []string{"# there is no PersistentVolume none: what is held is what the object says itself\n", "storage: 10Gi\n"},
		},
		"of a custom resource": {args: []string{queue, "--object", "queue/orders"}, out: []string{"storage: 4Gi\n"}},
		"one that cannot be read": {
			args: []string{queue, "--object", "queue/without"}, status: 1, err: []string{"it cannot be read, and is quarantined"},
		},
		"none of that name":         {args: []string{container, "--object", "pod/none"}, status: 2, err: []string{"there is no Pod none in the namespace shop"}},
		"no such type":              {args: []string{container, "--object", "pdo/none"}, status: 2, err: []string{`there is no such file, and the cluster has no type "pdo"`}},
		"of another kind":           {args: []string{container, "--object", "queue/orders"}, status: 2, err: []string{"a queue is a Queue.example.com, and the meter reads a Pod"}},
		"in a version that is none": {args: []string{pinned, "--object", "queue/orders"}, status: 2, err: []string{"has Queue.example.com, but not in the version v2 that the meter reads: it has v1"}},
	} {
		t.Run(name, func(t *testing.T) {
			status, out, err := run(append([]string{"--kubeconfig", kubeconfig, "meter", "test"}, c.args...)...)
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
