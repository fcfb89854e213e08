package account

import (
	"context"
	"encoding/json"
	"errors"
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
	killed, killed, killed, killedCatchingUp, killedCatchingUp, stopped, apiServerKilled, apiServerStopped, etcdKilled, compacted, compactedMeanwhile, apiServerMeanwhile, killedTwice,
}

const (
	killed             = "the operator is killed"
	killedCatchingUp   = "the operator is killed, and again while it catches up"
	killedTwice        = "the operator is killed, comes back, and is killed a while later"
	stopped            = "the operator is stopped (SIGSTOP)"
	apiServerKilled    = "the API server is killed"
	apiServerStopped   = "the API server is stopped (SIGSTOP)"
	etcdKilled         = "etcd is killed"
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
		case apiServerKilled, apiServerStopped, etcdKilled:
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
		if err := errors.Join(w.perform(ctx, f), w.mend(ctx)); err != nil {
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
		return w.without(ctx, controlplane.APIServer, f.pause)
	case etcdKilled:
		return w.without(ctx, controlplane.Etcd, f.pause)
	case apiServerStopped:
		if err := w.cp.Signal(controlplane.APIServer, syscall.SIGSTOP); err != nil {
			return err
		}
		pause(ctx, f.pause)
		return w.cp.Signal(controlplane.APIServer, syscall.SIGCONT)
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
		if err := w.without(ctx, controlplane.APIServer, 0); err != nil {
			return err
		}
	case apiServerMeanwhile:
		if err := w.without(ctx, controlplane.APIServer, 0); err != nil {
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

// without kills a component, and starts it again after a while.
func (w *wrecker) without(ctx context.Context, component string, length time.Duration) error {
	if err := w.cp.Kill(component); err != nil {
		return err
	}
	pause(ctx, length)
	return w.cp.StartComponent(context.WithoutCancel(ctx), component)
}

// mend starts what has ended because of a fault, as a kubelet does.
func (w *wrecker) mend(ctx context.Context) error {
	var failed []error
	for _, name := range w.cp.Components() {
		if !w.cp.Running(name) {
			failed = append(failed, w.cp.StartComponent(context.WithoutCancel(ctx), name))
		}
	}
	return errors.Join(failed...)
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
