package controllers

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usagemetrics"
)

// UsageMetrics are what is shown of usage as metrics.
type UsageMetrics struct {
	// Series is how many series each of them may have, beside those of what is left over.
	Series int
	// ByDeployment has a series for each deployment.
	ByDeployment bool
	// Namespaces selects those that have series of their own; nil: all.
	Namespaces labels.Selector
}

// selectTimeout bounds how long a scrape waits for the namespaces that are selected.
const selectTimeout = 2 * time.Second

// newUsageMetrics shows what the ledger says while this replica leads.
func newUsageMetrics(mgr ctrl.Manager, answers *Answers, o *Options) *usagemetrics.Collector {
	log := mgr.GetLogger().WithName("usage-metrics")
	shown := usagemetrics.Options{
		Namespace: o.Namespace, Series: o.UsageMetrics.Series, ByDeployment: o.UsageMetrics.ByDeployment,
		Failed: func(err error) { log.Error(err, "cannot read which namespaces are selected; showing those that were") },
		Snapshot: func() *timeline.Snapshot {
			select {
			case <-mgr.Elected():
			default:
				return nil
			}
			if !answers.Loaded() {
				return nil
			}
			return answers.Snapshot()
		},
	}
	if selector := o.UsageMetrics.Namespaces; selector != nil {
		shown.Selected = func() (map[string]bool, error) {
			ctx, cancel := context.WithTimeout(context.Background(), selectTimeout)
			defer cancel()
			refs, err := namespacesNow(ctx, mgr.GetClient(), selector)
			selected := make(map[string]bool, len(refs))
			for i := range refs {
				selected[refs[i].Name] = true
			}
			return selected, err
		}
	}
	return usagemetrics.New(shown)
}
