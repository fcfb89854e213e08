package growth

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The sides that a child can be.
const (
	lead    = "lead"    // takes in what happens, and writes the journal
	standby = "standby" // follows the journal
	restart = "start"   // reads what is there
)

// told is what a child says: after each minute, and of a day that is over what it took.
type told struct {
	Now int64 // where it is, in seconds since the epoch
	Day int   // that is over; 0: none
	Figures
}

// Child is one of the processes: its arguments are those after ChildCommand. It takes a line
// from in for each minute that it may go on.
func Child(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("this is not to be called by hand")
	}
	of := &Cluster{}
	if err := json.Unmarshal([]byte(args[2]), of); err != nil {
		return err
	}
	debug.SetMemoryLimit(of.Limit * 9 / 10) // as the operator does
	r, err := newReplica(args[1], of)
	if err != nil {
		return err
	}
	c := &child{replica: r, side: args[0], in: bufio.NewScanner(in), out: json.NewEncoder(out)}
	switch args[0] {
	case lead:
		return c.lead(ctx)
	case standby:
		return c.follow(ctx)
	case restart:
		return c.start(ctx)
	}
	return fmt.Errorf("there is no side %q", args[0])
}

type child struct {
	*replica
	side string
	in   *bufio.Scanner
	out  *json.Encoder
}

// next waits for a line, which may be a moment.
func (c *child) next() (moment int64, more bool) {
	if !c.in.Scan() {
		return 0, false
	}
	moment, _ = strconv.ParseInt(c.in.Text(), 10, 64)
	return moment, true
}

// lead lives through minutes, and tells each.
func (c *child) lead(ctx context.Context) error {
	if _, err := c.journal.Load(ctx); err != nil {
		return err
	}
	for c.now < began+c.of.Hours*hour {
		if err := c.pass(ctx, c.seals()); err != nil {
			return err
		}
		t := told{Now: c.now}
		if past := c.now - began; past%day == 0 || past == c.of.Hours*hour {
			t.Day = int((past + day - 1) / day)
			if err := c.figures(&t.Figures); err != nil {
				return err
			}
			c.costs = costs{}
		}
		if err := c.out.Encode(t); err != nil {
			return err
		}
		if _, more := c.next(); !more {
			return nil
		}
	}
	return nil
}

// follow follows the journal up to each moment that it is given, and tells what it takes.
func (c *child) follow(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.looks = make(chan error)
	first := true
	for {
		moment, more := c.next()
		if !more {
			return nil
		}
		c.now = moment
		c.clock.SetTime(time.Unix(moment, 0))
		if first {
			go func() { _ = c.journal.Follow(ctx) }()
			first = false
		}
		if err := <-c.looks; err != nil {
			return err
		}
		for !c.clock.HasWaiters() { // until it waits for the clock
			runtime.Gosched()
		}
		t := told{Now: moment}
		c.memory(&t.Figures)
		if err := c.out.Encode(t); err != nil {
			return err
		}
	}
}

// start reads the journal, and tells what that takes.
func (c *child) start(ctx context.Context) error {
	moment, _ := c.next()
	c.now = moment
	c.clock.SetTime(time.Unix(moment, 0))
	t := told{Now: moment}
	began := time.Now()
	t.StartCPU = took(func() {
		state, err := c.journal.Load(ctx)
		if err != nil {
			t.Failed = err.Error()
			return
		}
		c.line.Current()
		c.restore(state)
	}).Seconds()
	t.StartSeconds = time.Since(began).Seconds()
	if t.Failed != "" {
		return errors.New(t.Failed)
	}
	if err := c.figures(&t.Figures); err != nil {
		return err
	}
	return c.out.Encode(t)
}

// figures are those of a day.
func (c *child) figures(f *Figures) error {
	report, err := c.report()
	if err != nil {
		return err
	}
	f.ReportMillis = report.Seconds() * 1000
	f.AppendSeconds, f.PublishSeconds, f.CompactSeconds, f.SealSeconds = c.append.Seconds(), c.publish.Seconds(), c.compact.Seconds(), c.costs.seal.Seconds()
	f.HeldMillis = c.held.Seconds() * 1000
	f.Segments, f.ScratchMiB, f.JournalMiB = c.line.Snapshot().Segments(), mebi(c.scratch.Bytes()), mebi(c.journal.Size().Bytes)
	c.memory(f)
	return nil
}

// memory is what the process has now, and had at most.
func (c *child) memory(f *Figures) {
	f.PeakMiB = peakMiB("self")
	f.ResidentMiB = residentMiB("self")
	if past := c.now - began; !c.of.Live || past%day != 0 && past != c.of.Hours*hour {
		return
	}
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	f.HeapMiB = mebi(int64(stats.HeapAlloc))
	runtime.KeepAlive(c.replica)
	if c.of.Profiles != "" {
		c.profile(filepath.Join(c.of.Profiles, fmt.Sprintf("%s-%d.heap", c.side, (c.now-began)/day)))
	}
}

func (c *child) profile(path string) {
	f, err := os.Create(path)
	if err == nil {
		err = errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func mebi(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// residentMiB is what a process has resident, in MiB, without the pages of its program.
func residentMiB(pid string) float64 { return status(pid, "RssAnon") }

// peakMiB is what a process had resident at most, in MiB, without the pages of its program.
func peakMiB(pid string) float64 { return status(pid, "VmHWM") - status(pid, "RssFile") }

// status is a field of /proc/PID/status, in MiB; 0: there is none.
func status(pid, field string) float64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			kilobytes, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kilobytes / 1024
		}
	}
	return 0
}

// threadTime is how long the thread has computed, which is the caller's own: what else runs on the
// machine, and the garbage collector beside, does not count.
func threadTime() time.Duration { return usedBy(1) } // RUSAGE_THREAD

// cpuTime is what this process has used of CPUs.
func cpuTime() time.Duration { return usedBy(syscall.RUSAGE_SELF) }

func usedBy(whom int) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(whom, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
