package timeline_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// world is a ledger's segments as anybody would keep them: in a list.
type world struct {
	segments []usage.Change
	meters   []timeline.Meter
	coverage []usage.Stretch
	sealed   int64
	hot      timeline.Hot
}

const (
	second0 = int64(1_800_000_000) // in 2027
	length  = int64(40 * 86400)
)

var dimensions = []usage.Dimension{{Name: "vcpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}, {Name: "memory", Unit: usage.Count}}

// allHot has everything stay as it is, as timeline.New does.
var allHot = timeline.Hot{Days: 1 << 20}

// drawHot is how much of it is in memory.
func drawHot(t *rapid.T) timeline.Hot {
	return timeline.Hot{
		Days:  rapid.SampledFrom([]int64{0, 1, 40, allHot.Days}).Draw(t, "hot days"),
		Bytes: rapid.SampledFrom([]int{0, 4 << 10, timeline.DefaultColdBytes}).Draw(t, "unpacked"),
	}
}

// drawWorld makes up what some holders held, tiled by each of them; levels may be
// as large as they can be.
func drawWorld(t *rapid.T) *world {
	w := &world{sealed: second0 + length, hot: drawHot(t)}
	for i := range rapid.IntRange(1, 3).Draw(t, "meters") {
		w.meters = append(w.meters, timeline.Meter{
			Name: fmt.Sprint("meter-", i), ResourceType: fmt.Sprint("type-", i), Dimensions: dimensions,
			Since: second0 + rapid.Int64Range(0, length/4).Draw(t, "since"),
		})
		m := &w.meters[i]
		m.Measured = usage.Redefined(nil, dimensions, m.Since)
		now := m.Since
		for range rapid.IntRange(-2, 3).Draw(t, "edits") {
			now += rapid.Int64Range(0, length/3).Draw(t, "edited")
			m.Dimensions = rapid.SliceOfNDistinct(rapid.SampledFrom(dimensions), 1, 3, rapid.ID).Draw(t, "dimensions")
			m.Measured = usage.Redefined(m.Measured, m.Dimensions, now)
		}
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "holders") {
		w.drawHolder(t, i)
	}
	for range rapid.IntRange(0, 3).Draw(t, "stretches") {
		start := rapid.Int64Range(second0, second0+length).Draw(t, "start")
		w.coverage = append(w.coverage, usage.Stretch{
			Meter:    rapid.SampledFrom(w.meters).Draw(t, "meter").Name,
			Window:   usage.Window{Start: start, End: start + rapid.Int64Range(1, length/4).Draw(t, "length")},
			Coverage: rapid.SampledFrom([]usage.Coverage{usage.CoverageReplayed, usage.CoverageEstimated, usage.CoverageUnknown}).Draw(t, "coverage"),
		})
	}
	return w
}

func (w *world) drawHolder(t *rapid.T, i int) {
	meter := rapid.SampledFrom(w.meters).Draw(t, "meter")
	dimension := rapid.SampledFrom(dimensions).Draw(t, "dimension")
	at := second0
	for range rapid.IntRange(0, 6).Draw(t, "segments") {
		subject := &usage.Subject{
			ResourceType: meter.ResourceType,
			Resource:     usage.Object{Kind: "VM", Name: fmt.Sprint("vm-", i%3), UID: fmt.Sprint("uid-", i)},
			Instance:     usage.Object{Kind: "VMI", Name: fmt.Sprint("vm-", i%3), UID: fmt.Sprint("instance-", i)},
			Container:    rapid.SampledFrom([]string{"", "app"}).Draw(t, "container"),
			Account: usage.Account{
				Namespace: "shop", NamespaceUID: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "namespace"),
				Deployment: rapid.SampledFrom([]string{"", "web", "db"}).Draw(t, "deployment"),
			},
			Region:     rapid.SampledFrom([]string{"", "eu-1"}).Draw(t, "region"),
			Attributes: usage.NewAttributes(map[string]string{"class": rapid.SampledFrom([]string{"", "fast", "a\x00b"}).Draw(t, "class")}),
		}
		start := at + rapid.Int64Range(0, 3*86400).Draw(t, "pause")
		if rapid.Bool().Draw(t, "on the hour") {
			start += 3600 - start%3600
		}
		end := start + rapid.Int64Range(1, 12*86400).Draw(t, "held")
		c := usage.Change{Segment: usage.Segment{
			Meter: meter.Name, Subject: subject, Dimension: dimension,
			Level: rapid.OneOf(rapid.Int64Range(1, 1<<40), rapid.Just(int64(1<<63-1))).Draw(t, "level"),
			Start: usage.Boundary{
				At: start, Evidence: rapid.SampledFrom([]usage.Evidence{usage.Observed, usage.MeteringStarted, usage.LastKnown}).Draw(t, "evidence"),
				Slack: uint32(rapid.SampledFrom([]int64{0, 0, start - at}).Draw(t, "slack")),
			},
			End: usage.Boundary{
				At: end, Evidence: rapid.SampledFrom([]usage.Evidence{usage.Observed, usage.MeteringStopped}).Draw(t, "evidence"),
				Slack: uint32(rapid.SampledFrom([]int64{0, 0, 7200, 86400}).Draw(t, "slack")),
			},
		}}
		at = end + int64(c.End.Slack)
		if rapid.IntRange(0, 3).Draw(t, "brief") == 0 {
			brief := c
			brief.End = usage.Boundary{At: start, Evidence: usage.ReplayBound, Slack: uint32(end - start)}
			w.segments = append(w.segments, brief)
		}
		w.segments = append(w.segments, c)
		for range rapid.IntRange(-2, 3).Draw(t, "inside") { // what lasted no time that anybody can tell, while it lasted
			moment := rapid.Int64Range(start, end).Draw(t, "moment")
			inside := c
			inside.Start = usage.Boundary{At: moment, Evidence: usage.ReplayBound, Slack: uint32(rapid.Int64Range(0, moment-start).Draw(t, "before"))}
			inside.End = usage.Boundary{At: moment, Evidence: usage.ReplayBound, Slack: uint32(rapid.Int64Range(0, end-moment).Draw(t, "after"))}
			w.segments = append(w.segments, inside)
		}
		if rapid.IntRange(0, 3).Draw(t, "corrected") == 0 {
			w.correct(t, c)
		}
	}
	if n := len(w.segments); n > 0 && rapid.Bool().Draw(t, "open") && w.segments[n-1].Kind == usage.Put && w.segments[n-1].End.At > w.segments[n-1].Start.At {
		w.segments[n-1].End = usage.Boundary{}
	}
}

// correct takes a part off a segment, or adds to it.
func (w *world) correct(t *rapid.T, c usage.Change) {
	if c.End.At-c.Start.At < 10 {
		return
	}
	c.Kind = rapid.SampledFrom([]usage.ChangeKind{usage.Less, usage.More}).Draw(t, "kind")
	c.Start = usage.Boundary{At: c.Start.At + rapid.Int64Range(0, c.End.At-c.Start.At-1).Draw(t, "from"), Evidence: usage.IntervalCut}
	c.End = usage.Boundary{At: c.End.At, Evidence: usage.IntervalCut}
	w.segments = append(w.segments, c)
}

// load has the timeline begin anew.
func load(t *timeline.Timeline, all timeline.Commit) {
	t.Begin()
	apply(t, all)
}

func apply(t *timeline.Timeline, c timeline.Commit) {
	t.Take(c)
	t.Publish()
}

func (w *world) timeline() *timeline.Timeline {
	t := timeline.NewHot(w.hot)
	load(t, timeline.Commit{Changes: w.segments, Meters: w.meters, Coverage: w.coverage, Sealed: []usage.Window{{Start: second0, End: w.sealed}}})
	return t
}

func drawQuery(t *rapid.T) timeline.Query {
	zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"}).Draw(t, "zone")
	location, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	start := rapid.Int64Range(second0-10*86400, second0+length).Draw(t, "start")
	if rapid.Bool().Draw(t, "on the hour") {
		start -= start % 3600
	}
	q := timeline.Query{
		Window: usage.Window{Start: start, End: start + rapid.Int64Range(1, 30*86400).Draw(t, "seconds")},
		Size:   rapid.SampledFrom(timeline.Sizes).Draw(t, "size"), Zone: location,
		GroupBy: rapid.SliceOfDistinct(rapid.SampledFrom([]timeline.Key{
			timeline.Namespace, timeline.Deployment, timeline.ResourceType, timeline.Resource, timeline.Instance,
			timeline.Container, timeline.Region, timeline.Bundle, timeline.Dimension, timeline.Attribute("class"),
		}), func(k timeline.Key) timeline.Key { return k }).Draw(t, "keys"),
		Zeros: rapid.Bool().Draw(t, "zeros"),
	}
	if rapid.Bool().Draw(t, "filtered") {
		q.Filters = timeline.Filters{
			Namespaces:    rapid.SampledFrom([][]timeline.NamespaceRef{nil, {{Name: "shop", UID: "n2"}}, {{Name: "shop"}}, {{Name: "other"}}, {}}).Draw(t, "namespaces"),
			Deployments:   rapid.SampledFrom([][]string{nil, {""}, {"web", "db"}}).Draw(t, "deployments"),
			ResourceTypes: rapid.SampledFrom([][]string{nil, {"type-0"}}).Draw(t, "types"),
			Dimensions:    rapid.SampledFrom([][]string{nil, {"memory"}}).Draw(t, "dimensions"),
			Metrics:       rapid.SampledFrom([][]timeline.Metric{nil, nil, {{ResourceType: "type-0", Dimension: "vcpu"}, {ResourceType: "type-1", Dimension: "memory"}}}).Draw(t, "metrics"),
			Regions:       rapid.SampledFrom([][]string{nil, nil, {"eu-1"}}).Draw(t, "regions"),
			Resources:     rapid.SampledFrom([][]string{nil, nil, {"vm-0", "vm-2"}}).Draw(t, "resources"),
			Containers:    rapid.SampledFrom([][]string{nil, {""}, {"app"}}).Draw(t, "containers"),
			Attributes:    rapid.SampledFrom([]map[string][]string{nil, {"class": {"fast", ""}}}).Draw(t, "attributes"),
		}
	}
	return q
}

func tallied(t *rapid.T, s *timeline.Snapshot, q timeline.Query) *timeline.Tally {
	return talliedUntil(t, s, q, s.Sealed())
}

func talliedUntil(t *rapid.T, s *timeline.Snapshot, q timeline.Query, until int64) *timeline.Tally {
	tally, err := timeline.NewTally(q)
	if err != nil {
		t.Fatal(err)
	}
	if err := tally.Advance(s, until); err != nil {
		t.Fatal(err)
	}
	return tally
}

func page(t *rapid.T, tally *timeline.Tally, after string, limit int) *timeline.Page {
	p, err := tally.Page(after, limit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The oracle asks of every window and every segment what one amounts to in the other.

type oracleRow struct {
	window   usage.Window
	group    string
	amount   *big.Int
	known    bool
	accuracy usage.Accuracy
}

func (w *world) oracle(q timeline.Query) []oracleRow {
	seen := q.Window.Intersect(usage.Window{Start: q.Window.Start, End: w.sealed})
	groups := map[string][]*usage.Change{}
	for i := range w.segments {
		if c := &w.segments[i]; w.counts(c, q) {
			key := groupOf(c, q)
			groups[key] = append(groups[key], c)
		}
	}
	var rows []oracleRow
	for _, window := range slowWindows(q) {
		passed := window.Intersect(seen)
		if passed.Seconds() == 0 {
			continue
		}
		before := len(rows)
		for _, key := range slices.Sorted(maps.Keys(groups)) {
			if row, there := w.rowOf(q, groups[key], oracleRow{window: window, group: key, amount: new(big.Int)}, passed, seen); there {
				rows = append(rows, row)
			}
		}
		if len(rows) == before && w.isUnknown(q, passed) {
			rows = append(rows, oracleRow{window: window, group: askedGroup(q), amount: new(big.Int), accuracy: usage.Partial})
		}
	}
	return rows
}

// rowOf is the row of a group in a window, of which some has passed, if it has one.
func (w *world) rowOf(q timeline.Query, group []*usage.Change, row oracleRow, passed, seen usage.Window) (oracleRow, bool) {
	own, some := usage.Exact, false
	for _, c := range group {
		if touches(c, seen) {
			some = true
			w.add(&row, &own, c, passed, row.window)
		}
	}
	row.known = row.known || row.amount.Sign() != 0
	row.accuracy = max(row.accuracy, own)
	return row, some && (q.Zeros || !row.known || row.amount.Sign() != 0 || own != usage.Exact)
}

// isUnknown tells whether no second of a window was seen.
func (w *world) isUnknown(q timeline.Query, passed usage.Window) bool {
	moments := []int64{passed.Start}
	for _, s := range w.coverage {
		moments = append(moments, s.Start, s.End)
	}
	for _, m := range w.meters {
		for _, times := range m.Measured {
			moments = append(moments, times.Since, times.Until)
		}
	}
	return !slices.ContainsFunc(moments, func(t int64) bool { return passed.Contains(t) && w.known(q, t) != usage.CoverageUnknown })
}

// askedGroup is what a query says itself of the groups that it may have.
func askedGroup(q timeline.Query) string {
	one := func(list []string) string {
		if len(list) != 1 {
			return ""
		}
		return list[0]
	}
	var namespace timeline.NamespaceRef
	if len(q.Namespaces) == 1 {
		namespace = q.Namespaces[0]
	}
	values := map[timeline.Key]string{
		timeline.Namespace: namespace.Name + " " + namespace.UID, timeline.Deployment: one(q.Deployments) + " ", timeline.ResourceType: one(q.ResourceTypes) + " ",
		timeline.Resource: " ", timeline.Instance: " ", timeline.Container: one(q.Containers) + " ",
		timeline.Region: one(q.Regions) + " ", timeline.Bundle: " ", timeline.Attribute("class"): " ",
	}
	text := ""
	for _, key := range q.GroupBy {
		if key != timeline.Dimension {
			text += values[key] + "|"
		}
	}
	return text + one(q.Dimensions) + " "
}

func (w *world) add(row *oracleRow, own *usage.Accuracy, c *usage.Change, passed, window usage.Window) {
	held := new(big.Int).Mul(big.NewInt(c.Level), big.NewInt(spanOf(c).Intersect(passed).Seconds()))
	if c.Kind == usage.Less {
		held.Neg(held)
	}
	row.amount.Add(row.amount, held)
	*own = max(*own, doubtOf(c, passed, window))
	var unknown []usage.Stretch
	for _, m := range w.meters {
		moments := []int64{passed.Start, passed.End}
		for _, times := range m.Measured {
			moments = append(moments, times.Since, times.Until)
		}
		slices.Sort(moments)
		for i := 1; i < len(moments) && m.Name == c.Meter; i++ {
			if !measuredThen(&m, moments[i-1], func(d usage.Dimension) bool { return d == c.Dimension }) {
				unknown = append(unknown, usage.Stretch{Window: usage.Window{Start: moments[i-1], End: moments[i]}, Coverage: usage.CoverageUnknown})
			}
		}
	}
	for _, s := range w.coverage {
		if s.Meter == c.Meter {
			s.Meter = ""
			unknown = append(unknown, s)
		}
	}
	var seconds int64
	for _, s := range usage.CutCoverage(unknown, passed) {
		switch s.Coverage {
		case usage.CoverageUnknown:
			seconds += s.Seconds()
			row.accuracy = usage.Partial
		case usage.CoverageEstimated:
			row.accuracy = max(row.accuracy, usage.Estimated)
		}
	}
	row.known = row.known || seconds < passed.Seconds()
}

// measuredThen tells whether the meter measured some of its dimensions in a second.
func measuredThen(m *timeline.Meter, second int64, some func(usage.Dimension) bool) bool {
	return slices.ContainsFunc(m.Measured, func(times usage.Metered) bool {
		return times.Since <= second && (times.Until == 0 || second < times.Until) && some(times.Dimension)
	})
}

// touches tells whether a segment says anything of a window.
func touches(c *usage.Change, w usage.Window) bool {
	return spanOf(c).Intersect(w).Seconds() > 0 || doubtOf(c, w, w) != usage.Exact
}

func spanOf(c *usage.Change) usage.Window {
	if c.End.IsZero() {
		return usage.Window{Start: c.Start.At, End: 1 << 62}
	}
	return usage.Window{Start: c.Start.At, End: c.End.At}
}

func doubtOf(c *usage.Change, passed, window usage.Window) usage.Accuracy {
	doubt := usage.Exact
	overlaps := func(from, to int64) bool { return (usage.Window{Start: from, End: to}).Intersect(passed).Seconds() > 0 }
	earliest, _ := c.Start.StartBounds()
	_, latest := c.End.EndBounds()
	if overlaps(earliest, c.Start.At) || !c.End.IsZero() && overlaps(c.End.At, latest) ||
		c.Start.Evidence == usage.LastKnown && overlaps(c.Start.At, spanOf(c).End) {
		doubt = usage.Estimated
	}
	if spanOf(c).Seconds() == 0 {
		return doubt // what lasted no time says nothing of when metering started
	}
	if c.Start.Evidence == usage.MeteringStarted && passed.Contains(c.Start.At) && c.Start.At > window.Start ||
		c.End.Evidence == usage.MeteringStopped && passed.Contains(c.End.At-1) && c.End.At < window.End {
		doubt = usage.Partial
	}
	return doubt
}

func (w *world) counts(c *usage.Change, q timeline.Query) bool {
	s := c.Subject
	in := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	there := q.Namespaces == nil
	for _, n := range q.Namespaces {
		there = there || n.Name == s.Namespace && (n.UID == "" || n.UID == s.NamespaceUID)
	}
	metric := timeline.Metric{ResourceType: s.ResourceType, Dimension: c.Dimension.Name}
	return there && (len(q.Metrics) == 0 || slices.Contains(q.Metrics, metric)) &&
		in(q.Regions, s.Region) && in(q.Deployments, s.Deployment) && in(q.ResourceTypes, s.ResourceType) &&
		in(q.Dimensions, c.Dimension.Name) && in(q.Resources, s.Resource.Name) && in(q.Containers, s.Container) && in(q.Attributes["class"], s.Attributes.Map()["class"])
}

func groupOf(c *usage.Change, q timeline.Query) string {
	s := c.Subject
	values := map[timeline.Key]string{
		timeline.Namespace: s.Namespace + " " + s.NamespaceUID, timeline.Deployment: s.Deployment + " ", timeline.ResourceType: s.ResourceType + " ",
		timeline.Resource: s.Resource.Name + " " + s.Resource.UID, timeline.Instance: s.Instance.Name + " " + s.Instance.UID,
		timeline.Container: s.Container + " ", timeline.Region: s.Region + " ", timeline.Bundle: s.Bundle + " ",
		timeline.Attribute("class"): s.Attributes.Map()["class"] + " ",
	}
	text := ""
	for _, key := range q.GroupBy {
		if key != timeline.Dimension {
			text += values[key] + "|"
		}
	}
	return text + c.Dimension.Name + " " + string(c.Dimension.Unit)
}

// slowWindows looks at every quarter of an hour, which is where windows can begin.
func slowWindows(q timeline.Query) []usage.Window {
	begins := func(t int64) bool {
		before, now := time.Unix(t-1, 0).In(q.Zone), time.Unix(t, 0).In(q.Zone)
		newDay := before.Day() != now.Day()
		switch q.Size {
		case timeline.Hour:
			return t%3600 == 0
		case timeline.Day:
			return newDay
		case timeline.Week:
			return newDay && now.Weekday() == time.Monday
		case timeline.Month:
			return before.Month() != now.Month()
		}
		return false
	}
	var windows []usage.Window
	start := q.Window.Start
	for t := start - start%900 + 900; t < q.Window.End; t += 900 {
		if begins(t) {
			windows = append(windows, usage.Window{Start: start, End: t})
			start = t
		}
	}
	return append(windows, usage.Window{Start: start, End: q.Window.End})
}

func shownRow(r timeline.Row) string {
	text := ""
	for _, v := range r.Group {
		switch v.Key {
		case "namespaceUID", "resourceUID", "instanceUID":
			text = text[:len(text)-1] + v.Value + "|"
		case "dimension":
			text += v.Value + " " + string(r.Unit)
		default:
			text += v.Value + " |"
		}
	}
	return fmt.Sprint(r.Window, text, " ", r.Amount, r.Known, r.Accuracy)
}

func (r oracleRow) String() string {
	amount := r.amount
	if amount.Sign() < 0 { // more was taken off than there was: no ledger says so
		amount = new(big.Int).Add(amount, new(big.Int).Lsh(big.NewInt(1), 128))
	}
	return fmt.Sprint(r.window, r.group, " ", amount, r.known, r.accuracy)
}

func TestAPageIsWhatTheOracleSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		w.compare(t, w.timeline().Snapshot(), q)
	})
}

