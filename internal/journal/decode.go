package journal

import (
	"encoding/base64"
	"fmt"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// lists are what a block has besides segments.
type lists struct {
	meters    []Meter    // nil: nothing is said
	positions []Position // nil: nothing is said
	coverage  []usage.Stretch
	seals     []Seal
	gaps      []Gap
	archived  *Archived // nil: nothing is said
	leftOut   *Archived // nil: nothing was
}

// listsOf reads what blockPosition and its like wrote.
func listsOf(spec *v1alpha1.UsageBlockSpec, w *words) (lists, error) {
	r := &reader{words: w}
	var out lists
	var err error
	if spec.Positions != nil {
		out.positions = []Position{}
	}
	for _, p := range spec.Positions {
		position := Position{
			Group: r.text(p.Group), Kind: r.text(p.Kind), ResourceVersion: r.text(p.ResourceVersion), Time: p.Time.Unix(),
		}
		if p.CheckedTime != nil {
			position.Checked = p.CheckedTime.Unix()
		}
		out.positions = append(out.positions, position)
	}
	if spec.Meters != nil {
		out.meters = []Meter{}
	}
	for _, m := range spec.Meters {
		out.meters = append(out.meters, r.meter(m))
	}
	for _, s := range spec.Coverage {
		coverage, ok := coverages[string(s.Coverage)]
		if !ok {
			return lists{}, fmt.Errorf("coverage %q is not known", s.Coverage)
		}
		out.coverage = append(out.coverage, usage.Stretch{
			Meter: r.text(s.Meter), Window: usage.Window{Start: s.StartTime.Unix(), End: s.EndTime.Unix()}, Coverage: coverage,
		})
	}
	for _, s := range spec.Sealed {
		digest, err := ParseDigest(s.Digest)
		if err != nil {
			return lists{}, err
		}
		seal := Seal{Interval: usage.Window{Start: s.StartTime.Unix(), End: s.EndTime.Unix()}, Digest: digest, Partial: s.Partial}
		if s.Limits != nil {
			seal.Limits = usage.Limits{Bytes: s.Limits.Bytes, Deployments: s.Limits.Deployments}
		}
		out.seals = append(out.seals, seal)
	}
	for _, g := range spec.Gaps {
		out.gaps = append(out.gaps, Gap{
			From: uint64(g.From), To: uint64(g.To), Accepted: g.AcceptedTime.Unix(), Lost: g.Lost, Reason: r.text(g.Reason),
		})
	}
	if out.archived, err = archivedOf(spec.Archived, r); err != nil {
		return lists{}, err
	}
	if out.leftOut, err = archivedOf(spec.LeftOut, r); err != nil {
		return lists{}, err
	}
	return out, r.err
}

// archivedOf reads what blockArchived wrote.
func archivedOf(said *v1alpha1.BlockArchived, r *reader) (*Archived, error) {
	if said == nil {
		return nil, nil
	}
	digest, err := ParseDigest(said.Digest)
	if err != nil {
		return nil, err
	}
	seal, err := ParseDigest(said.Seal)
	return &Archived{
		Window:   usage.Window{Start: said.StartTime.Unix(), End: said.EndTime.Unix()},
		Manifest: r.text(said.Manifest), Digest: digest, Seal: seal, Sequence: uint64(said.Sequence),
	}, err
}

// Changes hands out what a block says of segments, once it is known to be whole: a
// later block may say otherwise of one. The error says that the block is damaged; some changes may
// have been handed out before.
func Changes(stored Stored, each func(*usage.Change)) error {
	b, err := openBlock(stored)
	if err != nil {
		return err
	}
	file, err := fileOf(b.spec)
	if err != nil {
		return err
	}
	return decodeRows(file, newWords(), each)
}

// fileOf is the Parquet file with a block's segments.
func fileOf(spec *v1alpha1.UsageBlockSpec) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(spec.Segments)
}

var coverages = named(usage.CoverageObserved, usage.CoverageUnknown)

// reader reads texts, and keeps the first error.
type reader struct {
	words *words
	err   error
}

func (r *reader) text(s string) string {
	raw, err := r.words.word(s)
	if err != nil && r.err == nil {
		r.err = err
	}
	return raw
}

func (r *reader) meter(m v1alpha1.BlockMeter) Meter {
	out := Meter{
		Name: r.text(m.Name), Version: r.text(m.Version), ResourceType: r.text(m.ResourceType), Group: r.text(m.Group), Kind: r.text(m.Kind),
		Since: m.Since.Unix(), Listed: m.Listed,
	}
	for _, d := range m.Dimensions {
		out.Dimensions = append(out.Dimensions, usage.Dimension{Name: r.text(d.Name), Unit: usage.Unit(r.text(d.Unit))})
	}
	if m.DefinedTime != nil {
		out.Defined = m.DefinedTime.Unix()
	}
	for _, d := range m.Measured {
		measured := usage.Metered{Dimension: usage.Dimension{Name: r.text(d.Name), Unit: usage.Unit(r.text(d.Unit))}, Since: d.StartTime.Unix()}
		if d.EndTime != nil {
			measured.Until = d.EndTime.Unix()
		}
		out.Measured = append(out.Measured, measured)
	}
	return out
}
