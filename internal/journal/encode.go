package journal

import (
	"encoding/base64"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// rowsPerBlock is how many rows are tried to put into one block first. Tests set it.
var rowsPerBlock = 16384

// chunk is a stretch of a batch's changes that fits into one block.
type chunk struct {
	changes []usage.Change
	file    []byte
}

// chunksOf divides changes into files that each fit into a block.
func chunksOf(changes []usage.Change) ([]chunk, error) {
	var chunks []chunk
	for len(changes) > 0 {
		n := min(len(changes), rowsPerBlock)
		for {
			file, err := encodeRows(changes[:n])
			if err != nil {
				return nil, err
			}
			if len(file) > maxSegmentBytes && n > 1 {
				n /= 2
				continue
			}
			chunks = append(chunks, chunk{changes: changes[:n], file: file})
			break
		}
		changes = changes[n:]
	}
	return chunks, nil
}

// specsOf are the parts that a batch is written as, without sequences and digests.
func specsOf(batch *Batch, gaps []Gap) ([]*v1alpha1.UsageBlockSpec, error) {
	chunks, err := chunksOf(batch.Changes)
	if err != nil {
		return nil, err
	}
	p := &parts{time: seconds(batch.Time)}
	for _, c := range chunks {
		p.segments(c)
	}
	p.list(batch, gaps)
	if batch.Archived != nil {
		p.specs[0].Archived = blockArchived(batch.Archived)
		for _, spec := range p.specs {
			spec.Format = v1alpha1.BlockFormatArchived
		}
	}
	if p.err != nil {
		return nil, p.err
	}
	for i, spec := range p.specs {
		spec.Part = v1alpha1.BlockPart{Index: int32(i), Count: int32(len(p.specs))}
	}
	return p.specs, nil
}

// parts are the blocks of one batch in the making. Segments and lists are
// dealt out over the parts independently: a part may have either or both.
type parts struct {
	time  metav1.Time
	specs []*v1alpha1.UsageBlockSpec
	at    int // the part that takes list items now
	bytes int // what list items may still take in it
	items int // and how many
	err   error
}

// specBytes is what a spec without segments and lists takes at most.
const specBytes = 4096

func (p *parts) add() *v1alpha1.UsageBlockSpec {
	spec := &v1alpha1.UsageBlockSpec{Format: v1alpha1.BlockFormatPlain, Kind: v1alpha1.BlockEntry, Time: p.time}
	p.specs = append(p.specs, spec)
	return spec
}

func (p *parts) segments(c chunk) {
	spec := p.add()
	setSegments(spec, c)
}

func setSegments(spec *v1alpha1.UsageBlockSpec, c chunk) {
	spec.Segments, spec.Rows, spec.Size = base64.StdEncoding.EncodeToString(c.file), int32(len(c.changes)), int32(len(c.file))
	if len(c.changes) == 0 {
		return
	}
	start, end := c.changes[0].Start.At, c.changes[0].Start.At
	for i := range c.changes {
		start = min(start, c.changes[i].Start.At)
		end = max(end, c.changes[i].Start.At, c.changes[i].End.At)
	}
	spec.StartTime, spec.EndTime = new(seconds(start)), new(seconds(end))
}

// open begins the part that takes list items.
func (p *parts) open() {
	for p.at >= len(p.specs) {
		p.add()
	}
	p.bytes = maxSpecBytes - specBytes - len(p.specs[p.at].Segments)
	p.items = maxItems
}

// room is the part that has room for the item.
func (p *parts) room(item any) *v1alpha1.UsageBlockSpec {
	text, err := marshal(item)
	if err != nil && p.err == nil {
		p.err = err
	}
	for p.bytes < len(text)+1 || p.items == 0 {
		if p.bytes == maxSpecBytes-specBytes {
			p.err = fmt.Errorf("an item of %d bytes does not fit into a block", len(text))
			break
		}
		p.at++
		p.open()
	}
	p.bytes -= len(text) + 1
	p.items--
	return p.specs[p.at]
}

// list deals out everything of a batch but its changes.
func (p *parts) list(batch *Batch, gaps []Gap) {
	p.open()
	// That there are none is something else than that nothing is said.
	if batch.Positions != nil {
		p.specs[0].Positions = []v1alpha1.BlockPosition{}
	}
	if batch.Meters != nil {
		p.specs[0].Meters = []v1alpha1.BlockMeter{}
	}
	deal(p, batch.Positions, blockPosition, func(s *v1alpha1.UsageBlockSpec) *[]v1alpha1.BlockPosition { return &s.Positions })
	deal(p, batch.Meters, blockMeter, func(s *v1alpha1.UsageBlockSpec) *[]v1alpha1.BlockMeter { return &s.Meters })
	deal(p, batch.Coverage, blockStretch, func(s *v1alpha1.UsageBlockSpec) *[]v1alpha1.BlockStretch { return &s.Coverage })
	deal(p, batch.Seals, blockSeal, func(s *v1alpha1.UsageBlockSpec) *[]v1alpha1.BlockSeal { return &s.Sealed })
	deal(p, gaps, blockGap, func(s *v1alpha1.UsageBlockSpec) *[]v1alpha1.BlockGap { return &s.Gaps })
}

// deal deals out one list.
func deal[T, B any](p *parts, list []T, form func(T) B, of func(*v1alpha1.UsageBlockSpec) *[]B) {
	for _, item := range list {
		formed := form(item)
		to := of(p.room(formed))
		*to = append(*to, formed)
	}
}

// setLists gives a block all that there is besides segments.
func setLists(spec *v1alpha1.UsageBlockSpec, s *State) {
	spec.Positions, spec.Meters = formed(s.Positions, blockPosition), formed(s.Meters, blockMeter)
	spec.Coverage, spec.Sealed = formed(s.Coverage, blockStretch), formed(s.Seals, blockSeal)
	spec.Gaps = formed(s.Gaps, blockGap)
}

// formed is the list in another form; nil when it is nil.
func formed[T, B any](list []T, form func(T) B) []B {
	if list == nil {
		return nil
	}
	out := make([]B, len(list))
	for i, item := range list {
		out[i] = form(item)
	}
	return out
}

func seconds(at int64) metav1.Time { return metav1.Time{Time: time.Unix(at, 0).UTC()} }

func blockPosition(p Position) v1alpha1.BlockPosition {
	out := v1alpha1.BlockPosition{
		Group: text(p.Group), Kind: text(p.Kind), ResourceVersion: text(p.ResourceVersion), Time: seconds(p.Time),
	}
	if p.Checked != 0 {
		at := seconds(p.Checked)
		out.CheckedTime = &at
	}
	return out
}

func blockMeter(m Meter) v1alpha1.BlockMeter {
	out := v1alpha1.BlockMeter{
		Name: text(m.Name), Version: text(m.Version), ResourceType: text(m.ResourceType), Group: text(m.Group), Kind: text(m.Kind),
		Since: seconds(m.Since), Listed: m.Listed,
	}
	for _, d := range m.Dimensions {
		out.Dimensions = append(out.Dimensions, v1alpha1.BlockDimension{Name: text(d.Name), Unit: text(string(d.Unit))})
	}
	if m.Defined != 0 {
		out.DefinedTime = new(seconds(m.Defined))
	}
	for _, d := range m.Measured {
		measured := v1alpha1.BlockMeasured{Name: text(d.Name), Unit: text(string(d.Unit)), StartTime: seconds(d.Since)}
		if d.Until != 0 {
			measured.EndTime = new(seconds(d.Until))
		}
		out.Measured = append(out.Measured, measured)
	}
	return out
}

func blockStretch(s usage.Stretch) v1alpha1.BlockStretch {
	return v1alpha1.BlockStretch{
		Meter: text(s.Meter), StartTime: seconds(s.Start), EndTime: seconds(s.End),
		Coverage: v1alpha1.BlockCoverage(s.Coverage.String()),
	}
}

func blockSeal(s Seal) v1alpha1.BlockSeal {
	out := v1alpha1.BlockSeal{
		StartTime: seconds(s.Interval.Start), EndTime: seconds(s.Interval.End), Digest: s.Digest.String(), Partial: s.Partial,
	}
	if !s.Limits.IsZero() {
		out.Limits = &v1alpha1.BlockLimits{Bytes: s.Limits.Bytes, Deployments: s.Limits.Deployments}
	}
	return out
}

func blockArchived(a *Archived) *v1alpha1.BlockArchived {
	if a == nil {
		return nil
	}
	return &v1alpha1.BlockArchived{
		StartTime: seconds(a.Start), EndTime: seconds(a.End), Manifest: text(a.Manifest),
		Digest: a.Digest.String(), Seal: a.Seal.String(), Sequence: int64(a.Sequence),
	}
}

func blockGap(g Gap) v1alpha1.BlockGap {
	return v1alpha1.BlockGap{
		From: int64(g.From), To: int64(g.To), AcceptedTime: seconds(g.Accepted), Lost: g.Lost, Reason: text(g.Reason),
	}
}
