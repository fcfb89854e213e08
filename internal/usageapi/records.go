package usageapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
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
	after, err := parseRecordCursor(query.Get("cursor"))
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
	page, next := c.recordPage(filters, window, after)
	if err := c.alive(); err != nil {
		return err
	}
	out := c.array("items")
	out.before = fmt.Sprintf(`"apiVersion":%q,"kind":"UsageRecordList","metadata":{"continue":%q},`, v1alpha1.GroupVersion.String(), next)
	for i := range page {
		in := &page[i]
		in.Namespace = c.OperatorNamespace // of those that are gone
		if slices.Contains(now, timeline.NamespaceRef{Name: in.Account.Namespace, UID: in.Account.NamespaceUID}) {
			in.Namespace = in.Account.Namespace
		}
		for _, r := range record.For(*in) {
			if err := c.alive(); err != nil {
				return err
			}
			if err := out.add(r); err != nil {
				return err
			}
		}
	}
	return out.end()
}

// recordSegments is how many segments the records of a page have at least, if
// there are so many: about a megabyte.
const recordSegments = 5000

// recordPage is what the records of a page are made from, and the cursor of the
// next page; "" after the last.
func (c *call) recordPage(f *timeline.Filters, w usage.Window, after *timeline.HoldingKey) (page []record.Input, next string) {
	segments := 0
	for held := range c.snapshot.HoldingsContext(c.ctx, f, w, after) {
		if segments >= recordSegments {
			return page, recordCursor(after)
		}
		page = append(page, record.Input{
			Key: record.Key{Account: held.Account, Interval: held.Interval}, Segments: held.Segments, Coverage: c.snapshot.Coverage(held.Interval), Final: true,
		})
		segments += len(held.Segments)
		after = &held.HoldingKey
	}
	return page, ""
}

// recordCursor is of the page after a holding.
func recordCursor(after *timeline.HoldingKey) string {
	text, err := json.Marshal(after)
	if err != nil {
		panic(fmt.Sprintf("usageapi: a cursor has no JSON: %v", err)) // strings and numbers have
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseRecordCursor(text string) (after *timeline.HoldingKey, err error) {
	if text == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &after) != nil {
		return nil, badRequest("cursor cannot be read: take metadata.continue of the page before, or none to begin with the first page")
	}
	return after, nil
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
		return usage.Window{}, badRequest("interval: no interval that is sealed has %s in it: the last one ends at %s; what comes after is asked for with from and to",
			stamp(moment), stamp(c.snapshot.Sealed()))
	}
	return found[0], nil
}
