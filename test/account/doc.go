// Package account keeps accounts of real objects on a real control plane, and
// compares them with the ledger, second by second.
//
// etcd, the API server, the controller manager, the scheduler and kwok run as
// processes, and so does the operator, as it is installed, with every built-in meter.
// A script that is drawn from a seed makes, changes and removes objects of all
// metered kinds, with owners that come and go, while faults are done to the operator,
// the API server and etcd's history (faults in faults_test.go).
//
// # The witness
//
// What happened is what etcd says: a watch of etcd itself (witness) has every
// revision of every object, whoever wrote it, and whatever the API server was doing.
// The witness also writes a key of its own all the time. When such a write was sent
// and answered bounds the moments of all revisions around it, so that each change
// has an earliest and a latest moment, some hundredths of a second apart.
//
// From that the truth is computed by rules that are written again here, from
// docs/meters.md and the built-in meters (holdings) and from the rules of attribution
// (world). Nothing of internal/ is used; depguard holds that.
//
// # What is compared
//
// Each second of each stream (object, container, dimension) that is sealed: the Final
// UsageRecords, plus and minus the corrections in the UsageBlocks, say one level, under
// one namespace (by UID), deployment, resource (by UID), type, region, bundle and
// attributes, or nothing; and that is what was so.
//
//   - A change may be off by a second: the second before its earliest moment, and the
//     one after its latest, may be as either side of it. Its earliest moment is when
//     the API server's stamp, or a time that the object states, says that it was.
//   - Where a record is not Exact, the truth may lie within the bounds of its segments.
//   - Where the journal says that a stretch is Estimated or Unknown, so may anything
//     that is not in an Exact record. Such seconds are counted apart.
//   - What is under no deployment for up to ten seconds from its start may be put under
//     the one that follows from its start on.
//   - Final records never change, and are there once.
//
// # Upgrades
//
// TestUpgrade has two versions of the operator keep one ledger, and accounts for it in
// the same way: an earlier one, with its own manifests and meters, and this one after it;
// then the earlier one again. Its script is the same each time (upgrade_script_test.go).
//
// # Running it
//
//	make account SEED=1 DURATION=10m REPLICAS=2
//	make test-upgrade
//
// A seed decides the script and the faults. The rest is a real system: which pod is
// scheduled when, and how far a watch is when the operator is killed, is not the same
// twice. So a difference is printed with all that it takes to look into it: the
// object's history by revision and moment, what the ledger says of it, and where the
// logs are.
package account