// compare compares a tally with the oracle.
func (w *world) compare(t *rapid.T, s *timeline.Snapshot, q timeline.Query) {
	want := map[string]bool{}
	for _, row := range w.oracle(q) {
		want[row.String()] = true
	}
	p := page(t, tallied(t, s, q), "", 1<<30)
	if len(p.Rows) != p.Count || p.Next != "" {
		t.Errorf("%d rows of %d, and then %q", len(p.Rows), p.Count, p.Next)
	}
	for _, row := range p.Rows {
		if !want[shownRow(row)] {
			t.Errorf("too much: %s", shownRow(row))
		}
		delete(want, shownRow(row))
	}
	for row := range want {
		t.Errorf("missing: %s", row)
	}
	if !slices.IsSortedFunc(p.Rows, func(a, b timeline.Row) int { return cmp.Compare(a.Window.Start, b.Window.Start) }) {
		t.Error("the windows are not in order")
	}
}

func TestConservation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		q.Filters, q.Zeros = timeline.Filters{}, false
		snapshot := w.timeline().Snapshot()
		whole := amounts(tallied(t, snapshot, q).Totals())
		cuts := rapid.SliceOfDistinct(rapid.Int64Range(q.Window.Start+1, q.Window.End), func(t int64) int64 { return t }).Draw(t, "cuts")
		slices.Sort(cuts)
		sum := map[string]*big.Int{}
		start := q.Window.Start
		for _, end := range append(cuts, q.Window.End) {
			if end == start {
				continue
			}
			part := q
			part.Window = usage.Window{Start: start, End: end}
			start = end
			tally := tallied(t, snapshot, part)
			for _, row := range page(t, tally, "", 1<<30).Rows {
				add(sum, row.Dimension, row.Amount)
			}
		}
		for measure, amount := range whole {
			if sum[measure] == nil || sum[measure].Cmp(amount) != 0 {
				t.Fatalf("%s is %s, and its parts add up to %s", measure, amount, sum[measure])
			}
		}
	})
}

