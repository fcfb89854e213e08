package usagecli

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// told is what an answer says of what it is about.
type told struct {
	percent string    // of the window that is known; "": the window has not begun
	began   time.Time // metering, of what is asked for; zero: nothing meters it
	visible string    // "all", or "namespaces=2"
	because string    // why something is unknown, as a report says that has been made
	begun   bool      // the window has begun, by the clock here
}

// toldBy reads an answer's headers.
func toldBy(header http.Header) told {
	t := told{percent: header.Get(wire.CoverageHeader), visible: header.Get(wire.VisibleHeader)}
	t.began = stated(header.Get(wire.BeganHeader))
	return t
}

// isUnknown tells that nothing is known of the window.
func (t *told) isUnknown() bool { return t.percent == "0" }

// nothing says in a sentence why there are no figures: nothing was used, or that is
// unknown. What is "nothing was used", when "from A to B".
func (t *told) nothing(what, when string) string {
	switch {
	case t.percent == "" && t.begun:
		return fmt.Sprintf("There are no figures yet %s: kubectl usage status says up to when there are.\n", when)
	case t.percent == "":
		return strings.TrimSpace("The time has not begun: "+when) + ".\n"
	case t.isUnknown():
		return fmt.Sprintf("It is unknown whether anything was used %s: %s.\n", when, t.why())
	case t.percent != "100":
		return fmt.Sprintf("%s %s, in the %s%% of that time that is known: %s.\n", what, when, t.percent, t.why())
	}
	return fmt.Sprintf("%s %s.\n", what, when)
}

// unseen says which part is unknown of a time of which something is known: that before metering
// began, and whether that is all. Zero is a start or end that is not known.
func (t *told) unseen(start, end time.Time) string {
	switch {
	case t.percent == "" || t.percent == "100":
		return ""
	case start.IsZero() || !t.began.After(start):
		return fmt.Sprintf("%s%% of this time is known: what was used in the rest is unknown.\n", t.percent)
	}
	text := fmt.Sprintf("Metering began at %s: what was used before that, from %s on, is unknown.\n",
		t.began.UTC().Format(stampLayout), start.UTC().Format(stampLayout))
	switch {
	case end.IsZero():
		return text + fmt.Sprintf("%s%% of this time is known.\n", t.percent)
	case end.After(t.began) && t.percent != report.Percent(&timeline.Coverage{Observed: seconds(t.began, end), Unknown: seconds(start, t.began)}):
		return text + fmt.Sprintf("A part of what came after that is unknown, too: %s%% of this time is known.\n", t.percent)
	}
	return text
}

func seconds(from, to time.Time) int64 { return to.Unix() - from.Unix() }

