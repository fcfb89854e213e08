package usageapi

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"slices"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/record"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// records answers with the UsageRecords of sealed intervals, byte by byte as they
// were published, also where the cluster has them no longer. Those that were published
// with less detail, or of several deployments together, are answered with all of it.
func (c *call) records() error {
	query := c.request.URL.Query()
	filters, window, err := c.ownFilters(query)
	if err != nil {
		return err
	}
	after, err := c.parseRecordCursor(query.Get("cursor"))
	if err != nil {
		return err
	}
	if err := c.check(filters, query.Get("cursor")); err != nil {
		return err
	}
	c.tell(filters, usage.Window{Start: window.Start, End: min(window.End, c.snapshot.Sealed())})
	now, err := c.Namespaces(c.ctx, labels.Everything())
	if err != nil {
		return err
	}
	page, next, err := c.recordPage(filters, window, after)
	if err == nil {
		err = c.alive()
	}
	if err != nil {
		return err
	}
	segments, most := 0, 0
	for i := range page {
		n := len(page[i].Segments)
		segments, most = segments+n, max(most, n)
	}
	c.takes(int64(segments*segmentWeight + most*shownWeight))
	out := c.array("items")
	out.before = fmt.Sprintf(`"apiVersion":%q,"kind":"UsageRecordList","metadata":{"continue":%q},`, v1alpha1.GroupVersion.String(), next)
	for i := range page {
		in := &page[i].Input
		in.Namespace = c.OperatorNamespace // of those that are gone
		if slices.Contains(now, timeline.NamespaceRef{Name: in.Account.Namespace, UID: in.Account.NamespaceUID}) {
			in.Namespace = in.Account.Namespace
		}
		if err := out.add(record.Part(*in, page[i].index, page[i].count)); err != nil {
			return err
		}
		in.Segments = nil // it is written: what it took is free
	}
	return out.end()
}

// recordSegments is how many segments the records of a page have at least, if
// there are so many: about a megabyte. A record has a fifth of that at most.
const recordSegments = 5000

// recordPart is one record of an account's.
type recordPart struct {
	record.Input
	index, count int
}

// recordPlace is where a page of records ends: after all of an account's of an interval or,
// with Parts, before one of them. What is sealed does not change: nor do its parts.
type recordPlace struct {
	timeline.HoldingKey
	Part  int            `json:",omitempty"` // the number of the next
	Parts int            `json:",omitempty"` // how many there are
	Last  *usage.Segment `json:",omitempty"` // of the part before; nil: there is none
}

// recordPage is what the records of a page are made from, and the cursor of the next page; ""
// after the last. It takes memory for some pages, whatever an account held.
func (c *call) recordPage(f *timeline.Filters, w usage.Window, at *recordPlace) (page []recordPart, next string, err error) {
	var after *timeline.HoldingKey
	if at != nil {
		after = &at.HoldingKey
	}
	segments := 0
	if at != nil && at.Parts > 0 {
		if page, at, err = c.someParts(f, at); at != nil || err != nil {
			return page, recordCursor(at), err
		}
		for i := range page {
			segments += len(page[i].Segments)
		}
	}
	for held := range c.snapshot.HoldingsUpTo(c.ctx, f, w, after, recordSegments) {
		if segments >= recordSegments || held.More && segments > 0 {
			return page, recordCursor(&recordPlace{HoldingKey: *after}), nil
		}
		after = &held.HoldingKey
		if !held.More {
			page = append(page, c.parts(&held)...)
			segments += len(held.Segments)
			continue
		}
		at := &recordPlace{HoldingKey: held.HoldingKey}
		if at.Parts, err = c.countParts(f, held.HoldingKey); err != nil {
			return nil, "", err
		}
		some, at, err := c.someParts(f, at)
		if page = append(page, some...); at != nil || err != nil {
			return page, recordCursor(at), err
		}
		segments = recordSegments
	}
	return page, "", nil
}

func (c *call) recordInput(key timeline.HoldingKey, segments []usage.Segment) record.Input {
	return record.Input{
		Key: record.Key{Account: key.Account, Interval: key.Interval}, Segments: segments, Coverage: c.snapshot.Coverage(key.Interval), Final: true,
	}
}

