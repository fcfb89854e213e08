package simulate

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/usage"
)

var (
	seedsFlag = flag.Int("simulate.seeds", 0, "how many seeds are tried; 0: as many as the budget allows")
	seedFlag  = flag.Uint64("simulate.seed", 0, "the first seed; 0: one that the date gives")
	fullFlag  = flag.Bool("simulate.full", false, "draw also what is known to be wrong")
	logFlag   = flag.Bool("simulate.log", false, "log what happens, and what the operator says")
	stopFlag  = flag.Int("simulate.failures", 1, "after how many failing seeds to stop")
)

// budget is how long go test tries new seeds.
const budget = 40 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	runtime.GOMAXPROCS(1)
	// Collections come between runs, where they change the order of nothing.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(1 << 30)
	os.Exit(m.Run())
}

// result is how a run came out.
type result struct {
	problems []string
	log      []string
	runs     int
	seconds  float64 // of virtual time
}

// simulate lets one script happen, with the chances of the seed.
func simulate(t *testing.T, seed uint64, script []step, verbose bool) (out result) {
	// Backoffs and the times of checks are drawn from the process's own source.
	rand.Seed(int64(seed)) //nolint:staticcheck // there is no other way to seed it
	// What is kept in pools has channels of the bubble before: two collections empty them.
	runtime.GC()
	runtime.GC()
	synctest.Test(t, func(*testing.T) {
		began := time.Now()
		var mu sync.Mutex
		log := func(format string, args ...any) {
			if !verbose {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			out.log = append(out.log, time.Now().UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
		}
		s := &simulation{
			world: newWorld(seed, log), options: drawSettings(seed), verbose: verbose,
			store: &store{blocks: map[journal.Key]journal.Stored{}}, seals: map[usage.Window]journal.Digest{},
		}
		s.live(script)
		out.problems, out.runs, out.seconds = s.problems, s.runs, time.Since(began).Seconds()
	})
	return out
}

// shrink leaves out steps as long as the rest still fails.
func shrink(t *testing.T, seed uint64, script []step) []step {
	deadline := time.Now().Add(2 * time.Minute)
	for size := (len(script) + 1) / 2; size >= 1; {
		shrunk := false
		for from := 0; from < len(script) && time.Now().Before(deadline); {
			rest := append(append([]step{}, script[:from]...), script[min(from+size, len(script)):]...)
			if len(simulate(t, seed, rest, false).problems) > 0 {
				script, shrunk = rest, true
				continue
			}
			from += size
		}
		if size > 1 {
			size = (size + 1) / 2
		} else if !shrunk {
			break
		}
		if time.Now().After(deadline) {
			break
		}
	}
	return script
}

// try runs a seed, and tells everything about one that fails.
func try(t *testing.T, seed uint64) (failed bool, out result) {
	script := draw(seed, *fullFlag)
	out = simulate(t, seed, script, *logFlag)
	if len(out.problems) == 0 {
		if *logFlag {
			t.Log(strings.Join(out.log, "\n"))
		}
		return false, out
	}
	least := shrink(t, seed, script)
	again := simulate(t, seed, least, true)
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d fails. Again: make simulate SEEDS=1 SEED=%d\n%+v\n", seed, seed, drawSettings(seed))
	fmt.Fprintf(&b, "with all %d steps:\n  %s\n", len(script), strings.Join(first(out.problems, 8), "\n  "))
	fmt.Fprintf(&b, "with these %d steps alone:\n", len(least))
	for _, s := range least {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	fmt.Fprintf(&b, "differences:\n  %s\n", strings.Join(first(again.problems, 8), "\n  "))
	fmt.Fprintf(&b, "what happened:\n  %s\n", strings.Join(again.log, "\n  "))
	t.Error(b.String())
	return true, out
}

func first(list []string, n int) []string {
	if len(list) > n {
		return append(append([]string{}, list[:n]...), fmt.Sprintf("and %d more", len(list)-n))
	}
	return list
}

// TestCorpus runs the seeds that failed once.
func TestCorpus(t *testing.T) {
	file, err := os.Open("corpus.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		try(t, seed)
	}
}

// TestSeeds runs new seeds.
func TestSeeds(t *testing.T) {
	began := time.Now()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(began.UnixNano()) / 1000 % 1_000_000_000 * 1000
	}
	tried, failures, seconds, runs := 0, 0, 0.0, 0
	for ; *seedsFlag == 0 && time.Since(began) < budget || tried < *seedsFlag; seed++ {
		failed, out := try(t, seed)
		tried++
		seconds += out.seconds
		runs += out.runs
		if failed {
			if failures++; failures >= *stopFlag {
				break
			}
		}
	}
	took := time.Since(began)
	t.Logf("%d seeds up to %d, %d of them failed: %.1f hours of %d operators in %s, %s for each seed", tried, seed-1, failures,
		seconds/3600, runs, took.Round(time.Second), (took / time.Duration(max(tried, 1))).Round(time.Millisecond))
}
