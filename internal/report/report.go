// Package report turns what a UsageReport asks for into a query, and what the
// timeline answers into the report's status.
//
// It is pure: the same spec, sealed intervals and time give the same bytes.
package report

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// Problem is why there can be no report until a person changes its spec.
type Problem struct {
	// Reason is the condition's.
	Reason string
	// Message names the field, and says what to do.
	Message string
}

func (p *Problem) Error() string { return p.Message }

func problem(reason, format string, args ...any) *Problem {
	return &Problem{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// Request is what a report asks for.
type Request struct {
	Window  *v1alpha1.ReportWindow
	Filters *v1alpha1.ReportFilters
	// Namespaces are those whose usage is counted; nil is all of them. None of
	// them is not nil.
	Namespaces []timeline.NamespaceRef
}

// Resolved is a request as it is at one moment.
type Resolved struct {
	timeline.Query
	// Limit is how many rows the status has at most.
	Limit int
	// From is the cursor of its first row.
	From string
	// Rolls is when a rolling period moves on, in seconds since the epoch; 0 where
	// the window is fixed.
	Rolls int64
}

// defaultLimit is how many rows a status has where the spec does not say.
const defaultLimit = 500

// Resolve is the query that a report asks at the moment now, in seconds since the
// epoch. The error is a *Problem.
func Resolve(r Request, now int64) (*Resolved, error) {
	w := r.Window
	zone, err := location(w.TimeZone)
	if err != nil {
		return nil, err
	}
	out := &Resolved{Limit: int(w.Limit), From: w.StartFrom}
	if out.Limit == 0 {
		out.Limit = defaultLimit
	}
	out.Query = timeline.Query{
		Size: timeline.Size(w.WindowSize), Zone: zone, Zeros: w.Zeros == v1alpha1.ZerosFill, Filters: filters(r.Filters),
	}
	out.Namespaces = r.Namespaces
	if out.Size == "" {
		out.Size = timeline.None
	}
	for _, key := range w.GroupBy {
		out.GroupBy = append(out.GroupBy, timeline.Key(key))
	}
	if p := w.Period; p != nil {
		unit := timeline.Size(p.Unit)
		out.Window = timeline.Period(now, unit, int(p.Offset), zone)
		out.Rolls = timeline.Period(now, unit, 0, zone).End
	} else {
		out.Window = usage.Window{Start: w.StartingOn.Unix(), End: w.EndingBefore.Unix()}
	}
	return out, nil
}

// As is the request as it was when a status was made of it: of the same period.
// What the status says is not trusted; one that no report can have had counts for
// nothing, and the report is as it is now. The error is a *Problem.
func As(r Request, status *v1alpha1.UsageReportStatus, now int64) (*Resolved, error) {
	p, was := r.Window.Period, status.Window
	if p == nil || was == nil {
		return Resolve(r, now)
	}
	zone, err := location(r.Window.TimeZone)
	if err != nil {
		return nil, err
	}
	// Then it was the period that the offset leads back from.
	then := timeline.Period(was.StartTime.Unix(), timeline.Size(p.Unit), -int(p.Offset), zone).Start
	resolved, err := Resolve(r, then)
	if err != nil {
		return nil, err
	}
	if then <= now && resolved.Window.Start == was.StartTime.Unix() && resolved.Window.End == was.EndTime.Unix() {
		return resolved, nil
	}
	return Resolve(r, now)
}

// location is a time zone by its name.
func location(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return nil, problem(v1alpha1.ReasonUnknownTimeZone,
			"spec.timeZone: there is no time zone %q: want a name of the IANA time zone database, such as Europe/Berlin", name)
	}
	return zone, nil
}

func filters(f *v1alpha1.ReportFilters) timeline.Filters {
	if f == nil {
		return timeline.Filters{}
	}
	out := timeline.Filters{
		Deployments: texts(f.Deployments), ResourceTypes: texts(f.ResourceTypes), Dimensions: texts(f.Dimensions),
	}
	for name, values := range f.Attributes {
		if out.Attributes == nil {
			out.Attributes = map[string][]string{}
		}
		out.Attributes[name] = texts(values)
	}
	return out
}

// texts are values in order: their order in the spec means nothing.
func texts(values []v1alpha1.FilterValue) []string {
	out := make([]string, len(values))
	for i, value := range values {
		out[i] = string(value)
	}
	slices.Sort(out)
	return out
}

// Named are those of the namespaces that have one of the names; all, where there are none.
func Named(namespaces []timeline.NamespaceRef, names []v1alpha1.FilterValue) []timeline.NamespaceRef {
	return slices.DeleteFunc(namespaces, func(ref timeline.NamespaceRef) bool {
		return len(names) > 0 && !slices.Contains(names, v1alpha1.FilterValue(ref.Name))
	})
}

// Ordered are namespaces in order: a report does not depend on how they were listed.
func Ordered(namespaces []timeline.NamespaceRef) []timeline.NamespaceRef {
	slices.SortFunc(namespaces, func(a, b timeline.NamespaceRef) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})
	return namespaces
}
