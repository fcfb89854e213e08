package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/collector"
	"github.com/usage-operator/usage-operator/internal/journal"
	"github.com/usage-operator/usage-operator/internal/meter"
	"github.com/usage-operator/usage-operator/internal/steadyclock"
	"github.com/usage-operator/usage-operator/internal/usage"
	"github.com/usage-operator/usage-operator/test/simulate/apiserver"
)

// metered are the meters that are applied, and the kinds that they read.
type metered struct {
	meter *meter.Meter
	kind  apiserver.Kind
}

// meters are the built-in ones of containers and volumes, and one of widgets.
var meters = []metered{
	{builtIn("container"), pods},
	{builtIn("volume"), claims},
	{widgetMeters[0], widgets},
}

func builtIn(name string) *meter.Meter {
	text, err := os.ReadFile("../../config/meters/" + name + ".yaml")
	if err != nil {
		panic(err)
	}
	m := &v1alpha1.UsageMeter{}
	if err := yaml.UnmarshalStrict(text, m); err != nil {
		panic(err)
	}
	return compiled(name, &m.Spec)
}

func compiled(name string, spec *v1alpha1.UsageMeterSpec) *meter.Meter {
	m, err := meter.Compile(name, spec, true)
	if err != nil {
		panic(err)
	}
	return m
}

// operator is one run of the operator, from its start until it is killed.
type operator struct {
	collector *collector.Collector
	answers   *controllers.Answers
	handle    *handle
	cancel    context.CancelFunc
	ended     chan struct{} // closed when nothing of it runs any more
}

// kill ends the operator: what it had not written is lost.
func (o *operator) kill() {
	o.handle.kill()
	o.cancel()
	<-o.ended
}

// simulation is a world, and the operator that meters it.
type simulation struct {
	*world
	options  settings
	store    *store
	operator *operator // that leads; nil: none does
	replicas
	runs     int
	first    time.Time          // when the operator ran first
	mu       sync.Mutex         // of what the operator's goroutines read and add to:
	metering map[string]applied // by the meters' names
	seals    map[usage.Window]journal.Digest
	problems []string
	extent   extent // as it was last compared
	verbose  bool
	full     bool // nothing is excused
}

// settings are those of the operator, as they are drawn.
type settings struct {
	schedule   controllers.Schedule
	checkEvery time.Duration
	packs      bool // what is gone, at once
}

func drawSettings(seed uint64) settings {
	r := rand.New(rand.NewPCG(seed, 3))
	return settings{
		schedule: controllers.Schedule{
			Interval: int64(interval.Seconds()), Flush: 1 + r.Int64N(5), SealTimeout: 10 + r.Int64N(60), Retention: 3600,
		},
		checkEvery: []time.Duration{0, 0, time.Minute, 3 * time.Minute}[r.IntN(4)],
		packs:      seed%2 == 1,
	}
}

func (s *simulation) problem(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.problems = append(s.problems, fmt.Sprintf(format, args...))
}

// start starts the operator, if none runs.
func (s *simulation) start() {
	if s.operator != nil {
		return
	}
	s.runs++
	s.log("the operator starts, for the %d. time", s.runs)
	if s.first.IsZero() {
		s.first = time.Now()
		s.truth.first = s.first
		s.forget()
		s.stand()
	}
	ctx, cancel := context.WithCancel(context.Background())
	log := logr.Discard()
	if s.verbose {
		log = funcr.New(func(prefix, args string) { s.log("  %s: %s", prefix, args) }, funcr.Options{Verbosity: 1})
	}
	steady := steadyclock.New(clock.RealClock{}, nil)
	o := &operator{answers: controllers.NewAnswers(), handle: &handle{store: s.store}, cancel: cancel, ended: make(chan struct{})}
	o.collector = collector.New(collector.Options{
		Dynamic: s.server.Dynamic(), Metadata: s.server.Metadata(), Mapper: s.server.Mapper(), Clock: steady,
		Namespace: "kube-system", CheckEvery: s.options.checkEvery, Retention: s.options.schedule.Retention, PackAtOnce: s.options.packs,
		Log: log.WithName("collector"),
	})
	keeper := &controllers.Keeper{
		Collector: o.collector, Clock: steady, Schedule: s.options.schedule, Sealed: controllers.NewSealed(), Health: &controllers.Health{Log: log.WithName("health")},
		Log: log.WithName("keeper"), TakeUp: func(context.Context) error { return s.takeUp(o.collector) },
		Journal: journal.New(journal.Options{
			Store: o.handle, Writer: fmt.Sprintf("run-%d", s.runs), Cluster: "cluster", Clock: steady, Log: log.WithName("journal"),
			Follower: &follower{Answers: o.answers, simulation: s}, Retention: s.options.schedule.Retention, InPortions: true,
		}),
	}
	go func() {
		defer close(o.ended)
		if err := keeper.Start(ctx); err != nil && ctx.Err() == nil && !s.fenced(err) {
			s.problem("the keeper ended: %v", err)
		}
	}()
	s.operator = o
}

// takeUp applies the meters, as the controller of UsageMeters does.
func (s *simulation) takeUp(c *collector.Collector) error {
	for i := range meters {
		if err := s.apply(c, &meters[i]); err != nil {
			return err
		}
	}
	return nil
}

// end kills the operator: what it had not written is lost.
func (s *simulation) end() {
	if s.operator != nil {
		s.operator.kill()
		s.operator = nil
	}
}

// follower is the timeline, and remembers what was sealed.
type follower struct {
	*controllers.Answers
	simulation *simulation
}

