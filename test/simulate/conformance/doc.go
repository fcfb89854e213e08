// Package conformance compares the simulator's model of an API server (apiserver) with
// the real one: the same random scripts are run on kube-apiserver and on the model, and
// every answer has to be the same.
//
// A session is one API server with its etcd, and many scripts on it. The real one is
// asked first. What is written to it, and how its objects come out, is noted, and
// committed to the model in the same order; what is read is read from both, by the same
// code and through the same client interfaces:
//
//   - lists of whole objects and of metadata: as of now, from the watch cache
//     (resourceVersion=0, and not older than), of one revision, in pages, by field, and
//     with continue tokens that have expired meanwhile;
//   - watches from any revision: what they tell in which order, or that it is too old,
//     over a compaction of etcd, and to their end when the API server is restarted;
//   - a kind whose definition gets another version, goes, and comes back;
//   - revisions that are not there yet, kinds and versions that are not served, options
//     that exclude each other.
//
// Revisions are compared by which write of the session was the last before them: those
// that the API server makes by itself are not the model's.
package conformance
