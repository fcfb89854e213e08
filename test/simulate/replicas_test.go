package simulate

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/controllers"
	"github.com/usage-operator/usage-operator/internal/journal"
)

// replicas are the operators that do not lead, or should not.
type replicas struct {
	standby   *standby
	former    []*operator // they do not know yet that another leads
	contested time.Time   // until then a leader may find that another has written
}

// standby follows the journal all along, and leads never.
type standby struct {
	answers *controllers.Answers
	cancel  context.CancelFunc
	ended   chan struct{}
}

// stand starts the standby.
func (s *simulation) stand() {
	ctx, cancel := context.WithCancel(context.Background())
	b := &standby{answers: controllers.NewAnswers(), cancel: cancel, ended: make(chan struct{})}
	j := journal.New(journal.Options{
		Store: &handle{store: s.store}, Writer: "standby", Cluster: "cluster", Clock: clock.RealClock{},
		Follower: &follower{Answers: b.answers, simulation: s}, Retention: s.options.schedule.Retention, InPortions: true,
	})
	go func() {
		defer close(b.ended)
		if err := j.Follow(ctx); err != nil && ctx.Err() == nil {
			s.problem("the standby ended: %v", err)
		}
	}()
	s.standby = b
}

// lead lets a second operator lead while the first one does not know: it was stopped
// for longer than its Lease, and goes on.
func (s *simulation) lead(r *rand.Rand) {
	if s.operator == nil {
		return
	}
	former := s.operator
	s.operator, s.former = nil, append(s.former, former)
	s.contested = time.Now().Add(90 * time.Second)
	s.start()
	s.in(between(r, 1_000, 40_000), former.kill)
	for second := range 90 { // what is fenced ends, and is started again
		s.in(time.Duration(second+1)*time.Second, func() {
			if s.operator == nil {
				return
			}
			select {
			case <-s.operator.ended:
				s.operator = nil
				s.start()
			default:
			}
		})
	}
}

// fenced tells whether a leader ended because of another, as it should.
func (s *simulation) fenced(err error) bool {
	return errors.Is(err, journal.ErrFenced) && time.Now().Before(s.contested)
}

func (s *simulation) endReplicas() {
	for _, o := range s.former {
		o.kill()
	}
	if s.standby != nil {
		s.standby.cancel()
		<-s.standby.ended
	}
}

// killAndReschedule lets the operator come back with another interval.
func (s *simulation) killAndReschedule(r *rand.Rand) {
	s.end()
	s.in(between(r, 1_000, 60_000), func() {
		if s.operator == nil {
			s.options.schedule.Interval = []int64{30, 60, 90, 120}[r.IntN(4)]
			s.log("  the interval is %d s now", s.options.schedule.Interval)
		}
		s.start()
	})
}

// killAndStateLate lets widgets say, while the operator is away and after it, that
// they ended some time ago: in an interval that may be sealed.
func (s *simulation) killAndStateLate(r *rand.Rand) {
	s.end()
	away := between(r, 500, 20_000)
	s.in(away, s.start)
	for range 1 + r.IntN(3) {
		choice, ago := r.Uint64(), between(r, 1_000, 70_000)
		s.in(away+between(r, -400, 30_000), func() {
			ended := time.Now().Add(-ago)
			o := one(s.find(widgets, func(o *object) bool {
				return !o.idle && o.ended.IsZero() && o.created.Before(ended) && o.ran.Before(ended) && s.first.Before(ended)
			}), choice)
			if o != nil {
				o.ended = ended
				s.write(o, "controller")
			}
		})
	}
}
