package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress tells what is going on, and that it still is.
type progress struct {
	to    io.Writer
	start time.Time
	mu    sync.Mutex
}

func newProgress(to io.Writer) *progress { return &progress{to: to, start: time.Now()} }

func (p *progress) section(title string) { p.say("== %s", title) }

func (p *progress) say(text string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.to, "[%4.0fs] %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(text, args...))
}

// during tells every two seconds what is under way, until the returned function is called. how says how far it is.
func (p *progress) during(what string, how func() string) (done func()) {
	ended := make(chan struct{})
	group := sync.WaitGroup{}
	group.Go(func() {
		ticker := time.NewTicker(2 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				if how == nil {
					p.say("   %s ...", what)
				} else {
					p.say("   %s: %s", what, how())
				}
			}
		}
	})
	return func() {
		close(ended)
		group.Wait()
	}
}
