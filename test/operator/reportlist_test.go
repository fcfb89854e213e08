package operator_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// The list has what reports say: as they are stored, and as the operator's cache keeps them.
var _ = Describe("The usage API's list of reports", func() {
	It("says what each report's status does, to those who may list it", func(ctx SpecContext) {
		served := &exposed{metrics: freeAddress(), api: freeAddress()}
		op, d := begin(ctx, served.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		midInterval(ctx, 15)
		d.widget("w", "2")
		op.reached(ctx, "widgets", d.last)
		d.reportOf("present")
		d.reportOf("mars", func(spec *v1alpha1.UsageReportSpec) { spec.TimeZone = "Mars/Olympus" })
		op.seal(ctx)

		kubectl(ctx, "apply", "-f", filepath.Join(checkout, "config/rbac/usage_viewer_role.yaml"))
		account := &corev1.ServiceAccount{}
		account.Namespace, account.Name = d.namespace, "viewer"
		Expect(admin.Create(ctx, account)).To(Succeed())
		kubectl(ctx, "create", "rolebinding", "viewer", "-n", d.namespace, "--clusterrole=usage-operator-usage-viewer", "--serviceaccount="+d.namespace+":viewer")
		token := &authenticationv1.TokenRequest{}
		Expect(admin.SubResource("token").Create(ctx, account, token)).To(Succeed())
		insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
		list := func(g Gomega, query string) (list wire.KeptReportList, status int) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+served.api+"/v1alpha1/reports"+query, http.NoBody)
			g.Expect(err).NotTo(HaveOccurred())
			request.Header.Set("Authorization", "Bearer "+token.Status.Token)
			answer, err := insecure.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			defer answer.Body.Close()
			g.Expect(json.NewDecoder(answer.Body).Decode(&list)).To(Succeed())
			return list, answer.StatusCode
		}
		Eventually(func(g Gomega) {
			stored := &v1alpha1.UsageReport{}
			stored.Namespace, stored.Name = d.namespace, "present"
			g.Expect(admin.Get(ctx, client.ObjectKeyFromObject(stored), stored)).To(Succeed())
			g.Expect(stored.Status.Totals).NotTo(BeEmpty())
			got, status := list(g, "?project_id="+d.namespace)
			g.Expect(status).To(Equal(http.StatusOK))
			g.Expect(got.Reports).To(HaveLen(2))
			mars, present := got.Reports[0], got.Reports[1]
			g.Expect(present.Totals).To(Equal(stored.Status.Totals))
			g.Expect([]string{present.Phase, present.Finding, present.Summary}).To(Equal([]string{"Ready", "Used", stored.Status.Summary}))
			g.Expect([]string{mars.Phase, mars.Finding, mars.Reason}).To(Equal([]string{"Stalled", "None", "UnknownTimeZone"}))
			all, _ := list(g, "")
			g.Expect(all.Reports).To(HaveLen(2))
			g.Expect(all.Hidden).To(ConsistOf("ClusterUsageReport", "ClusterUsageReportSchedule"))
		}).WithContext(ctx).Should(Succeed())
	})
})
