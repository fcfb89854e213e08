// Package soak has all hostile tenants that docs/security.md knows at the operator at once, beside honest ones, and
// compares what the records say of these with what they held.
//
// etcd, the API server, the controller manager and the operator run as processes, the operator as it is installed, with
// intervals of a minute and the memory of the Deployment's container. There is no cgroup here: the Go runtime gets the
// limit that it would take from one, and a watchdog ends the operator once it is resident with more than the container
// may have.
//
// Hostile are (attackers_test.go): three tenants whose clients flood the usage API and read nothing, one with many
// expensive reports and a schedule of years, one whose pods name owners of kinds that cannot be watched, one that
// relabels a pod of 100 containers each second, one that rewrites a pod of 96 KB each second, and one with all rights in
// its namespace that forges records and statuses.
//
// It fails if a second of an honest deployment is recorded wrongly, an interval is sealed more than 30 s after its end,
// a forgery is taken, the usage API refuses the honest tenant, or memory passes the limit; in a run of five minutes and
// more also if memory grows.
//
//	make test-soak DURATION=10m
package soak
