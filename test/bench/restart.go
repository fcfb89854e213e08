package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/test/buildcache"
)

const (
	restartResources = 100_000
	// restartRounds is enough, and each takes minutes.
	restartRounds = 3
	// readyPatience is how long a start may take.
	readyPatience = 15 * time.Minute
	// warmUps is how often the first list is tried.
	warmUps = 10
	// lateKind is how many seconds after it is ready a kind may say that its watch is up to date.
	lateKind = 30
)

// benchmarkRestart kills the operator and starts it again, until it is ready to meter: the journal is loaded, and every
// kind was compared with it. The peer lists the same objects, and does nothing with them.
func benchmarkRestart(ctx context.Context, s *settings) (_ []Figure, err error) {
	resources := s.restarted
	if s.quick {
		resources /= 10
	}
	p, err := newPlane(ctx, s, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	r := &restarting{plane: p, instances: resources / vmsAreOneIn, pods: resources - resources/vmsAreOneIn}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	var ours, peer []restarted
	sides := []struct {
		name string
		run  func(context.Context) (restarted, error)
		runs *[]restarted
	}{{"ours", r.restart, &ours}, {"peer", r.list, &peer}}
	rounds := min(s.rounds, restartRounds)
	for round := range rounds {
		for i := range sides {
			side := &sides[(i+round)%len(sides)] // neither is always the first
			at, err := side.run(ctx)
			if err != nil {
				return nil, err
			}
			*side.runs = append(*side.runs, at)
			s.tell.say("round %d of %d: %s: %.1f s (%.1f s of CPU) %s", round+1, rounds, side.name, at.Seconds, at.CPUSeconds, at.details())
		}
	}
	return r.figures(resources, ours, peer), nil
}

// restarting is a cluster that stays as it is, and an operator that comes and goes.
type restarting struct {
	*plane
	instances, pods int
	operator        string // the program
	journal         journalSize
}

// restarted is what one start, or one list, took.
type restarted struct {
	Seconds    float64
	CPUSeconds float64
	// Metered is when the objects that are metered were listed; the rest is what owns them. The peer's.
	Metered float64
	// Loaded is when the journal had been read. Ours.
	Loaded float64
	// Kinds are how the kinds got over the gap. Ours.
	Kinds []string
}

func (r restarted) details() string {
	if r.Loaded > 0 {
		return fmt.Sprintf("the journal was loaded after %.1f s; %s", r.Loaded, strings.Join(r.Kinds, " "))
	}
	return fmt.Sprintf("what is metered after %.1f s", r.Metered)
}

// journalSize is what there is to load.
type journalSize struct{ blocks, bytes, rows float64 }

// prepare builds the operator, and has it meter everything for the first time.
func (r *restarting) prepare(ctx context.Context) error {
	if err := r.populate(ctx, r.instances, r.pods); err != nil {
		return err
	}
	checkout, err := buildcache.Checkout()
	if err != nil {
		return err
	}
	r.operator = filepath.Join(r.Dir(), "usage-operator")
	built := buildcache.Program{Label: "usage-operator", Module: checkout, Package: "."}
	if err := built.Build(ctx, r.operator, os.Stderr); err != nil {
		return err
	}
	// Whatever is cold gets warm. What was put straight into etcd comes to the API
	// server's caches late: until then it does not list it.
	for tries := 0; ; tries++ {
		if _, err := r.list(ctx); err == nil {
			break
		} else if tries == warmUps {
			return err
		}
	}
	first, err := r.restart(ctx)
	if err != nil {
		return err
	}
	r.tell.say("the first start, with nothing in the journal: %.1f s (%.1f s of CPU)", first.Seconds, first.CPUSeconds)
	blocks := &v1alpha1.UsageBlockList{}
	if err := r.admin.List(ctx, blocks, client.InNamespace(operatorNamespace)); err != nil {
		return err
	}
	for i := range blocks.Items {
		spec := &blocks.Items[i].Spec
		r.journal.blocks++
		r.journal.bytes += float64(len(spec.Segments))
		r.journal.rows += float64(spec.Rows)
	}
	return nil
}

// list has the peer list everything once.
func (r *restarting) list(ctx context.Context) (restarted, error) {
	defer r.tell.during("peer: listing", nil)()
	self, err := os.Executable()
	if err != nil {
		return restarted{}, err
	}
	child := exec.CommandContext(ctx, self, childCommand, sideList, r.Kubeconfig())
	child.Stderr = os.Stderr
	start := time.Now()
	out, err := child.Output()
	took := time.Since(start)
	if err != nil {
		return restarted{}, fmt.Errorf("the peer: %w", err)
	}
	var listed struct {
		Metered float64
		Objects map[string]int
	}
	if err := json.Unmarshal(out, &listed); err != nil {
		return restarted{}, err
	}
	if listed.Objects["pods"] != r.pods || listed.Objects["virtualmachineinstances"] != r.instances {
		return restarted{}, fmt.Errorf("the peer has listed %v: want %d pods and %d instances", listed.Objects, r.pods, r.instances)
	}
	return restarted{Seconds: took.Seconds(), CPUSeconds: cpuOf(child.ProcessState), Metered: listed.Metered}, nil
}

func cpuOf(ended *os.ProcessState) float64 {
	return (ended.UserTime() + ended.SystemTime()).Seconds()
}

// restart starts the operator, waits until it is ready, and until the journal has what it knows, and kills it.
func (r *restarting) restart(ctx context.Context) (_ restarted, err error) {
	defer r.tell.during("ours: starting", nil)()
	address, err := freeAddress()
	if err != nil {
		return restarted{}, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return restarted{}, err
	}
	defer out.Close()
	child := exec.CommandContext(ctx, r.operator, "--kubeconfig="+r.Kubeconfig(), "--namespace="+operatorNamespace,
		"--leader-elect=false", "--live-refresh=0", "--metrics-bind-address=0", "--usage-api-bind-address=0", "--health-probe-bind-address="+address)
	child.Stdout, child.Stderr = in, in
	start := time.Now()
	if err := child.Start(); err != nil {
		return restarted{}, errors.Join(err, in.Close())
	}
	log := newOperatorLog(out, start)
	dead := make(chan error, 1)
	go func() { dead <- child.Wait() }()
	defer func() { // the log ends when nobody holds the pipe
		_ = child.Process.Signal(syscall.SIGKILL)
		<-dead
		err = errors.Join(err, in.Close())
		log.read.Wait()
	}()
	var at restarted
	err = wait.PollUntilContextTimeout(ctx, 20*time.Millisecond, readyPatience, true, func(ctx context.Context) (bool, error) {
		select {
		case err := <-dead:
			dead <- err
			return false, fmt.Errorf("the operator has ended: %w\n%s", err, log.text())
		default:
			return isReady(ctx, address), nil
		}
	})
	at.Seconds = time.Since(start).Seconds()
	if err != nil {
		return at, err
	}
	at.CPUSeconds, err = cpuOfRunning(child.Process.Pid)
	if err != nil {
		return at, err
	}
	ready := time.Now()
	if err := r.committed(ctx, ready); err != nil {
		return at, fmt.Errorf("wait until the journal is written: %w\n%s", err, log.text())
	}
	var last float64
	at.Loaded, last, at.Kinds = log.found()
	if last > at.Seconds+lateKind {
		return at, fmt.Errorf("it said that it was ready after %.1f s, and a kind went on after %.1f s", at.Seconds, last)
	}
	return at, nil
}

// committed waits until a block was written since the moment, so that the next start goes on close to it.
func (r *restarting) committed(ctx context.Context, since time.Time) error {
	const settled = 3 * time.Second
	return wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		blocks := &metav1.PartialObjectMetadataList{}
		blocks.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("UsageBlockList"))
		if err := r.admin.List(ctx, blocks, client.InNamespace(operatorNamespace)); err != nil {
			return false, err
		}
		for i := range blocks.Items {
			if blocks.Items[i].CreationTimestamp.After(since.Add(settled)) {
				return true, nil
			}
		}
		return false, nil
	})
}

