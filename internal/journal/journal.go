// Package journal is the durable, ordered log of segment changes and of the
// positions that they came from.
//
// One append holds both, so that a restart resumes just where the segments
// end, and a replayed event changes nothing. A sequence number is created
// once: of two operators that both think they lead, one writes.
package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// Digest is a SHA-256. The zero value is none.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// String is the form that blocks and records show: "sha256:" and 64 hex digits.
func (d Digest) String() string { return digestPrefix + hex.EncodeToString(d[:]) }

// ParseDigest reads what String wrote: sha256: and 64 lower-case hexadecimal digits. Any other text is
// an error that says so.
func ParseDigest(text string) (Digest, error) {
	var d Digest
	digits, found := strings.CutPrefix(text, digestPrefix)
	if n, err := hex.Decode(d[:], []byte(digits)); !found || err != nil || n != len(d) || digits != strings.ToLower(digits) {
		return Digest{}, fmt.Errorf("%q is not a digest: want sha256: and 64 hex digits", text)
	}
	return d, nil
}

// Position is how far the watch of one kind has come.
type Position struct {
	Group, Kind string
	// ResourceVersion is where the watch goes on.
	ResourceVersion string
	// Time is a moment by which everything up to ResourceVersion had happened,
	// and nothing after it, as far as the operator can tell; in seconds since the epoch.
	Time int64
	// Checked is a moment at which everything that was known was there, by a list:
	// an event that never arrived happened later. 0: there was none.
	Checked int64
}

// Meter is what has to be known of a UsageMeter to go on where it was.
type Meter struct {
	Name string
	// Version is that of the UsageMeter's spec: its UID and generation.
	Version string
	// ResourceType is what it meters.
	ResourceType string
	// Group and Kind are what it reads.
	Group, Kind string
	// Since is from when on it sees everything, in seconds since the epoch.
	Since int64
	// Defined is from when on it is defined as it is; 0: since Since.
	Defined int64
	// Dimensions are what it measures, in order.
	Dimensions []usage.Dimension
	// Measured is what it measured when; nil in what older versions wrote, which did
	// not say.
	Measured []usage.Metered
	// Listed tells that it has seen every object up to its kind's position.
	Listed bool
}

// Seal is an interval that was closed for good.
type Seal struct {
	Interval usage.Window
	// Digest is over the interval's canonical rows and the digest of the seal before.
	Digest Digest
	// Partial tells that a stretch of it is unknown.
	Partial bool
	// Limits bound what its records list.
	Limits usage.Limits
}

// Gap is a stretch of the journal that a person accepted as it is.
type Gap struct {
	From, To uint64 // sequences
	Accepted int64  // when, in seconds since the epoch
	// Lost tells that what these blocks said is not part of the state. It is false
	// where they can be read, but are of another cluster, or later than the clock.
	Lost   bool
	Reason string
}

// Batch is what one append commits, all of it or nothing.
type Batch struct {
	Time    int64 // by the writer's clock, in seconds since the epoch
	Changes []usage.Change
	// Meters and Positions are all that there are; nil: as in the append before.
	Meters    []Meter
	Positions []Position
	// Coverage are the stretches, other than observed, that were learnt of.
	Coverage []usage.Stretch
	Seals    []Seal
	// Archived says that days are in the archive; nil: nothing is said.
	Archived *Archived
}

// Follower is told everything that is committed, whoever wrote it: by a standby's
// Follow as it is read, by Load, and by each Append. Calls come one at a time.
type Follower interface {
	// Begin tells that what comes next begins anew, with the first commit there is.
	Begin()
	// Committed is one commit. They come in order. The batch is the follower's
	// only during the call.
	Committed(batch *Batch)
	// Current tells that this was all for now.
	Current()
}

// nobody follows.
type nobody struct{}

func (nobody) Begin()           {}
func (nobody) Committed(*Batch) {}
func (nobody) Current()         {}

// State is what all appends add up to.
type State struct {
	Sequence uint64 // of the last append; 0: there is none
	Head     Digest // of it
	Time     int64  // of it
	Cluster  string // which cluster's positions these are: the UID of its namespace kube-system
	Writer   string // who wrote it

	Meters    []Meter
	Positions []Position
	// Segments are the newest Put of each key, but for those that are void, and
	// every Less and More; in the order of their first appearance. With a retention,
	// those that had ended before it began, by the end of the last seal, are left out.
	Segments []usage.Change
	// Portions, where the options want them, are these instead, with all that is of one
	// instance in one portion. They are handed out once, and let go of.
	Portions iter.Seq[[]usage.Change]
	// InAll is how many changes the portions have at most: what is void is found as they are handed out.
	InAll    int64
	Coverage []usage.Stretch
	Seals    []Seal
	Gaps     []Gap
	// Archived is what was said last of the archive; nil: nothing was.
	Archived *Archived
}

// InPortions hands out the segments, once, with all that is of one instance in one portion.
// They are so many in all, or fewer.
func (s *State) InPortions() (portions iter.Seq[[]usage.Change], all int64) {
	if s.Portions != nil {
		return s.Portions, s.InAll
	}
	return slices.Values([][]usage.Change{s.Segments}), int64(len(s.Segments))
}
