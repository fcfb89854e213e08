package journal

import (
	"context"
	"slices"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Replay tells the follower of the options everything that is in the store, once and in
// order, without anything of it being kept: memory is needed for a block at a time, and
// for what has to be known of each block. Where blocks are merged meanwhile the follower
// begins anew. The state has no segments. A journal that is damaged gives a *DamageError.
func Replay(ctx context.Context, o Options) (*State, error) {
	o.OnlyTold = true
	return New(o).Load(ctx)
}

// Lists are what a stretch of the journal says beside segments.
type Lists struct {
	Meters   []Meter
	Coverage []usage.Stretch
	Seals    []Seal
}

// Form is the lists as blocks have them.
func (l Lists) Form() (meters []v1alpha1.BlockMeter, coverage []v1alpha1.BlockStretch, seals []v1alpha1.BlockSeal) {
	return formed(l.Meters, blockMeter), formed(l.Coverage, blockStretch), formed(l.Seals, blockSeal)
}

// ReadLists reads what Form wrote.
func ReadLists(meters []v1alpha1.BlockMeter, coverage []v1alpha1.BlockStretch, seals []v1alpha1.BlockSeal) (Lists, error) {
	said, err := listsOf(&v1alpha1.UsageBlockSpec{Meters: meters, Coverage: coverage, Sealed: seals}, newWords())
	return Lists{Meters: slices.Clip(said.meters), Coverage: said.coverage, Seals: said.seals}, err
}
