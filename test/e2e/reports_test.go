package e2e_test

import (
	"context"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// standing is how kstatus, by which Flux waits, reads an object that kind and name name.
func standing(ctx context.Context, namespace, kind, name string) func(Gomega) status.Status {
	return func(g Gomega) status.Status {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		g.Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, object)).To(Succeed())
		result, err := status.Compute(object)
		g.Expect(err).NotTo(HaveOccurred())
		return result.Status
	}
}

var _ = Describe("A tenant's reports", func() {
	It("are asked for from Git, go on until everything is sealed, and add up to the records", func(ctx SpecContext) {
		namespace := newNamespace(ctx, "reporting")
		_, kubeconfig, err := cp.AddUser("editor")
		Expect(err).NotTo(HaveOccurred())
		kubectl(ctx, "create", "rolebinding", "edit", "-n", namespace, "--clusterrole=edit", "--user=editor")
		// Two whole intervals, of which the first goes on.
		start := time.Now().Truncate(time.Minute)
		end := start.Add(2 * time.Minute)
		manifest := fmt.Sprintf(`
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReport
metadata: {name: both}
spec:
  startingOn: %q
  endingBefore: %q
  windowSize: hour
  groupBy: [deployment, container]
  filters: {resourceTypes: [container]}
---
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReport
metadata: {name: nowhere}
spec: {period: {unit: day}, timeZone: Europe/Atlantis}
---
apiVersion: metering.usage-operator.dev/v1alpha1
kind: UsageReportSchedule
metadata: {name: minutely}
spec:
  schedule: "* * * * *"
  startingOn: %q
  historyLimit: 2
  template: {metadata: {labels: {team: a}}, spec: {groupBy: [deployment]}}
`, start.UTC().Format(time.RFC3339), end.UTC().Format(time.RFC3339), start.UTC().Format(time.RFC3339))
		file := filepath.Join(GinkgoT().TempDir(), "reports.yaml")
		Expect(os.WriteFile(file, []byte(manifest), 0o600)).To(Succeed())
		applied := func() string {
			GinkgoHelper()
			var out string
			Eventually(ctx, func() (err error) { // until the role has got around
				out, err = cp.Kubectl(ctx, "--kubeconfig="+kubeconfig, "apply", "-n", namespace, "-f", file)
				return err
			}).Should(Succeed())
			return out
		}
		applied()
		create(ctx, namespace, pod)

		By("being in progress")
		Eventually(ctx, func() string {
			return kubectl(ctx, "get", "usagereport", "-n", namespace, "both", "-o", `jsonpath={.status.conditions[?(@.type=="Complete")].reason}`)
		}).Should(Equal("InProgress"))
		Eventually(ctx, standing(ctx, namespace, "UsageReport", "both")).Should(Equal(status.CurrentStatus))
		Eventually(ctx, standing(ctx, namespace, "UsageReport", "nowhere")).Should(Equal(status.FailedStatus))
		Eventually(ctx, standing(ctx, namespace, "UsageReportSchedule", "minutely")).Should(Equal(status.CurrentStatus))

		By("being complete")
		kubectl(ctx, "wait", "--for=condition=Complete", "--timeout=180s", "-n", namespace, "usagereport/both")
		report := &v1alpha1.UsageReport{}
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "both"}, report)).To(Succeed())
		Eventually(ctx, func(g Gomega) {
			sums := map[string]*big.Int{}
			for _, r := range records(ctx, g, namespace, v1alpha1.PhaseFinal) {
				if r.Spec.StartTime.Time.Before(start) || r.Spec.EndTime.Time.After(end) {
					continue
				}
				for _, total := range r.Status.Totals {
					exact, _ := new(big.Int).SetString(total.Exact, 10)
					sums[total.Dimension] = new(big.Int).Add(exact, orZero(sums[total.Dimension]))
				}
			}
			g.Expect(sums).To(HaveLen(len(report.Status.Totals)))
			for _, total := range report.Status.Totals {
				g.Expect(orZero(sums[total.Dimension]).String()).To(Equal(total.Exact), total.Dimension)
			}
		}).Should(Succeed())
		Expect(report.Status.Rows).NotTo(BeEmpty())
		Expect(kubectl(ctx, "get", "urep", "-n", namespace, "both")).To(MatchRegexp(`(?m)^both +\S+Z +\S+Z +\S+ +True +Reported +\S+$`))
		Expect(kubectl(ctx, "get", "urep", "-n", namespace, "both", "-o", "wide")).To(MatchRegexp(`(?m)^both +.* +hour +[1-9]\d* +\S`))
		Eventually(ctx, func() string {
			return kubectl(ctx, "get", "events", "-n", namespace, "--field-selector=involvedObject.name=both")
		}).
			Should(ContainSubstring("Complete"))

		By("being applied again without a difference")
		for line := range strings.SplitSeq(strings.TrimSpace(applied()), "\n") {
			Expect(line).To(HaveSuffix("unchanged"))
		}

		By("being made by the schedule, once each, and kept for as long as it says")
		names := func(g Gomega) []string {
			list := &v1alpha1.UsageReportList{}
			g.Expect(cluster.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelSchedule: "minutely", "team": "a"})).To(Succeed())
			var names []string
			for _, r := range list.Items {
				names = append(names, r.Name)
			}
			return names
		}
		nameOf := func(minute int) string {
			return "minutely-" + start.Add(time.Duration(minute)*time.Minute).UTC().Format("2006-01-02-1504")
		}
		var kept []string
		Eventually(ctx, func(g Gomega) bool { // two that follow each other, whichever minutes have passed meanwhile
			kept = names(g)
			slices.Sort(kept)
			for minute := 1; minute < 10; minute++ {
				if slices.Equal(kept, []string{nameOf(minute), nameOf(minute + 1)}) {
					return true
				}
			}
			return false
		}).Should(BeTrue())
		kubectl(ctx, "wait", "--for=condition=Complete", "--timeout=60s", "-n", namespace, "usagereport/"+kept[1])
	}, SpecTimeout(6*time.Minute))
})

func orZero(n *big.Int) *big.Int {
	if n == nil {
		return new(big.Int)
	}
	return n
}
