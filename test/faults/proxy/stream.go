package proxy

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// Event is one event of a watch on its way to a client.
type Event struct {
	Path   string                       `json:"-"` // of the watch
	Type   watch.EventType              `json:"type"`
	Object metav1.PartialObjectMetadata `json:"object"`
}

// parcel is an event, as it is sent, and when it may arrive.
type parcel struct {
	text []byte
	due  time.Time
}

// queued is how many delayed events there may be before the watch waits, and the API server with it.
const queued = 10_000

// stream hands on the events of a watch, late or not at all.
func (p *Proxy) stream(path string, from io.ReadCloser) io.ReadCloser {
	out, in := io.Pipe()
	parcels, closed := make(chan parcel, queued), make(chan struct{})
	go func() {
		defer close(parcels)
		events := json.NewDecoder(from)
		for {
			var text json.RawMessage
			if err := events.Decode(&text); err != nil {
				return // one that was cut is no event
			}
			if p.drops(path, text) {
				continue
			}
			select {
			case parcels <- parcel{text, time.Now().Add(p.delayOfWatches())}:
			case <-closed:
				return
			}
		}
	}()
	go func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for l := range parcels {
			timer.Reset(time.Until(l.due))
			select {
			case <-timer.C:
			case <-closed:
				return
			}
			if _, err := in.Write(append(l.text, '\n')); err != nil {
				return
			}
		}
		_ = in.Close()
	}()
	return &body{PipeReader: out, close: sync.OnceValue(func() error {
		close(closed)
		return from.Close()
	})}
}

type body struct {
	*io.PipeReader
	close func() error
}

// Close ends both halves.
func (b *body) Close() error {
	_ = b.PipeReader.Close()
	return b.close()
}

func (p *Proxy) delayOfWatches() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.delay
}

func (p *Proxy) drops(path string, text []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drop == nil {
		return false
	}
	event := Event{Path: path}
	if err := json.Unmarshal(text, &event); err != nil || event.Type == watch.Bookmark {
		return false
	}
	drops := p.drop(event)
	if drops {
		p.dropped++
	}
	return drops
}
