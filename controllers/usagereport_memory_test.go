package controllers

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/report"
	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var hostileSegments = flag.Int("reports.segments", 60_000, "how many segments hostile reports are made of; 1000000 is the full size, with all reports")

const (
	fullSize = 1_000_000
	// reportsMemory is what a tenant's reports may take of the heap beside the ledger, whatever they
	// ask and however many they are: what is kept, what is being added up, and the garbage of that.
	reportsMemory = 400 << 20
	// residentMemory is what may be resident, of the whole process, at full size.
	residentMemory = 512 << 20
)

// TestHostileReportsHaveBoundedMemory makes reports of everything that a namespace
// has, by all that tells it apart, and has them go on over two seals: some that ask
// for more groups than may be, some that ask for nearly as many as may be, and those
// of a schedule.
//
//	go test ./controllers -run HostileReports -v -args -reports.segments=1000000
func TestHostileReportsHaveBoundedMemory(t *testing.T) {
	answers := hostileLedger(*hostileSegments)
	runtime.GC()
	loaded := heap()
	r := &UsageReportReconciler{Answers: answers, Budget: NewReportBudget(64 << 20), Interval: 3600, tallies: newTallies(maxKept)}
	by := []v1alpha1.GroupKey{"instance", "container", "resource", "deployment"}
	end := answers.Snapshot().Sealed()
	var windows []v1alpha1.ReportWindow
	hours := func(first, hours int64) {
		start, end := metav1.Unix(end-(first+hours)*3600, 0), metav1.Unix(end-first*3600, 0)
		windows = append(windows, v1alpha1.ReportWindow{StartingOn: &start, EndingBefore: &end, ReportShape: v1alpha1.ReportShape{
			WindowSize: "hour", Limit: 1000, Zeros: v1alpha1.ZerosFill, GroupBy: by,
		}})
	}
	large, scheduled := 2, 4
	if *hostileSegments >= fullSize {
		large, scheduled = 40, 98
	}
	perHour := *hostileSegments / 48
	for range large {
		hours(0, 48)
		hours(0, int64((maxGroups-1000)/perHour))
	}
	for n := range scheduled {
		hours(int64(n%48), 1)
	}
	outcomes, peak := map[string]int{}, int64(0)
	for seal := range int64(2) {
		for n := range windows {
			window := &windows[n]
			s := namespaced(&v1alpha1.UsageReport{ObjectMeta: metav1.ObjectMeta{Namespace: "red", Name: fmt.Sprint(n)}, Spec: v1alpha1.UsageReportSpec{ReportWindow: *window}})
			request := report.Request{Window: window, Namespaces: []timeline.NamespaceRef{{Name: "red", UID: "uid-red"}}}
			resolved, err := report.Resolve(request, end+seal)
			if err == nil {
				_, err = r.reckon(s, resolved)
			}
			switch refused := report.Refused(err); {
			case refused != nil:
				outcomes[refused.Reason]++
			case err != nil:
				t.Fatal(err)
			default:
				outcomes[v1alpha1.ReasonReported]++
			}
			peak = max(peak, heap())
		}
	}
	t.Logf("%d segments: heap of %d MiB loaded, %d MiB at most with %d reports made twice: %v",
		answers.Snapshot().Segments(), loaded>>20, peak>>20, len(windows), outcomes)
	if peak-loaded > reportsMemory {
		t.Errorf("reports took %d MiB, and may take %d", (peak-loaded)>>20, reportsMemory>>20)
	}
	if outcomes[v1alpha1.ReasonTooManyGroups] != 2*large || outcomes[v1alpha1.ReasonReported] != 2*(large+scheduled) {
		t.Errorf("got %v", outcomes)
	}
	if *hostileSegments < fullSize {
		return
	}
	most := resident(t)
	t.Logf("%d MiB were resident at most", most>>20)
	if most > residentMemory {
		t.Errorf("%d MiB were resident, and %d may be", most>>20, residentMemory>>20)
	}
}

// heap is how much memory the heap has of the system, in bytes.
func heap() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapSys - stats.HeapReleased)
}

// hostileLedger has so many segments of one namespace, over two days: pods that last
// an hour, each of one container with two dimensions.
func hostileLedger(segments int) *Answers {
	answers := NewAnswers()
	answers.Begin()
	const hours = 48
	began := usage.Interval(time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC).Unix(), 3600)
	dimensions := []usage.Dimension{{Name: "cpu", Unit: usage.Core}, {Name: "memory", Unit: usage.Byte}}
	for n, w := range hoursFrom(began, hours) {
		batch := &journal.Batch{Time: w.End, Seals: []journal.Seal{{Interval: w}}}
		if n == 0 {
			batch.Meters = []journal.Meter{{Name: "container", ResourceType: "container", Since: w.Start, Dimensions: dimensions}}
		}
		for i := range segments / hours / len(dimensions) {
			object := usage.Object{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("job-%d-%d", n, i), UID: fmt.Sprintf("%08d-0000-4000-8000-%012d", n, i)}
			subject := &usage.Subject{ResourceType: "container", Resource: object, Instance: object, Container: "main",
				Account: usage.Account{Namespace: "red", NamespaceUID: "uid-red", Deployment: fmt.Sprint("d-", i%100)}}
			for _, dimension := range dimensions {
				batch.Changes = append(batch.Changes, usage.Change{Segment: usage.Segment{
					Meter: "container", Subject: subject, Dimension: dimension, Level: 1000,
					Start: usage.Boundary{At: w.Start, Evidence: usage.Observed}, End: usage.Boundary{At: w.End, Evidence: usage.Observed},
				}})
			}
		}
		answers.Committed(batch)
		answers.Current()
	}
	return answers
}

func hoursFrom(w usage.Window, n int) []usage.Window {
	list := make([]usage.Window, n)
	for i := range list {
		list[i], w = w, w.Next()
	}
	return list
}

// resident is how much of this process was in memory at most, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if value, is := strings.CutPrefix(line, "VmHWM:"); is {
			kibi, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kibi << 10
		}
	}
	t.Fatal("the kernel does not tell how much was resident")
	return 0
}
