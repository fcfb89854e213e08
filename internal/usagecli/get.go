package usagecli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// get is kubectl usage get.
func (c *cli) get() *cobra.Command {
	return c.ofResource(&resourceCommand{
		name: "get", short: "Show what one resource held, segment by segment.",
		example: "  kubectl usage get vm/db-0\n  kubectl usage get 7c8c2ec2-1f3b-4c3b-9f0e-5d3d1f4f1a11 -o yaml",
		table:   segments,
		print: func(list *wire.ResourceList, wide bool) error {
			return c.printTable(shownSegments(list), wide)
		},
	})
}

// resourceCommand is a command about one resource.
type resourceCommand struct {
	name, short, example string
	// prepare is done before anything is printed; nil is nothing.
	prepare func(context.Context, *wire.ResourceList) error
	// table is for programs, and print shows people a list that has one resource.
	table func(*wire.ResourceList) *table
	print func(list *wire.ResourceList, wide bool) error
}

func (c *cli) ofResource(r *resourceCommand) *cobra.Command {
	var (
		everywhere bool
		at         when
		out        format
	)
	command := &cobra.Command{
		Use: r.name + " (TYPE/NAME | UID)", Short: r.short, Example: r.example,
		Args: exactly(1, "TYPE/NAME, such as vm/db-0, or a UID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			query, err := c.resourceQuery(args[0], everywhere, &at)
			if err != nil {
				return err
			}
			list, said, err := c.resourcesOf(cmd.Context(), query)
			err = c.lookedIn(query.Get("project_id"), err)
			if err == nil && len(list.Resources) == 0 {
				said.begun = !stated(query.Get("from")).After(c.now())
				fmt.Fprint(c.ErrOut, said.nothing(args[0]+" held nothing", shownTime(query)))
			}
			if err == nil && r.prepare != nil {
				err = r.prepare(cmd.Context(), list)
			}
			if err != nil {
				return err
			}
			switch {
			case out.name == "csv":
				return c.printCSV(r.table(list))
			case isObject(out.name):
				return c.printObject(out.name, list)
			case len(list.Resources) == 0:
				return nil
			}
			return c.printResources(list, &said, r.print, out.name == "wide")
		},
	}
	command.ValidArgsFunction = c.suggest(false, func(group map[string]string) string {
		return group["resourceType"] + "/" + group["resource"]
	}, "resourceType", "resource")
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Look in all namespaces that you may see.")
	at.addMomentFlags(command.Flags())
	at.addFlags(command.Flags())
	out.addFlag(command)
	return command
}

// resourceQuery is the request for what the argument names.
func (c *cli) resourceQuery(argument string, everywhere bool, at *when) (url.Values, error) {
	query, err := at.query(c.now(), true)
	if err != nil {
		return nil, err
	}
	kind, name, named := strings.Cut(argument, "/")
	switch {
	case named && kind != "" && name != "":
		query.Set("resource_type", kind)
		query.Set("name", name)
		if !everywhere {
			namespace, err := c.namespace()
			if err != nil {
				return nil, err
			}
			query.Set("project_id", namespace)
		}
	case !named && argument != "":
		query.Set("uid", argument)
	default:
		return nil, misused("%q: want TYPE/NAME, such as vm/db-0, or a UID", argument)
	}
	return query, nil
}

// shownTime is the time that a query asks for, in words.
func shownTime(query url.Values) string {
	switch {
	case query.Has("interval"):
		return "in the interval of " + query.Get("interval")
	case query.Has("from"):
		return "from " + query.Get("from") + " to " + query.Get("to")
	}
	return "so far"
}

// resourcesOf reads what is asked for by the first resource type that there is of those that the
// query's may mean.
func (c *cli) resourcesOf(ctx context.Context, query url.Values) (list *wire.ResourceList, said told, err error) {
	if !query.Has("resource_type") {
		return c.resources(ctx, query)
	}
	var first error
	for _, resourceType := range typesOf(query.Get("resource_type")) {
		query.Set("resource_type", resourceType)
		list, said, err = c.resources(ctx, query)
		if err == nil || !isNoSuchType(err) {
			return list, said, err
		}
		if first == nil {
			first = err
		}
	}
	return nil, said, first
}

// isNoSuchType tells that there is no resource type of the name that was asked for.
func isNoSuchType(err error) bool {
	wrong, is := errors.AsType[*misuse](err)
	return is && strings.HasPrefix(wrong.Error(), "there is no resource type ")
}

