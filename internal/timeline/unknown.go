package timeline

import (
	"slices"

	"github.com/usage-operator/usage-operator/internal/usage"
)

// unknownWindows tells for each window that has begun whether it has one row without a
// quantity: if the meters of what the query asks for saw no second of it, and no group
// has a row. Without this row it would look like a window in which nothing was used.
func (r *rows) unknownWindows() []bool {
	unknown := make([]bool, r.windows)
	seconds := make([]int64, r.windows)
	c, seen := r.calendar, r.Window()
	_, all := r.query.stretches(seen, r.known, r.coverage)
	for _, s := range usage.CutCoverage(all, seen) {
		if s.Coverage != usage.CoverageUnknown {
			continue
		}
		for i := c.at(s.Start); i < r.windows && c[i] < s.End; i++ {
			seconds[i] += s.Intersect(c.window(i)).Seconds()
		}
	}
	for i := range unknown {
		unknown[i] = seconds[i] == c.window(i).Intersect(seen).Seconds() && !slices.ContainsFunc(r.groups, func(g *group) bool {
			_, _, _, there := r.says(i, g)
			return there
		})
	}
	return unknown
}

// unknownRow is the row of a window of which nothing is known. Its group has only what
// the query asks for, and its dimension has no unit.
func (r *rows) unknownRow(window int) Row {
	f := &r.query.Filters
	labels := make([]label, len(r.keys))
	for i, key := range r.keys {
		switch key {
		case Namespace:
			if len(f.Namespaces) == 1 {
				labels[i] = label{value: f.Namespaces[0].Name, uid: f.Namespaces[0].UID}
			}
		case Deployment:
			labels[i].value = only(f.Deployments)
		case ResourceType:
			labels[i].value = only(f.ResourceTypes)
			if len(f.Metrics) == 1 {
				labels[i].value = f.Metrics[0].ResourceType
			}
		case Resource:
			labels[i].value = only(f.Resources)
		case Container:
			labels[i].value = only(f.Containers)
		case Region:
			labels[i].value = only(f.Regions)
		case Dimension:
			labels[i].value = only(f.Dimensions)
			if len(f.Metrics) == 1 {
				labels[i].value = f.Metrics[0].Dimension
			}
		default:
			if name, is := key.Attribute(); is {
				labels[i].value = only(f.Attributes[name])
			}
		}
	}
	return Row{
		Window: r.calendar.window(window), Group: r.values(labels),
		Dimension: usage.Dimension{Name: labels[len(labels)-1].value}, Accuracy: usage.Partial, Since: usage.Exact,
	}
}

// only is the only value of a list; "" if there are none, or several.
func only(values []string) string {
	if len(values) == 1 {
		return values[0]
	}
	return ""
}
