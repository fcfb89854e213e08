package archive

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/ledger"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Chapter is what a UTC day was sealed with.
type Chapter struct {
	Day Day
	// Lists are the day's seals, its coverage, and the meters.
	journal.Lists
	// PreviousSeal is the digest of the seal before; zero: there is none.
	PreviousSeal journal.Digest
	// Segments are all that lasted in the day, in canonical order, account by account:
	// each is whole, but that one which lasted beyond the day ends with it, by IntervalCut.
	Segments []usage.Change
	// Corrections are Less and More of this day or of others, that were learnt since the
	// chapter before was made, in the order in which they were.
	Corrections []usage.Change
	// Incomplete are the digests of intervals of which the journal lost segments, by
	// their starts: those of what is left.
	Incomplete map[int64]journal.Digest
	// sequence and corrections are the manifest's.
	sequence    uint64
	corrections int
}

// lasted tells whether a segment is of a window: it lasted in it, or may have, or ended
// in it.
func lasted(c *usage.Change, w usage.Window) bool {
	return c.Touches(w) || !c.End.IsZero() && w.Contains(c.End.At)
}

// partOf is what a day's chapter has of a segment; false if that is nothing. It does
// not depend on what happened after the day: whoever makes the chapter, whenever,
// makes the same of it.
func partOf(c usage.Change, day Day) (usage.Change, bool) {
	w := day.Window()
	if !lasted(&c, w) {
		return c, false
	}
	if !c.End.IsZero() && c.End.At < w.End {
		return c, true
	}
	const ever = math.MinInt64 / 2
	var ok bool
	c.Segment, ok = c.Cut(usage.Window{Start: ever, End: w.End}, w.End)
	return c, ok
}

// goesOn tells whether a chapter's segment lasted beyond the day, as far as that is
// known from this chapter.
func (c *Chapter) goesOn(s *usage.Change) bool {
	return s.End.Evidence == usage.IntervalCut && s.End.At == c.Day.Window().End
}

// order puts segments into canonical order.
func (c *Chapter) order() {
	slices.SortFunc(c.Segments, func(a, b usage.Change) int {
		return cmp.Or(usage.CompareAccounts(a.Subject.Account, b.Subject.Account), a.Compare(b.Segment))
	})
}

// check computes the day's seals from the chapter, and is what differs; nil: nothing does.
func (c *Chapter) check() *Problem {
	day := c.Day.Window()
	if n := len(c.Seals); n == 0 || c.Seals[0].Interval.Start < day.Start || c.Seals[n-1].Interval.End != day.End {
		return c.wrong("its intervals are not those of the day")
	}
	if first := c.Seals[0].Interval.Start; first != day.Start && c.PreviousSeal != (journal.Digest{}) {
		return c.wrong("the interval that was sealed before the one from %s is not in it", moment(first))
	}
	for i, seal := range c.Seals {
		if i > 0 && seal.Interval.Start != c.Seals[i-1].Interval.End {
			return c.wrong("the interval that was sealed before the one from %s is not in it", moment(seal.Interval.Start))
		}
		want, incomplete := c.Incomplete[seal.Interval.Start]
		if !incomplete {
			want = seal.Digest
		}
		if computed := c.compute(i); computed != want {
			return c.wrong("its segments of the interval from %s have the digest %s, and it was sealed with %s",
				moment(seal.Interval.Start), computed, want)
		}
	}
	return nil
}

func (c *Chapter) wrong(format string, args ...any) *Problem {
	return &Problem{Fault: Damaged, Object: c.Day.manifest(), Detail: fmt.Sprintf(format, args...)}
}

// compute is what the segments of the ith sealed interval amount to, after the seal before.
func (c *Chapter) compute(i int) journal.Digest {
	interval, previous := c.Seals[i].Interval, c.PreviousSeal
	if i > 0 {
		previous = c.Seals[i-1].Digest
	}
	var inside []usage.Segment
	for j := range c.Segments {
		inside = ledger.AppendCut(inside, &c.Segments[j].Segment, interval)
	}
	return ledger.Digest(previous, interval, inside, usage.CutCoverage(c.Coverage, interval))
}

