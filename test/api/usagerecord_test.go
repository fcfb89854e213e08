package api_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/internal/usage"
)

var _ = Describe("A UsageRecord", func() {
	const (
		segment        = "status.usage.0.segments.0"
		decimalPattern = `should match '^(0|[1-9][0-9]*)(\.[0-9]+)?$'`
		integerPattern = `should match '^(0|[1-9][0-9]*)$'`
	)
	withUsage := func(entries, segmentsEach int) change {
		return func(object *unstructured.Unstructured) {
			list, _, _ := unstructured.NestedSlice(object.Object, "status", "usage")
			entry := list[0].(map[string]any)
			one := entry["segments"].([]any)[0]
			entry["segments"] = many(segmentsEach, func(int) any { return one })
			set("status.usage", many(entries, func(int) any { return entry }))(object)
			set("status.resources", int64(entries))(object)
		}
	}

	DescribeTable("is checked when it is written",
		func(ctx SpecContext, change change, message string) {
			object := record()
			change(object)
			expectAnswer(operator.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with every field", unchanged, accepted),
		Entry("without what is optional", all(
			drop("spec.namespaceUID"), drop("status.totals"), drop("status.usage"), drop("status.summary"), set("status.resources", int64(0)),
		), accepted),
		Entry("with a field that there is not", set("status.cost", "1"), `unknown field "status.cost"`),
		Entry("without a spec", drop("spec"), "spec: Required value"),
		Entry("without a status", drop("status"), "status: Required value"),

		Entry("without a namespace", drop("spec.namespace"), "spec.namespace: Required value"),
		Entry("with an empty namespace", set("spec.namespace", ""), "spec.namespace in body should be at least 1 chars long"),
		Entry("with a namespace that is none", set("spec.namespace", "Shop"), "spec.namespace in body should match"),
		Entry("with a namespace that is too long", set("spec.namespace", long(64)), "spec.namespace: Too long"),
		Entry("with another namespace than its own", set("spec.namespace", "gone"), accepted),
		Entry("with a namespaceUID that is too long", set("spec.namespaceUID", long(129)), "spec.namespaceUID: Too long"),
		Entry("without a deployment", drop("spec.deployment"), "spec.deployment: Required value"),
		Entry("with what is unattributed", set("spec.deployment", ""), accepted),
		Entry("with a deployment of 253 characters", set("spec.deployment", long(253)), accepted),
		Entry("with a deployment that is too long", set("spec.deployment", long(254)), "spec.deployment: Too long"),
		Entry("without a start", drop("spec.startTime"), "spec.startTime: Required value"),
		Entry("without an end", drop("spec.endTime"), "spec.endTime: Required value"),
		Entry("with a start that is no time", set("spec.startTime", "20:00"), "spec.startTime in body must be of type date-time"),
		Entry("with a start within a minute", set("spec.startTime", "2026-11-21T20:00:01Z"), "startTime must be a whole minute"),
		Entry("with a start within a second", set("spec.startTime", "2026-11-21T20:00:00.5Z"), "startTime must be a whole minute"),
		Entry("with an end within a minute", set("spec.endTime", "2026-11-21T20:59:59Z"), "endTime must be a whole minute"),
		Entry("with an interval of a minute", set("spec.endTime", "2026-11-21T20:01:00Z"), accepted),
		Entry("with an empty interval", set("spec.endTime", "2026-11-21T20:00:00Z"), "startTime to endTime must be 1 minute to 1 hour"),
		Entry("with a reversed interval", set("spec.endTime", "2026-11-21T19:00:00Z"), "startTime to endTime must be 1 minute to 1 hour"),
		Entry("with an interval of more than an hour", set("spec.endTime", "2026-11-21T21:01:00Z"), "startTime to endTime must be 1 minute to 1 hour"),
		Entry("without a part", drop("spec.part"), "spec.part: Required value"),
		Entry("with a part without an index", drop("spec.part.index"), "spec.part.index: Required value"),
		Entry("with a negative part", set("spec.part.index", int64(-1)), "spec.part.index in body should be greater than or equal to 0"),
		Entry("with the last of all parts", all(set("spec.part.index", int64(9999)), set("status.parts", int64(10000))), accepted),
		Entry("with a part too many", all(set("spec.part.index", int64(10000)), set("status.parts", int64(10000))), "spec.part.index in body should be less than or equal to 9999"),
		Entry("with a part beyond its parts", set("spec.part.index", int64(1)), "spec.part.index counts from 0: it must be less than status.parts"),

		Entry("without a phase", drop("status.phase"), "status.phase: Required value"),
		Entry("with a phase that there is not", set("status.phase", "Closed"), `status.phase: Unsupported value: "Closed": supported values: "Open", "Final"`),
		Entry("without an accuracy", drop("status.accuracy"), "status.accuracy: Required value"),
		Entry("that is Exact", set("status.accuracy", "Exact"), accepted),
		Entry("that is Partial", set("status.accuracy", "Partial"), accepted),
		Entry("with an accuracy that there is not", set("status.accuracy", "Rough"), `supported values: "Exact", "Estimated", "Partial"`),
		Entry("without parts", drop("status.parts"), "status.parts: Required value"),
		Entry("with no parts", set("status.parts", int64(0)), "status.parts in body should be greater than or equal to 1"),
		Entry("with too many parts", set("status.parts", int64(10001)), "status.parts in body should be less than or equal to 10000"),
		Entry("without resources", drop("status.resources"), "status.resources: Required value"),
		Entry("with a wrong number of resources", set("status.resources", int64(2)), "resources must be how many entries usage has"),
		Entry("with a negative number of resources", set("status.resources", int64(-1)), "status.resources in body should be greater than or equal to 0"),
		Entry("with too many resources", set("status.resources", int64(1001)), "status.resources in body should be less than or equal to 1000"),
		Entry("with a summary that is too long", set("status.summary", long(1025)), "status.summary: Too long"),
		Entry("without a digest", drop("status.digest"), "status.digest: Required value"),
		Entry("with a digest without its algorithm", set("status.digest", strings.Repeat("0", 64)), `should match '^sha256:[0-9a-f]{64}$'`),
		Entry("with a digest that is too long", set("status.digest", "sha256:"+strings.Repeat("0", 65)), "status.digest: Too long"),
		Entry("that is Open, with a segment that goes on", func(object *unstructured.Unstructured) { *object = *openRecord() }, accepted),
		Entry("that is Open, and does not say until when", set("status.phase", "Open"), "an Open record needs observedTime: how far its figures reach"),
		Entry("that is Final, with a segment that goes on", all(drop(segment+".endTime"), drop(segment+".evidence.end")), "a Final record has no segment without endTime"),

		Entry("with 1024 totals", func(object *unstructured.Unstructured) {
			totals, _, _ := unstructured.NestedSlice(object.Object, "status", "totals")
			set("status.totals", many(1024, func(int) any { return totals[0] }))(object)
		}, accepted),
		Entry("with 1025 totals", func(object *unstructured.Unstructured) {
			totals, _, _ := unstructured.NestedSlice(object.Object, "status", "totals")
			set("status.totals", many(1025, func(int) any { return totals[0] }))(object)
		}, "status.totals: Too many: 1025: must have at most 1024 items"),
		Entry("with a total without a resourceType", drop("status.totals.0.resourceType"), "status.totals[0].resourceType: Required value"),
		Entry("with a total whose resourceType is too long", set("status.totals.0.resourceType", long(64)), "status.totals[0].resourceType: Too long"),
		Entry("with a total without a dimension", drop("status.totals.0.dimension"), "status.totals[0].dimension: Required value"),
		Entry("with a total whose dimension is too long", set("status.totals.0.dimension", long(254)), "status.totals[0].dimension: Too long"),
		Entry("with a total without a quantity", drop("status.totals.0.quantity"), "status.totals[0].quantity: Required value"),
		Entry("with a total whose quantity is a number", set("status.totals.0.quantity", 2.5), `must be of type string: "number"`),
		Entry("with a total whose quantity is negative", set("status.totals.0.quantity", "-1"), decimalPattern),
		Entry("with a total whose quantity has an exponent", set("status.totals.0.quantity", "1e3"), decimalPattern),
		Entry("with a total whose quantity is too long", set("status.totals.0.quantity", "1."+strings.Repeat("0", 63)), "status.totals[0].quantity: Too long"),
		Entry("with a total without a unit", drop("status.totals.0.unit"), "status.totals[0].unit: Required value"),
		Entry("with a total whose unit is too long", set("status.totals.0.unit", long(254)), "status.totals[0].unit: Too long"),
		Entry("with a total without its exact amount", drop("status.totals.0.exact"), "status.totals[0].exact: Required value"),
		Entry("with a total of 128 bits", set("status.totals.0.exact", "340282366920938463463374607431768211455"), accepted),
		Entry("with a total of more", set("status.totals.0.exact", "1"+strings.Repeat("0", 39)), "status.totals[0].exact: Too long"),
		Entry("with a total whose exact amount is a fraction", set("status.totals.0.exact", "0.5"), integerPattern),
		Entry("with a total whose exact amount starts with 0", set("status.totals.0.exact", "09"), integerPattern),
		Entry("with a total without an exactUnit", drop("status.totals.0.exactUnit"), "status.totals[0].exactUnit: Required value"),
		Entry("with a total whose exactUnit is too long", set("status.totals.0.exactUnit", long(129)), "status.totals[0].exactUnit: Too long"),

		Entry("with 1000 entries", withUsage(1000, 1), accepted),
		Entry("with 1001 entries", all(withUsage(1001, 1), set("status.resources", int64(1000))), "status.usage: Too many: 1001: must have at most 1000 items"),
		Entry("with an entry of 1000 segments", withUsage(1, 1000), accepted),
		Entry("with an entry of 1001 segments", withUsage(1, 1001), "status.usage[0].segments: Too many: 1001: must have at most 1000 items"),
		Entry("with an entry without segments", set("status.usage.0.segments", []any{}), "status.usage[0].segments in body should have at least 1 items"),
		Entry("with an entry whose segments are left out", drop("status.usage.0.segments"), "status.usage[0]: Invalid value: it has either segments or, in a record whose detail is Resources, totals"),
		Entry("with an entry without a resourceType", drop("status.usage.0.resourceType"), "status.usage[0].resourceType: Required value"),
		Entry("with an entry whose resourceType is too long", set("status.usage.0.resourceType", long(64)), "status.usage[0].resourceType: Too long"),
		Entry("with an entry without a resource", drop("status.usage.0.resource"), "status.usage[0].resource: Required value"),
		Entry("with a resource without a name", drop("status.usage.0.resource.name"), "status.usage[0].resource.name: Required value"),
		Entry("with a resource whose name is too long", set("status.usage.0.resource.name", long(254)), "status.usage[0].resource.name: Too long"),
		Entry("with a resource without a uid", drop("status.usage.0.resource.uid"), "status.usage[0].resource.uid: Required value"),
		Entry("with a resource whose uid is too long", set("status.usage.0.resource.uid", long(254)), "status.usage[0].resource.uid: Too long"),
		Entry("with a resource whose kind is too long", set("status.usage.0.resource.kind", long(254)), "status.usage[0].resource.kind: Too long"),
		Entry("with a resource whose apiVersion is too long", set("status.usage.0.resource.apiVersion", long(318)), "status.usage[0].resource.apiVersion: Too long"),
		Entry("with a resource that says no more than name and uid", all(drop("status.usage.0.resource.apiVersion"), drop("status.usage.0.resource.kind")), accepted),
		Entry("with an instance without a uid", drop("status.usage.0.instance.uid"), "status.usage[0].instance.uid: Required value"),
		Entry("without an instance", drop("status.usage.0.instance"), accepted),
		Entry("with a container that is too long", set("status.usage.0.container", long(254)), "status.usage[0].container: Too long"),
		Entry("with a region that is too long", set("status.usage.0.region", long(254)), "status.usage[0].region: Too long"),
		Entry("with a bundle that is too long", set("status.usage.0.bundle", long(254)), "status.usage[0].bundle: Too long"),
		Entry("with 9 attributes", set("status.usage.0.attributes", manyKeys(9, "x")), "status.usage[0].attributes: Too many: 9: must have at most 8 items"),
		Entry("with an attribute whose name is too long", set("status.usage.0.attributes", map[string]any{long(64): "x"}), "an attribute's name has at most 63 characters"),
		Entry("with an attribute that is too long", set("status.usage.0.attributes", map[string]any{"a": long(254)}), "status.usage[0].attributes.a: Too long"),

		Entry("with a segment without a dimension", drop(segment+".dimension"), "segments[0].dimension: Required value"),
		Entry("with a segment whose dimension is too long", set(segment+".dimension", long(254)), "segments[0].dimension: Too long"),
		Entry("with a segment without a level", drop(segment+".level"), "segments[0].level: Required value"),
		Entry("with a level of a fraction", set(segment+".level", "2.5"), accepted),
		Entry("with a level that has a suffix", set(segment+".level", "2500m"), decimalPattern),
		Entry("with a level that is too long", set(segment+".level", strings.Repeat("9", 33)), "segments[0].level: Too long"),
		Entry("with a segment without a start", drop(segment+".startTime"), "segments[0].startTime: Required value"),
		Entry("with a segment that takes no time", set(segment+".endTime", "2026-11-21T20:00:00Z"), accepted),
		Entry("with a segment that is reversed", set(segment+".endTime", "2026-11-21T19:59:59Z"), "startTime must not be after endTime"),
		Entry("with a segment without an exact amount", drop(segment+".exact"), "segments[0].exact: Required value"),
		Entry("with a segment whose exact amount is negative", set(segment+".exact", "-1"), integerPattern),
		Entry("with a segment whose exact amount is too long", set(segment+".exact", "1"+strings.Repeat("0", 39)), "segments[0].exact: Too long"),
		Entry("with a segment without evidence", drop(segment+".evidence"), "segments[0].evidence: Required value"),
		Entry("with a segment without evidence for its start", drop(segment+".evidence.start"), "segments[0].evidence.start: Required value"),
		Entry("with evidence for a start that there is not", set(segment+".evidence.start", "Guess"), `evidence.start: Unsupported value: "Guess"`),
		Entry("with evidence for an end that there is not", set(segment+".evidence.end", "Guess"), `evidence.end: Unsupported value: "Guess"`),
	)

	It("takes every kind of evidence that the ledger has", func(ctx SpecContext) {
		for evidence := usage.ObjectTime; evidence <= usage.IntervalCut; evidence++ {
			object := record()
			set(segment+".evidence", map[string]any{"start": evidence.String(), "end": evidence.String()})(object)
			Expect(operator.Create(ctx, object, client.DryRunAll)).To(Succeed(), evidence.String())
		}
	})

	Describe("that is Open", Ordered, ContinueOnFailure, func() {
		var open *unstructured.Unstructured

		BeforeAll(func(ctx SpecContext) { open = written(ctx, openRecord()) })

		DescribeTable("changes in its content alone",
			func(ctx SpecContext, change change, message string) {
				object := open.DeepCopy()
				change(object)
				expectAnswer(operator.Update(ctx, object, client.DryRunAll), message)
			},
			Entry("in its summary", set("status.summary", "vcpu 3 core-hour"), accepted),
			Entry("to Final", func(object *unstructured.Unstructured) { object.Object["status"] = record().Object["status"] }, accepted),
			Entry("in its namespace", set("spec.namespace", "other"), "spec is the record's identity and cannot be changed"),
			Entry("in its namespaceUID", set("spec.namespaceUID", "other"), "spec is the record's identity and cannot be changed"),
			Entry("in its deployment", set("spec.deployment", "other"), "spec is the record's identity and cannot be changed"),
			Entry("in its start", set("spec.startTime", "2026-11-21T20:30:00Z"), "spec is the record's identity and cannot be changed"),
			Entry("in its end", set("spec.endTime", "2026-11-21T20:30:00Z"), "spec is the record's identity and cannot be changed"),
			Entry("in its part", all(set("spec.part.index", int64(1)), set("status.parts", int64(2))), "spec is the record's identity and cannot be changed"),
		)
	})

	Describe("that is Final", Ordered, ContinueOnFailure, func() {
		var final *unstructured.Unstructured

		BeforeAll(func(ctx SpecContext) { final = written(ctx, record()) })

		const refused = "a Final record cannot be changed"
		DescribeTable("does not change, not even by the operator",
			func(ctx SpecContext, change change, message string) {
				object := final.DeepCopy()
				change(object)
				expectAnswer(operator.Update(ctx, object, client.DryRunAll), message)
			},
			Entry("not at all", unchanged, accepted),
			Entry("in its phase", all(set("status.phase", "Open"), set("status.observedTime", "2026-11-21T20:40:00Z")), refused),
			Entry("in its accuracy", set("status.accuracy", "Exact"), refused),
			Entry("in its observedTime", set("status.observedTime", "2026-11-21T20:40:00Z"), refused),
			Entry("in its parts", set("status.parts", int64(2)), refused),
			Entry("in its totals", set("status.totals.0.exact", "9000001"), refused),
			Entry("in its number of totals", set("status.totals", []any{}), refused),
			Entry("in its usage", all(set("status.usage", []any{}), set("status.resources", int64(0))), refused),
			Entry("in a segment", set(segment+".exact", "9000001"), refused),
			Entry("in a segment's evidence", set(segment+".evidence.end", "Observed"), refused),
			Entry("in an attribute", set("status.usage.0.attributes.paused", "true"), refused),
			Entry("in its summary", set("status.summary", ""), refused),
			Entry("in its digest", set("status.digest", "sha256:"+strings.Repeat("0", 64)), refused),
			Entry("in its spec", set("spec.deployment", "other"), "spec is the record's identity and cannot be changed"),
			Entry("in the label with its deployment", set(`metadata.labels.metering\.usage-operator\.dev/deployment`, "other"), refused),
			Entry("without the label with its deployment", drop(`metadata.labels.metering\.usage-operator\.dev/deployment`), refused),
			Entry("in the label with its interval", set(`metadata.labels.metering\.usage-operator\.dev/interval`, "20261121T2100Z"), refused),
			Entry("without any label", drop("metadata.labels"), refused),
			Entry("in another label", set("metadata.labels.team", "a"), accepted),
			Entry("in an annotation", set("metadata.annotations", map[string]any{"note": "checked"}), accepted),
		)

		It("is listed with what a person wants to know", func(ctx SpecContext) {
			text := kubectl(ctx, "get", "ur", "-n", final.GetNamespace())
			row := table(text)[final.GetName()]
			Expect(row).To(SatisfyAll(
				HaveKeyWithValue("PHASE", "Final"),
				HaveKeyWithValue("ACCURACY", "Estimated"),
				HaveKeyWithValue("USAGE", "vcpu 2.5 core-hour"),
				HaveKey("AGE"),
				HaveLen(5),
			))
			// The name has the deployment and when the interval began, and USAGE at most 55 characters. With as many in a
			// namespace's name as in "usage-system", a terminal of 120 columns has room for it.
			const usage, namespace = 55, len("usage-system") + 3
			before, _, _ := strings.Cut(text, "USAGE")
			Expect(namespace + len(before) - len(final.GetName()) + len("payments.202611212000") + usage + len("   30d")).To(BeNumerically("<=", 120))
			row = table(kubectl(ctx, "get", "ur", "-n", final.GetNamespace(), "-o", "wide"))[final.GetName()]
			Expect(row).To(SatisfyAll(
				HaveKeyWithValue("DEPLOYMENT", "web"),
				HaveKeyWithValue("START", "2026-11-21T20:00:00Z"),
				HaveKeyWithValue("END", "2026-11-21T21:00:00Z"),
				HaveKeyWithValue("RESOURCES", "1"),
				HaveKeyWithValue("DIGEST", HavePrefix("sha256:")),
				HaveLen(11),
			))
		})

		It("is in the category usage", func(ctx SpecContext) {
			Expect(kubectl(ctx, "get", "usage", "-n", final.GetNamespace(), "-o", "name")).
				To(ContainSubstring("usagerecord.metering.usage-operator.dev/" + final.GetName()))
		})

		DescribeTable("is found by field",
			func(ctx SpecContext, selector string, found bool) {
				names := kubectl(ctx, "get", "ur", "-n", final.GetNamespace(), "--field-selector", selector, "-o", "name")
				if found {
					Expect(names).To(ContainSubstring(final.GetName()))
				} else {
					Expect(names).To(BeEmpty())
				}
			},
			Entry("by its deployment", "spec.deployment=web", true),
			Entry("not by another deployment", "spec.deployment=db", false),
			Entry("by its start", "spec.startTime=2026-11-21T20:00:00Z", true),
			Entry("not by another start", "spec.startTime=2026-11-21T21:00:00Z", false),
			Entry("by its phase", "status.phase=Final", true),
			Entry("not by another phase", "status.phase=Open", false),
			Entry("by its accuracy", "status.accuracy=Estimated", true),
			Entry("not by another accuracy", "status.accuracy=Exact", false),
			Entry("by all of them", "spec.deployment=web,spec.startTime=2026-11-21T20:00:00Z,status.phase!=Open", true),
		)
	})
})

// written creates the record, in a namespace of its own that goes with the specs around.
func written(ctx SpecContext, object *unstructured.Unstructured) *unstructured.Unstructured {
	GinkgoHelper()
	object.SetNamespace(namespace(ctx))
	Expect(operator.Create(ctx, object)).To(Succeed())
	return object
}