// parts are those of a holding whose segments are all there.
func (c *call) parts(held *timeline.Holding) (parts []recordPart) {
	var splitter record.Splitter
	begin := 0
	for i := range held.Segments {
		if splitter.Begins(&held.Segments[i]) {
			parts = append(parts, recordPart{Input: c.recordInput(held.HoldingKey, held.Segments[begin:i])})
			begin = i
		}
	}
	parts = append(parts, recordPart{Input: c.recordInput(held.HoldingKey, held.Segments[begin:])})
	for i := range parts {
		parts[i].index, parts[i].count = i, len(parts)
	}
	return parts
}

// countParts is how many parts the records of a holding have.
func (c *call) countParts(f *timeline.Filters, key timeline.HoldingKey) (int, error) {
	var splitter record.Splitter
	n := 1
	for some, err := range c.snapshot.HoldingFrom(c.ctx, f, key, nil, recordSegments) {
		if err != nil {
			return 0, cmp.Or(c.alive(), err)
		}
		for i := range some {
			if splitter.Begins(&some[i]) {
				n++
			}
		}
	}
	return n, nil
}

// someParts are a page of a holding's parts from a place on, and where the next page begins;
// nil: with what comes after the holding.
func (c *call) someParts(f *timeline.Filters, at *recordPlace) (parts []recordPart, more *recordPlace, err error) {
	var splitter record.Splitter
	var part []usage.Segment // that is not complete
	next, segments := *at, 0
	end := func() {
		parts = append(parts, recordPart{Input: c.recordInput(at.HoldingKey, part), index: next.Part, count: at.Parts})
		next.Part, next.Last = next.Part+1, &part[len(part)-1]
		segments += len(part)
		part = nil
	}
	for some, err := range c.snapshot.HoldingFrom(c.ctx, f, at.HoldingKey, at.Last, recordSegments) {
		if err != nil {
			return nil, nil, cmp.Or(c.alive(), err)
		}
		for i := range some {
			if splitter.Begins(&some[i]) {
				if end(); segments >= recordSegments {
					return parts, &next, nil
				}
			}
			part = append(part, some[i])
		}
	}
	if len(part) > 0 {
		end()
	}
	return parts, nil, nil
}

// recordCursor is of the page from a place on; nil: there is none.
func recordCursor(at *recordPlace) string {
	if at == nil {
		return ""
	}
	text, err := json.Marshal(at)
	if err != nil {
		panic(fmt.Sprintf("usageapi: a cursor has no JSON: %v", err)) // strings and numbers have
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// parseRecordCursor reads a cursor. Within a holding it is of an interval that is sealed.
func (c *call) parseRecordCursor(text string) (at *recordPlace, err error) {
	if text == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &at) != nil || at == nil || !at.within(c.snapshot) {
		return nil, badRequest("cursor cannot be read: take metadata.continue of the page before, or none to begin with the first page")
	}
	return at, nil
}

// within tells whether there can be such a place.
func (p *recordPlace) within(s *timeline.Snapshot) bool {
	if p.Parts == 0 {
		return p.Part == 0 && p.Last == nil
	}
	return p.Part > 0 && p.Part < p.Parts && p.Parts <= math.MaxInt32 && p.Last != nil && p.Last.Subject != nil &&
		slices.Contains(s.Intervals(p.Interval), p.Interval)
}

// ownFilters are those of the URL, where an interval may be asked for.
func (c *call) ownFilters(query url.Values) (*timeline.Filters, usage.Window, error) {
	filters, window, err := c.usageFilters(query)
	if err == nil && query.Has("interval") {
		window, err = c.interval(query)
	}
	return filters, window, err
}

// interval is the sealed one that a moment lies in.
func (c *call) interval(query url.Values) (usage.Window, error) {
	moment, err := parseTime("interval", query.Get("interval"))
	if err != nil {
		return usage.Window{}, err
	}
	if query.Has("from") || query.Has("to") {
		return usage.Window{}, badRequest("interval: want it, or from and to, not both")
	}
	found := c.snapshot.Intervals(usage.Window{Start: moment, End: moment + 1})
	if len(found) == 0 {
		why := "what comes after is asked for with from and to"
		if moment < c.snapshot.Sealed() {
			why = "there are none from before metering began"
		}
		return usage.Window{}, badRequest("interval: no interval that is sealed has %s in it: the last one ends at %s; %s",
			stamp(moment), stamp(c.snapshot.Sealed()), why)
	}
	return found[0], nil
}
