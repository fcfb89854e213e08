package controllers

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// listed are the meters that there are.
type listed []v1alpha1.UsageMeter

func (l listed) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	list.(*v1alpha1.UsageMeterList).Items = l
	return nil
}

func (listed) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	return nil
}

// An API server that has just started does not serve custom resources yet. What a former run metered
// of one is waited for, for half a minute; what it did not meter holds nothing up.
func TestAKindThatWasMeteredAndIsNotServedYet(t *testing.T) {
	kind := schema.GroupVersionKind{Group: "example.com", Version: "v1", Kind: "Widget"}
	m := v1alpha1.UsageMeter{ObjectMeta: metav1.ObjectMeta{Name: "widget", UID: "u", Generation: 1}}
	m.Spec.Target = v1alpha1.TargetReference{Group: kind.Group, Kind: kind.Kind}
	m.Spec.ResourceType = "widget"
	m.Spec.Dimensions = []v1alpha1.Dimension{{Name: "size", Unit: "count", Quantity: "1"}}
	state := &journal.State{Sequence: 1, Time: 1_800_000_000, Meters: []journal.Meter{{
		Name: "widget", Version: "u/1", ResourceType: "widget", Group: kind.Group, Kind: kind.Kind, Since: 1_700_000_000, Listed: true,
		Dimensions: []usage.Dimension{{Name: "size", Unit: usage.Count}},
	}}}
	for name, c := range map[string]struct {
		state       *journal.State
		served      int // after how many looks; 0: never
		looks       int
		stillWaits  bool
		resumesThen bool
	}{
		"never metered":   {state: &journal.State{}, looks: 1},
		"served at once":  {state: state, served: 1, looks: 1},
		"served later":    {state: state, served: 8, looks: 8},
		"not served yet":  {state: state, looks: unservedFor - 1, stillWaits: true, resumesThen: true},
		"is uninstalled":  {state: state, looks: unservedFor, resumesThen: true},
		"served too late": {state: state, served: unservedFor, looks: unservedFor},
	} {
		t.Run(name, func(t *testing.T) {
			mapper := meta.NewDefaultRESTMapper([]schema.GroupVersion{kind.GroupVersion()})
			config := &rest.Config{Host: "http://127.0.0.1:1"} // feeds begin once the collector is started, which it is not
			whole, err := dynamic.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			partial, err := metadata.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			clock := testclock.NewFakeClock(time.Unix(1_800_000_100, 0))
			r := &UsageMeterReconciler{Mapper: mapper, Collector: collector.New(collector.Options{Dynamic: whole, Metadata: partial, Clock: clock, Mapper: mapper, Log: logr.Discard()})}
			if err := r.Collector.Prepare(t.Context(), c.state); err != nil {
				t.Fatal(err)
			}
			takeUp := r.TakeUp(listed{m})
			for look := 1; look <= c.looks; look++ {
				if look == c.served {
					mapper.Add(kind, meta.RESTScopeNamespace)
				}
				if err = takeUp(t.Context()); look < c.looks && (err == nil || !strings.Contains(err.Error(), "UsageMeter widget")) {
					t.Fatalf("look %d: %v, want an error that names the meter", look, err)
				}
			}
			if (err != nil) != c.stillWaits || r.Collector.Resumes("widget", kind.GroupKind()) != c.resumesThen {
				t.Errorf("after %d looks: %v, and it is still to be resumed: %v; want an error: %v, and %v", c.looks, err, r.Collector.Resumes("widget", kind.GroupKind()), c.stillWaits, c.resumesThen)
			}
		})
	}
}
