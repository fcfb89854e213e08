package truth

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Case is what is judged.
type Case struct {
	// Records are all Final records that there are.
	Records []v1alpha1.UsageRecord
	// Window is what is judged: sealed intervals.
	usage.Window
	// Unknown are the stretches of which the operator says that it does not know them.
	Unknown []usage.Window
}

// piece is what one record says of one segment.
type piece struct {
	held           Held
	start, end     int64
	earliest, last int64 // what the bounds say that it may have reached from and to
}

// Judge tells what the records say wrongly; nil when nothing. In each second they say what was held or, where a
// boundary is said to be estimated, what was held is within its bounds. A record that says Exact has no such excuse.
func (d *Diary) Judge(c Case) []string {
	j := &judge{Case: c, said: map[Key][]piece{}, records: map[recordKey]summary{}}
	j.read()
	truth := d.copied()
	instances, namespaces := map[string]bool{}, map[string]bool{"": false}
	for key, changes := range truth {
		instances[key.Instance] = true
		for _, c := range changes {
			namespaces[c.what.Namespace] = c.what.Namespace != ""
		}
	}
	for key, pieces := range j.said {
		j.tiling(key, pieces)
		if _, known := truth[key]; !known && (instances[key.Instance] || namespaces[pieces[0].held.Namespace]) {
			j.compare(key, nil)
		}
	}
	for key, changes := range truth {
		j.compare(key, changes)
	}
	slices.Sort(j.wrong)
	return j.wrong
}

type recordKey struct {
	namespace, deployment string
	start                 int64
}

// summary is what has to be known of the parts of one record.
type summary struct {
	end   int64
	exact bool
}

type judge struct {
	Case
	said    map[Key][]piece
	records map[recordKey]summary
	wrong   []string
}

func (j *judge) problem(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// read takes in the records, each of which has to add up by itself.
func (j *judge) read() {
	parts := map[recordKey][]*v1alpha1.UsageRecord{}
	for i := range j.Records {
		r := &j.Records[i]
		interval := usage.Window{Start: r.Spec.StartTime.Unix(), End: r.Spec.EndTime.Unix()}
		if interval.End <= j.Start || interval.Start >= j.End {
			continue
		}
		key := recordKey{r.Spec.Namespace, r.Spec.Deployment, interval.Start}
		parts[key] = append(parts[key], r)
		exact := r.Status.Accuracy == v1alpha1.AccuracyExact
		if before, known := j.records[key]; known {
			exact = exact && before.exact
		}
		j.records[key] = summary{end: interval.End, exact: exact}
		j.readRecord(r, interval)
	}
	for key, found := range parts {
		seen := map[int32]bool{}
		for _, r := range found {
			if seen[r.Spec.Part.Index] {
				j.problem("%s/%s from %s: part %d is there twice", key.namespace, key.deployment, stamp(key.start), r.Spec.Part.Index)
			}
			seen[r.Spec.Part.Index] = true
		}
		if want := found[0].Status.Parts; len(found) != int(want) {
			j.problem("%s/%s from %s: %d of %d parts are there", key.namespace, key.deployment, stamp(key.start), len(found), want)
		}
	}
}

func (j *judge) readRecord(r *v1alpha1.UsageRecord, interval usage.Window) {
	sums := map[[2]string]*big.Int{}
	for _, u := range r.Status.Usage {
		instance := u.Resource.UID
		if u.Instance != nil {
			instance = u.Instance.UID
		}
		for _, s := range u.Segments {
			level, exact := j.level(r, u.ResourceType, &s)
			of := [2]string{u.ResourceType, s.Dimension}
			if sums[of] == nil {
				sums[of] = new(big.Int)
			}
			sums[of].Add(sums[of], exact)
			p := piece{
				held:  Held{r.Spec.Namespace, r.Spec.Deployment, level},
				start: s.StartTime.Unix(), end: s.EndTime.Unix(),
			}
			p.earliest, p.last = p.start, p.end
			if s.StartEarliest != nil {
				p.earliest = s.StartEarliest.Unix()
			}
			if s.EndLatest != nil {
				p.last = s.EndLatest.Unix()
			}
			if (p.earliest != p.start || p.last != p.end) && r.Status.Accuracy == v1alpha1.AccuracyExact {
				j.problem("%s: it says Exact, and has a boundary within bounds: %s of %s", r.Name, s.Dimension, instance)
			}
			if p.start < interval.Start || p.end > interval.End {
				j.problem("%s: %s of %s reaches beyond the interval", r.Name, s.Dimension, instance)
			}
			key := Key{instance, u.Container, s.Dimension}
			j.said[key] = append(j.said[key], p)
		}
	}
	j.totals(r, sums)
}

// level is how much a segment says that it held, in base units, and what that adds up to.
func (j *judge) level(r *v1alpha1.UsageRecord, resourceType string, s *v1alpha1.Segment) (level int64, exact *big.Int) {
	scale := int64(1)
	for _, total := range r.Status.Totals {
		if total.ResourceType == resourceType && total.Dimension == s.Dimension && strings.HasPrefix(total.ExactUnit, "milli") {
			scale = 1000
		}
	}
	said, ok := new(big.Rat).SetString(s.Level)
	if ok {
		said.Mul(said, big.NewRat(scale, 1))
	}
	if !ok || !said.IsInt() || !said.Num().IsInt64() {
		j.problem("%s: the level of %s is %q", r.Name, s.Dimension, s.Level)
		return 0, new(big.Int)
	}
	seconds := s.EndTime.Unix() - s.StartTime.Unix()
	exact = new(big.Int).Mul(said.Num(), big.NewInt(seconds))
	if exact.String() != s.Exact || seconds < 0 {
		j.problem("%s: %s of %s over %d s is %s, and the record says %s", r.Name, s.Level, s.Dimension, seconds, exact, s.Exact)
	}
	return said.Num().Int64(), exact
}

// totals have to be the sums of the segments.
func (j *judge) totals(r *v1alpha1.UsageRecord, sums map[[2]string]*big.Int) {
	for _, total := range r.Status.Totals {
		of := [2]string{total.ResourceType, total.Dimension}
		if sums[of] == nil || sums[of].String() != total.Exact {
			j.problem("%s: the total of %s %s is %s, and its segments add up to %s", r.Name, of[0], of[1], total.Exact, sums[of])
		}
		delete(sums, of)
	}
	for of := range sums {
		j.problem("%s: there is no total of %s %s", r.Name, of[0], of[1])
	}
}

// tiling: nothing is counted twice, in whatever records it is.
func (j *judge) tiling(key Key, pieces []piece) {
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.end, b.end)) })
	for i := 1; i < len(pieces); i++ {
		if a, b := pieces[i-1], pieces[i]; b.start < a.end {
			j.problem("%s: %s from %s to %s and %s from %s to %s overlap", key, a.held, stamp(a.start), stamp(a.end), b.held, stamp(b.start), stamp(b.end))
		}
	}
}

