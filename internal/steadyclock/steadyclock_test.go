package steadyclock

import (
	"slices"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// machine is a clock that can be set, and a stopwatch that cannot.
type machine struct {
	clock.RealClock
	mu     sync.Mutex
	now    time.Time
	passed time.Duration
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func (m *machine) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

func (m *machine) Since(time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.passed
}

// pass lets time pass; set sets the clock.
func (m *machine) pass(d time.Duration) { m.now, m.passed = m.now.Add(d), m.passed+d }
func (m *machine) set(by time.Duration) { m.now = m.now.Add(by) }

func TestTimeNeverGoesBack(t *testing.T) {
	type step struct {
		pass, set time.Duration
		want      string // the time then
	}
	cases := map[string]struct {
		steps []step
		jumps []string
	}{
		"time passes": {steps: []step{{pass: time.Second, want: "12:00:01"}, {pass: 2 * time.Hour, want: "14:00:01"}}},
		"a correction is nobody's business": {
			steps: []step{{pass: time.Second, set: -2 * time.Second, want: "12:00:00"}, {pass: time.Second, want: "12:00:00"}, {pass: time.Second, want: "12:00:01"}},
		},
		"set back, it stands still until the clock has caught up": {
			steps: []step{
				{pass: 10 * time.Second, want: "12:00:10"},
				{set: -time.Minute, want: "12:00:10"},
				{pass: 59 * time.Second, want: "12:00:10"},
				{pass: 2 * time.Second, want: "12:00:11"},
			},
			jumps: []string{"12:00:10 -1m0s", "12:00:10 over"},
		},
		"set back further, it is told once": {
			steps: []step{{set: -time.Minute, want: "12:00:00"}, {set: -time.Minute, want: "12:00:00"}, {set: 2 * time.Minute, want: "12:00:00"}},
			jumps: []string{"12:00:00 -1m0s", "11:58:00 2m0s", "12:00:00 over"},
		},
		"set ahead by less than a minute, it follows": {steps: []step{{pass: time.Second, set: time.Minute, want: "12:01:01"}}},
		"set ahead by more, it follows, and that is told": {
			steps: []step{{pass: time.Second, set: time.Hour, want: "13:00:01"}, {pass: time.Second, want: "13:00:02"}},
			jumps: []string{"12:00:01 1h0m0s"},
		},
		"a long time between two looks is no jump": {steps: []step{{pass: 24 * time.Hour, want: "12:00:00"}}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			m := &machine{now: noon}
			var jumps []string
			steady := New(m, func(j Jump) {
				text := j.From.Format(time.TimeOnly) + " "
				if j.Over {
					text += "over"
				} else {
					text += j.By().String()
				}
				jumps = append(jumps, text)
			})
			for i, s := range c.steps {
				m.pass(s.pass)
				m.set(s.set)
				if got := steady.Now().Format(time.TimeOnly); got != s.want {
					t.Errorf("step %d: it is %s, want %s", i+1, got, s.want)
				}
			}
			if !slices.Equal(jumps, c.jumps) {
				t.Errorf("told of %q, want %q", jumps, c.jumps)
			}
		})
	}
}

func TestWhatWasWrittenDownIsNotInTheFuture(t *testing.T) {
	m := &machine{now: noon}
	told := 0
	steady := New(m, func(Jump) { told++ })
	steady.AtLeast(noon.Add(-time.Hour))
	if behind := steady.Behind(); behind != 0 || told != 0 {
		t.Fatalf("behind %s, told %d times: an earlier moment says nothing", behind, told)
	}
	steady.AtLeast(noon.Add(time.Minute))
	if now, behind := steady.Now(), steady.Behind(); !now.Equal(noon.Add(time.Minute)) || behind != time.Minute {
		t.Errorf("it is %s, and the clock %s behind", now, behind)
	}
	m.pass(61 * time.Second)
	if behind := steady.Behind(); behind != 0 {
		t.Errorf("the clock is still %s behind", behind)
	}
	if forward, back := steady.Jumps(); forward != 0 || back != 1 || told != 2 {
		t.Errorf("%d ahead, %d back, told %d times; want 0, 1, 2", forward, back, told)
	}
	if steady.Elapsed() != 61*time.Second {
		t.Errorf("%s have passed, want 61s", steady.Elapsed())
	}
}

// What cannot be undone goes neither by a clock that was set wrong for a moment, nor
// by the time that stands still after that.
func TestWhatIsCertain(t *testing.T) {
	type step struct {
		pass, set time.Duration
		want      string // what is certain then
	}
	day := 24 * time.Hour
	for name, steps := range map[string][]step{
		"time passes":                   {{pass: time.Hour, want: "21 13:00:00"}, {set: time.Minute, want: "21 13:01:00"}},
		"set back, the clock counts":    {{set: -time.Hour, want: "21 11:00:00"}, {pass: 2 * time.Hour, want: "21 13:00:00"}},
		"a leap that lasts is believed": {{set: day, want: "21 12:00:00"}, {pass: 119 * time.Second, want: "21 12:01:59"}, {pass: time.Second, want: "22 12:02:00"}},
		"one that was wrong never is": {
			{pass: time.Minute, want: "21 12:01:00"}, {set: day, want: "21 12:01:00"}, {pass: time.Minute, set: -day, want: "21 12:02:00"},
			{pass: time.Hour, want: "21 13:02:00"}, {pass: 23 * time.Hour, want: "22 12:02:00"},
		},
		"set back too far, the clock counts": {{set: day, want: "21 12:00:00"}, {set: -day - time.Hour, want: "21 11:00:00"}},
		"two leaps are as doubtful as the last": {
			{set: time.Hour, want: "21 12:00:00"}, {pass: time.Minute, set: time.Hour, want: "21 12:01:00"},
			{pass: 119 * time.Second, want: "21 12:02:59"}, {pass: time.Second, want: "21 14:03:00"},
		},
		"a leap after one that is believed": {
			{set: time.Hour, want: "21 12:00:00"}, {pass: time.Hour, want: "21 14:00:00"}, {set: day, want: "21 14:00:00"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := &machine{now: noon}
			steady := New(m, nil)
			for i, s := range steps {
				m.pass(s.pass)
				m.set(s.set)
				if got := steady.Certain().Format("02 15:04:05"); got != s.want {
					t.Errorf("step %d: %s, want %s", i+1, got, s.want)
				}
			}
		})
	}
	m := &machine{now: noon}
	steady := New(m, nil)
	steady.AtLeast(noon.Add(day)) // somebody's clock was set wrong
	if got := steady.Certain(); !got.Equal(noon) {
		t.Errorf("%s is certain, and the clock says %s", got, noon)
	}
}

// The real clock's times carry a stopwatch's reading, by which no jump would be seen.
func TestTheRealClock(t *testing.T) {
	steady := New(clock.RealClock{}, func(j Jump) { t.Errorf("nobody has set the clock: %+v", j) })
	before := steady.Now()
	for range 1000 {
		now := steady.Now()
		if now.Before(before) {
			t.Fatal("time went back")
		}
		before = now
	}
}

func TestManyAskAtOnce(t *testing.T) {
	m := &machine{now: noon}
	steady := New(m, nil)
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			before := steady.Now()
			for range 1000 {
				m.mu.Lock()
				m.now = m.now.Add(time.Duration(i-4) * time.Second)
				m.mu.Unlock()
				now := steady.Now()
				if now.Before(before) {
					t.Error("time went back")
					return
				}
				before = now
			}
		})
	}
	asking.Wait()
}
