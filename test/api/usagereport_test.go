package api_test

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// usageReport is a UsageReport that uses every field of its spec but period.
func usageReport() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReport
metadata: {name: november, namespace: default}
spec:
  windowSize: day
  startingOn: "2026-11-01T00:00:00+01:00"
  endingBefore: "2026-12-01T00:00:00+01:00"
  timeZone: Europe/Berlin
  groupBy: [deployment, resourceType, resource, instance, container, region, bundle, dimension, namespace, "attribute:storageClass"]
  filters:
    deployments: [web, ""]
    resourceTypes: [vm]
    dimensions: [vcpu]
    attributes: {storageClass: [fast, ""]}
  zeros: Fill
  limit: 1000
  startFrom: eyJxIjoi
  suspend: false
`)
}

// clusterReport is a ClusterUsageReport of a rolling period.
func clusterReport() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: ClusterUsageReport
metadata: {name: last-month}
spec:
  period: {unit: month, offset: -1}
  groupBy: [namespace]
  filters:
    namespaces: [shop]
    namespaceSelector: {matchLabels: {team: a}, matchExpressions: [{key: tier, operator: In, values: [prod]}]}
`)
}

// schedule is a UsageReportSchedule that uses every field of its spec but schedule.
func schedule() *unstructured.Unstructured {
	return parse(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReportSchedule
metadata: {name: monthly, namespace: default}
spec:
  everyPeriod: month
  timeZone: Europe/Berlin
  startingOn: "2026-01-01T00:00:00+01:00"
  historyLimit: 24
  suspend: false
  template:
    metadata: {labels: {team: a}, annotations: {"example.com/cost-centre": "4711"}}
    spec:
      windowSize: day
      timeZone: UTC
      groupBy: [deployment]
      filters: {resourceTypes: [vm]}
      zeros: Omit
      limit: 100
`)
}

// specOf is the object's spec as JSON.
func specOf(object *unstructured.Unstructured) string {
	GinkgoHelper()
	text, err := json.Marshal(object.Object["spec"])
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

var _ = Describe("A report", func() {
	fixed := func(values ...string) change {
		return all(drop("spec.period"), set("spec.startingOn", values[0]), set("spec.endingBefore", values[1]))
	}

	DescribeTable("of a namespace is checked when it is applied",
		func(ctx SpecContext, change change, message string) {
			object := usageReport()
			change(object)
			expectAnswer(admin.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with every field", unchanged, accepted),
		Entry("with its bounds alone", func(object *unstructured.Unstructured) {
			object.Object["spec"] = map[string]any{"startingOn": "2026-11-01T00:00:00Z", "endingBefore": "2026-11-01T00:00:01Z"}
		}, accepted),
		Entry("with a period", all(drop("spec.startingOn"), drop("spec.endingBefore"), set("spec.period", map[string]any{"unit": "week"})), accepted),
		Entry("without a spec", drop("spec"), "spec: Required value"),
		Entry("with a field that there is not", set("spec.price", "1"), `unknown field "spec.price"`),
		Entry("with neither bounds nor a period", all(drop("spec.startingOn"), drop("spec.endingBefore")), "want startingOn and endingBefore, or period"),
		Entry("with one bound", drop("spec.endingBefore"), "want startingOn and endingBefore, or period"),
		Entry("with bounds and a period", set("spec.period", map[string]any{"unit": "day"}), "want either period, or startingOn and endingBefore"),
		Entry("with reversed bounds", set("spec.endingBefore", "2026-10-01T00:00:00Z"), "endingBefore must be after startingOn"),
		Entry("with an empty window", fixed("2026-11-01T00:00:00Z", "2026-11-01T01:00:00+01:00"), "endingBefore must be after startingOn"),
		Entry("with a bound without a zone", set("spec.startingOn", "2026-11-01T00:00:00"), "spec.startingOn"),
		Entry("with windows that there are not", set("spec.windowSize", "year"), `supported values: "none", "hour", "day", "week", "month"`),
		Entry("with a period that there is not", all(drop("spec.startingOn"), drop("spec.endingBefore"), set("spec.period", map[string]any{"unit": "year"})), "spec.period.unit: Unsupported value"),
		Entry("with a period to come", all(drop("spec.startingOn"), drop("spec.endingBefore"), set("spec.period", map[string]any{"unit": "day", "offset": int64(1)})), "spec.period.offset in body should be less than or equal to 0"),
		Entry("with an unknown key", set("spec.groupBy", []any{"colour"}), "want namespace, deployment, resourceType"),
		Entry("with a key twice", set("spec.groupBy", []any{"region", "region"}), "Duplicate value"),
		Entry("with an attribute without a name", set("spec.groupBy", []any{"attribute:"}), "or attribute:NAME for an attribute of a meter"),
		Entry("with a filter by an attribute that cannot be", set("spec.filters.attributes", map[string]any{"a b": []any{"x"}}), "an attribute's name starts with a-z"),
		Entry("with a filter that lets nothing through", set("spec.filters.attributes.storageClass", []any{}), "should have at least 1 items"),
		Entry("with a filter by namespaces", set("spec.filters.namespaces", []any{"other"}), `unknown field "spec.filters.namespaces"`),
		Entry("with something else for zeros", set("spec.zeros", "Show"), `supported values: "Omit", "Fill"`),
		Entry("with no rows", set("spec.limit", int64(0)), "spec.limit in body should be greater than or equal to 1"),
		Entry("with too many rows", set("spec.limit", int64(1001)), "spec.limit in body should be less than or equal to 1000"),
		Entry("with a long cursor", set("spec.startFrom", long(16385)), "spec.startFrom: Too long"),
	)

	DescribeTable("of the cluster is checked when it is applied",
		func(ctx SpecContext, change change, message string) {
			object := clusterReport()
			change(object)
			expectAnswer(admin.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with its filters", unchanged, accepted),
		Entry("without", drop("spec.filters"), accepted),
		Entry("with bounds and a period", all(set("spec.startingOn", "2026-11-01T00:00:00Z"), set("spec.endingBefore", "2026-11-02T00:00:00Z")), "want either period, or startingOn and endingBefore"),
		Entry("with a selector's operator that there is not", set("spec.filters.namespaceSelector.matchExpressions.0.operator", "Is"), "operator is In or NotIn with 1 to 64 values"),
		Entry("with a selector that is too large", set("spec.filters.namespaceSelector.matchLabels", manyKeys(17, "x")), "at most 16 matchLabels"),
	)

	DescribeTable("has a schedule that is checked when it is applied",
		func(ctx SpecContext, change change, message string) {
			object := schedule()
			change(object)
			expectAnswer(admin.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with every field", unchanged, accepted),
		Entry("with what is needed", func(object *unstructured.Unstructured) {
			object.Object["spec"] = map[string]any{"schedule": "0 6 * * 1"}
		}, accepted),
		Entry("for the whole cluster", func(object *unstructured.Unstructured) {
			object.SetKind("ClusterUsageReportSchedule")
			object.SetNamespace("")
			object.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["filters"] = map[string]any{"namespaces": []any{"shop"}}
		}, accepted),
		Entry("without a period", drop("spec.everyPeriod"), "want either schedule or everyPeriod"),
		Entry("with two", set("spec.schedule", "0 6 * * 1"), "want either schedule or everyPeriod"),
		Entry("with a period that there is not", set("spec.everyPeriod", "year"), "spec.everyPeriod: Unsupported value"),
		Entry("with a window in its template", set("spec.template.spec.startingOn", "2026-11-01T00:00:00Z"), `unknown field "spec.template.spec.startingOn"`),
		Entry("that keeps nothing", set("spec.historyLimit", int64(0)), "spec.historyLimit in body should be greater than or equal to 1"),
		Entry("with a long name", set("metadata.name", long(64)), "metadata.name must have at most 63 characters"),
	)

	It("is not touched by defaults, so that who applied it from Git finds it as it was", func(ctx SpecContext) {
		for _, object := range []*unstructured.Unstructured{usageReport(), clusterReport(), schedule()} {
			want := specOf(object)
			Expect(admin.Create(ctx, object, client.DryRunAll)).To(Succeed())
			Expect(specOf(object)).To(MatchJSON(want))
		}
	})

	It("is not current before the operator has seen it", func(ctx SpecContext) {
		object := usageReport()
		Expect(admin.Create(ctx, object, client.DryRunAll)).To(Succeed())
		Expect(object.Object["status"]).To(Equal(map[string]any{"observedGeneration": int64(-1)}))
	})

	It("is listed in 120 columns, with a number of rows only where it has figures", func(ctx SpecContext) {
		longest := unstructured.Unstructured{Object: usageReport().Object}
		longest.SetName("hourly-2026-11-23-1400")
		longest.SetNamespace(namespace(ctx))
		stalled := *longest.DeepCopy()
		stalled.SetName("on-mars")
		for _, object := range []*unstructured.Unstructured{&longest, &stalled} {
			Expect(admin.Create(ctx, object)).To(Succeed())
		}
		says := func(object *unstructured.Unstructured, status string) {
			GinkgoHelper()
			Expect(operator.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"status": `+status+`}`)))).To(Succeed())
		}
		says(&longest, `{
			"window": {"startTime": "2026-11-01T00:00:00Z", "endTime": "2026-12-01T00:00:00Z"}, "rowCount": 0, "summary": "nothing was used",
			"coverage": {"percent": "99.99", "observedSeconds": 1, "replayedSeconds": 0, "estimatedSeconds": 0, "unknownSeconds": 0},
			"conditions": [{"type": "Ready", "status": "True", "reason": "WaitingForLedger", "message": "", "lastTransitionTime": "2026-11-22T00:00:00Z"},
				{"type": "Complete", "status": "False", "reason": "InProgress", "message": "", "lastTransitionTime": "2026-11-22T00:00:00Z"}]}`)
		says(&stalled, `{"conditions": [{"type": "Ready", "status": "False", "reason": "UnknownTimeZone", "message": "", "lastTransitionTime": "2026-11-22T00:00:00Z"}]}`)
		text := kubectl(ctx, "get", "urep", "-n", longest.GetNamespace())
		for line := range strings.SplitSeq(text, "\n") {
			Expect(len(line)).To(BeNumerically("<=", 120), line)
		}
		Expect(table(text)[longest.GetName()]).To(SatisfyAll(
			HaveKeyWithValue("FROM", "2026-11-01T00:00:00Z"), HaveKeyWithValue("COVERAGE", "99.99"), HaveKeyWithValue("COMPLETE", "False"),
			HaveKeyWithValue("REASON", "WaitingForLedger"), HaveLen(7)))
		wide := table(kubectl(ctx, "get", "urep", "-o", "wide", "-n", longest.GetNamespace()))
		Expect(wide[longest.GetName()]).To(SatisfyAll(HaveKeyWithValue("ROWS", "0"), HaveKeyWithValue("WINDOW", "day"), HaveKeyWithValue("USAGE", "nothing was used")))
		Expect(wide["on-mars"]).To(SatisfyAll(HaveKeyWithValue("ROWS", ""), HaveKeyWithValue("REASON", "UnknownTimeZone")))
	})
})
