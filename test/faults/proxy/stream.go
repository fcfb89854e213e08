package proxy

import (
	"bufio"
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

// line is an event, as it is sent, and when it may arrive.
type line struct {
	text []byte
	due  time.Time
}

// queued is how many delayed events there may be before the watch waits, and the API server with it.
const queued = 10_000

// stream hands on the lines of a watch, late or not at all.
func (p *Proxy) stream(path string, from io.ReadCloser) io.ReadCloser {
	out, in := io.Pipe()
	lines, closed := make(chan line, queued), make(chan struct{})
	go func() {
		defer close(lines)
		reader := bufio.NewReader(from)
		for {
			text, err := reader.ReadBytes('\n')
			if err != nil {
				return // a line that was cut is no event
			}
			if p.drops(path, text) {
				continue
			}
			select {
			case lines <- line{text, time.Now().Add(p.delayOfWatches())}:
			case <-closed:
				return
			}
		}
	}()
	go func() {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for l := range lines {
			timer.Reset(time.Until(l.due))
			select {
			case <-timer.C:
			case <-closed:
				return
			}
			if _, err := in.Write(l.text); err != nil {
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
