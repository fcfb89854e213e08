// Package witness keeps every Final record that anybody can ever have seen, and notices when one changes.
package witness

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
)

// Witness watches UsageRecords of all namespaces.
type Witness struct {
	cluster client.WithWatch

	mu     sync.Mutex
	finals map[types.NamespacedName]final
	wrong  []string
}

type final struct {
	content string
	record  v1alpha1.UsageRecord
}

// New is a witness of what the client can read.
func New(cluster client.WithWatch) *Witness {
	return &Witness{cluster: cluster, finals: map[types.NamespacedName]final{}}
}

// Watch looks on until ctx is done. When the API server goes away it comes back with it.
func (w *Witness) Watch(ctx context.Context) {
	_ = wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		w.watchOnce(ctx)
		return false, nil
	})
}

func (w *Witness) watchOnce(ctx context.Context) {
	list := &v1alpha1.UsageRecordList{}
	if err := w.cluster.List(ctx, list); err != nil {
		return
	}
	for i := range list.Items {
		w.see(&list.Items[i])
	}
	from := &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}}
	events, err := w.cluster.Watch(ctx, &v1alpha1.UsageRecordList{}, from)
	if err != nil {
		return
	}
	defer events.Stop()
	for event := range events.ResultChan() {
		if r, ok := event.Object.(*v1alpha1.UsageRecord); ok && event.Type != watch.Deleted {
			w.see(r)
		}
	}
}

// see notes a record as it is now.
func (w *Witness) see(r *v1alpha1.UsageRecord) {
	name := client.ObjectKeyFromObject(r)
	w.mu.Lock()
	defer w.mu.Unlock()
	before, was := w.finals[name]
	if was && before.record.ResourceVersion == r.ResourceVersion {
		return // listed again
	}
	if r.Status.Phase != v1alpha1.PhaseFinal {
		if was && before.record.Spec.NamespaceUID == r.Spec.NamespaceUID {
			w.wrong = append(w.wrong, fmt.Sprintf("record %s was Final, and is %s", name, r.Status.Phase))
		}
		return
	}
	content, err := json.Marshal(map[string]any{"spec": r.Spec, "status": r.Status})
	if err != nil {
		w.wrong = append(w.wrong, err.Error())
		return
	}
	if was && before.content != string(content) {
		w.wrong = append(w.wrong, fmt.Sprintf("the Final record %s was\n%s\nand is\n%s", name, before.content, content))
	}
	w.finals[name] = final{content: string(content), record: *r.DeepCopy()}
}

// Wrong are the records that changed after they had been Final.
func (w *Witness) Wrong() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.wrong)
}

// Finals are all Final records that there have been, of those namespaces' usage.
func (w *Witness) Finals(namespaces ...string) []v1alpha1.UsageRecord {
	w.mu.Lock()
	defer w.mu.Unlock()
	var records []v1alpha1.UsageRecord
	for _, f := range w.finals {
		if slices.Contains(namespaces, f.record.Spec.Namespace) {
			records = append(records, f.record)
		}
	}
	slices.SortFunc(records, func(a, b v1alpha1.UsageRecord) int {
		if c := a.Spec.StartTime.Compare(b.Spec.StartTime.Time); c != 0 {
			return c
		}
		return int(a.Spec.Part.Index - b.Spec.Part.Index)
	})
	return records
}

// Forget lets the witness begin anew: the records of its namespaces were taken away with the operator that wrote them.
func (w *Witness) Forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.finals)
	w.wrong = nil
}