// note notes the intervals of which the journal lost segments: those that amount to
// something else than what they were sealed with.
func (c *Chapter) note() {
	for i, seal := range c.Seals {
		if computed := c.compute(i); computed != seal.Digest {
			if c.Incomplete == nil {
				c.Incomplete = map[int64]journal.Digest{}
			}
			c.Incomplete[seal.Interval.Start] = computed
		}
	}
}

// lastSeal is the digest of the day's last one.
func (c *Chapter) lastSeal() journal.Digest { return c.Seals[len(c.Seals)-1].Digest }

// encode is the chapter's file, and its manifest.
func (c *Chapter) encode(cluster string, previous journal.Digest) ([]byte, *Manifest, error) {
	var file bytes.Buffer
	rows := slices.Concat(c.Segments, c.Corrections)
	if err := journal.EncodeTable(&file, rows); err != nil {
		return nil, nil, err
	}
	digest := journal.Digest(sha256.Sum256(file.Bytes()))
	m := &Manifest{
		Format: Format, Cluster: cluster, Day: c.Day, Previous: textOrNone(previous), PreviousSeal: textOrNone(c.PreviousSeal),
		Sequence: c.sequence, Corrections: c.corrections,
		Segments: File{Name: segmentsName(c.Day, digest), Rows: len(rows), Size: int64(file.Len()), Digest: digest.String()},
	}
	m.Meters, m.Coverage, m.Sealed = c.Form()
	for _, start := range slices.Sorted(maps.Keys(c.Incomplete)) {
		m.Incomplete = append(m.Incomplete, Incomplete{metav1.NewTime(time.Unix(start, 0).UTC()), c.Incomplete[start].String()})
	}
	return file.Bytes(), m, nil
}

// outline is what the manifest has of the chapter.
func (m *Manifest) outline() (*Chapter, error) {
	c := &Chapter{Day: m.Day, sequence: m.Sequence, corrections: m.Corrections}
	var err error
	if c.Lists, err = m.lists(); err == nil {
		c.PreviousSeal, err = digestOrNone(m.PreviousSeal)
	}
	for _, interval := range m.Incomplete {
		digest, wrong := journal.ParseDigest(interval.Digest)
		if c.Incomplete == nil {
			c.Incomplete = map[int64]journal.Digest{}
		}
		c.Incomplete[interval.StartTime.Unix()] = digest
		err = cmp.Or(err, wrong)
	}
	if err != nil {
		return nil, &Problem{Fault: Damaged, Object: m.Day.manifest(), Detail: err.Error()}
	}
	return c, nil
}

// decode is the chapter that encode made a file and a manifest of. It is checked.
func (m *Manifest) decode(file []byte) (*Chapter, error) {
	damaged := func(format string, args ...any) error {
		return &Problem{Fault: Damaged, Object: m.Segments.Name, Detail: fmt.Sprintf(format, args...)}
	}
	if digest := journal.Digest(sha256.Sum256(file)); digest.String() != m.Segments.Digest {
		return nil, damaged("it has %d bytes with the digest %s, and its manifest says %d with %s",
			len(file), digest, m.Segments.Size, m.Segments.Digest)
	}
	c, err := m.outline()
	if err != nil {
		return nil, err
	}
	err = journal.DecodeTable(bytes.NewReader(file), int64(len(file)), func(change *usage.Change) {
		if change.Kind == usage.Put {
			c.Segments = append(c.Segments, *change)
			return
		}
		c.Corrections = append(c.Corrections, *change)
	})
	if err != nil {
		return nil, damaged("%v", err)
	}
	if rows := len(c.Segments) + len(c.Corrections); rows != m.Segments.Rows {
		return nil, damaged("it has %d rows, and its manifest says %d", rows, m.Segments.Rows)
	}
	if problem := c.check(); problem != nil {
		return nil, problem
	}
	return c, nil
}

func moment(at int64) string { return time.Unix(at, 0).UTC().Format(time.RFC3339) }
