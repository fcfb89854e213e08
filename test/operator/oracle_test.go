package operator_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"

	. "github.com/onsi/gomega"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// holder is who holds something: what usage is told apart by.
type holder struct {
	namespace, deployment, resourceType string
	resource, instance                  string // UIDs
	container                           string
}

type dimensionOf struct {
	holder
	dimension string
}

func (d dimensionOf) String() string {
	return fmt.Sprintf("%s/%s %s resource %s instance %s %s %s", d.namespace, d.deployment, d.resourceType, d.resource, d.instance, d.container, d.dimension)
}

// moment is when something happened, in seconds since the epoch: in one of the seconds from first to last.
type moment struct{ first, last int64 }

func at(second int64) moment { return moment{second, second} }

// stretch is how long a level was held, in base units.
type stretch struct {
	level      int64
	facts      string // region, bundle and attributes
	start, end moment
}

// diary is what was done to objects: the truth that records are compared with. It may be written by several at once.
type diary struct {
	mu   sync.Mutex
	held map[dimensionOf][]stretch
	by   map[holder][]dimensionOf
	uids map[string]struct{}
}

func newDiary() *diary {
	return &diary{held: map[dimensionOf][]stretch{}, by: map[holder][]dimensionOf{}, uids: map[string]struct{}{}}
}

const ever = 1 << 60

// anything is for facts that may be any.
const anything = "anything"

// levels are base units by dimension.
type levels map[string]int64

// hold notes that from the moment on the holder holds these levels, and nothing else.
func (d *diary) hold(who holder, when moment, facts string, now levels) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uids[who.instance] = struct{}{}
	for _, key := range d.by[who] {
		stretches := d.held[key]
		last := &stretches[len(stretches)-1]
		if last.end.last == ever && (now[key.dimension] != last.level || facts != last.facts) {
			last.end = when
		}
	}
	for dimension, level := range now {
		key := dimensionOf{who, dimension}
		stretches := d.held[key]
		if level == 0 || (len(stretches) > 0 && stretches[len(stretches)-1].end.last == ever) {
			continue
		}
		if len(stretches) == 0 {
			d.by[who] = append(d.by[who], key)
		}
		d.held[key] = append(stretches, stretch{level: level, facts: facts, start: when, end: at(ever)})
	}
}

// split notes that what a thing holds is known in another way from the moment on: the segment ends, and the next one
// holds the same.
func (d *diary) split(t *thing, when moment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, stretches := range d.held {
		last := &stretches[len(stretches)-1]
		if key.instance == t.uid() && last.end.last == ever {
			next := *last
			last.end, next.start = when, when
			d.held[key] = append(stretches, next)
		}
	}
}

// knows notes an object that may hold nothing at all.
func (d *diary) knows(uid string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.uids[uid] = struct{}{}
}

// segmentsOf are the segments of the records by what holds them, with those that an interval cut put together again.
// Only the dimensions and the objects are looked at that are asked for; nil is all.
func segmentsOf(g Gomega, records []v1alpha1.UsageRecord, uids map[string]struct{}, dimensions []string) map[dimensionOf][]stretch {
	found := map[dimensionOf][]piece{}
	for i := range records {
		r := &records[i]
		for _, u := range r.Status.Usage {
			who := holderOf(r, u)
			if _, mine := uids[who.instance]; uids != nil && !mine {
				continue
			}
			for _, s := range u.Segments {
				plain, _, _ := strings.Cut(s.Dimension, "/")
				if dimensions != nil && !slices.Contains(dimensions, plain) {
					continue
				}
				key := dimensionOf{who, s.Dimension}
				g.Expect(s.Evidence.Start).NotTo(Equal("Late"), key.String())
				g.Expect(s.Evidence.End).NotTo(Equal("Late"), key.String())
				found[key] = append(found[key], piece{
					stretch: stretch{level: baseLevel(g, s), facts: facts(u), start: at(s.StartTime.Unix()), end: at(s.EndTime.Unix())},
					goesOn:  s.Evidence.Start == "IntervalCut",
				})
			}
		}
	}
	whole := map[dimensionOf][]stretch{}
	for key, pieces := range found {
		whole[key] = joined(g, key, pieces)
	}
	return whole
}

// piece is a segment of a record, and whether it goes on from the interval before.
type piece struct {
	stretch
	goesOn bool
}

func joined(g Gomega, key dimensionOf, pieces []piece) []stretch {
	slices.SortFunc(pieces, func(a, b piece) int { return cmp.Compare(a.start.first, b.start.first) })
	var whole []stretch
	for _, p := range pieces {
		if len(whole) > 0 {
			last := &whole[len(whole)-1]
			g.Expect(last.end.first).To(BeNumerically("<=", p.start.first), "segments overlap: %s", key)
			if p.goesOn {
				g.Expect(last.end == p.start && last.level == p.level && last.facts == p.facts).To(BeTrue(),
					"what is cut goes on as it was: %s: %s", key, story([]stretch{*last, p.stretch}, ever))
				last.end = p.end
				continue
			}
		}
		whole = append(whole, p.stretch)
	}
	return whole
}

