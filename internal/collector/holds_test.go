package collector

import (
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// What another object represents is nothing in the ledger, and so in the journal: it keeps
// no deployment that a next run could not know.
func TestWhatIsRepresentedKeepsNoDeployment(t *testing.T) {
	const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: shop, uid: web-1, creationTimestamp: "1970-01-01T00:16:50Z",
  labels: {app: web, metering.usage-operator.dev/deployment: web}}
spec: {nodeName: n1, containers: [{name: app, resources: {requests: {cpu: "1"}}}]}
status: {phase: Running, conditions: [{type: PodScheduled, status: "True", lastTransitionTime: "1970-01-01T00:16:50Z"}]}
`
	const service = `
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: shop, uid: edge, creationTimestamp: "1970-01-01T00:16:50Z",
  labels: {gateway.networking.k8s.io/gateway-name: edge}}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}
`
	const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop, uid: gate, creationTimestamp: "1970-01-01T00:16:50Z"}
spec: {gatewayClassName: x, listeners: [{name: http, port: 80, protocol: HTTP}]}
status:
  addresses: [{value: 192.0.2.1}]
  conditions: [{type: Programmed, status: "True", lastTransitionTime: "1970-01-01T00:16:50Z"}]
`
	kinds := map[string]schema.GroupVersionKind{
		"container": {Version: "v1", Kind: "Pod"}, "load-balancer": {Version: "v1", Kind: "Service"},
		"gateway": {Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"},
	}
	for name, c := range map[string]struct {
		drive func(d *desk)
		want  string
	}{
		"it was itself until the gateway came": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1011, 1011)
			d.sees(t, gateway, ledger.Live, 1012, 1012)
		}, ""},
		"the gateway was there": {func(d *desk) {
			d.sees(t, gateway, ledger.Live, 1011, 1011)
			d.sees(t, service, ledger.Live, 1012, 1012)
		}, ""},
		"there is no gateway": {func(d *desk) {
			d.sees(t, service, ledger.Live, 1011, 1011)
		}, "web"},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, kinds)
			d.settle()
			d.sees(t, pod, ledger.Live, 1010, 1010)
			c.drive(d)
			d.removed(t, pod, 1030, 1030)
			if d.graph.Contains("gate") {
				d.removed(t, gateway, 1050, 1050)
			}
			if got := d.deploymentOf("edge"); got != c.want {
				t.Errorf("from 1050 on the service is under %q, want %q", got, c.want)
			}
		})
	}
}

// deploymentOf is where an object's load balancer is at the end.
func (d *desk) deploymentOf(uid string) string {
	const now = 1100
	window := usage.Window{Start: 1060, End: now}
	for _, account := range d.Accounts(window, now) {
		for _, s := range d.Cut(account, window, now) {
			if s.Subject.Instance.UID == uid && s.Dimension.Name == "load_balancer" {
				return account.Deployment
			}
		}
	}
	return fmt.Sprintf("nothing of %s", uid)
}
