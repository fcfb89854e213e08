package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usage-operator/usage-operator/test/bench/cluster"
)

const (
	churnObjects    = 20_000
	churnPerSecond  = 100
	churnLasts      = 10 * time.Minute
	churnQuickLasts = time.Minute
	// churnAtOnce is how many writes may be under way; when that many are, the next one is late.
	churnAtOnce = 64
	// churnSettles is how long what was written last may take to arrive everywhere.
	churnSettles = 30 * time.Second
	// churnRefresh is the default of --live-refresh, in seconds.
	churnRefresh = 300
)

// benchmarkChurn changes objects at a steady rate. The operator and a bare watch of the same objects follow at the same
// time, each in a process of its own.
func benchmarkChurn(ctx context.Context, s *settings) (_ []Figure, err error) {
	objects, lasts := churnObjects, churnLasts
	if s.quick {
		objects, lasts = objects/10, churnQuickLasts
	}
	p, err := newPlane(ctx, s, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	c := &churning{plane: p, instances: objects / vmsAreOneIn, pods: objects - objects/vmsAreOneIn}
	if err := p.populate(ctx, c.instances, c.pods); err != nil {
		return nil, err
	}
	return c.run(ctx, lasts)
}

// churning is a cluster whose objects change.
type churning struct {
	*plane
	instances, pods int
}

// write is a change that was made.
type write struct {
	meter    string
	revision uint64
	answered int64 // nanoseconds since the epoch
}

func (c *churning) run(ctx context.Context, lasts time.Duration) ([]Figure, error) {
	ours, err := c.startFollower(ctx, sideOperate, c.Kubeconfig(), strconv.Itoa(churnRefresh))
	if err != nil {
		return nil, fmt.Errorf("ours: %w", err)
	}
	defer ours.end()
	peer, err := c.startFollower(ctx, sideFollow, c.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("the peer: %w", err)
	}
	defer peer.end()
	if err := c.quiet(ctx); err != nil {
		return nil, err
	}
	ours.say(saidStart)
	peer.say(saidStart)
	start := time.Now()
	writes, err := c.write(ctx, lasts)
	lasted := time.Since(start)
	if err != nil {
		return nil, err
	}
	time.Sleep(churnSettles)
	ours.say(saidStop)
	peer.say(saidStop)
	var followedOurs, followedPeer followed
	if err := errors.Join(ours.hear(&followedOurs), peer.hear(&followedPeer)); err != nil {
		return nil, err
	}
	took := [2][]float64{} // ours, and the peer's
	for i, side := range []followed{followedOurs, followedPeer} {
		if took[i], err = latencies(writes, side.Seen); err != nil {
			return nil, fmt.Errorf("%s: %w", []string{"ours", "the peer"}[i], err)
		}
	}
	per := 1e6 / float64(len(writes))
	work := fmt.Sprintf("%s VMs and pods, %d changes a second for %s", quantity(float64(c.instances+c.pods)), churnPerSecond, lasts)
	cpu := newFigure(work, "microseconds of CPU a change", []float64{followedOurs.CPUSeconds * per}, []float64{followedPeer.CPUSeconds * per}).
		against("a watch that decodes the same events").ratioAtMost(1.5)
	p99 := newFigure(work+": p99 from etcd's answer to the ledger", "milliseconds", []float64{at(took[0], 0.99)}, []float64{at(took[1], 0.99)}).
		against("to the end of a bare watch").atMost(1000)
	cpu.Notes = map[string]float64{"changes": float64(len(writes)), "changesPerSecond": float64(len(writes)) / lasted.Seconds(), "peerEvents": float64(followedPeer.Events)}
	p99.Notes = map[string]float64{}
	for name, quantile := range map[string]float64{"P50": 0.5, "P90": 0.9, "P999": 0.999, "Max": 1} {
		p99.Notes["our"+name], p99.Notes["peer"+name] = at(took[0], quantile), at(took[1], quantile)
	}
	c.tell.say("%.0f and %.0f us of CPU a change, %.1f changes/s; p50 %.1f and %.1f ms, p99 %.1f and %.1f ms, at most %.1f and %.1f ms",
		cpu.Ours, cpu.Peer, float64(len(writes))/lasted.Seconds(), at(took[0], 0.5), at(took[1], 0.5), p99.Ours, p99.Peer, at(took[0], 1), at(took[1], 1))
	return []Figure{cpu, p99}, nil
}

// quiet waits until the operator has written what there is to write of the beginning: until etcd's revision stays.
func (c *churning) quiet(ctx context.Context) error {
	defer c.tell.during("waiting until nothing is written", nil)()
	const calm, few = 5 * time.Second, 20 // leases and positions are written all the time
	before := uint64(0)
	for ctx.Err() == nil {
		status, err := c.etcd.status(ctx)
		if err != nil {
			return err
		}
		if before > 0 && status.Header.Revision-before <= few {
			return nil
		}
		before = status.Header.Revision
		time.Sleep(calm)
	}
	return ctx.Err()
}

// write changes objects at the rate: half are machines that get more or less memory, half are pods that get a label.
// The changes go straight to etcd, as another API server's do: this one would use one and a half cores to patch a
// hundred virtual machines a second, and what is measured would wait for that.
func (c *churning) write(ctx context.Context, lasts time.Duration) ([]write, error) {
	random := rand.New(rand.NewPCG(1, 8))
	var mu sync.Mutex
	var writes []write
	var failed atomic.Pointer[error]
	done := c.tell.during("changing objects", func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%d of %d", len(writes), int(lasts.Seconds()*churnPerSecond))
	})
	defer done()
	under := make(chan struct{}, churnAtOnce)
	group := sync.WaitGroup{}
	defer group.Wait()
	start := time.Now()
	for n := range int(lasts.Seconds() * churnPerSecond) {
		due := start.Add(time.Duration(n) * time.Second / churnPerSecond)
		time.Sleep(time.Until(due))
		if err := failed.Load(); err != nil {
			return nil, *err
		}
		under <- struct{}{}
		i := random.IntN(min(c.instances, c.pods))
		group.Go(func() {
			defer func() { <-under }()
			w, err := c.change(ctx, n, i)
			if err != nil {
				failed.Store(&err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			writes = append(writes, w)
		})
	}
	group.Wait()
	return writes, nil
}

func (c *churning) change(ctx context.Context, n, i int) (write, error) {
	w := write{meter: "container"}
	if n%2 == 0 {
		w.meter = "vm"
	}
	key, value := cluster.Changed(i, n, time.Now(), n%2 == 0)
	var err error
	w.revision, err = c.etcd.change(ctx, key, value)
	w.answered = time.Now().UnixNano()
	return w, err
}

// latencies are how long each write took to arrive once it was answered, in milliseconds, in order. One that
// was there before the answer took no time.
func latencies(writes []write, seen map[string][]seenAt) ([]float64, error) {
	took := make([]float64, 0, len(writes))
	for _, w := range writes {
		steps := seen[w.meter]
		at, _ := slices.BinarySearchFunc(steps, w.revision, func(s seenAt, revision uint64) int {
			if s.Revision < revision {
				return -1
			}
			return 1
		})
		if at == len(steps) {
			return nil, fmt.Errorf("the change at revision %d never came: meter %s has come to %s", w.revision, w.meter, lastOf(steps))
		}
		took = append(took, max(0, float64(steps[at].At-w.answered)/1e6))
	}
	slices.Sort(took)
	return took, nil
}

func lastOf(steps []seenAt) string {
	if len(steps) == 0 {
		return "no revision"
	}
	last := steps[len(steps)-1]
	return fmt.Sprintf("%d at %s", last.Revision, time.Unix(0, last.At).Format(time.TimeOnly))
}

// at is a quantile of values in order.
func at(sorted []float64, quantile float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(quantile*float64(len(sorted))))]
}