func amounts(totals []timeline.Total) map[string]*big.Int {
	sums := map[string]*big.Int{}
	for _, total := range totals {
		add(sums, total.Dimension, total.Amount)
	}
	return sums
}

func add(sums map[string]*big.Int, d usage.Dimension, amount usage.Amount) {
	key := d.Name + " " + string(d.Unit)
	if sums[key] == nil {
		sums[key] = new(big.Int)
	}
	n, _ := new(big.Int).SetString(amount.String(), 10)
	sums[key].Add(sums[key], n)
}

func TestPagesAreOnePage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		tally := tallied(t, w.timeline().Snapshot(), q)
		want := page(t, tally, "", 1<<30).Rows
		limit := rapid.IntRange(1, 7).Draw(t, "limit")
		var got []timeline.Row
		for after := ""; ; {
			p := page(t, tally, after, limit)
			if got = append(got, p.Rows...); p.Next == "" {
				break
			}
			after = p.Next
		}
		if difference := differ(got, want); difference != "" {
			t.Fatal(difference)
		}
	})
}

func TestAPagerSaysWhatATallySays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		s := w.timeline().Snapshot()
		until := min(s.Sealed(), q.Window.End) - rapid.SampledFrom([]int64{0, 0, 1, 90_000}).Draw(t, "until")
		want := page(t, talliedUntil(t, s, q, until), "", 1<<30).Rows
		limit := rapid.IntRange(1, 50).Draw(t, "limit")
		pager := timeline.NewPager(rapid.SampledFrom([]int{8, 100, 10_000}).Draw(t, "cells"))
		var got []timeline.Row
		for after := ""; ; {
			rows, next, err := pager.Page(context.Background(), s, q, until, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, rows...); next == "" {
				break
			}
			if len(rows) != limit {
				t.Fatalf("a page has %d rows, and there is another: want %d", len(rows), limit)
			}
			after = next
		}
		if difference := differ(got, want); difference != "" {
			t.Fatal(difference)
		}
	})
}