func holderOf(r *v1alpha1.UsageRecord, u v1alpha1.Usage) holder {
	who := holder{
		namespace: r.Spec.Namespace, deployment: r.Spec.Deployment, resourceType: u.ResourceType,
		resource: u.Resource.UID, instance: u.Resource.UID, container: u.Container,
	}
	if u.Instance != nil {
		who.instance = u.Instance.UID
	}
	return who
}

// baseLevel is what a segment's exact amount says that it held in each second.
func baseLevel(g Gomega, s v1alpha1.Segment) int64 {
	seconds := s.EndTime.Unix() - s.StartTime.Unix()
	exact, ok := new(big.Int).SetString(s.Exact, 10)
	g.Expect(ok).To(BeTrue(), s.Exact)
	level, rest := new(big.Int).QuoRem(exact, big.NewInt(seconds), new(big.Int))
	g.Expect(rest.Sign()).To(BeZero(), "%s over %d s", s.Exact, seconds)
	return level.Int64()
}

func facts(u v1alpha1.Usage) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(u.Attributes)) {
		all = append(all, key+"="+string(u.Attributes[key]))
	}
	if u.Region != "" {
		all = append(all, "in "+u.Region)
	}
	if u.Bundle != "" {
		all = append(all, "of "+u.Bundle)
	}
	return strings.Join(all, " ")
}

// compare tells how the records differ from the diary, up to the end of the last interval; nil when they do not.
func (d *diary) compare(g Gomega, records []v1alpha1.UsageRecord, dimensions []string, end int64) []string {
	found := segmentsOf(g, records, d.uids, dimensions)
	var wrong []string
	for key, want := range d.held {
		got := found[key]
		delete(found, key)
		if !matching(want, got, end) {
			wrong = append(wrong, fmt.Sprintf("%s: want %s, got %s", key, story(want, end), story(got, end)))
			continue
		}
		least, most := amounts(want, end)
		if sum := amount(got, end); sum < least || sum > most {
			wrong = append(wrong, fmt.Sprintf("%s: want %d to %d, got %d", key, least, most, sum))
		}
	}
	for key, got := range found {
		wrong = append(wrong, fmt.Sprintf("%s: want nothing, got %s", key, story(got, end)))
	}
	slices.Sort(wrong)
	return wrong
}

func matching(want, got []stretch, end int64) bool {
	if len(want) != len(got) {
		return false
	}
	for i, w := range want {
		g := got[i]
		if g.level != w.level || (g.facts != w.facts && w.facts != anything) || !w.start.includes(g.start, end) || !w.end.includes(g.end, end) {
			return false
		}
	}
	return true
}

func (m moment) includes(other moment, end int64) bool {
	return min(m.first, end) <= other.first && other.last <= min(m.last, end)
}

// amounts add up what was held second by second: the least and the most that it can have been.
func amounts(stretches []stretch, end int64) (least, most int64) {
	for _, s := range stretches {
		for second := s.start.first; second < min(s.end.last, end); second++ {
			if second >= s.start.last && second < s.end.first {
				least += s.level
			}
			most += s.level
		}
	}
	return least, most
}

func amount(stretches []stretch, end int64) int64 {
	sum, _ := amounts(stretches, end)
	return sum
}

func story(stretches []stretch, end int64) string {
	told := make([]string, len(stretches))
	for i, s := range stretches {
		told[i] = fmt.Sprintf("%d [%s, %s)", s.level, s.start.tell(end), s.end.tell(end))
		if s.facts != "" {
			told[i] += " {" + s.facts + "}"
		}
	}
	return "(" + strings.Join(told, ", ") + ")"
}

func (m moment) tell(end int64) string {
	if m.first == m.last {
		return stamp(min(m.first, end))
	}
	return stamp(m.first) + ".." + stamp(m.last)
}

// expectConsistent checks each record by itself: totals and summary are those of its segments, which lie inside the
// interval and do not overlap.
func expectConsistent(g Gomega, records []v1alpha1.UsageRecord) {
	for i := range records {
		r := &records[i]
		sums := map[[2]string]*big.Int{}
		for _, u := range r.Status.Usage {
			last := map[string]int64{}
			for _, s := range u.Segments {
				g.Expect(s.StartTime.Unix()).To(BeNumerically(">=", max(r.Spec.StartTime.Unix(), last[s.Dimension])), r.Name)
				g.Expect(s.EndTime.Unix()).To(BeNumerically("<=", r.Spec.EndTime.Unix()), r.Name)
				g.Expect(s.EndTime.Unix()).To(BeNumerically(">", s.StartTime.Unix()), r.Name)
				last[s.Dimension] = s.EndTime.Unix()
				key := [2]string{u.ResourceType, s.Dimension}
				if sums[key] == nil {
					sums[key] = new(big.Int)
				}
				exact, ok := new(big.Int).SetString(s.Exact, 10)
				g.Expect(ok).To(BeTrue(), s.Exact)
				sums[key].Add(sums[key], exact)
			}
		}
		g.Expect(r.Status.Totals).To(HaveLen(len(sums)), r.Name)
		for _, total := range r.Status.Totals {
			g.Expect(total.Exact).To(Equal(sums[[2]string{total.ResourceType, total.Dimension}].String()), "%s: %s", r.Name, total.Dimension)
		}
		g.Expect(r.Status.Resources).To(BeEquivalentTo(len(r.Status.Usage)), r.Name)
	}
}
