// Package hub keeps the ledgers of many clusters: the blocks of each one's journal, in one
// chain. A block and the rows that it says are committed in one transaction of a database that
// speaks PostgreSQL's protocol.
//
// What a block is, and what its digest is over, is the journal's (internal/journal). The
// hub changes nothing of a block, and takes none that does not follow the one before it.
package hub

import (
	"fmt"
	"regexp"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// Cluster is a cluster's identity: the UID of its namespace kube-system.
type Cluster string

var clusterPattern = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// ParseCluster is the cluster with that UID.
func ParseCluster(uid string) (Cluster, error) {
	if !clusterPattern.MatchString(uid) {
		return "", fmt.Errorf("%q is not the UID of a cluster: kubectl get namespace kube-system -o jsonpath={.metadata.uid}", uid)
	}
	return Cluster(uid), nil
}

// What a block may have at most.
const (
	// MaxBytes is how large it may be: a journal's are under 500,000 bytes.
	MaxBytes = 512 << 10
	// MaxRows is how many rows it may have. A row that says something takes more than a
	// byte and a half in a block: more rows are made to fill memory.
	MaxRows = 1 << 18
)

// Ack says that the hub has a block, and all before it, durably. A block has one, however
// often it is sent.
type Ack struct {
	// Sequence is the block's last.
	Sequence uint64
	// Digest is the one that the next block names.
	Digest journal.Digest
}

// Head is how far the chain of a cluster has come.
type Head struct {
	Cluster Cluster
	Name    string
	// Ack is of the last block; zero: there is none yet.
	Ack
	// Counted is the sequence of the last block whose commit is complete.
	Counted uint64
	// Written is when the last block was written, by its writer's clock, and Received when
	// the hub got it, by the hub's.
	Written, Received int64
	// Fork is what was last refused since the chain has something else there.
	Fork Fork

	part, parts int64
	nextSubject int64
}

// Fork is a block that is not the one that the chain has in its place.
type Fork struct {
	Sequence uint64 // 0: there was none
	Digest   journal.Digest
	Seen     int64 // when, by the hub's clock
}
