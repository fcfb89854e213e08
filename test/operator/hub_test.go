package operator_test

import (
	"context"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/hub"
	"github.com/usage-operator/usage-operator/internal/hub/endpoint"
	"github.com/usage-operator/usage-operator/internal/hub/sender"
	"github.com/usage-operator/usage-operator/internal/hub/verification"
	"github.com/usage-operator/usage-operator/test/postgres"
)

// usageHub is a hub with a database of its own, that may be away.
type usageHub struct {
	store   *hub.Store
	cluster hub.Cluster
	serving *httptest.Server
	address string
	place   sender.Place
	token   []byte
}

// newHub is a hub that serves, and knows a cluster.
func newHub(ctx context.Context) *usageHub {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	h := &usageHub{cluster: hub.Cluster(uuid.NewUUID()), address: "127.0.0.1:0"}
	var err error
	h.store, err = hub.Open(ctx, postgres.Start(GinkgoTB()).Database(GinkgoTB(), "hub"), clock.RealClock{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(h.store.Close)
	Expect(h.store.Migrate(ctx)).To(Succeed())
	token, err := h.store.Enrol(ctx, h.cluster, "here")
	Expect(err).NotTo(HaveOccurred())
	h.serve(ctx)
	DeferCleanup(func() { h.serving.Close() })
	h.place = sender.Place{URL: h.serving.URL, CAFile: filepath.Join(folder, "ca.crt"), TokenFile: filepath.Join(folder, "token")}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.serving.Certificate().Raw})
	Expect(os.WriteFile(h.place.CAFile, authority, 0o600)).To(Succeed())
	h.token = []byte(token)
	h.gives(h.token)
	return h
}

// gives has the cluster's Secret have a token.
func (h *usageHub) gives(token []byte) {
	GinkgoHelper()
	Expect(os.WriteFile(h.place.TokenFile, token, 0o600)).To(Succeed())
}

// serve serves where it did before.
func (h *usageHub) serve(ctx context.Context) {
	GinkgoHelper()
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", h.address)
	Expect(err).NotTo(HaveOccurred())
	h.address = listener.Addr().String()
	h.serving = httptest.NewUnstartedServer(endpoint.New(endpoint.Options{
		Ledgers: h.store, Clock: clock.RealClock{}, Log: GinkgoLogr, AtOnce: 4, Patience: time.Minute,
	}))
	_ = h.serving.Listener.Close()
	h.serving.Listener = listener
	h.serving.StartTLS()
}

// of makes an operator send to the hub.
func (h *usageHub) of(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) {
	o.Hub, o.Cluster = &h.place, string(h.cluster)
}

