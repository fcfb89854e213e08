package usagecli

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// get is kubectl usage get.
func (c *cli) get() *cobra.Command {
	return c.ofResource("get", "Show what one resource held, segment by segment.",
		"  kubectl usage get vm/db-0\n  kubectl usage get 7c8c2ec2-1f3b-4c3b-9f0e-5d3d1f4f1a11 -o yaml", c.segments)
}

// explain is kubectl usage explain.
func (c *cli) explain() *cobra.Command {
	command := c.ofResource("explain", "Show why the figures of a resource are what they are.",
		"  kubectl usage explain vm/db-0 --at 2026-11-21T10:30:00Z\n  kubectl usage explain vm/db-0 --last 24h", c.reasons)
	command.Long = "Show why the figures of a resource are what they are: when each segment began and\n" +
		"ended, how that is known and within which bounds, and how the usage follows."
	return command
}

// ofResource is a command about one resource.
func (c *cli) ofResource(name, short, example string, show func(*wire.ResourceList) *table) *cobra.Command {
	var (
		everywhere bool
		at         when
		moment     string
		out        format
	)
	command := &cobra.Command{
		Use: name + " (TYPE/NAME | UID)", Short: short, Example: example,
		Args: exactly(1, "TYPE/NAME, such as vm/db-0, or a UID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.validate(); err != nil {
				return err
			}
			query, err := c.resourceQuery(args[0], everywhere, &at, moment)
			if err != nil {
				return err
			}
			connected, err := c.connect()
			if err != nil {
				return err
			}
			list, err := c.resources(cmd.Context(), connected, query)
			if err != nil {
				return err
			}
			if len(list.Resources) == 0 {
				return fmt.Errorf("no usage of %s: check the name, the namespace (-n, -A) and the time", args[0])
			}
			switch out.name {
			case "csv":
				return c.printCSV(show(list))
			case "json", "yaml":
				return c.printObject(out.name, list)
			}
			return c.printResources(list, show, out.name == "wide")
		},
	}
	command.ValidArgsFunction = c.suggest(false, func(group map[string]string) string {
		return group["resourceType"] + "/" + group["resource"]
	}, "resourceType", "resource")
	command.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "Look in all namespaces that you may see.")
	command.Flags().StringVar(&moment, "at", "", "Only what was held at this moment.")
	at.addFlags(command.Flags())
	out.addFlag(command)
	return command
}

// resourceQuery is the request for what the argument names.
func (c *cli) resourceQuery(argument string, everywhere bool, at *when, moment string) (url.Values, error) {
	query := url.Values{}
	kind, name, named := strings.Cut(argument, "/")
	switch {
	case named && kind != "" && name != "":
		query.Set("resource_type", strings.TrimSuffix(kind, "s"))
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
	if moment != "" {
		t, err := wire.ParseTime(moment)
		if err != nil {
			return nil, misused("--at: %v", err)
		}
		query.Set("from", t.UTC().Format(time.RFC3339))
		query.Set("to", t.Add(time.Second).UTC().Format(time.RFC3339))
		return query, nil
	}
	if *at == (when{zone: at.zone}) {
		return query, nil // everything
	}
	start, end, err := at.moments(c.now())
	if err != nil {
		return nil, err
	}
	query.Set("from", start.UTC().Format(time.RFC3339))
	query.Set("to", end.UTC().Format(time.RFC3339))
	return query, nil
}

// resources reads all pages.
func (c *cli) resources(ctx context.Context, at *connection, query url.Values) (*wire.ResourceList, error) {
	var all *wire.ResourceList
	for {
		page := &wire.ResourceList{}
		if err := at.ask(ctx, http.MethodGet, "v1alpha1/resources", query, nil, page); err != nil {
			return nil, err
		}
		if all == nil {
			all = page
		} else {
			all.Resources = append(all.Resources, page.Resources...)
		}
		if all.Next = page.Next; page.Next == "" {
			return all, nil
		}
		query.Set("cursor", page.Next)
	}
}

func (c *cli) printResources(list *wire.ResourceList, show func(*wire.ResourceList) *table, wide bool) error {
	for i := range list.Resources {
		r := &list.Resources[i]
		var words []string
		for _, total := range r.Totals {
			words = append(words, fmt.Sprintf("%s %s %s", total.Dimension, total.Quantity, total.Unit))
		}
		if i > 0 {
			fmt.Fprintln(c.Out)
		}
		_, err := fmt.Fprintf(c.Out, "%s/%s in %s, %s %s\n%s\n\n", plain(r.ResourceType), plain(r.Name), plain(r.Namespace), plain(r.Kind), r.UID, plain(strings.Join(words, ", ")))
		if err == nil {
			one := *list
			one.Resources = list.Resources[i : i+1]
			err = c.printTable(show(&one), wide)
		}
		if err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(c.ErrOut, "\nFinal: up to %s; what comes after is as of %s.\n", list.Sealed, list.Known)
	return err
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

// segments is a line for each segment.
func (c *cli) segments(list *wire.ResourceList) *table {
	t := &table{columns: []column{
		{name: "DIMENSION"}, {name: "LEVEL", right: true}, {name: "UNIT"}, {name: "START"}, {name: "END"}, {name: "USAGE", right: true}, {name: "DEPLOYMENT"},
		{name: "INSTANCE", wide: true}, {name: "CONTAINER", wide: true}, {name: "BUNDLE", wide: true}, {name: "REGION", wide: true}, {name: "METER", wide: true}, {name: "ID", wide: true},
	}}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		t.add(s.Dimension, s.Level, s.Unit, s.Start.Time, ended(s), signed(s)+" "+s.HourUnit, s.Deployment,
			s.Instance, s.Container, s.Bundle, s.Region, s.Meter, s.ID)
	})
	return t
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

// reasons is a line for each segment, with how its ends are known.
func (c *cli) reasons(list *wire.ResourceList) *table {
	t := &table{columns: []column{
		{name: "DIMENSION"}, {name: "HELD"}, {name: "START"}, {name: "KNOWN BY"}, {name: "END"}, {name: "KNOWN BY"}, {name: "USAGE", right: true},
		{name: "INSTANCE", wide: true}, {name: "CONTAINER", wide: true}, {name: "METER", wide: true}, {name: "ID", wide: true},
	}}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		end, known := "(goes on)", ""
		if s.End != nil {
			end, known = bounded(s.End)
		}
		start, began := bounded(&s.Start)
		t.add(s.Dimension, s.Level+" "+s.Unit, start, began, end, known, signed(s)+" "+s.HourUnit, s.Instance, s.Container, s.Meter, s.ID)
	})
	return t
}

// bounded is a moment with its bounds, if there are any, and how it is known.
func bounded(m *wire.Moment) (moment, evidence string) {
	if m.Earliest == m.Latest {
		return m.Time, m.Evidence
	}
	return m.Time, fmt.Sprintf("%s, %s to %s", m.Evidence, m.Earliest, m.Latest)
}
