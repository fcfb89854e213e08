package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// perform plays the small cloud, and shows and checks what the operator made of it.
func perform(ctx context.Context, s *stage) error {
	c, err := openCloud(ctx, s)
	if err != nil {
		return err
	}
	s.title("A small cloud. Times are the API server's own, UTC")
	s.say("  Pods and claims are the controller manager's, the scheduler's and kwok's work.\n" +
		"  For KubeVirt, the cloud and the gateway, whose controllers are not here, the\n  demo writes their status.\n")
	if err := c.prepare(ctx); err != nil {
		return err
	}
	first, beyond, err := c.play(ctx)
	if err != nil {
		return err
	}
	s.say("")
	if err := c.await(ctx, beyond, "the interval's end"); err != nil {
		return err
	}
	if err := c.playAll(ctx, beyond, c.encore()); err != nil {
		return err
	}
	records, err := c.finals(ctx, first, beyond)
	if err != nil {
		return err
	}
	if err := c.live(ctx, beyond, account{"shop", "db"}, account{"shop", "web"}); err != nil {
		return err
	}
	if err := c.tables(ctx, first); err != nil {
		return err
	}
	s.title(fmt.Sprintf("What the script did, and what the Final records of %s to %s say", minute(first), minute(beyond)))
	if err := c.compare(records, first, beyond); err != nil {
		return err
	}
	return c.annotated(ctx, "shop", "db", first)
}

// finals waits until the intervals have all the Final records that are to be expected, and no Open one.
func (c *cloud) finals(ctx context.Context, first, beyond int64) (records []v1alpha1.UsageRecord, err error) {
	err = c.waitFor(ctx, "the records are Final", func(ctx context.Context) (bool, error) {
		list := &v1alpha1.UsageRecordList{}
		if err := c.cluster.List(ctx, list); err != nil {
			return false, err
		}
		records = slices.DeleteFunc(list.Items, func(r v1alpha1.UsageRecord) bool {
			start := r.Spec.StartTime.Unix()
			return start < first || start >= beyond
		})
		return c.complete(records, first, beyond)
	})
	return records, err
}

func (c *cloud) complete(records []v1alpha1.UsageRecord, first, beyond int64) (bool, error) {
	final := map[account]int{}
	for i := range records {
		if records[i].Status.Phase != v1alpha1.PhaseFinal {
			return false, fmt.Errorf("the record %s/%s is still Open", records[i].Namespace, records[i].Name)
		}
		final[accountOf(&records[i])]++
	}
	want := map[account]int{}
	for start := first; start < beyond; start += interval {
		seen := map[account]bool{}
		for _, t := range c.oracle.totals(start, interval) {
			if t.low > 0 && !seen[t.account] {
				seen[t.account] = true
				want[t.account]++
			}
		}
	}
	for of, n := range want {
		if final[of] < n {
			return false, fmt.Errorf("%s/%s has %d Final records of these intervals, not %d", of.namespace, of.deployment, final[of], n)
		}
	}
	return true, nil
}

// live waits until these accounts' Open records show what has happened in the interval that goes on.
func (c *cloud) live(ctx context.Context, start int64, accounts ...account) error {
	return c.waitFor(ctx, "the live view is brought up to date", func(ctx context.Context) (bool, error) {
		list := &v1alpha1.UsageRecordList{}
		if err := c.cluster.List(ctx, list); err != nil {
			return false, err
		}
		shown := 0
		for i := range list.Items {
			r := &list.Items[i]
			reaches := r.Status.ObservedTime
			if r.Spec.StartTime.Unix() == start && slices.Contains(accounts, accountOf(r)) && reaches != nil && reaches.Unix() > start+5 {
				shown++
			}
		}
		return shown == len(accounts), nil
	})
}

func accountOf(r *v1alpha1.UsageRecord) account { return account{r.Spec.Namespace, r.Spec.Deployment} }

// tables show what people see.
func (c *cloud) tables(ctx context.Context, first int64) error {
	c.title("What is metered")
	if err := c.kubectl(ctx, "get", "usagemeters"); err != nil {
		return err
	}
	c.title("Who used what: a record for each minute, namespace and deployment")
	if err := c.kubectl(ctx, "get", "usagerecords", "--all-namespaces"); err != nil {
		return err
	}
	c.say("\nFinal records are the minutes that have ended. Open ones are the live view of\nthe minute that goes on.")
	c.title("Who used most, asked with kubectl usage")
	return c.usage(ctx, "top", "deployments", "--all-namespaces", "--from="+time.Unix(first, 0).UTC().Format(time.RFC3339), "--dimension=vcpu,memory,storage")
}

// usage shows a command of the plugin and what it prints.
func (c *cloud) usage(ctx context.Context, args ...string) error {
	variables, err := c.directly(ctx)
	if err != nil {
		return err
	}
	command := exec.CommandContext(ctx, c.plugin(), append(args, "--kubeconfig="+c.plane.Kubeconfig())...)
	command.Env = append(os.Environ(), variables...)
	text, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl usage: %w: %s", err, text)
	}
	c.shown("kubectl usage "+strings.Join(args, " "), string(text))
	return nil
}