// has expects the hub to have the ledger of an operator that has ended, or does nothing more.
func (h *usageHub) has(ctx context.Context, op *operator) {
	GinkgoHelper()
	Eventually(func(g Gomega) {
		own := op.audited(ctx, "")
		g.Expect(own.OK()).To(BeTrue(), "%+v", own.First)
		theirs, err := verification.Verify(ctx, h.store, h.cluster, op.clock, nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(theirs.OK()).To(BeTrue(), "%+v", theirs)
		g.Expect(theirs.Blocks.Sequence).To(Equal(own.Sequence))
		g.Expect(theirs.Blocks.Head).To(Equal(own.Head))
		g.Expect(theirs.Recomputed.LastSeal).To(Equal(own.LastSeal))
		g.Expect(theirs.Recomputed.Intervals).To(Equal(own.Intervals))
		g.Expect(theirs.Recomputed.Segments).To(Equal(own.Segments))
	}).WithContext(ctx).WithPolling(time.Second).Should(Succeed())
}

// shipped is what the operator's UsageLedger says of the hub.
func (op *operator) shipped(ctx context.Context) func(Gomega) string {
	return func(g Gomega) string {
		ledger := &v1alpha1.UsageLedger{}
		g.Expect(admin.Get(ctx, client.ObjectKey{Namespace: op.namespace, Name: v1alpha1.UsageLedgerName}, ledger)).To(Succeed())
		found := meta.FindStatusCondition(ledger.Status.Conditions, v1alpha1.ConditionShipped)
		g.Expect(found).NotTo(BeNil())
		if found.Status == metav1.ConditionTrue {
			g.Expect(ledger.Status.Hub.AcknowledgedSequence).To(BeNumerically(">", 0))
			g.Expect(ledger.Status.Hub.AcknowledgedTime).NotTo(BeNil())
			g.Expect(ledger.Status.Hub.LagSeconds).NotTo(BeNil())
		}
		return string(found.Status) + "/" + found.Reason + ": " + found.Message
	}
}

var _ = Describe("An operator with --hub-url", func() {
	It("sends its journal, loses nothing while the hub is away, and says why it is not taken", func(ctx SpecContext) {
		h, metrics := newHub(ctx), gauged{prometheus.NewPedanticRegistry()}
		op, d := begin(ctx, h.of, metrics.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		d.delete(d.widget("one", "2"))
		d.widget("two", "3")
		op.reached(ctx, "widgets", d.last)
		op.seal(ctx)
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(And(HavePrefix("True/HubAcknowledged: "), ContainSubstring("lag ")))
		h.has(ctx, op)
		Eventually(metrics.value("hub_acknowledged_sequence")).WithContext(ctx).Should(BeNumerically(">", 3))
		Expect(metrics.value("hub_degraded")()).To(BeZero())
		Expect(op.events(ctx)(Default)).To(BeEmpty())

		By("the hub is away")
		h.serving.Close()
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(And(
			HavePrefix("False/HubUnavailable: "), ContainSubstring("connection refused"), ContainSubstring("--hub-url"), ContainSubstring("it has acknowledged")))
		Eventually(func() string { return message(ctx, "widgets", v1alpha1.ConditionReady) }).WithContext(ctx).Should(ContainSubstring("the hub does not answer"))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning HubUnavailable"))
		Expect(metrics.value("hub_degraded")()).To(Equal(1.0))
		d.widget("three", "4")
		op.reached(ctx, "widgets", d.last)
		op.seal(ctx) // nothing waits for the hub
		ready(ctx, "widgets")

		By("the hub is back")
		h.serve(ctx)
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(HavePrefix("True/HubAcknowledged: "))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ConsistOf("Warning HubUnavailable", "Normal HubAvailable"))
		h.has(ctx, op)

		By("a wrong token")
		h.gives([]byte("usage-hub-wrong"))
		d.widget("four", "5")
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(And(
			HavePrefix("False/Unauthorized: "), ContainSubstring("usage-hub enrol --rotate")))
		Eventually(op.events(ctx)).WithContext(ctx).Should(ContainElement("Warning HubRefuses"))
		Expect(metrics.value("hub_refusals_total")()).To(BeNumerically(">", 0))

		By("another leader, with the right one")
		op.stop()
		h.gives(h.token)
		again := start(ctx, after(op), h.of)
		d.operator = again
		ready(ctx, "widgets")
		d.widget("five", "6")
		again.reached(ctx, "widgets", d.last)
		again.seal(ctx)
		Eventually(again.shipped(ctx)).WithContext(ctx).Should(HavePrefix("True/HubAcknowledged: "))
		again.stop()

		By("a leader without a hub")
		alone := start(ctx, after(op), func(_ *ctrl.Options, o *controllers.Options, _ **rest.Config) { o.Cluster = string(h.cluster) })
		ready(ctx, "widgets")
		alone.stop()
		last := start(ctx, after(op), h.of)
		ready(ctx, "widgets")
		h.has(ctx, last)
	}, NodeTimeout(15*time.Minute))

	It("leaves out of its journal what the hub has, and nothing else", func(ctx SpecContext) {
		location := "file://" + GinkgoT().TempDir()
		h, metrics := newHub(ctx), gauged{prometheus.NewPedanticRegistry()}
		op, d := begin(ctx, archiving(location, true), h.of, metrics.option)
		apply(ctx, meterOf("widgets", widgetKind))
		ready(ctx, "widgets")
		for range 5 {
			d.delete(d.widget("gone", "2"))
		}
		d.widget("stays", "3")
		op.reached(ctx, "widgets", d.last)
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(HavePrefix("True/HubAcknowledged: "))

		By("a day that is over, and archived, while the hub is away")
		h.serving.Close()
		now := op.clock.Now()
		midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		op.clock.ahead.Add(int64(midnight.Add(grace * time.Second).Sub(now)))
		Eventually(op.collector.Sealed).WithContext(ctx).Should(BeNumerically(">=", midnight.Unix()))
		Eventually(func(g Gomega) string {
			op.clock.ahead.Add(int64(20 * time.Second)) // positions are written, and blocks merged, once a minute
			return op.shipped(ctx)(g)
		}).WithContext(ctx).WithTimeout(2 * patience).WithPolling(2 * time.Second).Should(And(
			HavePrefix("False/HubUnavailable: "), ContainSubstring("the journal keeps what is archived until the hub has acknowledged")))
		Expect(metrics.value("hub_cut_withheld")()).To(Equal(1.0))
		for range 3 { // blocks are merged some more times
			op.clock.ahead.Add(int64(30 * time.Second))
			written := metrics.value("journal_sequence")()
			Eventually(metrics.value("journal_sequence")).WithContext(ctx).Should(BeNumerically(">", written))
		}
		cut, _ := op.leftOut(ctx)
		Expect(cut).To(BeZero())

		By("the hub is back")
		h.serve(ctx)
		Eventually(func() int {
			op.clock.ahead.Add(int64(20 * time.Second))
			cut, _ := op.leftOut(ctx)
			return cut
		}).WithContext(ctx).WithTimeout(3 * patience).WithPolling(2 * time.Second).Should(BeNumerically(">", 0))
		Eventually(op.shipped(ctx)).WithContext(ctx).Should(HavePrefix("True/HubAcknowledged: "))
		Expect(metrics.value("hub_cut_withheld")()).To(BeZero())
		op.stop()
		last := start(ctx, after(op), archiving(location, true), h.of)
		ready(ctx, "widgets")
		Eventually(func(g Gomega) {
			theirs, err := verification.Verify(ctx, h.store, h.cluster, op.clock, nil)
			g.Expect(err).NotTo(HaveOccurred())
			own := last.audited(ctx, location)
			g.Expect(theirs.OK()).To(BeTrue(), "%+v", theirs)
			g.Expect(theirs.Blocks.Head).To(Equal(own.Head))
			g.Expect(theirs.Recomputed.LastSeal).To(Equal(own.LastSeal))
		}).WithContext(ctx).WithPolling(time.Second).Should(Succeed())
	}, NodeTimeout(15*time.Minute))
})
