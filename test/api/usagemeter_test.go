package api_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// accepted is what an entry expects when the API server takes the object.
const accepted = ""

// expectAnswer holds the API server's answer against the message that an entry expects.
func expectAnswer(err error, message string) {
	GinkgoHelper()
	if message == accepted {
		Expect(err).NotTo(HaveOccurred())
		return
	}
	Expect(err).To(HaveOccurred())
	Expect(err.Error()).To(ContainSubstring(message)) // not MatchError, which prints much more when it fails
}

var _ = Describe("A UsageMeter", func() {
	dimension := func(name string) any {
		return map[string]any{"name": name, "unit": "count", "quantity": "1"}
	}
	const (
		typePattern = "want lower-case letters, digits and _, starting with a letter, such as node_pool"
		namePattern = "want lower-case letters, digits and _, starting with a letter, such as storage_retained"
		unitPattern = "want core, byte, count, bit_per_second or a unit of your own"
	)

	DescribeTable("is checked when it is applied",
		func(ctx SpecContext, change change, message string) {
			object := meter()
			change(object)
			expectAnswer(admin.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with every field", unchanged, accepted),
		Entry("with the required fields only", func(object *unstructured.Unstructured) {
			object.Object["spec"] = map[string]any{
				"resourceType": "vpc",
				"target":       map[string]any{"kind": "Vpc"},
				"dimensions":   []any{dimension("vpc")},
			}
		}, accepted),
		Entry("with a field that there is not", set("spec.unit", "core"), `unknown field "spec.unit"`),
		Entry("without a spec", drop("spec"), "spec: Required value"),

		Entry("without a resourceType", drop("spec.resourceType"), "spec.resourceType: Required value"),
		Entry("with a resourceType of the user's own", set("spec.resourceType", "gpu_slice2"), accepted),
		Entry("with an empty resourceType", set("spec.resourceType", ""), typePattern),
		Entry("with a resourceType in capitals", set("spec.resourceType", "VM"), typePattern),
		Entry("with a resourceType that has a dash", set("spec.resourceType", "node-pool"), typePattern),
		Entry("with a resourceType that starts with a digit", set("spec.resourceType", "2vm"), typePattern),
		Entry("with a resourceType of 63 characters", set("spec.resourceType", long(63)), accepted),
		Entry("with a resourceType of 64 characters", set("spec.resourceType", long(64)), "spec.resourceType: Too long: may not be more than 63 bytes"),

		Entry("without a target", drop("spec.target"), "spec.target: Required value"),
		Entry("without a target kind", drop("spec.target.kind"), "spec.target.kind: Required value"),
		Entry("with a target in the core group", all(set("spec.target.group", ""), set("spec.target.kind", "Pod")), accepted),
		Entry("with a target whose version is left open", drop("spec.target.version"), accepted),
		Entry("with a plural for the kind", set("spec.target.kind", "databases"), "want a kind, such as VirtualMachineInstance"),
		Entry("with a kind that is too long", set("spec.target.kind", "D"+long(63)), "spec.target.kind: Too long"),
		Entry("with an apiVersion for the group", set("spec.target.group", "example.com/v1"), "want an API group without a version, such as kubevirt.io"),
		Entry("with a group that is too long", set("spec.target.group", long(254)), "spec.target.group: Too long"),
		Entry("with a version that is none", set("spec.target.version", "V1"), "want an API version without its group, such as v1beta1"),
		Entry("with a version that is too long", set("spec.target.version", long(64)), "spec.target.version: Too long"),
		Entry("that meters the operator's own kinds", set("spec.target.group", "metering.usage-operator.dev"), "the operator's own kinds cannot be metered"),

		Entry("without a selector", drop("spec.selector"), accepted),
		Entry("with an empty selector", set("spec.selector", map[string]any{}), accepted),
		Entry("with 17 labels to match", set("spec.selector.matchLabels", manyKeys(17, "x")), "at most 16 matchLabels"),
		Entry("with 17 expressions to match", set("spec.selector.matchExpressions",
			many(17, func(int) any { return map[string]any{"key": "a", "operator": "Exists"} })), "at most 16 matchLabels and 16 matchExpressions"),
		Entry("with a selector's operator that there is not", set("spec.selector.matchExpressions.0.operator", "Is"), "operator is In or NotIn with 1 to 64 values"),
		Entry("with In and no values", drop("spec.selector.matchExpressions.0.values"), "operator is In or NotIn with 1 to 64 values"),
		Entry("with In and too many values", set("spec.selector.matchExpressions.0.values", many(65, func(int) any { return "a" })), "operator is In or NotIn with 1 to 64 values"),
		Entry("with Exists and values", set("spec.selector.matchExpressions.1.values", []any{"a"}), "or Exists or DoesNotExist with none"),

		Entry("with an empty expression", set("spec.exclude", ""), "spec.exclude in body should be at least 1 chars long"),
		Entry("with an expression of 4096 characters", set("spec.exclude", long(4096)), accepted),
		Entry("with an expression of 4097 characters", set("spec.exclude", long(4097)), "spec.exclude: Too long"),
		Entry("with an empty expression for active", set("spec.active", ""), "spec.active in body should be at least 1 chars long"),
		Entry("with an empty expression for startTime", set("spec.startTime", ""), "spec.startTime in body should be at least 1 chars long"),
		Entry("with an empty expression for endTime", set("spec.endTime", ""), "spec.endTime in body should be at least 1 chars long"),
		Entry("with endTime, but not active", drop("spec.active"), "endTime says when active became false: set active too"),
		Entry("with startTime, but not active", all(drop("spec.active"), drop("spec.endTime")), accepted),
		Entry("with an empty expression for namespace", set("spec.namespace", ""), "spec.namespace in body should be at least 1 chars long"),
		Entry("with an empty expression for deployment", set("spec.deployment", ""), "spec.deployment in body should be at least 1 chars long"),
		Entry("with an empty expression for region", set("spec.region", ""), "spec.region in body should be at least 1 chars long"),
		Entry("with an empty expression for bundle", set("spec.bundle", ""), "spec.bundle in body should be at least 1 chars long"),

		Entry("that bills the workload", set("spec.resource", map[string]any{"workload": true}), accepted),
		Entry("that bills the workload and something else", set("spec.resource.workload", true), "set either workload: true, or all of apiVersion, kind, name and uid"),
		Entry("that bills nothing", set("spec.resource", map[string]any{}), "set either workload: true, or all of apiVersion, kind, name and uid"),
		Entry("that bills what has no uid", drop("spec.resource.uid"), "set either workload: true, or all of apiVersion, kind, name and uid"),
		Entry("that bills what has an empty uid", set("spec.resource.uid", ""), "spec.resource.uid in body should be at least 1 chars long"),
		Entry("that bills what is said not to be the workload", set("spec.resource.workload", false), accepted),

		Entry("with 8 attributes", set("spec.attributes", manyKeys(8, "'x'")), accepted),
		Entry("with 9 attributes", set("spec.attributes", manyKeys(9, "'x'")), "spec.attributes: Too many: 9: must have at most 8 items"),
		Entry("with an attribute whose name has a dash", set("spec.attributes", map[string]any{"storage-class": "'x'"}), "an attribute's name starts with a-z and has letters and digits only, at most 63"),
		Entry("with an attribute whose name has 64 characters", set("spec.attributes", map[string]any{long(64): "'x'"}), "an attribute's name starts with a-z"),
		Entry("with an attribute that is empty", set("spec.attributes", map[string]any{"a": ""}), "spec.attributes.a in body should be at least 1 chars long"),

		Entry("without forEach", drop("spec.forEach"), accepted),
		Entry("with forEach and no list", drop("spec.forEach.in"), "spec.forEach.in: Required value"),
		Entry("with forEach and an empty list", set("spec.forEach.in", ""), "spec.forEach.in in body should be at least 1 chars long"),
		Entry("with forEach and no key", drop("spec.forEach.key"), "spec.forEach.key: Required value"),
		Entry("with forEach and an empty key", set("spec.forEach.key", ""), "spec.forEach.key in body should be at least 1 chars long"),
		Entry("with a variable that starts with a capital", set("spec.forEach.as", "Item"), "want the name of a variable"),
		Entry("with a variable without a name", set("spec.forEach.as", ""), "spec.forEach.as in body should be at least 1 chars long"),
		Entry("with a variable that is too long", set("spec.forEach.as", long(64)), "spec.forEach.as: Too long"),
		Entry("with a variable that is the object", set("spec.forEach.as", "self"), `this is the object (self) or a word of CEL's own: choose another name, such as item`),
		Entry("with a variable that is a keyword of CEL", set("spec.forEach.as", "in"), "a word of CEL's own"),
		Entry("with a variable that CEL reserves", set("spec.forEach.as", "namespace"), "a word of CEL's own"),
		Entry("with a variable that is a type of CEL", set("spec.forEach.as", "string"), "a word of CEL's own"),

		Entry("without dimensions", drop("spec.dimensions"), "spec.dimensions: Required value"),
		Entry("with no dimension", set("spec.dimensions", []any{}), "spec.dimensions in body should have at least 1 items"),
		Entry("with 16 dimensions", set("spec.dimensions", many(16, func(i int) any { return dimension(long(i + 1)) })), accepted),
		Entry("with 17 dimensions", set("spec.dimensions", many(17, func(i int) any { return dimension(long(i + 1)) })), "spec.dimensions: Too many: 17: must have at most 16 items"),
		Entry("with the same dimension twice", set("spec.dimensions.1.name", "cpu"), "spec.dimensions[1]: Duplicate value"),
		Entry("with a dimension without a name", drop("spec.dimensions.0.name"), "spec.dimensions[0].name: Required value"),
		Entry("with a dimension's name in capitals", set("spec.dimensions.0.name", "vCPU"), namePattern),
		Entry("with a dimension's name that is too long", set("spec.dimensions.0.name", long(64)), "spec.dimensions[0].name: Too long"),
		Entry("with a dimension without a unit", drop("spec.dimensions.0.unit"), "spec.dimensions[0].unit: Required value"),
		Entry("with a unit of the user's own", set("spec.dimensions.0.unit", "license"), accepted),
		Entry("with a unit in capitals", set("spec.dimensions.0.unit", "GiB"), unitPattern),
		Entry("with a unit that is too long", set("spec.dimensions.0.unit", long(64)), "spec.dimensions[0].unit: Too long"),
		Entry("with a dimension without a quantity", drop("spec.dimensions.0.quantity"), "spec.dimensions[0]: Invalid value: a dimension has either a quantity, or distinct things"),
		Entry("with a dimension with an empty quantity", set("spec.dimensions.0.quantity", ""), "spec.dimensions[0].quantity in body should be at least 1 chars long"),
		Entry("with a number for a quantity", set("spec.dimensions.0.quantity", int64(1)), `must be of type string: "integer"`),
		Entry("that is suspended", set("spec.suspend", true), accepted),
		Entry("with a text for suspend", set("spec.suspend", "yes"), "spec.suspend in body must be of type boolean"),
	)

	It("reads members as item unless it says otherwise", func(ctx SpecContext) {
		object := meter()
		drop("spec.forEach.as")(object)

		Expect(admin.Create(ctx, object, client.DryRunAll)).To(Succeed())

		as, _, _ := unstructured.NestedString(object.Object, "spec", "forEach", "as")
		Expect(as).To(Equal("item"))
	})

	Describe("that exists", Ordered, ContinueOnFailure, func() {
		var existing *unstructured.Unstructured

		BeforeAll(func(ctx SpecContext) {
			existing = meter()
			existing.SetName("existing")
			Expect(admin.Create(ctx, existing)).To(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				Expect(admin.Delete(ctx, existing)).To(Succeed())
			})
		})

		DescribeTable("is checked when it changes",
			func(ctx SpecContext, change change, message string) {
				object := existing.DeepCopy()
				change(object)
				expectAnswer(admin.Update(ctx, object, client.DryRunAll), message)
			},
			Entry("not at all", unchanged, accepted),
			Entry("in its resourceType", set("spec.resourceType", "db"), "resourceType cannot be changed: create a new UsageMeter and delete this one"),
			Entry("in a dimension's unit", set("spec.dimensions.0.unit", "count"), "a dimension's unit cannot be changed: add a dimension of another name"),
			Entry("in a dimension's quantity", set("spec.dimensions.0.quantity", "2"), accepted),
			Entry("by another dimension", func(object *unstructured.Unstructured) {
				dimensions, _, _ := unstructured.NestedSlice(object.Object, "spec", "dimensions")
				set("spec.dimensions", append(dimensions, dimension("replicas")))(object)
			}, accepted),
			Entry("in the order of its dimensions", func(object *unstructured.Unstructured) {
				dimensions, _, _ := unstructured.NestedSlice(object.Object, "spec", "dimensions")
				set("spec.dimensions", []any{dimensions[1], dimensions[0]})(object)
			}, accepted),
			Entry("in the version of its target", set("spec.target.version", "v2"), accepted),
			Entry("in all expressions", all(set("spec.exclude", "false"), set("spec.active", "true")), accepted),
			Entry("to be suspended", set("spec.suspend", true), accepted),
		)

		DescribeTable("is checked when its status is written",
			func(ctx SpecContext, change change, message string) {
				object := meter()
				object.SetName(existing.GetName())
				object.SetResourceVersion(existing.GetResourceVersion())
				change(object)
				expectAnswer(admin.Status().Update(ctx, object, client.DryRunAll), message)
			},
			Entry("with every field", unchanged, accepted),
			Entry("with a negative generation", set("status.observedGeneration", int64(-1)), "should be greater than or equal to 0"),
			Entry("with fewer than no objects", set("status.active", int64(-1)), "status.active: Invalid value: -1: active in body should be greater than or equal to 0"),
			Entry("with fewer than no unreadable objects", set("status.quarantined", int64(-1)), "status.quarantined: Invalid value: -1: quarantined in body should be greater than or equal to 0"),
			Entry("with the same condition twice", func(object *unstructured.Unstructured) {
				conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
				set("status.conditions", append(conditions, conditions[0]))(object)
			}, "status.conditions[1]: Duplicate value"),
			Entry("with 9 conditions", func(object *unstructured.Unstructured) {
				conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
				set("status.conditions", many(9, func(i int) any {
					condition := (&unstructured.Unstructured{Object: conditions[0].(map[string]any)}).DeepCopy().Object
					condition["type"] = "T" + long(i)
					return condition
				}))(object)
			}, "status.conditions: Too many: 9: must have at most 8 items"),
			Entry("with 11 unreadable objects", set("status.quarantine", many(11, func(int) any {
				return map[string]any{"name": "a", "message": "b"}
			})), "status.quarantine: Too many: 11: must have at most 10 items"),
			Entry("with an unreadable object without a name", drop("status.quarantine.0.name"), "status.quarantine[0].name: Required value"),
			Entry("with an unreadable object without a message", drop("status.quarantine.0.message"), "status.quarantine[0].message: Required value"),
			Entry("with an unreadable object whose namespace is too long", set("status.quarantine.0.namespace", long(64)), "status.quarantine[0].namespace: Too long"),
			Entry("with an unreadable object whose name is too long", set("status.quarantine.0.name", long(254)), "status.quarantine[0].name: Too long"),
			Entry("with an unreadable object whose message is too long", set("status.quarantine.0.message", long(1025)), "status.quarantine[0].message: Too long"),
			Entry("with a position without a resourceVersion", drop("status.position.resourceVersion"), "status.position.resourceVersion: Required value"),
			Entry("with a position whose resourceVersion is too long", set("status.position.resourceVersion", long(65)), "status.position.resourceVersion: Too long"),
			Entry("with a position without a time", drop("status.position.observedTime"), "status.position.observedTime: Required value"),
			Entry("with a position whose time is none", set("status.position.observedTime", "now"), `status.position.observedTime: Invalid value: "now": position.observedTime in body must be of type date-time`),
		)

		It("is listed with what a person wants to know", func(ctx SpecContext) {
			object := meter()
			object.SetName(existing.GetName())
			object.SetResourceVersion(existing.GetResourceVersion())
			set("status.conditions.0.message", "the watch is up to date")(object)
			Expect(admin.Status().Update(ctx, object)).To(Succeed())

			Expect(table(kubectl(ctx, "get", "um", "existing"))).To(HaveKeyWithValue("existing", SatisfyAll(
				HaveKeyWithValue("TYPE", "database"),
				HaveKeyWithValue("ACTIVE", "2"),
				HaveKeyWithValue("QUARANTINED", "1"),
				HaveKeyWithValue("READY", "True"),
				HaveKeyWithValue("REASON", "Metering"),
				HaveKey("SEEN"),
				HaveKey("AGE"),
				Not(HaveKey("MESSAGE")),
			)))
			Expect(table(kubectl(ctx, "get", "um", "existing", "-o", "wide"))).To(HaveKeyWithValue("existing", SatisfyAll(
				HaveKeyWithValue("KIND", "Database"),
				HaveKeyWithValue("DIMENSIONS", "cpu, storage"),
				HaveKeyWithValue("MESSAGE", "the watch is up to date"),
			)))
		})

	})
})