// compare holds what the records say of one key against what happened, second by second.
func (j *judge) compare(key Key, changes []change) {
	var before string
	var since int64
	tell := func(until int64) {
		if before != "" {
			j.problem("%s: from %s to %s %s", key, stamp(since), stamp(until), before)
		}
	}
	for second := j.Start; second < j.End; second++ {
		if now := j.judgeSecond(key, changes, second); now != before {
			tell(second)
			before, since = now, second
		}
	}
	tell(j.End)
}

// judgeSecond is what is wrong in a second; "" when nothing is.
func (j *judge) judgeSecond(key Key, changes []change, second int64) string {
	want := possible(changes, second)
	said := Held{}
	var within []Held
	for _, p := range j.said[key] {
		switch {
		case p.start <= second && second < p.end:
			said = p.held
		case p.earliest <= second && second < p.last:
			within = append(within, p.held)
		}
	}
	if slices.Contains(want, said) {
		return ""
	}
	wrong := fmt.Sprintf("%s was held, and the records say %s", story(want), said)
	if len(within) > 0 {
		wrong += ", at most " + story(within)
	}
	for _, held := range want {
		if j.excused(held, second, slices.Contains(within, held)) {
			return ""
		}
	}
	return wrong
}

// excused tells whether the records say of a second in which something else was held that they do not know it.
func (j *judge) excused(held Held, second int64, within bool) bool {
	for key, r := range j.records {
		if r.exact && key.start <= second && second < r.end && key.namespace == held.Namespace && key.deployment == held.Deployment {
			return false
		}
	}
	return within || slices.ContainsFunc(j.Unknown, func(w usage.Window) bool { return w.Start <= second && second < w.End })
}

func story(held []Held) string {
	told := make([]string, len(held))
	for i, h := range held {
		told[i] = h.String()
	}
	slices.Sort(told)
	return strings.Join(slices.Compact(told), " or ")
}
