package operator_test

import (
	"context"
	"fmt"
	"math/big"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// reportOf makes a UsageReport of the driver's namespace, which is about the present interval unless the spec says
// something else.
func (d *driver) reportOf(name string, change ...func(*v1alpha1.UsageReportSpec)) *v1alpha1.UsageReport {
	GinkgoHelper()
	r := &v1alpha1.UsageReport{}
	r.Namespace, r.Name = d.namespace, name
	r.Spec.ReportWindow = present()
	for _, c := range change {
		c(&r.Spec)
	}
	Expect(admin.Create(d.ctx, r)).To(Succeed())
	return r
}

// clusterReport makes a ClusterUsageReport about the present interval, which goes with the spec.
func clusterReport(ctx context.Context, name string, change ...func(*v1alpha1.ClusterUsageReportSpec)) *v1alpha1.ClusterUsageReport {
	GinkgoHelper()
	r := &v1alpha1.ClusterUsageReport{}
	r.GenerateName = name + "-"
	r.Spec.ReportWindow = present()
	for _, c := range change {
		c(&r.Spec)
	}
	Expect(admin.Create(ctx, r)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) { Expect(client.IgnoreNotFound(admin.Delete(ctx, r))).To(Succeed()) })
	return r
}

// present is the present interval.
func present() v1alpha1.ReportWindow {
	now := usage.Interval(time.Now().Unix(), interval)
	start, end := metav1.Unix(now.Start, 0), metav1.Unix(now.End, 0)
	return v1alpha1.ReportWindow{StartingOn: &start, EndingBefore: &end}
}

// reported reads a report as it is now, with its generation observed.
func reported[T client.Object](ctx context.Context, r T, status func(T) *v1alpha1.UsageReportStatus) func(Gomega) v1alpha1.UsageReportStatus {
	return func(g Gomega) v1alpha1.UsageReportStatus {
		g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(r), r)).To(Succeed())
		g.Expect(status(r).ObservedGeneration).To(Equal(r.GetGeneration()))
		return *status(r)
	}
}

func ofNamespace(r *v1alpha1.UsageReport) *v1alpha1.UsageReportStatus { return &r.Status }

func ofCluster(r *v1alpha1.ClusterUsageReport) *v1alpha1.UsageReportStatus { return &r.Status }

// says is a condition as STATUS/REASON.
func says(condition string) func(v1alpha1.UsageReportStatus) string {
	return func(status v1alpha1.UsageReportStatus) string {
		found := meta.FindStatusCondition(status.Conditions, condition)
		if found == nil {
			return ""
		}
		return fmt.Sprintf("%s/%s", found.Status, found.Reason)
	}
}

// sum is what the records say was used, by dimension, in exact units.
func sum(records []v1alpha1.UsageRecord) map[string]string {
	sums := map[string]*big.Int{}
	for _, r := range records {
		for _, total := range r.Status.Totals {
			exact, _ := new(big.Int).SetString(total.Exact, 10)
			if sums[total.Dimension] == nil {
				sums[total.Dimension] = new(big.Int)
			}
			sums[total.Dimension].Add(sums[total.Dimension], exact)
		}
	}
	return texts(sums)
}

func texts(sums map[string]*big.Int) map[string]string {
	out := map[string]string{}
	for dimension, exact := range sums {
		out[dimension] = exact.String()
	}
	return out
}

// totals are a report's, by dimension, in exact units.
func totals(status v1alpha1.UsageReportStatus) map[string]string {
	out := map[string]string{}
	for _, total := range status.Totals {
		out[total.Dimension] = total.Exact
	}
	return out
}

// rows are a report's, each by one of its keys, in exact units.
func rows(key string) func(v1alpha1.UsageReportStatus) map[string]string {
	return func(status v1alpha1.UsageReportStatus) map[string]string {
		out := map[string]string{}
		for _, row := range status.Rows {
			out[string(row.Group[key])] += row.Exact
		}
		return out
	}
}

