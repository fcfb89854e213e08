// Package attribution finds under which deployment the usage of an object is put.
//
// A Graph keeps a few facts of every object (Node) and answers from the first of
// these rules that gives a name:
//
//  1. The label metering.usage-operator.dev/deployment on the object.
//  2. The top of its chain of controlling owners: under that object's own label,
//     else under its name. An owner counts when it is in the object's namespace or
//     cluster-scoped. One that the graph does not know ends the chain under the name
//     that the reference gives.
//  3. A claim: the deployment of the pods that mount it, or, of a ResourceClaim,
//     that use its devices, when it is one. Else the DataVolume that controls it,
//     when nothing controls that.
//  4. A service: the deployment of the pods that it selects, when it is one. A
//     gateway: that of the services that its routes send to, when it is one. Services
//     outside the gateway's namespace do not count: no tenant reads another's names.
//  5. The labels app.kubernetes.io/instance, then app.kubernetes.io/name.
//  6. None: the usage is unattributed.
//
// # What names what
//
// Whatever controls other objects names them, of any kind, known or not, but for
// these: a node controls nothing (the kubelet marks its static pods so), pods and
// claims give no name, a DataVolume gives its name only after rule 3.
// An object that nothing controls names itself when its kind is a workload's
// (workloadKinds), or when it is cluster-scoped and neither a node, nor a persistent
// volume or a snapshot's content. So a pod on its own goes by rule 5.
//
// A chain that has not ended after 16 owners, or that runs in a circle, is no
// chain: the object counts as one that nothing controls.
//
// # What is remembered
//
// Usage must not change its name because a rollout leaves a claim or a service
// without pods for a moment, or because an owner is deleted before what it owns.
//
//   - A claim, service or gateway that holds something keeps the deployment that it
//     followed last, when nothing mounts, backs or is routed to it, until it follows
//     another. Followed by two at once it follows neither. Pods and services without a
//     deployment do not count. It keeps it only while its usage is put there: a label of
//     its own, an owner's name, or a second deployment, and it is forgotten, because the
//     journal has only where usage is put. What holds nothing (a claim that is not bound, a service
//     without an address of a load balancer) keeps nothing: it has no usage, so that the
//     journal has no memory of it that a next run could read.
//   - An owner that was removed goes on naming what still refers to it, as it did
//     when it was removed.
//
// Apart from these two, placements depend on what is known, not on the order in
// which it came.
//
// # Order of evaluation
//
// The rules are stratified, so that no two placements can depend on each other:
// rules 1, 2 and 5 read labels and owners alone, and they are all that a pod needs;
// claims and services read the placements of pods; gateways those of services.
package attribution