// Corrections count whatever was added up: also of what lies after it.
func TestAPagerHasTheGroupsOfCorrections(t *testing.T) {
	object := usage.Object{Kind: "VM", Name: "vm-0", UID: "uid-0"}
	less := usage.Change{Kind: usage.Less, Segment: usage.Segment{
		Meter: "vm", Subject: &usage.Subject{ResourceType: "vm", Resource: object, Instance: object}, Dimension: dimensions[0], Level: 1,
		Start: usage.Boundary{At: second0 + 7200, Evidence: usage.IntervalCut}, End: usage.Boundary{At: second0 + 7210, Evidence: usage.IntervalCut},
	}}
	line := timeline.New()
	line.Take(timeline.Commit{
		Meters:  []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: second0 + 3600, Dimensions: dimensions}},
		Sealed:  []usage.Window{{Start: second0, End: second0 + 10800}},
		Changes: []usage.Change{less},
	})
	line.Publish()
	q := timeline.Query{Window: usage.Window{Start: second0, End: second0 + 10800}, Size: timeline.Hour}
	tally, err := timeline.NewTally(q)
	if err == nil {
		err = tally.Advance(line.Snapshot(), second0+7200)
	}
	if err != nil {
		t.Fatal(err)
	}
	want, err := tally.Page("", 100)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := timeline.NewPager(8).Page(t.Context(), line.Snapshot(), q, second0+7200, "", 100)
	if err != nil || len(want.Rows) == 0 || !reflect.DeepEqual(got, want.Rows) {
		t.Errorf("got %v, %v: want %v, and at least one", got, err, want.Rows)
	}
}

