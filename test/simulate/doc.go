// Package simulate lets the operator live through a random history, in virtual
// time, and compares what its journal says with what happened, second by second.
//
// Everything between the API server and the reader of a report is the real thing:
// source, collector, attribution, chronology, ledger, journal, the keeper
// (controllers.Keeper) and the timeline. They run in one bubble of testing/synctest
// against a model of the API server (apiserver), with the journal in memory. A script
// of steps is drawn from a seed: what users and controllers do in the cluster, and
// what goes wrong meanwhile: the operator is killed at any moment and comes back, the
// API server is restarted, away, overloaded or slow, its history is compacted, watches
// lag, end or fail, an answer of the journal is lost, two operators lead at once, the
// interval changes between runs, a meter is suspended or edited. A standby follows the
// journal all along.
//
// # What is held
//
//   - For each container, claim and widget, each second that is sealed: the segments
//     plus and minus corrections are one level under one deployment, workload and
//     namespace (by UID), or nothing; and that is what was so then. A boundary may be
//     off by a second (tolerance); where it has bounds, the truth may be anywhere
//     within them, and nowhere else.
//   - No digest of a seal ever changes, and each is that of what the journal has now.
//   - A fresh load of the journal gives the timeline that the running operator and the
//     standby have, and its totals are the sums of segments and corrections.
//   - The product's own verification (internal/audit) finds nothing.
//   - The last interval is sealed in the end, and the keeper never ends by itself.
//
// # Running it
//
//	make simulate SEEDS=1000 SEED=1   # seeds 1 to 1000; stops at the first that fails
//	make simulate SEEDS=100 FULL=1    # nothing is excused
//	make mutants                      # rules that are broken on purpose, and when it finds each
//	make conformance SESSIONS=10      # the model of the API server against the real one
//
// A seed that fails is shrunk: steps are left out as long as it still fails. What is
// left is printed with the differences and with what happened, in the form of
// corpus.txt. The same scenario is the same run, to the byte of the journal, but for
// what Go draws where several things happen in the same nanosecond;
// TestTheSameSeedIsTheSameRun holds that.
//
// # What is known to be wrong
//
// The entries of corpus.txt that are "known" fail, and TestCorpus wants them to: who
// puts one right takes its reason away, and it is held from then on. Nothing is
// excused in them. In new seeds, without FULL, this is:
//
//   - What the journal itself says. In a stretch that its coverage calls Estimated no
//     difference counts, nor does that of a claim, or of a pod whose owner went in it,
//     after it; in one that it calls Unknown it may say nothing. With FULL, it may say
//     nothing in either, and that is all: what came and went in a gap that etcd has
//     forgotten is not known.
//   - The first 12 seconds of an unattributed segment may count as its next
//     deployment's, even where the object was in nobody's for longer.
package simulate
