// Package apiserver is a model of a Kubernetes API server and its etcd: one
// counter of revisions over all kinds, every version of every object until it is
// compacted, and for each kind a watch cache that may lag behind.
//
// It answers as far as sources and the collector ask: consistent lists, lists of
// one revision (resourceVersionMatch=Exact) in pages, field selectors by name and
// namespace, Get, and watches with bookmarks. It fails as real ones do: it is
// restarted, and its watch caches know nothing of before; it is away; it answers
// 429, or slowly; its watches end in mid-stream, in silence or with an error.
//
// All that is left to chance, delays and latencies, is drawn from a seed, the kind
// and a number: what one kind is asked changes nothing for another. Time is the
// wall clock, which testing/synctest makes virtual. Objects that it hands out
// share their content: readers may change their metadata, and nothing below it.
package apiserver