func (r *restarting) figures(resources int, ours, peer []restarted) []Figure {
	of := func(runs []restarted, value func(restarted) float64) []float64 {
		values := make([]float64, len(runs))
		for i := range runs {
			values[i] = value(runs[i])
		}
		return values
	}
	seconds := func(r restarted) float64 { return r.Seconds }
	cpu := func(r restarted) float64 { return r.CPUSeconds }
	loaded := of(ours, func(r restarted) float64 { return r.Loaded })
	metered := of(peer, func(r restarted) float64 { return r.Metered })
	work := quantity(float64(resources)) + " pods and VMs, four to one: kill -9, to ready to meter"
	const against = "a bare list of the same objects and of what owns them"
	wall := newFigure(work, "seconds", of(ours, seconds), of(peer, seconds)).against(against).ratioAtMost(1.3)
	wall.Notes = map[string]float64{
		"journalBlocks": r.journal.blocks, "journalBytes": r.journal.bytes, "journalRows": r.journal.rows,
		"peerWithoutOwners": median(metered),
	}
	return []Figure{
		wall,
		newFigure(work, "seconds of CPU", of(ours, cpu), of(peer, cpu)).against(against),
		newFigure(work+": until the journal is loaded", "seconds", loaded, nil),
		newFigure(work+", to the peer without owners", "seconds", of(ours, seconds), metered).against("a bare list of what is metered alone"),
	}
}

// operatorLog is what the operator says, and when it said the first of what matters.
type operatorLog struct {
	read   sync.WaitGroup
	mu     sync.Mutex
	lines  []string
	loaded float64
	last   float64 // when the last kind went on
	kinds  []string
}

func newOperatorLog(from io.Reader, start time.Time) *operatorLog {
	l := &operatorLog{}
	l.read.Go(func() {
		for lines := bufio.NewScanner(from); lines.Scan(); {
			var entry struct{ Msg, Kind, How string }
			_ = json.Unmarshal(lines.Bytes(), &entry) // what is no JSON is kept all the same
			l.mu.Lock()
			l.lines = append(l.lines, lines.Text())
			switch entry.Msg {
			case "took up the journal":
				l.loaded = time.Since(start).Seconds()
			case "went on where it was":
				l.last = time.Since(start).Seconds()
				l.kinds = append(l.kinds, fmt.Sprintf("%s=%s@%.1fs", entry.Kind, entry.How, time.Since(start).Seconds()))
			}
			l.mu.Unlock()
		}
	})
	return l
}

func (l *operatorLog) found() (loaded, last float64, kinds []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loaded, l.last, l.kinds
}

func (l *operatorLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines[max(0, len(l.lines)-20):], "\n")
}

func isReady(ctx context.Context, address string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// freeAddress is one that nobody listens at now.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// cpuOfRunning is what another process has used of CPUs, in seconds.
func cpuOfRunning(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Behind the program's name, which may have anything in it.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system, perSecond = 11, 12, 100
	var ticks [2]float64
	for i, at := range []int{user, system} {
		if _, err := fmt.Sscan(fields[at], &ticks[i]); err != nil {
			return 0, err
		}
	}
	return (ticks[0] + ticks[1]) / perSecond, nil
}
