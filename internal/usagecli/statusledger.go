package usagecli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/restclient"
)

// ledgerGrace is how old the UsageLedger may be: the replica that meters writes it once a minute.
const ledgerGrace = 5 * time.Minute

// errLedgerUnseen is what status says in the place of the UsageLedger to those who may not read it.
var errLedgerUnseen = errors.New("not visible to you: ask for the ClusterRole usage-operator-auditor")

// ledger is what the operator says in its UsageLedger. Its errors are for people to read.
func (c *cli) ledger(ctx context.Context) (*v1alpha1.UsageLedgerStatus, error) {
	config, err := c.config.ToRESTConfig()
	if err != nil {
		return nil, errors.New("unknown: that is asked of the API server, and there is no kubeconfig")
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("unknown: %w", err)
	}
	api, err := restclient.New(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("unknown: %w", err)
	}
	found := &v1alpha1.UsageLedger{}
	err = api.Get().Namespace(c.operator).Resource("usageledgers").Name(v1alpha1.UsageLedgerName).Do(ctx).Into(found)
	switch {
	case apierrors.IsForbidden(err):
		return nil, errLedgerUnseen
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("unknown: there is no UsageLedger in namespace %s yet: --operator-namespace says another", c.operator)
	case err != nil:
		return nil, fmt.Errorf("unknown: %w", err)
	}
	return &found.Status, nil
}

// judgeLedger adds what needs attention by the UsageLedger's own account.
func (h *health) judgeLedger(now time.Time) {
	if h.Ledger == nil {
		return
	}
	if written := h.Ledger.ObservedTime; !written.IsZero() && now.Sub(written.Time) > ledgerGrace {
		h.Problems = append(h.Problems, "no replica meters: the UsageLedger was last written at "+written.UTC().Format(stampLayout))
		return // what it says is old, too
	}
	for i := range h.Ledger.Conditions {
		c := &h.Ledger.Conditions[i]
		switch c.Type {
		case v1alpha1.ConditionReady, v1alpha1.ConditionWithinLimits, v1alpha1.ConditionArchived, v1alpha1.ConditionShipped:
			if c.Status == metav1.ConditionFalse {
				h.Problems = append(h.Problems, strings.TrimSuffix("UsageLedger: "+c.Reason+": "+c.Message, ": "))
			}
		}
	}
}

// addLedger adds what the ledger takes, and how far the archive and the hub have it.
func (h *health) addLedger(t *table) {
	l := h.Ledger
	if l == nil {
		t.add("journal, memory", h.unseen)
		return
	}
	t.add("journal", sizeInWords(l.Journal))
	t.add("records", sizeInWords(l.Records))
	t.add("reports", sizeInWords(l.Reports))
	t.add("memory", sizeInWords(l.Memory))
	switch {
	case l.Archive == nil:
		t.add("archive", "none: --archive is not set")
	case l.Archive.ThroughTime == nil:
		t.add("archive", "no day is archived yet")
	default:
		t.add("archived up to", l.Archive.ThroughTime.UTC().Format(stampLayout))
	}
	switch {
	case l.Hub == nil:
		t.add("hub", "none: --hub-url is not set")
	case l.Hub.LagSeconds == nil:
		t.add("hub", "unknown: it has not said yet what it has")
	case *l.Hub.LagSeconds == 0:
		t.add("hub", "has all")
	default:
		t.add("hub", (time.Duration(*l.Hub.LagSeconds)*time.Second).String()+" behind")
	}
}

// sizeInWords is "412Mi of 1Gi, grows 3Mi a day, full on 2027-03-01".
func sizeInWords(s *v1alpha1.LedgerSize) string {
	if s == nil {
		return "unknown"
	}
	text := s.Used.String()
	if s.Limit != nil {
		text += " of " + s.Limit.String()
	}
	if s.GrowthPerDay != nil {
		text += ", grows " + s.GrowthPerDay.String() + " a day"
	}
	if s.LimitTime != nil {
		text += ", full on " + s.LimitTime.UTC().Format(time.DateOnly)
	}
	return text
}
