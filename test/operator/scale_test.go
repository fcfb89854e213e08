package operator_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/usage-operator/usage-operator/test/widgets"
)

var _ = Describe("A deployment of 20,000 resources", func() {
	It("has records in parts that fit, whose totals add up exactly", func(ctx SpecContext) {
		const many, writers = 20_000, 16
		sprockets := widgets.Kind("Sprocket") // nobody else meters these
		install(ctx, sprockets)
		op := start(ctx, refreshing(0))
		d := newDriver(ctx, op)
		apply(ctx, meterOf("sprockets", sprockets))
		ready(ctx, "sprockets")

		By("making them")
		api, err := discovery.NewDiscoveryClientForConfig(unlimited(cp.RESTConfig()))
		Expect(err).NotTo(HaveOccurred())
		path := fmt.Sprintf("/apis/%s/v1/namespaces/%s/%s", testGroup, d.namespace, sprockets.Plural())
		var running sync.WaitGroup
		newest := make([]string, writers)
		for writer := range writers {
			running.Go(func() {
				defer GinkgoRecover()
				for i := writer; i < many; i += writers {
					size := int64(i%7 + 1)
					body := fmt.Sprintf(`{"apiVersion": "%s/v1", "kind": "Sprocket", "spec": {"size": %d},
						"metadata": {"name": "a-sprocket-of-some-length-%d", "labels": {"metering.usage-operator.dev/deployment": "web"}}}`, testGroup, size, i)
					answer, err := api.RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body([]byte(body)).DoRaw(ctx)
					if err != nil {
						Fail(err.Error())
					}
					made := &metav1.PartialObjectMetadata{}
					if err := json.Unmarshal(answer, made); err != nil {
						Fail(err.Error())
					}
					who := holder{
						namespace: d.namespace, deployment: "web", resourceType: "widget", resource: string(made.UID), instance: string(made.UID),
					}
					d.hold(who, at(made.CreationTimestamp.Unix()), "", levels{"size": size * 1000})
					newest[writer] = made.ResourceVersion
				}
			})
		}
		running.Wait()
		By("waiting until they are read")
		for _, version := range newest {
			op.reached(ctx, "sprockets", version)
		}
		By("sealing")
		end := op.seal(ctx)
		By("waiting for the records")
		finals := op.finals(ctx)

		By("comparing them")
		Expect(d.compare(NewWithT(GinkgoT()), finals, nil, end)).To(BeEmpty())
		expectConsistent(NewWithT(GinkgoT()), finals)
		sum, want := new(big.Int), new(big.Int)
		for _, stretches := range d.held {
			want.Add(want, big.NewInt(amount(stretches, end)))
		}
		parts := 0
		for i := range finals {
			r := &finals[i]
			if r.Spec.Namespace != d.namespace {
				continue
			}
			parts++
			text, err := json.Marshal(r)
			Expect(err).NotTo(HaveOccurred())
			Expect(len(text)).To(BeNumerically("<", 512<<10), "%s has %d bytes", r.Name, len(text))
			Expect(r.Status.Digest).To(Equal(digest(r)))
			exact, ok := new(big.Int).SetString(r.Status.Totals[0].Exact, 10)
			Expect(ok).To(BeTrue())
			sum.Add(sum, exact)
		}
		Expect(parts).To(BeNumerically(">=", 20))
		Expect(sum).To(Equal(want))
	})
})