// kubectl shows a command and what it prints.
func (c *cloud) kubectl(ctx context.Context, args ...string) error {
	text, err := c.plane.Kubectl(ctx, args...)
	if err != nil {
		return err
	}
	c.shown("kubectl "+strings.Join(args, " "), text)
	return nil
}

func (c *cloud) shown(command, text string) {
	c.say("$ %s", command)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if widest := widest(); len(line) > widest {
			line = line[:widest-3] + "..."
		}
		c.say("%s", line)
	}
}

// widest is how much of a table's line is shown: what fits the terminal, if there is one.
func widest() int {
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && width > 40 {
		return width
	}
	return 160
}

// said is what a record says of one total.
type said struct {
	record *v1alpha1.UsageRecord
	exact  string
	unit   string
}

// comparison is the oracle against the records.
type comparison struct {
	console
	said     map[total]said // by account, measure and start alone
	of       account
	start    int64
	rows     int
	doubts   int
	problems []string
}

// compare shows each total with what the record says. Each must be the same, and the records may say nothing else.
func (c *cloud) compare(records []v1alpha1.UsageRecord, first, beyond int64) error {
	check := &comparison{console: c.console, said: map[total]said{}}
	check.read(records)
	for start := first; start < beyond; start += interval {
		for _, t := range c.oracle.totals(start, interval) {
			check.row(t)
		}
	}
	for t, s := range check.said {
		check.problem("%s/%s from %s: the record has %s of %s %s, of which the script knows nothing",
			t.namespace, t.deployment, minute(t.start), s.exact, t.resourceType, t.dimension)
	}
	check.kinds(records)
	c.say("")
	if check.doubts > 0 {
		c.say("A removal leaves no time on any object: the operator's watch and the demo's saw\nit within a second.")
	}
	if len(check.problems) > 0 {
		slices.Sort(check.problems)
		return errors.New("the records differ from the script:\n  " + strings.Join(check.problems, "\n  "))
	}
	c.say("%d totals in %d Final records: all as the script did it.", check.rows, len(records))
	return nil
}

func (c *comparison) problem(format string, args ...any) {
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// read takes in what the records say.
func (c *comparison) read(records []v1alpha1.UsageRecord) {
	for i := range records {
		r := &records[i]
		if r.Status.Accuracy != v1alpha1.AccuracyExact {
			c.problem("the record %s/%s is %s, not Exact", r.Namespace, r.Name, r.Status.Accuracy)
		}
		for _, t := range r.Status.Totals {
			at := total{account: accountOf(r), measure: measure{t.ResourceType, t.Dimension}, start: r.Spec.StartTime.Unix()}
			if _, twice := c.said[at]; twice {
				c.problem("the record %s/%s has a total of %s %s that another has, too", r.Namespace, r.Name, t.ResourceType, t.Dimension)
			}
			c.said[at] = said{record: r, exact: t.Exact, unit: t.ExactUnit}
		}
	}
}

// row shows one total.
func (c *comparison) row(t total) {
	at := total{account: t.account, measure: t.measure, start: t.start}
	s := c.said[at]
	delete(c.said, at)
	c.head(t, s)
	c.rows++
	verdict := "same"
	exact, err := strconv.ParseInt(s.exact, 10, 64)
	switch {
	case s.record == nil && t.low == 0: // it was gone when the interval began, by one watch or the other
		verdict = "same, within a second"
		c.doubts++
	case s.record == nil || err != nil || exact < t.low || exact > t.high:
		verdict = "DIFFERS"
		c.problem("%s/%s from %s: %s %s is %s in the record, and %s by the script", t.namespace, t.deployment,
			minute(t.start), t.resourceType, t.dimension, orNone(s.exact), t.doubt())
	case exact != t.exact:
		verdict = "same, within a second"
		c.doubts++
	}
	c.say("    %-14s%-14s%15d %15s %-17s %s", t.resourceType, t.dimension, t.exact, orNone(s.exact), s.unit, verdict)
}

func (c *comparison) head(t total, s said) {
	if t.account == c.of && t.start == c.start {
		return
	}
	if c.rows == 0 {
		c.say("    %-14s%-14s%15s %15s", "", "", "script", "record")
	}
	c.of, c.start = t.account, t.start
	name := "no record"
	if s.record != nil {
		name = fmt.Sprintf("%s, %s", s.record.Name, s.record.Status.Phase)
	}
	c.say("  %s-%s  %s/%s  (%s)", minute(t.start), minute(t.start+interval), t.namespace, t.deployment, name)
}

func (t total) doubt() string {
	if t.low == t.high {
		return strconv.FormatInt(t.exact, 10)
	}
	return fmt.Sprintf("%d, or from %d to %d", t.exact, t.low, t.high)
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// kinds checks that all that the demo is to show was there.
func (c *comparison) kinds(records []v1alpha1.UsageRecord) {
	shown := map[string]bool{}
	for i := range records {
		for _, t := range records[i].Status.Totals {
			shown[t.ResourceType] = true
		}
	}
	for _, resourceType := range []string{"vm", "volume", "node_pool", "load_balancer", "container"} {
		if !shown[resourceType] {
			c.problem("no Final record has a total of %s", resourceType)
		}
	}
}
