package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/memory"
)

// Memory watches over what this replica holds in memory, whether it leads or not,
// and tells ahead of time that its limit will be reached: once when that is
// foreseen, and once when it is not any more. It is safe for concurrent use.
type Memory struct {
	Log   logr.Logger
	Clock clock.WithTicker
	Limit memory.Limit
	// Announce makes an Event, once this replica leads; nil: none is made.
	Announce func(announcement)
	// Elected is closed once this replica leads; nil: it never does.
	Elected <-chan struct{}
	// Segments is how many segments the history has.
	Segments func() int
	// OnDisk is how many bytes of it lie in a folder instead of in memory.
	OnDisk func() int64

	read func() memory.Reading // nil: the runtime's

	mu        sync.Mutex
	trend     memory.Trend
	reading   memory.Reading
	forecast  memory.Forecast
	near      string    // what people should know; empty: there is room
	said      time.Time // when that was made up
	announced bool      // by an Event
}

const (
	// lookEvery is how often it is looked at what is held.
	lookEvery = time.Minute
	// foreseenFor is how long before the limit is reached people are told.
	foreseenFor = 3 * 24 * time.Hour
	// roomFor is how long it has to last for that to be over.
	roomFor = foreseenFor * 3 / 2
	// nearlyFull and roomAgain are which part of the limit is held when people are
	// told whatever is foreseen, and when that is over.
	nearlyFull, roomAgain = 0.9, 0.85
	// saidFor is how long what people are told stays as it is, so that conditions are
	// not written for each sample.
	saidFor = 6 * time.Hour
	// enoughFor is for how long the limit lasts that people are told to set.
	enoughFor = 30 * 24 * time.Hour
)

// NeedLeaderElection says that it is for every replica.
func (*Memory) NeedLeaderElection() bool { return false }

// Start looks every now and then, until ctx is done.
func (m *Memory) Start(ctx context.Context) error {
	ticker := m.Clock.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		m.look()
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C():
		}
	}
}

// look takes a sample, and tells what is to be told.
func (m *Memory) look() {
	read := m.read
	if read == nil {
		read = memory.Read
	}
	now, reading, segments := m.Clock.Now(), read(), m.Segments()
	m.mu.Lock()
	m.reading = reading
	if m.trend.Add(now.Unix(), reading.Held) {
		m.forecast = m.trend.Forecast(m.Limit.Bytes)
	}
	was, is := m.near != "", m.isNear(now)
	switch {
	case !is:
		m.near = ""
	case !was || now.Sub(m.said) >= saidFor:
		m.near, m.said = m.remedy(segments), now
	}
	announces := m.leads() && is != m.announced
	if announces {
		m.announced = is
	}
	said := announcement{kind: corev1.EventTypeWarning, reason: "MemoryNearLimit", action: useMemory, note: m.near}
	m.mu.Unlock()
	if !is {
		said = announcement{
			kind: corev1.EventTypeNormal, reason: "MemoryWithinLimit", action: useMemory,
			note: "The memory limit is not about to be reached any more.",
		}
	}
	if is != was {
		m.Log.Info(said.note, "held", reading.Held, "limit", m.Limit.Bytes)
	}
	if announces && m.Announce != nil {
		m.Announce(said)
	}
}

const useMemory = "HoldHistory"

func (m *Memory) leads() bool {
	select {
	case <-m.Elected:
		return true
	default:
		return false
	}
}

// isNear tells whether people should know. Called under the lock.
func (m *Memory) isNear(now time.Time) bool {
	if m.Limit.Bytes == 0 {
		return false
	}
	ahead, part := foreseenFor, nearlyFull
	if m.near != "" {
		ahead, part = roomFor, roomAgain
	}
	at := m.forecast.Reached
	return at > 0 && at < now.Add(ahead).Unix() || float64(m.reading.Held) >= part*float64(m.Limit.Bytes)
}

// remedy is what people should know, and do. Called under the lock.
func (m *Memory) remedy(segments int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "memory: %s of the limit of %s are held", mebibytes(m.reading.Held), mebibytes(m.Limit.Bytes))
	if m.forecast.Growth > 0 {
		fmt.Fprintf(&b, ", and %s more each day", mebibytes(int64(m.forecast.Growth*86400)))
	}
	if m.forecast.Reached > 0 {
		fmt.Fprintf(&b, ": the limit is reached about %s, and a replica cannot run any more then", text(time.Unix(m.forecast.Reached, 0)))
	}
	need := memory.ForContainer(max(m.Limit.Bytes*3/2, m.reading.Held+int64(m.forecast.Growth*enoughFor.Seconds())))
	what := "resources.limits.memory"
	if m.Limit.Given {
		what = "GOMEMLIMIT and resources.limits.memory"
	}
	fmt.Fprintf(&b, "; every replica holds the whole history, which is %d segments, and what there is now: "+
		"raise %s of the operator's Deployment to %dMi, lower --hot-days, or meter fewer kinds", segments, what, need>>20)
	return b.String()
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<19)>>20) }

// finding is what people should know; empty: there is room. A nil Memory has room.
func (m *Memory) finding() string {
	if m == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.near
}

// figures are what is held, its limit, 0 if there is none, and what is foreseen.
func (m *Memory) figures() (held, limit int64, forecast memory.Forecast) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.reading.Held, m.Limit.Bytes, m.forecast
}
