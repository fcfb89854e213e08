package attribution

import "github.com/usage-operator/usage-operator/internal/usage"

// Node is what the graph needs to know of one object; nothing else of it is kept.
type Node struct {
	Object    usage.Object
	Namespace string // "" for a cluster-scoped object
	// Owner is the owner whose reference says controller: true; zero when there is none.
	Owner usage.Object
	// Deployment, Instance and Name are the values of the labels
	// metering.usage-operator.dev/deployment, app.kubernetes.io/instance and
	// app.kubernetes.io/name.
	Deployment, Instance, Name string

	// Labels are all labels of a pod; Claims the names of the claims it mounts, and
	// of the ResourceClaims whose devices it uses, as DeviceClaim gives them.
	Labels map[string]string
	Claims []string
	// Holds tells of a claim, service or gateway that usage is put under its deployment:
	// a meter reads something active from it. Only then does it keep what it followed last.
	Holds bool
	// Selector is a service's.
	Selector map[string]string
	// Parents are the gateways that a route attaches to, Backends the services
	// that it sends to.
	Parents, Backends []Reference
}

// Reference names an object of a kind that the context tells.
type Reference struct {
	Namespace, Name string
}