func (f *follower) Committed(batch *journal.Batch) {
	for _, seal := range batch.Seals {
		if now := time.Now().Unix(); now < seal.Interval.End {
			f.simulation.problem("interval %s is sealed %d s before it is over", clockTime(seal.Interval.Start), seal.Interval.End-now)
		}
		if before := f.simulation.sealed(seal); before != seal.Digest {
			f.simulation.problem("the digest of interval %s was %s, and is %s", clockTime(seal.Interval.Start), before, seal.Digest)
		}
	}
	f.Answers.Committed(batch)
}

// sealed remembers a seal, and returns the digest that its interval had first.
func (s *simulation) sealed(seal journal.Seal) journal.Digest {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before, known := s.seals[seal.Interval]; known {
		return before
	}
	s.seals[seal.Interval] = seal.Digest
	return seal.Digest
}

// What goes wrong.

func (s *simulation) kill(r *rand.Rand) {
	s.end()
	s.in(between(r, 1_000, 90_000), s.start)
}

func (s *simulation) killAndCompact(r *rand.Rand) {
	s.end()
	away := between(r, 1_000, 90_000)
	s.in(away/2, func() {
		s.server.Compact()
		s.server.Forget()
	})
	s.in(away, s.start)
}

func (s *simulation) killAndForgetKind(r *rand.Rand) {
	s.end()
	k, away := s.anyKind(r), between(r, 1_000, 90_000)
	s.log("  %s is forgotten", k.Resource)
	s.in(time.Duration(r.Int64N(int64(away))), func() {
		s.server.Compact()
		s.server.ForgetKind(k)
	})
	s.in(away, s.start)
	if r.IntN(3) == 0 { // and once more, while it catches up
		again := away + between(r, 1, 3_000)
		s.in(again, s.end)
		s.in(again+between(r, 1_000, 20_000), s.start)
	}
}

func (s *simulation) killAgain(r *rand.Rand) {
	s.end()
	away := between(r, 1_000, 60_000)
	s.in(away, s.start)
	again := away + between(r, 1, 3_000)
	s.in(again, s.end)
	s.in(again+between(r, 1_000, 20_000), s.start)
}

func (s *simulation) restartServer(r *rand.Rand) { s.server.Restart(between(r, 300, 20_000)) }

func (s *simulation) anyKind(r *rand.Rand) apiserver.Kind { return kinds[r.IntN(len(kinds)-1)] }

func (s *simulation) lag(r *rand.Rand) {
	k := s.anyKind(r)
	s.log("  %s lags", k.Resource)
	s.server.Hold(k, between(r, 1_000, 15_000))
}

func (s *simulation) lagLong(r *rand.Rand) {
	k := s.anyKind(r)
	s.log("  %s lags", k.Resource)
	s.server.Hold(k, between(r, 20_000, 150_000))
}

func (s *simulation) away(r *rand.Rand)     { s.server.Away(between(r, 500, 40_000)) }
func (s *simulation) throttle(r *rand.Rand) { s.server.Throttle(between(r, 500, 30_000)) }
func (s *simulation) slow(r *rand.Rand)     { s.server.Slow(between(r, 500, 30_000)) }

func (s *simulation) cut(r *rand.Rand) {
	k := s.anyKind(r)
	err := []error{nil, errCut, errGone}[r.IntN(3)]
	s.log("  %s: %v", k.Resource, err)
	s.server.Cut(k, err)
}

func (s *simulation) loseAnswer(*rand.Rand) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.lose++
}

// renew renews a Lease from time to time, as the components of a control plane do.
func (s *simulation) renew(lease *object, every time.Duration, done <-chan struct{}) {
	s.in(every, func() {
		select {
		case <-done:
		default:
			lease.written["creator"] = s.asked()
			s.write(lease, "creator")
			s.renew(lease, every, done)
		}
	})
}

// live lets the script happen, and waits until everything has been seen and sealed.
func (s *simulation) live(script []step) {
	began := time.Now()
	done := make(chan struct{})
	system := s.find(namespaces, func(o *object) bool { return o.name == "kube-system" })[0]
	for name, every := range []time.Duration{2_000_100_003, 2_003_007_011, 10_000_003_007} {
		s.renew(s.create(&object{kind: leases, namespace: system, name: fmt.Sprint("component", name)}), every, done)
	}
	for _, at := range script {
		s.in(at.at+time.Duration(at.seed%1000), func() {
			s.log("%s", at)
			r := rand.New(rand.NewPCG(at.seed, 4))
			if c, is := changes[at.what]; is {
				c.do(s.world, r)
				return
			}
			fault(at.what).do(s, r)
		})
	}
	s.in(beginning, s.start)
	last := beginning
	if n := len(script); n > 0 {
		last = max(last, script[n-1].at)
	}
	s.until(began.Add(last + quiet)) // longer than any fault
	s.start()
	wanted := usage.Interval(time.Now().Unix(), s.options.schedule.Interval).End
	for range 300 {
		s.until(time.Now().Add(time.Second))
		if s.operator.answers.Snapshot().Sealed() >= wanted {
			break
		}
	}
	s.until(time.Now().Add(20 * time.Second))
	close(done)
	s.check(wanted)
	s.end()
	s.endReplicas()
	s.agenda = slices.Delete(s.agenda, 0, len(s.agenda))
}

const (
	// quiet is longer than any fault, and what follows of it.
	quiet = 170 * time.Second
	// tolerance is how far a boundary without slack may be from the truth: moments
	// are cut off to seconds, by two clocks.
	tolerance = time.Second
	// settle is for how long what is unattributed counts as its first deployment's.
	settle = 12 * time.Second
)