// follower is a child that follows changes.
type follower struct {
	child *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Scanner
}

// startFollower returns when the child is ready.
func (c *churning) startFollower(ctx context.Context, args ...string) (*follower, error) {
	defer c.tell.during(args[0]+": starting", nil)()
	return startChild(ctx, args...)
}

// startChild returns when the child says that it is ready.
func startChild(ctx context.Context, args ...string) (*follower, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	child := exec.CommandContext(ctx, self, append([]string{childCommand}, args...)...)
	child.Stderr = os.Stderr
	f := &follower{child: child}
	if f.in, err = child.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := child.StdoutPipe()
	if err != nil {
		return nil, err
	}
	f.out = bufio.NewScanner(out)
	f.out.Buffer(nil, 64<<20)
	if err := child.Start(); err != nil {
		return nil, err
	}
	if !f.out.Scan() || f.out.Text() != saidReady {
		f.end()
		return nil, errors.New("it has ended before it was ready")
	}
	return f, nil
}

func (f *follower) say(line string) { fmt.Fprintln(f.in, line) }

func (f *follower) hear(told *followed) error {
	if !f.out.Scan() {
		return errors.New("it has ended before it told what it used")
	}
	return json.Unmarshal(f.out.Bytes(), told)
}

func (f *follower) end() {
	_ = f.child.Process.Kill()
	_ = f.child.Wait()
}
