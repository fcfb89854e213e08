package usagecli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// explain is kubectl usage explain.
func (c *cli) explain() *cobra.Command {
	var (
		looks bool
		found blocks
	)
	r := &resourceCommand{
		name: "explain", short: "Show why the figures of a resource are what they are.",
		example: "  kubectl usage explain vm/db-0 --at 2026-11-21T10:30:00Z\n  kubectl usage explain vm/db-0 --interval 20261121T1000Z --blocks",
		table:   func(list *wire.ResourceList) *table { return reasons(list, found) },
		print:   func(list *wire.ResourceList, _ bool) error { return c.explained(list, found) },
	}
	r.prepare = func(ctx context.Context, list *wire.ResourceList) (err error) {
		if looks {
			found, err = c.blocksOf(ctx, list)
		}
		return err
	}
	command := c.ofResource(r)
	command.Long = `Show why the figures of a resource are what they are: when each segment began
and ended, how that is known and within which bounds, how the usage follows,
and by which formula its meter reads the level.

With --blocks also where the journal has it: that needs the right to list
usageblocks in the operator's namespace, as auditors have.`
	command.Flags().BoolVar(&looks, "blocks", false, "Name the UsageBlocks that hold each segment. It reads the whole journal.")
	return command
}

// known says in words how a moment is known.
var known = map[usage.Evidence]string{
	usage.ObjectTime:      "the object states it, as a condition or finishedAt",
	usage.CreationTime:    "the object's creationTimestamp",
	usage.ManagedFields:   "the API server's time of the write that changed it",
	usage.Observed:        "when the watch delivered it, by the operator's clock",
	usage.ReplayBound:     "nobody looked then; what counts is the shorter usage",
	usage.MeteringStarted: "the meter began; what was held before is not known",
	usage.LastKnown:       "unreadable from here on; taken to hold what it last held",
	usage.MeteringStopped: "the meter was deleted, suspended or changed",
	usage.Late:            "learnt after the interval before was final; cut there",
	usage.IntervalCut:     "the interval's own end; it goes on in the next one",
}

// inWords is how a moment is known, by the word that records use.
func inWords(word string) string {
	for evidence, words := range known {
		if evidence.String() == word {
			return word + ": " + words
		}
	}
	return word
}

// explained tells of each segment of a resource.
func (c *cli) explained(list *wire.ResourceList, found blocks) error {
	var text strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&text, "  %-8s %s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	eachSegment(list, func(r *wire.Resource, s *wire.Segment) {
		if text.Len() > 0 {
			text.WriteString("\n")
		}
		text.WriteString(c.paint(bold, fmt.Sprintf("%s: %s%s", plain(s.Dimension), plain(level(s)), corrects[s.Correction])) + "\n")
		if s.Instance != r.Name || s.Container != "" {
			line("held by", "%s", holder(s))
		}
		line("began", "%s%s", s.Start.Time, bounds(&s.Start, s.Start.Earliest, "earliest"))
		line("", "%s", inWords(s.Start.Evidence))
		if s.End == nil {
			line("goes on", "as of %s", list.Known)
		} else {
			line("ended", "%s%s", s.End.Time, bounds(s.End, s.End.Latest, "latest"))
			line("", "%s", inWords(s.End.Evidence))
		}
		line("counts", "%s", sum(s))
		line("meter", "%s", s.Meter)
		if found != nil {
			line("blocks", "%s", found.of(s))
		}
	})
	_, err := io.WriteString(c.Out, text.String()+formulas(list))
	return err
}

// formulas are how the meters of the segments read their levels.
func formulas(list *wire.ResourceList) string {
	var text strings.Builder
	told := map[[2]string]bool{}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		key := [2]string{s.Meter, s.Dimension}
		if told[key] {
			return
		}
		told[key] = true
		target, quantity := formula(list, s)
		if quantity == "" {
			fmt.Fprintf(&text, "\n%s, by UsageMeter %s: it is applied no more, or measures this no more\n", plain(s.Dimension), plain(s.Meter))
			return
		}
		fmt.Fprintf(&text, "\n%s, by UsageMeter %s from %s now:\n", plain(s.Dimension), plain(s.Meter), plain(target))
		for part := range strings.SplitSeq(strings.TrimSpace(quantity), "\n") {
			fmt.Fprintf(&text, "  %s\n", plain(part))
		}
	})
	return text.String()
}