var _ = Describe("Reports", func() {
	It("are in progress, then complete, and then equal the sum of the records", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 15)
		begins := metav1.Unix(nextSecond(ctx), 0) // before the meter began, nobody knows
		byResource := func(spec *v1alpha1.UsageReportSpec) {
			spec.StartingOn, spec.GroupBy = &begins, []v1alpha1.GroupKey{"deployment", "resource"}
		}
		report, again := d.reportOf("now", byResource), d.reportOf("again", byResource)
		one, two := d.widget("one", "2"), d.widget("two", "3")
		d.size(one, one.created(), 2)
		d.size(two, two.created(), 3)
		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(And(
			WithTransform(says(v1alpha1.ConditionComplete), Equal("False/InProgress")),
			WithTransform(says(v1alpha1.ConditionReady), Equal("True/Reported")),
			HaveField("RowCount", HaveValue(Equal(int64(0)))), HaveField("NextReportTime", Equal(report.Spec.EndingBefore))))
		d.delete(one)
		d.size(two, d.patch(two, `spec: {size: 4}`), 4) // the last: a removal has no answer to wait for

		records := d.settled("widgets")

		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionComplete), Equal("True/Sealed")))
		status := report.Status
		Expect(totals(status)).To(Equal(sum(records)))
		Expect(rows("resource")(status)).To(And(HaveLen(2), HaveKey("one"), HaveKey("two")))
		Expect(status.Window.StartTime.Equal(report.Spec.StartingOn)).To(BeTrue())
		Expect(status.SealedTime.Equal(report.Spec.EndingBefore)).To(BeTrue())
		Expect(status.NextReportTime).To(BeNil())
		Expect(status.Summary).To(MatchRegexp(` size-hours?$`))
		for _, row := range status.Rows {
			Expect(row.Accuracy).To(Equal(v1alpha1.AccuracyExact))
			Expect(row.Group).To(HaveKeyWithValue("resourceUID", Not(BeEmpty())))
		}
		Eventually(reported(ctx, again, ofNamespace)).WithContext(ctx).Should(HaveField("Digest", status.Digest))
	})

	It("see no other namespace, whatever their spec says", func(ctx SpecContext) {
		op, d := begin(ctx)
		other := newDriver(ctx, op)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 15)
		mine, theirs := d.widget("mine", "2"), other.widget("theirs", "3")
		d.size(mine, mine.created(), 2)
		other.size(theirs, theirs.created(), 3)
		report := d.reportOf("all", func(spec *v1alpha1.UsageReportSpec) {
			spec.GroupBy = []v1alpha1.GroupKey{"namespace", "resource"}
			spec.Zeros = v1alpha1.ZerosFill
		})
		whole := clusterReport(ctx, "all", func(spec *v1alpha1.ClusterUsageReportSpec) {
			spec.GroupBy = []v1alpha1.GroupKey{"namespace"}
			spec.Filters = &v1alpha1.ClusterReportFilters{Namespaces: []v1alpha1.FilterValue{
				v1alpha1.FilterValue(d.namespace), v1alpha1.FilterValue(other.namespace),
			}}
		})

		records := d.settled("widgets")

		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionComplete), Equal("True/Sealed")))
		Expect(rows("resource")(report.Status)).To(And(HaveLen(1), HaveKey("mine")))
		Expect(totals(report.Status)).To(Equal(sum(records)))
		Eventually(reported(ctx, whole, ofCluster)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionComplete), Equal("True/Sealed")))
		Expect(rows("namespace")(whole.Status)).To(And(HaveLen(2), HaveKeyWithValue(d.namespace, sum(records)["size"]), HaveKey(other.namespace)))
	})

	It("count the namespaces that have the labels, as they have them now", func(ctx SpecContext) {
		op, d := begin(ctx)
		other := newDriver(ctx, op)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 15)
		mine, theirs := d.widget("mine", "2"), other.widget("theirs", "3")
		d.size(mine, mine.created(), 2)
		other.size(theirs, theirs.created(), 3)
		d.settled("widgets")
		team := d.namespace // no other has it
		selected := clusterReport(ctx, "team", func(spec *v1alpha1.ClusterUsageReportSpec) {
			spec.ReportWindow = v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "day"}}
			spec.GroupBy = []v1alpha1.GroupKey{"namespace"}
			spec.Filters = &v1alpha1.ClusterReportFilters{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": team}}}
		})
		Eventually(reported(ctx, selected, ofCluster)).WithContext(ctx).Should(And(
			HaveField("RowCount", HaveValue(Equal(int64(0)))), WithTransform(says(v1alpha1.ConditionReady), Equal("True/NoSuchName")),
			HaveField("Summary", "spec.filters.namespaceSelector: no namespace has these labels now")))

		kubectl(ctx, "label", "namespace", other.namespace, "team="+team)

		Eventually(reported(ctx, selected, ofCluster)).WithContext(ctx).Should(And(
			WithTransform(rows("namespace"), HaveKey(other.namespace)), WithTransform(says(v1alpha1.ConditionReady), Equal("True/Reported"))))
		Expect(selected.Status.Rows).To(HaveLen(1))
		Expect(selected.Status.NextReportTime).NotTo(BeNil())
	})

	It("of a namespace that does not exist say so, and not that nothing was used there, until it exists", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		later := d.namespace + "-later"
		named := clusterReport(ctx, "named", func(spec *v1alpha1.ClusterUsageReportSpec) {
			spec.ReportWindow = v1alpha1.ReportWindow{Period: &v1alpha1.Period{Unit: "day"}}
			spec.Filters = &v1alpha1.ClusterReportFilters{Namespaces: []v1alpha1.FilterValue{v1alpha1.FilterValue(later)}}
		})
		Eventually(reported(ctx, named, ofCluster)).WithContext(ctx).Should(And(
			WithTransform(says(v1alpha1.ConditionReady), Equal("True/NoSuchName")),
			HaveField("Summary", ContainSubstring("spec.filters.namespaces: nothing was ever recorded under a namespace %q: did you mean %q?", later, d.namespace))))

		kubectl(ctx, "create", "namespace", later)
		DeferCleanup(kubectl, "delete", "namespace", later, "--wait=false")

		Eventually(reported(ctx, named, ofCluster)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionReady), Equal("True/Reported")))
	})

	It("say what is wrong with them, and what to do", func(ctx SpecContext) {
		_, d := begin(ctx)
		stalled := func(reason, message string, change func(*v1alpha1.UsageReportSpec)) {
			GinkgoHelper()
			report := d.reportOf("bad", change)
			Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(And(
				WithTransform(says(v1alpha1.ConditionStalled), Equal("True/"+reason)),
				WithTransform(says(v1alpha1.ConditionReady), Equal("False/"+reason)),
				WithTransform(says(v1alpha1.ConditionComplete), BeEmpty())))
			Expect(meta.FindStatusCondition(report.Status.Conditions, v1alpha1.ConditionReady).Message).To(ContainSubstring(message))
			Expect(report.Status.RowCount).To(BeNil(), "it has no figures, and not zero rows")
			Expect(admin.Delete(ctx, report)).To(Succeed())
		}
		stalled(v1alpha1.ReasonUnknownTimeZone, `spec.timeZone: there is no time zone "Europe/Atlantis": want a name of the IANA time zone database`,
			func(spec *v1alpha1.UsageReportSpec) { spec.TimeZone = "Europe/Atlantis" })
		stalled(v1alpha1.ReasonWindowTooLarge, "the report would have 87648 windows, and at most 10000 can be: take larger windows, or less time at once",
			func(spec *v1alpha1.UsageReportSpec) {
				start, end := metav1.NewTime(time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)), metav1.NewTime(time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC))
				spec.StartingOn, spec.EndingBefore, spec.WindowSize = &start, &end, v1alpha1.WindowHour
				spec.GroupBy = []v1alpha1.GroupKey{"instance"}
			})
		stalled(v1alpha1.ReasonInvalidCursor, "spec.startFrom: the cursor cannot be read: take the one that the page before gave",
			func(spec *v1alpha1.UsageReportSpec) { spec.StartFrom = "somewhere" })
	})

	It("are paged, put back when somebody edits them, and stay at their seal while they are suspended", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 20)
		for _, name := range []string{"a", "b", "c"} {
			widget := d.widget(name, "2")
			d.size(widget, widget.created(), 2)
		}
		byResource := func(from string) func(*v1alpha1.UsageReportSpec) {
			return func(spec *v1alpha1.UsageReportSpec) {
				spec.GroupBy, spec.Limit, spec.StartFrom = []v1alpha1.GroupKey{"resource"}, 2, from
			}
		}
		report := d.reportOf("first", byResource(""))
		window := report.Spec.ReportWindow
		d.settled("widgets")
		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionComplete), Equal("True/Sealed")))
		Expect(rows("resource")(report.Status)).To(And(HaveLen(2), HaveKey("a"), HaveKey("b")))
		Expect(report.Status.RowCount).To(HaveValue(Equal(int64(3))))

		By("the next page")
		next := d.reportOf("second", byResource(report.Status.NextPage), func(spec *v1alpha1.UsageReportSpec) {
			spec.StartingOn, spec.EndingBefore = window.StartingOn, window.EndingBefore
		})
		Eventually(reported(ctx, next, ofNamespace)).WithContext(ctx).Should(WithTransform(rows("resource"), And(HaveLen(1), HaveKey("c"))))
		Expect(next.Status.NextPage).To(BeEmpty())
		Expect(totals(next.Status)).To(Equal(totals(report.Status)))

		By("an edit")
		digest := report.Status.Digest
		report.Status.Rows[0].Quantity, report.Status.Digest = "17", ""
		Expect(admin.Status().Update(ctx, report)).To(Succeed())
		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(And(
			HaveField("Digest", digest), WithTransform(func(s v1alpha1.UsageReportStatus) string { return s.Rows[0].Quantity }, Not(Equal("17")))))

		By("a suspended one, which is the ledger's all the same")
		report.Spec.Suspend = true
		Expect(admin.Update(ctx, report)).To(Succeed())
		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionReady), Equal("True/Suspended")))
		Expect(report.Status.Digest).To(Equal(digest))
		forged := report.DeepCopy()
		forged.Status.Rows[0].Quantity, forged.Status.Rows[0].Exact, forged.Status.Totals, forged.Status.Summary = "17", "61200", nil, "nothing"
		Expect(admin.Status().Update(ctx, forged)).To(Succeed())
		Eventually(reported(ctx, report, ofNamespace)).WithContext(ctx).Should(And(
			HaveField("Digest", digest), HaveField("Summary", Not(Equal("nothing"))), HaveField("Rows", HaveLen(2)),
			WithTransform(func(s v1alpha1.UsageReportStatus) string { return s.Rows[0].Quantity }, Not(Equal("17")))))

		By("a suspended one that was never made")
		never := d.reportOf("never", func(spec *v1alpha1.UsageReportSpec) { spec.Suspend = true })
		Eventually(reported(ctx, never, ofNamespace)).WithContext(ctx).Should(WithTransform(says(v1alpha1.ConditionReady), Equal("True/Suspended")))
		never.Status.Rows, never.Status.RowCount = report.Status.Rows, new(int64(2))
		Expect(admin.Status().Update(ctx, never)).To(Succeed())
		Eventually(reported(ctx, never, ofNamespace)).WithContext(ctx).Should(And(HaveField("Rows", BeEmpty()), HaveField("RowCount", BeNil())))
	})

	It("of a schedule are made the newest first, so many at once, and what its status says is the operator's", func(ctx SpecContext) {
		_, d := begin(ctx)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		d.operator.seal(ctx)
		began := metav1.NewTime(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))
		schedule := &v1alpha1.UsageReportSchedule{}
		schedule.Namespace, schedule.Name = d.namespace, "hourly"
		schedule.Spec.EveryPeriod, schedule.Spec.StartingOn, schedule.Spec.HistoryLimit = "hour", &began, 1000
		Expect(admin.Create(ctx, schedule)).To(Succeed())
		current := func(g Gomega) v1alpha1.ReportScheduleStatus {
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(schedule), schedule)).To(Succeed())
			return schedule.Status
		}
		Eventually(current).WithContext(ctx).Should(And(
			HaveField("Backlog", Not(BeNil())),
			WithTransform(func(s v1alpha1.ReportScheduleStatus) string {
				ready := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady)
				return fmt.Sprintf("%s/%s: %s", ready.Status, ready.Reason, ready.Message)
			}, And(HavePrefix("True/CatchingUp: the reports of 9"), ContainSubstring("are still to be made, the newest first")))))
		said := *schedule.Status.DeepCopy()
		list := &v1alpha1.UsageReportList{}
		Expect(admin.List(ctx, list, client.InNamespace(d.namespace))).To(Succeed())
		Expect(len(list.Items)).To(BeNumerically("~", 12, 1)) // a minute may have passed
		oldest := said.LastPeriod.EndTime.Add(-time.Duration(len(list.Items)) * time.Hour)
		for _, report := range list.Items {
			Expect(report.Spec.StartingOn.Time).To(BeTemporally(">=", oldest), report.Name)
		}

		By("a status that somebody else writes")
		schedule.Status.Backlog, schedule.Status.LastReport = nil, "none"
		schedule.Status.LastPeriod.StartTime, schedule.Status.LastPeriod.EndTime = began, metav1.NewTime(began.Add(time.Hour))
		Expect(admin.Status().Update(ctx, schedule)).To(Succeed())
		Eventually(current).WithContext(ctx).Should(And(
			HaveField("Backlog", Not(BeNil())), HaveField("LastReport", said.LastReport), HaveField("LastPeriod", Equal(said.LastPeriod))))
	})
})
