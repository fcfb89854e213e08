package faults_test

import (
	"bytes"
	"context"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/internal/audit"
	"github.com/usage-operator/usage-operator/internal/journal/usageblocks"
	"github.com/usage-operator/usage-operator/internal/restclient"
)

// kept is a ledger that operators of the spec keep.
type kept struct {
	plane     *plane
	namespace string
}

// ledgers are those of the spec.
var ledgers []kept

// keeps has the ledger in the namespace verified when the spec ends.
func (p *plane) keeps(namespace string) {
	if l := (kept{plane: p, namespace: namespace}); !slices.Contains(ledgers, l) {
		ledgers = append(ledgers, l)
	}
}

var _ = BeforeEach(func() { ledgers = nil })

// Whatever was done, what is left adds up: this is usage-operator verify.
var _ = JustAfterEach(func(ctx SpecContext) {
	if CurrentSpecReport().Failed() {
		return
	}
	for _, l := range ledgers {
		l.verify(ctx)
	}
})

func (l kept) verify(ctx context.Context) {
	GinkgoHelper()
	config := l.plane.RESTConfig()
	httpClient, err := rest.HTTPClientFor(config)
	Expect(err).NotTo(HaveOccurred())
	blocks, err := usageblocks.New(config, httpClient, l.namespace)
	Expect(err).NotTo(HaveOccurred())
	records, err := restclient.New(config, httpClient)
	Expect(err).NotTo(HaveOccurred())
	// The auditor looks some minutes after the last write, by the clock of whoever wrote.
	var last time.Time
	for _, block := range l.plane.blocks(ctx, NewWithT(GinkgoT()), l.namespace) {
		if at := block.Spec.Time.Time; at.After(last) {
			last = at
		}
	}
	report, err := audit.Verify(ctx, audit.Input{
		Blocks: blocks, Records: published{audit.ClusterRecords(records), l}, Namespace: l.namespace, Clock: heldClock{moment: last.Add(10 * time.Minute)},
	})
	Expect(err).NotTo(HaveOccurred())
	var text bytes.Buffer
	Expect(report.Write(&text)).To(Succeed())
	Expect(report.OK()).To(BeTrue(), text.String())
	AddReportEntry("verified", text.String(), ReportEntryVisibilityFailureOrVerbose)
}

// published are the records of the spec: in other namespaces are those of operators that are gone.
type published struct {
	audit.Records
	kept
}

func (p published) List(ctx context.Context, each func(*audit.Published) error) error {
	return p.Records.List(ctx, func(r *audit.Published) error {
		if r.Metadata.Namespace != p.namespace && !p.plane.tenants[r.Metadata.Namespace] {
			return nil
		}
		return each(r)
	})
}