var corrects = map[string]string{
	"less": ", taken off sealed intervals by what was learnt later",
	"more": ", added to sealed intervals by what was learnt later",
}

func holder(s *wire.Segment) string {
	if s.Container == "" {
		return s.Instance
	}
	return s.Instance + ", container " + s.Container
}

// bounds are how much earlier or later a moment may have been.
func bounds(m *wire.Moment, other, which string) string {
	if m.Earliest == m.Latest {
		return ""
	}
	return fmt.Sprintf(", at the %s %s", which, other)
}

// sum is how the usage follows.
func sum(s *wire.Segment) string {
	hours := s.HourUnit
	if isCount(s.Dimension, s.HourUnit) {
		hours = usage.Count.SpokenHours(s.Dimension)
	}
	return fmt.Sprintf("%s x %d s = %s %s", level(s), s.Seconds, signed(s), hours)
}

// formula is how the segment's meter reads its level now; "" where it does not.
func formula(list *wire.ResourceList, s *wire.Segment) (target, quantity string) {
	plain, _ := usage.Dimension{Name: s.Dimension}.Plain()
	for _, m := range list.Meters {
		for _, d := range m.Dimensions {
			if m.Name == s.Meter && d.Dimension == plain.Name {
				return m.Target, d.Quantity
			}
		}
	}
	return "", ""
}

// reasons is a line for each segment, for programs.
func reasons(list *wire.ResourceList, found blocks) *table {
	t := &table{}
	for _, name := range []string{
		"dimension", "level", "unit", "start", "start_earliest", "start_evidence", "end", "end_latest", "end_evidence",
		"seconds", "usage", "usage_unit", "correction", "instance", "container", "meter", "formula", "id", "blocks",
	} {
		t.columns = append(t.columns, column{name: name})
	}
	eachSegment(list, func(_ *wire.Resource, s *wire.Segment) {
		end := wire.Moment{}
		if s.End != nil {
			end = *s.End
		}
		_, quantity := formula(list, s)
		t.add(s.Dimension, s.Level, s.Unit, s.Start.Time, s.Start.Earliest, s.Start.Evidence, end.Time, end.Latest, end.Evidence,
			fmt.Sprint(s.Seconds), signed(s), s.HourUnit, s.Correction, s.Instance, s.Container, s.Meter, quantity, s.ID, found.of(s))
	})
	return t
}

// blocks are the names of those that hold a segment, by its ID and correction.
type blocks map[[2]string][]string

func (b blocks) of(s *wire.Segment) string {
	return strings.Join(b[[2]string{s.ID, s.Correction}], ", ")
}

var corrections = map[usage.ChangeKind]string{usage.Less: "less", usage.More: "more"}

// blocksOf reads the journal for the segments of resources.
func (c *cli) blocksOf(ctx context.Context, list *wire.ResourceList) (blocks, error) {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, noCluster(err)
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	store, err := usageblocks.New(config, httpClient, c.operator)
	if err != nil {
		return nil, err
	}
	held := map[string]bool{}
	for i := range list.Resources {
		held[list.Resources[i].UID] = true
	}
	progress := c.progress()
	defer progress.end()
	found, read := blocks{}, 0
	err = store.List(ctx, func(stored journal.Stored) error {
		name := stored.Key.String()
		in := map[[2]string]bool{}
		err := journal.Changes(stored, func(change *usage.Change) {
			if change.Kind != usage.Void && held[change.Subject.Resource.UID] {
				in[[2]string{wire.SegmentID(&change.Segment), corrections[change.Kind]}] = true
			}
		})
		if err != nil {
			return fmt.Errorf("UsageBlock %s cannot be read: %w: kubectl usage verify says more", name, err)
		}
		for _, key := range slices.Collect(maps.Keys(in)) {
			found[key] = append(found[key], name)
		}
		read++
		progress.say("%d blocks ...", read)
		return nil
	})
	if apierrors.IsForbidden(err) {
		return nil, fmt.Errorf("--blocks: %w: ask for the ClusterRole usage-operator-auditor", err)
	}
	return found, err
}