func TestCoverageIsTheWorstThatAnyMeterSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		seen := q.Window.Intersect(usage.Window{Start: q.Window.Start, End: w.sealed})
		moments := []int64{seen.Start, seen.End}
		for _, s := range w.coverage {
			moments = append(moments, s.Start, s.End)
		}
		for _, m := range w.meters {
			for _, times := range m.Measured {
				moments = append(moments, times.Since, times.Until)
			}
		}
		slices.Sort(moments)
		want := map[usage.Coverage]int64{}
		for i := 1; i < len(moments); i++ {
			if piece := (usage.Window{Start: moments[i-1], End: moments[i]}).Intersect(seen); piece.Seconds() > 0 {
				want[w.known(q, piece.Start)] += piece.Seconds()
			}
		}
		got := tallied(t, w.timeline().Snapshot(), q).Coverage()
		all := map[usage.Coverage]int64{
			usage.CoverageObserved: got.Observed, usage.CoverageReplayed: got.Replayed,
			usage.CoverageEstimated: got.Estimated, usage.CoverageUnknown: got.Unknown,
		}
		for coverage, seconds := range all {
			if want[coverage] != seconds {
				t.Fatalf("%s: got %d s, want %d", coverage, seconds, want[coverage])
			}
		}
		for _, gap := range got.Gaps {
			if known := w.known(q, gap.Start); known < gap.Coverage {
				t.Fatalf("gap %v, and it is %s", gap, known)
			}
		}
	})
}

