package api_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var _ = Describe("A UsageBlock", func() {
	const digestPattern = `should match '^sha256:[0-9a-f]{64}$'`

	// An entry covers nothing but itself.
	entry := all(set("spec.kind", "Entry"), drop("spec.covers"))

	DescribeTable("is checked when it is written",
		func(ctx SpecContext, change change, message string) {
			object := block()
			change(object)
			Eventually(func() error { // the operator's role is in force when it may create any
				return operator.Create(ctx, block(), client.DryRunAll)
			}).WithContext(ctx).Should(Succeed())
			expectAnswer(operator.Create(ctx, object, client.DryRunAll), message)
		},
		Entry("with every field", unchanged, accepted),
		Entry("as an entry", entry, accepted),
		Entry("without what is optional", all(entry,
			drop("spec.writer"), drop("spec.cluster"), drop("spec.startTime"), drop("spec.endTime"), drop("spec.positions"), drop("spec.meters"),
			drop("spec.coverage"), drop("spec.sealed"), drop("spec.gaps"), drop("spec.previousDigest"),
			drop("spec.segments"), set("spec.rows", int64(0)), set("spec.size", int64(0)),
		), accepted),
		Entry("of no meters and no positions", all(set("spec.meters", []any{}), set("spec.positions", []any{})), accepted),
		Entry("with a field that there is not", set("spec.cost", "1"), `unknown field "spec.cost"`),
		Entry("without a spec", drop("spec"), "spec: Required value"),
		Entry("without a format", drop("spec.format"), "spec.format: Required value"),
		Entry("of format 0", set("spec.format", int64(0)), "spec.format in body should be greater than or equal to 1"),
		Entry("without a sequence", drop("spec.sequence"), "spec.sequence: Required value"),
		Entry("of sequence 0", set("spec.sequence", int64(0)), "spec.sequence in body should be greater than or equal to 1"),
		Entry("without a kind", drop("spec.kind"), "spec.kind: Required value"),
		Entry("of a kind that there is not", set("spec.kind", "Copy"), `spec.kind: Unsupported value: "Copy": supported values: "Entry", "Compacted"`),
		Entry("as an entry that covers others", set("spec.kind", "Entry"), "covers is for a Compacted block, and for no other"),
		Entry("merged, without what it covers", drop("spec.covers"), "covers is for a Compacted block, and for no other"),
		Entry("that covers a stretch with its end first", set("spec.covers.from", int64(17)), "from must not be after to"),
		Entry("without a part", drop("spec.part"), "spec.part: Required value"),
		Entry("that is part 1 of 1", set("spec.part.index", int64(1)), "part.index counts from 0: it must be less than part.count"),
		Entry("without a time", drop("spec.time"), "spec.time: Required value"),
		Entry("without a digest", drop("spec.digest"), "spec.digest: Required value"),
		Entry("with a digest that is none", set("spec.digest", "sha256:17"), digestPattern),
		Entry("after a digest that is none", set("spec.previousDigest", strings.ToUpper("sha256:e3b0")), digestPattern),
		Entry("with rows, and no segments", drop("spec.segments"), "segments has as many rows as rows says"),
		Entry("with segments, and no rows", set("spec.rows", int64(0)), "segments has as many rows as rows says"),
		Entry("with segments of 480000 characters", set("spec.segments", long(480_000)), accepted),
		Entry("with segments that are too long", set("spec.segments", long(480_001)), "spec.segments: Too long"),
		Entry("with a writer that is too long", set("spec.writer", long(513)), "spec.writer: Too long"),
		Entry("with a position without a kind", drop("spec.positions.0.kind"), "spec.positions[0].kind: Required value"),
		Entry("with a position without a time", drop("spec.positions.0.time"), "spec.positions[0].time: Required value"),
		Entry("with a position in the core group", drop("spec.positions.0.group"), accepted),
		Entry("with a meter without a name", drop("spec.meters.0.name"), "spec.meters[0].name: Required value"),
		Entry("with coverage of a sort that there is not", set("spec.coverage.0.coverage", "Guessed"), `Unsupported value: "Guessed"`),
		Entry("with 4000 seals", set("spec.sealed", many(4000, func(int) any { return seal() })), accepted),
		Entry("with 4001 seals", set("spec.sealed", many(4001, func(int) any { return seal() })), "spec.sealed: Too many: 4001: must have at most 4000 items"),
		Entry("with a seal without a digest", drop("spec.sealed.0.digest"), "spec.sealed[0].digest: Required value"),
		Entry("with a gap without an end", drop("spec.gaps.0.to"), "spec.gaps[0].to: Required value"),
	)

	Context("that is there", Ordered, func() {
		var written *unstructured.Unstructured

		BeforeAll(func(ctx SpecContext) {
			written = block()
			Eventually(func() error { return operator.Create(ctx, written) }).WithContext(ctx).Should(Succeed())
			DeferCleanup(func(ctx SpecContext) {
				Expect(client.IgnoreNotFound(admin.Delete(ctx, written))).To(Succeed())
			})
		})

		It("is listed with what a person wants to know", func(ctx SpecContext) {
			Expect(table(kubectl(ctx, "get", "ub", "-n", operatorNamespace))[written.GetName()]).To(SatisfyAll(
				HaveKeyWithValue("SEQUENCE", "16"), HaveKeyWithValue("KIND", "Compacted"),
				HaveKeyWithValue("START", "2026-11-21T19:00:00Z"), HaveKeyWithValue("END", "2026-11-21T20:00:00Z"),
				HaveKeyWithValue("ROWS", "1"), HaveKeyWithValue("SIZE", "6"), HaveLen(7),
			))
			Expect(table(kubectl(ctx, "get", "ub", "-o", "wide", "-n", operatorNamespace))[written.GetName()]).To(
				HaveKeyWithValue("DIGEST", HavePrefix("sha256:")))
		})

		DescribeTable("is never changed, by nobody",
			func(ctx SpecContext, who func() client.Client, text string) {
				patch := client.RawPatch(types.MergePatchType, []byte(text))
				expectAnswer(who().Patch(ctx, written.DeepCopy(), patch), "a block of the journal cannot be changed")
			},
			Entry("by an administrator: its writer", func() client.Client { return admin }, `{"spec":{"writer":"me"}}`),
			Entry("by an administrator: its segments", func() client.Client { return admin }, `{"spec":{"segments":"UEFSMR=="}}`),
			Entry("by an administrator: what is optional", func() client.Client { return admin }, `{"spec":{"gaps":null}}`),
		)

		It("takes a person's annotation: what is accepted", func(ctx SpecContext) {
			kubectl(ctx, "annotate", "ub", "-n", operatorNamespace, written.GetName(), "metering.usage-operator.dev/accept-gap=17-19")
			kubectl(ctx, "annotate", "ub", "-n", operatorNamespace, written.GetName(), "metering.usage-operator.dev/accept-gap-")
		})

		It("is created once", func(ctx SpecContext) {
			Expect(apierrors.IsAlreadyExists(operator.Create(ctx, block()))).To(BeTrue())
		})
	})

	Context("of somebody else", func() {
		const refused = "only usage-operator writes UsageBlocks, in its own namespace"

		It("is refused, an administrator's too", func(ctx SpecContext) {
			Eventually(func() error { return admin.Create(ctx, block(), client.DryRunAll) }).WithContext(ctx).
				Should(MatchError(ContainSubstring(refused)))
		})

		It("is refused in another namespace, the operator's too", func(ctx SpecContext) {
			object := block()
			object.SetNamespace(namespace(ctx))
			role := &rbacv1.Role{
				ObjectMeta: metav1.ObjectMeta{Name: "all-of-blocks", Namespace: object.GetNamespace()},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"metering.usage-operator.dev"}, Resources: []string{"usageblocks"}, Verbs: []string{"*"}}},
			}
			Expect(admin.Create(ctx, role)).To(Succeed())
			bindRole(ctx, object.GetNamespace(), rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}, operatorUser)
			Eventually(func() error { return operator.Create(ctx, object.DeepCopy(), client.DryRunAll) }).WithContext(ctx).
				Should(MatchError(ContainSubstring(refused)))
		})

		It("is put back by an administrator as the operator", func(ctx SpecContext) {
			object := block()
			object.SetName("000000000017")
			entry(object)
			Eventually(func() error { return operator.Create(ctx, object.DeepCopy()) }).WithContext(ctx).Should(Succeed())
			saved := kubectl(ctx, "get", "ub", "-n", operatorNamespace, object.GetName(), "-o", "yaml")
			Expect(admin.Delete(ctx, object)).To(Succeed())

			kubectl(ctx, "create", "-f", file(saved), "--as="+operatorUser)

			Expect(admin.Delete(ctx, object)).To(Succeed())
		})
	})
})

// seal is one of a block's seals.
func seal() any {
	return map[string]any{
		"startTime": "2026-11-21T19:00:00Z", "endTime": "2026-11-21T20:00:00Z",
		"digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
	}
}
