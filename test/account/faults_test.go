package account

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/usage-operator/usage-operator/test/controlplane"
)

// fault is one thing that goes wrong.
type fault struct {
	after time.Duration // since the fault before was over
	name  string
	pause time.Duration // how long it is
	brief time.Duration // of those that do something twice: in between
	which int           // of the replicas
}

func (f fault) String() string {
	return fmt.Sprintf("%s, %s, replica %d", f.name, f.pause.Round(time.Millisecond), f.which)
}

// faultNames are drawn as often as they are here.
var faultNames = []string{
	killed, killed, killed, killedCatchingUp, killedCatchingUp, stopped, apiServerKilled, compacted, compactedMeanwhile, apiServerMeanwhile, killedTwice,
}

const (
	killed             = "the operator is killed"
	killedCatchingUp   = "the operator is killed, and again while it catches up"
	killedTwice        = "the operator is killed, comes back, and is killed a while later"
	stopped            = "the operator is stopped (SIGSTOP)"
	apiServerKilled    = "the API server is killed"
	compacted          = "etcd is compacted"
	compactedMeanwhile = "the operator is killed, and the history is gone when it comes back"
	apiServerMeanwhile = "the operator is killed, and the API server is restarted meanwhile"
)

// drawFaults draws faults for so long, each of 1 to 90 s.
func drawFaults(seed uint64, length time.Duration, replicas int) []fault {
	d := newDice(seed, 2)
	var all []fault
	for sum := 10 * time.Second; sum < length; {
		longest := min(90*time.Second, length/3)
		f := fault{
			after: time.Duration(d.between(5, 25)) * time.Second,
			name:  faultNames[d.IntN(len(faultNames))],
			pause: time.Duration(math.Exp(d.Float64()*math.Log(longest.Seconds())) * float64(time.Second)),
			brief: time.Duration(d.between(300, 5000)) * time.Millisecond,
			which: d.IntN(replicas),
		}
		switch f.name {
		case stopped:
			f.pause /= 2
		case apiServerKilled:
			f.pause /= 8
		}
		if len(all) == 0 {
			f.after /= 2
		}
		all = append(all, f)
		sum += f.after + f.pause + 5*time.Second
	}
	return all
}

// wrecker does the faults.
type wrecker struct {
	cp       *controlplane.ControlPlane
	replicas []*replica
	done     atomic.Int64
	log      func(format string, args ...any)
}

func (w *wrecker) play(ctx context.Context, faults []fault) {
	for _, f := range faults {
		pause(ctx, f.after)
		if ctx.Err() != nil {
			break
		}
		w.log("FAULT: %s", f)
		if err := w.perform(ctx, f); err != nil {
			w.log("FAULT: %s: %v", f.name, err)
			continue
		}
		w.done.Add(1)
		w.log("FAULT over: %s", f.name)
	}
	for _, r := range w.replicas {
		r.signal(syscall.SIGCONT)
	}
}

func (w *wrecker) perform(ctx context.Context, f fault) error {
	r := w.replicas[f.which]
	switch f.name {
	case apiServerKilled:
		return w.withoutAPIServer(ctx, f.pause)
	case compacted:
		return w.compact(ctx)
	case stopped:
		r.signal(syscall.SIGSTOP)
		pause(ctx, f.pause)
		r.signal(syscall.SIGCONT)
		return nil
	}
	r.kill()
	pause(ctx, f.pause)
	switch f.name {
	case compactedMeanwhile:
		if err := w.compact(ctx); err != nil {
			return err
		}
		if err := w.withoutAPIServer(ctx, 0); err != nil {
			return err
		}
	case apiServerMeanwhile:
		if err := w.withoutAPIServer(ctx, 0); err != nil {
			return err
		}
	case killedCatchingUp, killedTwice:
		if err := r.start(); err != nil {
			return err
		}
		if f.name == killedTwice {
			pause(ctx, 4*f.brief)
		}
		pause(ctx, f.brief)
		r.kill()
		pause(ctx, f.brief)
	}
	return r.start()
}

// withoutAPIServer kills the API server, and starts it again after a while. What works
// through it comes back by itself, or is started again.
func (w *wrecker) withoutAPIServer(ctx context.Context, length time.Duration) error {
	if err := w.cp.Kill(controlplane.APIServer); err != nil {
		return err
	}
	pause(ctx, length)
	if err := w.cp.StartComponent(context.WithoutCancel(ctx), controlplane.APIServer); err != nil {
		return err
	}
	for _, name := range w.cp.Components() {
		if !w.cp.Running(name) {
			if err := w.cp.StartComponent(context.WithoutCancel(ctx), name); err != nil {
				return err
			}
		}
	}
	return nil
}

// compact takes away what etcd knows of the past, up to now.
func (w *wrecker) compact(ctx context.Context) error {
	text, err := w.cp.Etcdctl(ctx, "endpoint", "status", "-w", "json")
	if err != nil {
		return err
	}
	var status []struct {
		Status struct{ Header struct{ Revision int64 } }
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		return err
	}
	_, err = w.cp.Etcdctl(ctx, "compact", fmt.Sprint(status[0].Status.Header.Revision))
	return err
}