// known is how a second is known to those who meter what is asked for.
func (w *world) known(q timeline.Query, second int64) usage.Coverage {
	worst, began := usage.CoverageObserved, false
	for _, m := range w.meters {
		measures := func(d usage.Dimension) bool {
			return (len(q.ResourceTypes) == 0 || slices.Contains(q.ResourceTypes, m.ResourceType)) &&
				(len(q.Dimensions) == 0 || slices.Contains(q.Dimensions, d.Name)) &&
				(len(q.Metrics) == 0 || slices.Contains(q.Metrics, timeline.Metric{ResourceType: m.ResourceType, Dimension: d.Name}))
		}
		if !measuredThen(&m, second, measures) {
			continue
		}
		began = true
		for _, s := range w.coverage {
			if s.Meter == m.Name && s.Contains(second) {
				worst = max(worst, s.Coverage)
			}
		}
	}
	if !began {
		return usage.CoverageUnknown
	}
	return worst
}

// bitByBit is the world as a journal commits it: what goes on is open first, and
// put again when it has ended; and nothing comes late that a sealed interval has.
func (w *world) bitByBit(t *rapid.T, each func(*timeline.Timeline)) *timeline.Timeline {
	line := timeline.NewHot(w.hot)
	apply(line, timeline.Commit{Meters: w.meters, Coverage: w.coverage})
	interval := rapid.SampledFrom([]int64{86400, 10 * 86400, 7*86400 + 600}).Draw(t, "interval")
	for start := second0; start < w.sealed; start += interval {
		now := usage.Window{Start: start, End: min(start+interval, w.sealed)}
		commit := timeline.Commit{Sealed: []usage.Window{now}}
		for _, c := range w.segments {
			earliest, _ := c.Start.StartBounds()
			begins, ends := now.Contains(earliest), now.Contains(c.End.At)
			if c.Kind == usage.Put && c.HasKey() && begins {
				open := c
				open.End = usage.Boundary{}
				elsewhere := open
				elsewhere.Subject = new(*c.Subject)
				elsewhere.Subject.Deployment = "elsewhere"
				commit.Changes = append(commit.Changes, elsewhere, open)
				if rapid.Bool().Draw(t, "void") {
					void := open
					void.Kind = usage.Void
					commit.Changes = append(commit.Changes, void, open)
				}
			}
			if c.Kind == usage.Put && c.HasKey() && ends || !c.HasKey() && begins {
				commit.Changes = append(commit.Changes, c)
			}
		}
		apply(line, commit)
		each(line)
	}
	return line
}

