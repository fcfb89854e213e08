package archive

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"strconv"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// exported are the columns of an export.
var exported = []string{
	"day", "kind", "corrects", "meter", "resource_type", "namespace", "namespace_uid", "deployment",
	"resource_kind", "resource_name", "resource_uid", "instance_kind", "instance_name", "instance_uid", "container",
	"region", "bundle", "attributes", "dimension", "unit", "level", "start", "end", "start_slack", "end_slack",
	"start_evidence", "end_evidence", "base_unit_seconds",
}

// Export writes the days from the first to the last as CSV: for each, what every segment
// held within it, then the corrections that its chapter has, less than zero for Less. The
// sum of base_unit_seconds is what was held in these days, as it was known by the end of
// the last. Days that the archive does not have are left out; each that it has is whole.
func (a *Archive) Export(ctx context.Context, w io.Writer, first, last Day) error {
	out := csv.NewWriter(w)
	if err := out.Write(exported); err != nil {
		return err
	}
	for day := max(first, a.first); day <= min(last, a.last); day = day.Next() {
		c, err := a.Read(ctx, day)
		if err != nil {
			return err
		}
		for i := range c.Segments {
			if err := out.Write(line(day, &c.Segments[i])); err != nil {
				return err
			}
		}
		for i := range c.Corrections {
			if err := out.Write(line(day, &c.Corrections[i])); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

// line is a row of the export.
func line(day Day, c *usage.Change) []string {
	held, corrects := c.Part(usage.Window{Start: c.Start.At, End: c.End.At}), ""
	switch c.Kind {
	case usage.Put:
		held = c.Part(day.Window())
	default:
		corrects = moment(c.Corrects)
	}
	amount := usage.Held(c.Level, held.Seconds()).String()
	if c.Kind == usage.Less {
		amount = "-" + amount
	}
	if held.Seconds() == 0 { // it lasted no time for sure, or may have
		held = usage.Window{Start: c.Start.At, End: c.End.At}
	}
	s := c.Subject
	return []string{
		day.String(), c.Kind.String(), corrects, c.Meter, s.ResourceType, s.Namespace, s.NamespaceUID, s.Deployment,
		s.Resource.Kind, s.Resource.Name, s.Resource.UID, s.Instance.Kind, s.Instance.Name, s.Instance.UID, s.Container,
		s.Region, s.Bundle, attributes(s.Attributes), c.Dimension.Name, string(c.Dimension.Unit), strconv.FormatInt(c.Level, 10),
		moment(held.Start), moment(held.End), strconv.FormatUint(uint64(c.Start.Slack), 10), strconv.FormatUint(uint64(c.End.Slack), 10),
		c.Start.Evidence.String(), c.End.Evidence.String(), amount,
	}
}

// attributes are the meter's facts as JSON.
func attributes(of usage.Attributes) string {
	facts := of.Map()
	if facts == nil {
		return "{}"
	}
	text, err := json.Marshal(facts)
	if err != nil { // strings by strings always are JSON
		return err.Error()
	}
	return string(text)
}
