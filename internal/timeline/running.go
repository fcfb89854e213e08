package timeline

import (
	"cmp"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// RunningTotals keep, for each series, what is held now and all that was held in
// sealed intervals, as they were sealed. An Advance costs what is open, what has ended
// and is not sealed, and what was sealed since the Advance before: nothing for what
// was sealed earlier. They are not safe for concurrent use.
//
// All replicas and all runs have the same totals of one ledger, up to the same sealed
// interval. A total never decreases: corrections of sealed intervals are counted apart.
type RunningTotals struct {
	byDeployment bool

	lineage *int
	through int64 // up to where sealed intervals are counted
	looked  int   // how many corrections are counted
	turn    uint64
	series  map[SeriesKey]*Running
	of      []*Running // by class; nil: not asked yet
	counted []sum      // by class, up to through
	awake   []*Running
	grown   []*Running

	less, more map[Measure]*sum
}

// SeriesKey tells a series from every other. Each text is valid UTF-8 of at most
// MaxSeriesText bytes: those that begin alike are one series.
type SeriesKey struct {
	Namespace, Deployment, ResourceType string
	usage.Dimension
}

// MaxSeriesText bounds a text of a series, in bytes.
const MaxSeriesText = 128

// Compare orders series by namespace, resource type, dimension and deployment.
func (k SeriesKey) Compare(other SeriesKey) int {
	return cmp.Or(cmp.Compare(k.Namespace, other.Namespace), cmp.Compare(k.ResourceType, other.ResourceType),
		cmp.Compare(k.Name, other.Name), cmp.Compare(k.Unit, other.Unit), cmp.Compare(k.Deployment, other.Deployment))
}

// Running is what a series holds and has held.
type Running struct {
	SeriesKey
	held, exact, shown, added sum
	turn                      uint64 // in which it was awake last
}

// Measure is what the series is of, as meters define it.
func (r *Running) Measure() Measure {
	plain, _ := r.Plain()
	return Measure{ResourceType: r.ResourceType, Dimension: plain}
}

// Held is what is held now, in base units.
func (r *Running) Held() usage.Amount { return r.held.amount() }

// Sealed is what was held in sealed intervals, in base units times seconds.
func (r *Running) Sealed() usage.Amount { return r.shown.amount() }

// Added is by how much the last Advance made Sealed more; 0 for the first.
func (r *Running) Added() usage.Amount { return r.added.amount() }

// NewRunningTotals are totals of nothing yet, by namespace, resource type and dimension
// and, if wanted, by deployment.
func NewRunningTotals(byDeployment bool) *RunningTotals {
	return &RunningTotals{byDeployment: byDeployment, series: map[SeriesKey]*Running{}}
}

// Awake are the series in which something is held, or was yesterday or today (UTC), in
// no order; until the next Advance.
func (t *RunningTotals) Awake() []*Running { return t.awake }

// Grown are those to which the last Advance has added something; until the next.
func (t *RunningTotals) Grown() []*Running { return t.grown }

// Corrected is what was taken off sealed intervals, and added to them, after they were
// sealed: of a measure as meters define it, in base units times seconds.
func (t *RunningTotals) Corrected(of Measure) (less, more usage.Amount) {
	amount := func(s *sum) usage.Amount {
		if s == nil {
			return usage.Amount{}
		}
		return s.amount()
	}
	return amount(t.less[of]), amount(t.more[of])
}

// Measured are what the meters that are applied measure, some of it twice.
func (s *Snapshot) Measured() iter.Seq[Measure] {
	return func(yield func(Measure) bool) {
		for i := range s.meters {
			for _, d := range s.meters[i].Dimensions {
				if !yield(Measure{ResourceType: s.meters[i].ResourceType, Dimension: d}) {
					return
				}
			}
		}
	}
}

// Advance counts what is in the snapshot. The first one, and the first of another
// lineage of snapshots, adds up everything.
func (t *RunningTotals) Advance(s *Snapshot) {
	if t.lineage != s.lineage || s.through < t.through || len(s.corrections) < t.looked {
		t.begin(s)
	}
	for _, r := range t.grown {
		r.added = sum{}
	}
	t.grown = nil
	t.turn++
	if missing := s.classes.size - len(t.of); missing > 0 {
		t.of = append(t.of, make([]*Running, missing)...)
		t.counted = append(t.counted, make([]sum, missing)...)
	}
	t.seal(s)
	t.hold(s)
	t.correct(s)
}

func (t *RunningTotals) begin(s *Snapshot) {
	t.lineage, t.through, t.looked = s.lineage, never, 0
	t.of, t.counted = nil, nil
	t.less, t.more = map[Measure]*sum{}, map[Measure]*sum{}
	for _, r := range t.series {
		r.exact = sum{}
	}
}

// seal counts what was sealed since the last time.
func (t *RunningTotals) seal(s *Snapshot) {
	if s.through == 0 || s.through <= t.through {
		return
	}
	changed := map[*Running]bool{}
	s.since(t.through, func(id int, c *class) {
		total := c.sealedBy(s)
		added := total
		added.subtract(t.counted[id])
		t.counted[id] = total
		if !added.isZero() {
			r := t.seriesOf(id, c)
			r.exact.add(added)
			changed[r] = true
		}
	})
	t.through = s.through
	for r := range changed {
		if r.exact.compare(r.shown) <= 0 {
			continue // the journal was damaged, and says less than it did
		}
		if t.turn > 1 {
			r.added = r.exact
			r.added.subtract(r.shown)
			t.grown = append(t.grown, r)
		}
		r.shown = r.exact
	}
}

// hold adds up what is held now.
func (t *RunningTotals) hold(s *Snapshot) {
	t.awake = t.awake[:0]
	for _, id := range s.awake {
		c := s.classes.at(int(id))
		r := t.seriesOf(int(id), c)
		if r.turn != t.turn {
			r.turn, r.held = t.turn, sum{}
			t.awake = append(t.awake, r)
		}
		for _, page := range c.open.table {
			for i := range page.items {
				r.held.add(sum{low: uint64(page.items[i].level)})
			}
		}
	}
}

// correct counts the corrections that are new.
func (t *RunningTotals) correct(s *Snapshot) {
	for i := t.looked; i < len(s.corrections); i++ {
		x := &s.corrections[i]
		of, sums := t.seriesOf(x.class, s.classes.at(x.class)).Measure(), t.more
		if x.less {
			sums = t.less
		}
		if sums[of] == nil {
			sums[of] = &sum{}
		}
		sums[of].add(sum{low: uint64(x.level)}.times(x.end - x.start))
	}
	t.looked = len(s.corrections)
}

// seriesOf is the series of a class.
func (t *RunningTotals) seriesOf(id int, c *class) *Running {
	if t.of[id] != nil {
		return t.of[id]
	}
	key := SeriesKey{
		Namespace: seriesText(c.Namespace), ResourceType: seriesText(c.ResourceType),
		Dimension: usage.Dimension{Name: seriesText(c.Dimension.Name), Unit: usage.Unit(seriesText(string(c.Dimension.Unit)))},
	}
	if t.byDeployment {
		key.Deployment = seriesText(c.Deployment)
	}
	r := t.series[key]
	if r == nil {
		r = &Running{SeriesKey: key}
		t.series[key] = r
	}
	t.of[id] = r
	return r
}

// seriesText is a text that tenants may have chosen, as a series has it.
func seriesText(text string) string {
	text = strings.ToValidUTF8(text, string(utf8.RuneError))
	if len(text) <= MaxSeriesText {
		return text
	}
	end := MaxSeriesText
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}

// sealedBy is what was held in the class in all that is sealed.
func (c *class) sealedBy(s *Snapshot) sum {
	hour := min(floor(s.through, secondsOfHour), s.summed)
	r := c.sums.reader()
	total := r.at(hour)
	rest := usage.Window{Start: hour * secondsOfHour, End: s.through}
	if rest.Seconds() == 0 {
		return total
	}
	c.each(rest, func(_ who, x span) {
		if start, end := max(x.start, rest.Start), min(x.end, rest.End); start < end {
			total.add(sum{low: uint64(x.level)}.times(end - start))
		}
	})
	return total
}
