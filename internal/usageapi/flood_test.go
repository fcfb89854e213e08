package usageapi_test

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	floodSegments = flag.Int("flood.segments", 100_000, "how many segments the ledger of the flood has")
	floodResident = flag.Int64("flood.resident", 0, "how many MiB of resident memory there may be in the flood; 0: any")
	floodSlower   = flag.Int("flood.slower", 0, "how many times slower the victim may be than alone, at p99; 0: any")
	floodTenants  = flag.Int("flood.tenants", 1, "how many tenants flood it, of those that are not the victim")
	floodFor      = flag.Duration("flood.for", 3*time.Second, "how long the flood lasts")
)

// floodLedger is of ten tenants with a hundred resources each, of two dimensions.
func floodLedger(segments int) *timeline.Timeline {
	const tenants, resources, seconds = 10, 100, 30 * 86400
	start := at("2026-10-22T00:00:00Z")
	each := segments / (tenants * resources * 2)
	line := timeline.New()
	line.Begin()
	c := timeline.Commit{Time: committedAt, Meters: []timeline.Meter{{Name: "vm", ResourceType: "vm", Since: start, Dimensions: []usage.Dimension{vcpu, memory}}}}
	for tenant := range tenants {
		for r := range resources {
			s := subject("vm", fmt.Sprint("t", tenant), fmt.Sprint("uid-t", tenant), fmt.Sprint("d", r%20), fmt.Sprintf("machine-%d-%d", tenant, r))
			for _, d := range []usage.Dimension{vcpu, memory} {
				for i := range int64(each) {
					step := int64(seconds / each)
					c.Changes = append(c.Changes, usage.Change{Segment: usage.Segment{
						Meter: "vm", Subject: s, Dimension: d, Level: 1000 + i%7,
						Start: usage.Boundary{At: start + i*step, Evidence: usage.Observed}, End: usage.Boundary{At: start + (i+1)*step, Evidence: usage.Observed},
					}})
				}
			}
		}
	}
	for hour := start; hour < start+seconds; hour += 3600 {
		c.Sealed = append(c.Sealed, usage.Interval(hour, 3600))
	}
	line.Take(c)
	line.Publish()
	return line
}

// floodRate is how many requests a second the flood makes.
const floodRate = 60

// flood has clients of one tenant's service accounts ask for what is largest, on
// connections of their own, and read no more than how the answer begins, until it is to end.
func flood(ctx context.Context, address string, clients int) *sync.WaitGroup {
	var flooding sync.WaitGroup
	limit := rate.NewLimiter(floodRate, floodRate)
	for i := range clients {
		flooding.Go(func() {
			for limit.Wait(ctx) == nil {
				floodOnce(ctx, address, i)
			}
		})
	}
	return &flooding
}

// floodTenant is whose a client is.
func floodTenant(i int) string {
	return []string{"t3", "t5", "t6", "t7", "t8", "t9", "t0", "t1", "t2"}[i%*floodTenants]
}

func floodOnce(ctx context.Context, address string, i int) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	head := fmt.Sprintf("/v1/usage?limit=1000 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer system:serviceaccount:%s:sa-%d\r\n", floodTenant(i), i)
	request := "GET " + head + "\r\n"
	if i%4 == 0 {
		body := `{"window_size":"hour","starting_on":"2026-10-22T00:00:00Z","ending_before":"2026-11-21T00:00:00Z","billable_metrics":[{"id":"vm.vcpu","group_by":{"key":"resource"}}]}`
		request = fmt.Sprintf("POST %sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	_, _ = io.WriteString(conn, request)
	if status, _ := bufio.NewReaderSize(conn, 16).ReadString(' '); status == "" {
		return // it is cut off
	}
	unread, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	<-unread.Done()
}

// victim asks one after the other until it is told to stop, and says how long the answers took, in order.
func victim(t *testing.T, server *httptest.Server, lasts time.Duration) []time.Duration {
	t.Helper()
	var took []time.Duration
	var now clock.RealClock
	for began := now.Now(); now.Since(began) < lasts; {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/usage?project_id=t4&limit=1&from=2026-11-20T00:00:00Z", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer t4")
		asked := now.Now()
		answer, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		took = append(took, now.Since(asked))
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("the victim's answer is %s", answer.Status)
		}
	}
	slices.Sort(took)
	return took
}