// settled leaves out what ends after everything is sealed.
func (w *world) settled() {
	w.segments = slices.DeleteFunc(w.segments, func(c usage.Change) bool { return c.End.At >= w.sealed })
}

// differ is the first difference between two lists.
func differ[T any](got, want []T) string {
	for i := range max(len(got), len(want)) {
		switch {
		case i == len(got):
			return fmt.Sprintf("missing: %v", want[i])
		case i == len(want):
			return fmt.Sprintf("too much: %v", got[i])
		case !reflect.DeepEqual(got[i], want[i]):
			return fmt.Sprintf("got %v, want %v", got[i], want[i])
		}
	}
	return ""
}

func TestWhatComesBitByBitIsWhatIsLoaded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		w.settled()
		want := page(t, tallied(t, w.timeline().Snapshot(), q), "", 1<<30).Rows
		line := w.bitByBit(t, func(*timeline.Timeline) {})
		if difference := differ(page(t, tallied(t, line.Snapshot(), q), "", 1<<30).Rows, want); difference != "" {
			t.Fatal(difference)
		}
	})
}

func TestATallyThatGoesOnIsOneThatIsMadeAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		w.settled()
		goesOn, err := timeline.NewTally(q)
		if err != nil {
			t.Fatal(err)
		}
		w.bitByBit(t, func(line *timeline.Timeline) {
			s := line.Snapshot()
			if err := goesOn.Advance(s, s.Sealed()); err != nil {
				t.Fatal(err)
			}
			atOnce := tallied(t, s, q)
			if difference := differ(page(t, goesOn, "", 1<<30).Rows, page(t, atOnce, "", 1<<30).Rows); difference != "" {
				t.Fatalf("at %d: %s", s.Sealed(), difference)
			}
			if difference := differ(goesOn.Totals(), atOnce.Totals()); difference != "" {
				t.Fatalf("at %d: %s", s.Sealed(), difference)
			}
			if got, want := fmt.Sprint(goesOn.Coverage()), fmt.Sprint(atOnce.Coverage()); got != want {
				t.Fatalf("at %d got %s, want %s", s.Sealed(), got, want)
			}
		})
	})
}

func TestASnapshotNeverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		type seen struct {
			snapshot *timeline.Snapshot
			rows     []timeline.Row
		}
		var all []seen
		w.bitByBit(t, func(line *timeline.Timeline) {
			s := line.Snapshot()
			all = append(all, seen{s, page(t, talliedUntil(t, s, q, w.sealed), "", 1<<30).Rows})
		})
		for _, was := range all {
			if difference := differ(page(t, talliedUntil(t, was.snapshot, q, w.sealed), "", 1<<30).Rows, was.rows); difference != "" {
				t.Fatal(difference)
			}
		}
	})
}

func TestAHistoryAddsUpToWhatReportsSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		s := w.timeline().Snapshot()
		q.Size, q.GroupBy, q.Zeros = timeline.None, []timeline.Key{timeline.ResourceType, timeline.Resource}, false
		want := map[string]string{}
		for _, row := range page(t, tallied(t, s, q), "", 1<<30).Rows {
			if !row.Amount.IsZero() {
				want[fmt.Sprint(row.Group[0].Value, row.Group[2].Value, row.Dimension)] = row.Amount.String()
			}
		}
		got := map[string]string{}
		known := q.Window.Intersect(usage.Window{Start: 0, End: s.Sealed()})
		for _, h := range resources(t, s, &q.Filters, q.Window) {
			for _, total := range h.Totals(known) {
				got[fmt.Sprint(h.Type, h.UID, total.Dimension)] = total.Amount.String()
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("histories say %v: reports %v", got, want)
		}
	})
}

func TestHoldingsAreTheSegmentsCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		var sealed []usage.Window
		next, seconds := second0+rapid.Int64Range(0, length).Draw(t, "moment"), rapid.SampledFrom([]int64{60, 3600, 86400}).Draw(t, "interval")
		for range rapid.IntRange(1, 5).Draw(t, "intervals") {
			interval := usage.Interval(next, seconds)
			sealed, next = append(sealed, interval), interval.End
		}
		line := timeline.New()
		load(line, timeline.Commit{Changes: w.segments, Meters: w.meters, Sealed: sealed})
		s := line.Snapshot()
		asked := usage.Window{Start: sealed[0].Start + rapid.Int64Range(0, 7200).Draw(t, "from"), End: next}
		want := w.cut(q, s.Intervals(asked))
		got := map[timeline.HoldingKey]string{}
		var after *timeline.HoldingKey
		for more := true; more; { // some at a time
			more = false
			for held := range s.Holdings(&q.Filters, asked, after) {
				if after != nil && cmp.Or(cmp.Compare(held.Interval.Start, after.Interval.Start), usage.CompareAccounts(held.Account, after.Account)) <= 0 {
					t.Fatalf("%v comes after %v", held.HoldingKey, *after)
				}
				after, more = &held.HoldingKey, true
				for _, x := range held.Segments {
					got[*after] += fmt.Sprintln(x, x.End, *x.Subject)
				}
				if rapid.Bool().Draw(t, "page ends") {
					break
				}
			}
		}
		for key := range want {
			if sortedLines(got[key]) != sortedLines(want[key]) {
				t.Fatalf("%v: got\n%swant\n%s", key, got[key], want[key])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("%d holdings: want %d", len(got), len(want))
		}
	})
}