// stated reads a time as answers and queries have it; zero: there is none.
func stated(text string) time.Time {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// earlier is the first of two moments; zero where one is not known.
func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// why says why something is unknown.
func (t *told) why() string {
	if t.because != "" {
		return t.because
	}
	if t.began.IsZero() {
		return "nothing meters it"
	}
	return "metering began at " + t.began.UTC().Format(stampLayout)
}

// told is what a report says of itself.
func (a *answered) told() told {
	t := told{visible: a.Visible}
	if a.Coverage != nil {
		t.percent = a.Coverage.Percent
	}
	t.began = stated(a.MeteringBegan)
	if a.made && len(a.Totals) == 0 {
		_, t.because, _ = strings.Cut(a.Summary, ": ")
	}
	return t
}

// covered is up to when the coverage of a report is that of its window; zero: it has none.
func (a *answered) covered() time.Time {
	if len(a.clusters) > 0 {
		return a.coveredByAll()
	}
	c := a.Coverage
	if c == nil {
		return time.Time{}
	}
	return a.Window.StartTime.Add(time.Duration(c.ObservedSeconds+c.ReplayedSeconds+c.EstimatedSeconds+c.UnknownSeconds) * time.Second)
}

// counted is up to when there are figures; zero: it is not known.
func (a *answered) counted() time.Time {
	switch {
	case !a.made:
		return a.covered()
	case a.SealedTime != nil:
		return a.SealedTime.Time
	}
	return time.Time{}
}

// unseen says which time at the beginning of a report's window is unknown: before metering began,
// or while nothing metered. "" is none.
func (a *answered) unseen() string {
	if !a.made || a.Coverage == nil {
		return ""
	}
	for i := range a.Coverage.Gaps {
		gap := &a.Coverage.Gaps[i]
		if gap.Coverage == "Unknown" && gap.StartTime.Equal(&a.Window.StartTime) {
			return "What was used " + between(&gap.StartTime, &gap.EndTime) + " is unknown.\n"
		}
	}
	return ""
}

// sinceMetering are the rows as the time since metering began has them: what was before
// is unknown of all of them, and is said once.
func (a *answered) sinceMetering() []wire.Row {
	rows := make([]wire.Row, len(a.Rows))
	for i := range a.Rows {
		rows[i] = a.Rows[i]
		if rows[i].Quantity != "" {
			rows[i].Accuracy = cmp.Or(rows[i].Since, rows[i].Accuracy)
		}
	}
	return rows
}

// foot tells what the figures are of, how well they are known, and how final they are.
// marked are the rows as they are shown.
func (c *cli) foot(a *answered, marked []wire.Row) error {
	if c.sayNothing(a) {
		return nil
	}
	t := a.told()
	text := marks(marked)
	if start := a.Window.StartTime.Time; t.began.After(start) {
		text += t.unseen(start, a.covered())
	}
	text += a.unseen()
	if a.everywhere {
		text += t.ofWhatIsSeen(": shares are of that, too")
	}
	if a.SealedTime == nil || a.SealedTime.Before(&a.Window.EndTime) {
		text += a.reaches()
	}
	text += silent(a.clusters)
	if text == "" {
		return nil
	}
	_, err := fmt.Fprint(c.ErrOut, "\n"+text)
	return err
}

// ofWhatIsSeen says of an answer about all namespaces that it is about some: those of the caller.
func (t *told) ofWhatIsSeen(andSo string) string {
	seen, is := strings.CutPrefix(t.visible, "namespaces=")
	if !is {
		return ""
	}
	return fmt.Sprintf("Of what you may see, which is in %s of the namespaces%s.\n", seen, andSo)
}

// reaches says up to when the figures are final, and what they are after that. Those of a report
// that has been made are of sealed intervals alone.
func (a *answered) reaches() string {
	switch {
	case a.SealedTime == nil && a.made:
		return "No interval is sealed yet: nothing is counted.\n"
	case a.SealedTime == nil:
		return "Nothing is final yet; it is " + a.asOf() + ".\n"
	case a.made:
		return "Final up to " + a.SealedTime.UTC().Format(stampLayout) + "; what was used after that is not counted yet.\n"
	}
	return "Final up to " + a.SealedTime.UTC().Format(stampLayout) + "; the rest " + a.asOf() + ".\n"
}

// asOf is up to when there are figures. They are brought up to date every now and then, and stay as
// they are while no operator runs: that is not the moment at which somebody asks.
func (a *answered) asOf() string {
	if until := a.covered(); !until.IsZero() {
		return "as of " + until.UTC().Format(stampLayout)
	}
	return "as of the last figures"
}

// sayNothing says why a report has no figures, if it has none.
func (c *cli) sayNothing(a *answered) bool {
	if a.Window == nil || slices.ContainsFunc(a.Rows, func(r wire.Row) bool { return r.Quantity != "" }) {
		return false
	}
	t, end := a.told(), &a.Window.EndTime
	t.begun = !a.made && !a.Window.StartTime.After(c.now())
	if until := a.counted(); !until.IsZero() && until.Before(end.Time) {
		end = &metav1.Time{Time: until} // of what comes after it nothing is counted yet
	}
	when := between(&a.Window.StartTime, end)
	if a.made && t.percent == "" {
		fmt.Fprintf(c.ErrOut, "There are no figures yet %s: %s.\n", between(&a.Window.StartTime, &a.Window.EndTime), a.Summary)
		return true
	}
	if a.within != "" {
		when = "in namespace " + plain(a.within) + " " + when
	}
	text := t.nothing("Nothing was used", when)
	if a.everywhere && !t.isUnknown() {
		text += t.ofWhatIsSeen("")
	}
	fmt.Fprint(c.ErrOut, text+c.elsewhere(a))
	return true
}

// elsewhere says how to ask for more than the namespace that the kubeconfig names, which people may
// not have meant.
func (c *cli) elsewhere(a *answered) string {
	if a.within == "" || !c.inDefault() {
		return ""
	}
	return "That is the namespace of your kubeconfig: -n names another, -A is all that you may see.\n"
}

// inDefault tells that no namespace is on the command line.
func (c *cli) inDefault() bool { return c.config.Namespace != nil && *c.config.Namespace == "" }

// lookedIn adds to an error that there is no such name where it was looked for, if nobody said where.
func (c *cli) lookedIn(namespace string, err error) error {
	wrong, is := errors.AsType[*misuse](err)
	if !is || namespace == "" || !c.inDefault() || !strings.HasPrefix(wrong.Error(), "nothing was ever recorded under ") {
		return err
	}
	return misused("in namespace %s %w; -n names another, -A is all that you may see", namespace, wrong.error)
}

func between(start, end *metav1.Time) string {
	return "from " + start.UTC().Format(stampLayout) + " to " + end.UTC().Format(stampLayout)
}

// madeReport is the status of a report, as an answer has it.
func madeReport(status *v1alpha1.UsageReportStatus) *answered {
	made := &wire.Report{UsageReportStatus: *status, RowCount: status.RowCount}
	for i := range status.Rows {
		made.Rows = append(made.Rows, wire.Row{ReportRow: status.Rows[i]})
	}
	return &answered{Report: made, made: true}
}

// refused is an answer that is none: the caller may not see what it is about.
type refused struct{ message string }

func (e *refused) Error() string { return e.message }