func percentile(took []time.Duration, p int) time.Duration { return took[(len(took)-1)*p/100] }

// residentBytes is how much memory the process has had at most, or now.
func residentBytes(t *testing.T, field string) int64 {
	t.Helper()
	file, err := os.Open("/proc/self/status")
	if err != nil {
		t.Skip("no /proc here")
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if rest, is := strings.CutPrefix(lines.Text(), field+":"); is {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("/proc/self/status has no %s", field)
	return 0
}

// processors is how long the processors have worked, for this process, and for all there are.
func processors(t *testing.T) (own, all time.Duration) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		t.Skip("no /proc here")
	}
	for i, field := range strings.Fields(strings.SplitN(string(text), "\n", 2)[0]) {
		if ticks, err := strconv.ParseInt(field, 10, 64); err == nil && i != 4 && i != 5 && i <= 8 { // not idle, not waiting for disks
			all += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), all
}

// others is what share of the processors others had since, in percent.
func others(t *testing.T, began time.Time, ownBefore, allBefore time.Duration) int {
	t.Helper()
	own, all := processors(t)
	of := time.Duration(runtime.NumCPU()) * clock.RealClock{}.Since(began)
	return int(100 * max(0, (all-allBefore)-(own-ownBefore)) / of)
}

// heapPeak watches how large the heap is, with what is garbage, until it is told to stop.
func heapPeak() (stop func() uint64) {
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		most := uint64(0)
		for {
			sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(sample)
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-ticks.C:
			case <-done:
				peak <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(done)
		return <-peak
	}
}

// A tenant floods the API with what is largest and reads nothing; another asks for little. The
// memory that answers take stays within what they may, and the other is answered.
func TestAFloodTakesWhatItMayAndNoMore(t *testing.T) {
	c := &manyNamespaces{namespaces: 10}
	api := c.api(floodLedger(*floodSegments), clock.RealClock{})
	server := serving(t, api)
	runtime.GC()
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // what was most until now is forgotten
	loaded := residentBytes(t, "VmRSS")
	began := clock.RealClock{}.Now()
	own, all := processors(t)
	alone := victim(t, server, *floodFor/3)
	otherAlone := others(t, began, own, all)
	stop := heapPeak()
	ctx, cancel := context.WithTimeout(t.Context(), *floodFor)
	defer cancel()
	flooding := flood(ctx, server.Listener.Addr().String(), 200)
	began = clock.RealClock{}.Now()
	own, all = processors(t)
	beside := victim(t, server, *floodFor)
	otherBeside := others(t, began, own, all)
	most := api.Load()
	cancel()
	flooding.Wait()
	heap, resident := stop(), residentBytes(t, "VmHWM")
	t.Logf("other processes had %d %% of the processors while the victim was alone, %d %% while it was not", otherAlone, otherBeside)
	t.Logf("%d segments: resident %d MiB; in the flood at most %d MiB, heap %d MiB; the victim alone: p50 %s, p99 %s of %d; beside it: p50 %s, p99 %s of %d; at its end %+v",
		*floodSegments, loaded>>20, resident>>20, heap>>20, percentile(alone, 50), percentile(alone, 99), len(alone),
		percentile(beside, 50), percentile(beside, 99), len(beside), most)
	if heap > 384<<20 {
		t.Errorf("the heap had %d MiB: want at most 384", heap>>20)
	}
	if *floodResident > 0 && resident > *floodResident<<20 {
		t.Errorf("it took %d MiB: want at most %d", resident>>20, *floodResident)
	}
	if *floodSlower > 0 && percentile(beside, 99) > time.Duration(*floodSlower)*percentile(alone, 99) {
		t.Errorf("the victim's p99 is %s beside the flood, and %s alone: want at most %d times that", percentile(beside, 99), percentile(alone, 99), *floodSlower)
	}
	// What it asks for itself is beside what the flood may have.
	if most.Admitted > int64(*floodTenants+1)<<24 {
		t.Errorf("%d bytes are admitted of %d tenants and a victim", most.Admitted, *floodTenants)
	}
	until(t, "nothing is held once all have gone", func() bool { return api.Load().Admitted == 0 })
}