// However few are asked for at a time: together they are what was held, in the same order.
func TestHoldingsInPiecesAreTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, q := drawWorld(t), drawQuery(t)
		interval := usage.Interval(second0+rapid.Int64Range(0, length).Draw(t, "moment"), rapid.SampledFrom([]int64{3600, 86400}).Draw(t, "interval"))
		line := timeline.New()
		load(line, timeline.Commit{Changes: w.segments, Meters: w.meters, Sealed: []usage.Window{interval}})
		s := line.Snapshot()
		most := rapid.IntRange(1, 6).Draw(t, "most")
		var keys, wantKeys []timeline.HoldingKey
		whole := map[timeline.HoldingKey][]usage.Segment{}
		for held := range s.Holdings(&q.Filters, interval, nil) {
			wantKeys, whole[held.HoldingKey] = append(wantKeys, held.HoldingKey), held.Segments
		}
		for held := range s.HoldingsUpTo(t.Context(), &q.Filters, interval, nil, most) {
			keys = append(keys, held.HoldingKey)
			want := whole[held.HoldingKey]
			n := len(held.Segments)
			if got := shownHeld(held.Segments); got != shownHeld(want[:n]) || held.More != (n < len(want)) || n < min(most, len(want)) {
				t.Fatalf("%v: more %v, got\n%swant\n%s", held.HoldingKey, held.More, got, shownHeld(want))
			}
			from := rapid.IntRange(-1, len(want)-1).Draw(t, "from")
			var after *usage.Segment
			if from >= 0 {
				after = &want[from]
				for from+1 < len(want) && want[from+1].Compare(*after) == 0 {
					from++
				}
			}
			if got := heldAfter(t, s, &q.Filters, held.HoldingKey, after, most); got != shownHeld(want[from+1:]) {
				t.Fatalf("%v after %v: got\n%swant\n%s", held.HoldingKey, after, got, shownHeld(want[from+1:]))
			}
		}
		if !slices.Equal(keys, wantKeys) {
			t.Fatalf("holdings %v: want %v", keys, wantKeys)
		}
	})
}

func shownHeld(list []usage.Segment) (text string) {
	for _, x := range list {
		text += fmt.Sprintln(x, x.End, *x.Subject)
	}
	return text
}

// heldAfter is what a holding has after a segment, some at a time.
func heldAfter(t *rapid.T, s *timeline.Snapshot, f *timeline.Filters, key timeline.HoldingKey, after *usage.Segment, most int) (text string) {
	for some, err := range s.HoldingFrom(t.Context(), f, key, after, most) {
		if err != nil || len(some) == 0 {
			t.Fatal(len(some), err)
		}
		text += shownHeld(some)
	}
	return text
}

// cut are the segments, but for corrections, cut to intervals.
func (w *world) cut(q timeline.Query, intervals []usage.Window) map[timeline.HoldingKey]string {
	cut := map[timeline.HoldingKey]string{}
	for _, c := range slices.SortedFunc(slices.Values(w.segments), func(a, b usage.Change) int { return a.Compare(b.Segment) }) {
		for _, interval := range intervals {
			if part, inside := c.Cut(interval, interval.End); c.Kind == usage.Put && w.counts(&c, q) && inside {
				cut[timeline.HoldingKey{Interval: interval, Account: c.Subject.Account}] += fmt.Sprintln(part, part.End, *part.Subject)
			}
		}
	}
	return cut
}

func TestIntervalsAreThoseThatAWindowTouches(t *testing.T) {
	line := timeline.New()
	sealed := []usage.Window{{Start: 3600, End: 7200}, {Start: 7200, End: 10800}, {Start: 14400, End: 14460}}
	for _, interval := range sealed {
		apply(line, timeline.Commit{Sealed: []usage.Window{interval}})
	}
	for w, want := range map[usage.Window][]usage.Window{
		{Start: 0, End: 20000}:     sealed,
		{Start: 0, End: 3600}:      {},
		{Start: 7199, End: 7201}:   sealed[:2],
		{Start: 7200, End: 7201}:   sealed[1:2],
		{Start: 10800, End: 14400}: {},
		{Start: 14459, End: 14460}: sealed[2:],
		{Start: 14460, End: 20000}: {},
	} {
		if got := line.Snapshot().Intervals(w); !slices.Equal(got, want) {
			t.Errorf("%v touches %v: want %v", w, got, want)
		}
	}
}

func sortedLines(text string) string {
	lines := strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
