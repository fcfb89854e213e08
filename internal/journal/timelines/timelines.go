// Package timelines keeps a timeline of what a journal has.
package timelines

import (
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/timeline"
)

// Follower is a journal.Follower that keeps a timeline.
type Follower struct{ *timeline.Timeline }

// New has an empty timeline.
func New() Follower { return Follower{timeline.New()} }

// NewHot has an empty timeline that packs what is older than the hot days.
func NewHot(hot timeline.Hot) Follower { return Follower{timeline.NewHot(hot)} }

// Committed takes in what was committed.
func (f Follower) Committed(batch *journal.Batch) {
	commit := timeline.Commit{Time: batch.Time, Changes: batch.Changes, Coverage: batch.Coverage}
	if batch.Meters != nil {
		commit.Meters = make([]timeline.Meter, len(batch.Meters))
	}
	for i, m := range batch.Meters {
		commit.Meters[i] = timeline.Meter{Name: m.Name, ResourceType: m.ResourceType, Since: m.Since, Dimensions: m.Dimensions, Measured: m.Measured}
	}
	for _, seal := range batch.Seals {
		commit.Sealed = append(commit.Sealed, seal.Interval)
	}
	f.Take(commit)
}

// Current shows what was taken in.
func (f Follower) Current() { f.Publish() }
