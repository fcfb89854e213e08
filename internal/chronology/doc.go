// Package chronology tells which moment belongs to which resourceVersion.
//
// A replayed deletion has no time. But the resourceVersions of one etcd are one
// row of revisions, ordered in time, and every list, watch and journal position
// says of some of them when they were: marks. A revision between two marks
// was written between their moments.
//
// What is assumed, and what follows:
//
//   - Revisions are of one etcd. What an aggregated API server or an etcd of its
//     own (--etcd-servers-overrides) stores counts by itself and needs a Clock
//     of its own.
//   - A later revision is never written at an earlier moment.
//   - A time that an object carries is no later than its write was committed. It is
//     later than the version was committed that the write replaced: a server reads
//     that before it dates the write. So the dates of one object, renewed again and
//     again, bound from both sides what lies between.
//   - Marks come by several clocks, the operator's (After, Before) and each API
//     server's (AtLeast, Replaced). Where these clocks agree, every truth lies
//     within the bounds, and the bounds are as tight as the marks allow. Where
//     they are up to d seconds apart, a truth is at most d outside.
//   - Marks that contradict each other are both believed, if they are no more
//     than 5 seconds apart: between them, the bounds contain both moments.
//   - Of marks further apart, the operator's clock is believed. For that, Before is
//     told of a revision before its AtLeast is. The operator's own clock, set
//     back or forward, is believed as it is now.
//   - What tenants can write is no mark: a date in managedFields says nothing of what
//     others wrote. The creationTimestamp, which the API server sets, does, and so do dates
//     of nodes and other kinds of Kubernetes without a namespace, and of system Leases.
package chronology
