// Package growth has replicas of the operator live through a batch cluster's days, each in a
// process of its own with a limit of memory, and tells what every day costs: pods of CronJobs
// that last three minutes, with two containers of two dimensions each, go through the ledger,
// the journal with the real encoder, its compaction and the timeline. Blocks are files, as
// they are not in the operator's memory either.
package growth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"
)

// Cluster is what happens, and what a replica may take.
type Cluster struct {
	PerHour int   // pods
	Hours   int64 // it goes on for
	Kept    int64 // for how many hours the ledger keeps what ended: --record-retention
	Limit   int64 // of a replica's memory, in bytes
	// Starts is after how many days another replica is started; the last day counts in any case.
	Starts int
	// Live has children collect garbage each day to tell what is left, which takes CPU.
	Live bool
	// Profiles is where heap profiles go; "": nowhere.
	Profiles string
}

// Figures are what a replica says of itself.
type Figures struct {
	ResidentMiB, PeakMiB, HeapMiB                              float64
	JournalMiB, ScratchMiB                                     float64
	Segments                                                   int
	AppendSeconds, PublishSeconds, CompactSeconds, SealSeconds float64 // of CPU, in a day
	ReportMillis                                               float64 // of CPU: a new one of the last hour
	HeldMillis                                                 float64 // of computing: packing has the ledger for so long at once, at most
	StartSeconds, StartCPU                                     float64
	Failed                                                     string `json:",omitempty"`
}

// Day is one of the days, at its end.
type Day struct {
	Day           int
	Lead, Standby Figures
	Start         *Figures // nil: none was started
}

// Command makes a process of which Child is called with these arguments.
type Command func(ctx context.Context, args ...string) *exec.Cmd

// Run lets days pass in a folder that is empty, and tells each. A replica that has more resident
// than the limit is killed, and that is the error.
func Run(ctx context.Context, folder string, c *Cluster, command Command, each func(*Day)) (err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start := func(side string) (*process, error) { return begin(ctx, side, folder, c, command) }
	leader, err := start(lead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leader.end()) }()
	follower, err := start(standby)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, follower.end()) }()
	for now := int64(began); now < began+c.Hours*hour; {
		led, err := leader.hear()
		if err != nil {
			return err
		}
		now = led.Now
		followed, err := follower.ask(now) // a standby is at most seconds behind
		if err != nil {
			return err
		}
		if led.Day > 0 {
			d := &Day{Day: led.Day, Lead: led.Figures, Standby: followed.Figures}
			if c.Starts > 0 && led.Day%c.Starts == 0 || now == began+c.Hours*hour {
				if d.Start, err = once(start, now); err != nil {
					return err
				}
			}
			each(d)
		}
		if err := leader.say(now); err != nil {
			return err
		}
	}
	return nil
}

// once starts a replica, and ends it when it has read everything.
func once(start func(string) (*process, error), now int64) (f *Figures, err error) {
	p, err := start(restart)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	t, err := p.ask(now)
	return &t.Figures, err
}

// process is a child.
type process struct {
	side   string
	limit  int64
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	ended  chan struct{} // closed to end watching
	killed atomic.Pointer[LimitError]
}

// LimitError says that a replica took more memory than it may.
type LimitError struct {
	Side        string
	MiB, Limits float64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the %s had %.0f MiB resident, and may have %.0f", e.Side, e.MiB, e.Limits)
}

func begin(ctx context.Context, side, folder string, c *Cluster, command Command) (*process, error) {
	of, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	p := &process{side: side, limit: c.Limit, cmd: command(ctx, side, folder, string(of)), ended: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = json.NewDecoder(out)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.watch()
	return p, nil
}

// watchedEach is how often it is looked how much memory a child has: a cgroup would be exact, and
// cannot be made everywhere. What it had at most is compared whenever it says something.
const watchedEach = 10 * time.Millisecond

// watch kills a child that has too much memory.
func (p *process) watch() {
	for ticker := time.NewTicker(watchedEach); ; {
		select {
		case <-p.ended:
			ticker.Stop()
			return
		case <-ticker.C:
			p.check(residentMiB(strconv.Itoa(p.cmd.Process.Pid)))
		}
	}
}

func (p *process) check(took float64) {
	if limit := mebi(p.limit); took > limit && p.killed.CompareAndSwap(nil, &LimitError{Side: p.side, MiB: took, Limits: limit}) {
		_ = p.cmd.Process.Kill()
	}
}

// hear waits for what a child says.
func (p *process) hear() (t told, err error) {
	err = p.out.Decode(&t)
	p.check(t.PeakMiB)
	if over := p.killed.Load(); over != nil {
		return t, over
	}
	if err != nil {
		err = fmt.Errorf("the %s: %w", p.side, err)
	}
	return t, err
}

func (p *process) say(moment int64) error {
	_, err := fmt.Fprintln(p.in, moment)
	return err
}

func (p *process) ask(moment int64) (told, error) {
	if err := p.say(moment); err != nil {
		if over := p.killed.Load(); over != nil {
			return told{}, over
		}
		return told{}, err
	}
	return p.hear()
}

// end lets a child end.
func (p *process) end() error {
	close(p.ended)
	err := errors.Join(p.in.Close(), p.cmd.Wait())
	if p.killed.Load() != nil {
		return nil // that is said already
	}
	return err
}