// resources reads all pages.
func (c *cli) resources(ctx context.Context, query url.Values) (*wire.ResourceList, told, error) {
	at, err := c.connect(ctx)
	if err != nil {
		return nil, told{}, err
	}
	var all *wire.ResourceList
	for {
		page := &wire.ResourceList{}
		if err := at.ask(ctx, http.MethodGet, "v1alpha1/resources", query, nil, page); err != nil {
			return nil, told{}, err
		}
		if all == nil {
			all = page
		} else if err := addPage(all, page); err != nil {
			return nil, told{}, err
		}
		if page.Next == "" {
			return all, toldBy(at.told), nil
		}
		query.Set("cursor", page.Next)
	}
}

func (c *cli) printResources(list *wire.ResourceList, said *told, show func(*wire.ResourceList, bool) error, wide bool) error {
	for i := range list.Resources {
		r := &list.Resources[i]
		if i > 0 {
			fmt.Fprintln(c.Out)
		}
		_, err := fmt.Fprintf(c.Out, "%s/%s in %s, %s %s\n%s\n\n", plain(r.ResourceType), plain(r.Name), plain(r.Namespace), plain(r.Kind), r.UID, totalsOf(list, r))
		if err == nil {
			one := *list
			one.Resources = []wire.Resource{inOrder(r)}
			err = show(&one, wide)
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.ErrOut, "\n%sFinal up to %s; the rest as of %s.\n", said.unseen(stated(list.From), earlier(stated(list.To), stated(list.Known))), list.Sealed, list.Known)
	return err
}

// inOrder is a resource with its segments by dimension, then by time: programs get them
// by instance, whose UIDs have no order for people.
func inOrder(r *wire.Resource) wire.Resource {
	sorted := *r
	sorted.Segments = slices.Clone(r.Segments)
	slices.SortStableFunc(sorted.Segments, func(a, b wire.Segment) int {
		return cmp.Or(cmp.Compare(a.Dimension, b.Dimension), cmp.Compare(a.Start.Time, b.Start.Time))
	})
	return sorted
}

func totalsOf(list *wire.ResourceList, r *wire.Resource) string {
	var words []string
	for _, total := range r.Totals {
		words = append(words, inFull(total.Dimension, total.Quantity, total.Unit))
	}
	text := plain(strings.Join(words, ", "))
	if list.From != "" {
		text += fmt.Sprintf("\nfrom %s to %s", list.From, list.To)
	}
	return text
}

func eachSegment(list *wire.ResourceList, call func(*wire.Resource, *wire.Segment)) {
	for i := range list.Resources {
		r := &list.Resources[i]
		for j := range r.Segments {
			call(r, &r.Segments[j])
		}
		for j := range r.Corrections {
			call(r, &r.Corrections[j])
		}
	}
}

// segments is a line for each segment, for programs.
func segments(list *wire.ResourceList) *table {
	t := &table{}
	for _, name := range []string{
		"dimension", "level", "unit", "start", "end", "usage", "usage_unit", "deployment",
		"instance", "container", "bundle", "region", "meter", "correction", "id",
	} {
		t.columns = append(t.columns, column{name: name})
	}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		end := ""
		if s.End != nil {
			end = s.End.Time
		}
		t.add(s.Dimension, s.Level, s.Unit, s.Start.Time, end, signed(s), s.HourUnit, s.Deployment,
			s.Instance, s.Container, s.Bundle, s.Region, s.Meter, s.Correction, s.ID)
	})
	return t
}

// shownSegments is a line for each segment, for people.
func shownSegments(list *wire.ResourceList) *table {
	t := &table{columns: []column{
		{name: "DIMENSION", cuts: true}, {name: "HELD", right: true}, {name: "START"}, {name: "END"}, {name: "USAGE", right: true}, {name: "DEPLOYMENT", spare: true},
		{name: "INSTANCE", wide: true}, {name: "CONTAINER", wide: true}, {name: "BUNDLE", wide: true}, {name: "REGION", wide: true}, {name: "METER", wide: true}, {name: "ID", wide: true},
	}}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		t.add(s.Dimension, level(s), s.Start.Time, ended(s), signed(s)+" "+besides(s.Dimension, s.HourUnit), s.Deployment,
			s.Instance, s.Container, s.Bundle, s.Region, s.Meter, s.ID)
	})
	return t
}

// level is how much a segment holds, in a line that names the dimension.
func level(s *wire.Segment) string {
	if isCount(s.Dimension, s.HourUnit) {
		return s.Level
	}
	return s.Level + " " + s.Unit
}

func ended(s *wire.Segment) string {
	if s.End == nil {
		return "(goes on)"
	}
	return s.End.Time
}

func signed(s *wire.Segment) string {
	switch s.Correction {
	case "less":
		return "-" + s.Quantity
	case "more":
		return "+" + s.Quantity
	}
	return s.Quantity
}
