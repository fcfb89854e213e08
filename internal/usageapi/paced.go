package usageapi

import (
	"net/http"
	"time"

	"k8s.io/utils/clock"
)

const (
	// writtenAtOnce is how many bytes are written at once, and writeWithin, how long the
	// client may take to read them: a client that reads less than some 3 KiB a second is
	// disconnected.
	writtenAtOnce = 32 << 10
	writeWithin   = 10 * time.Second
)

// machine is the clock for the deadlines of connections: the system compares them with
// its own clock, and not with the ledger's.
var machine = clock.RealClock{}

// paced writes an answer as fast as its client reads, and gives the call's turn up while
// it waits for the client.
type paced struct {
	http.ResponseWriter
	clock  clock.PassiveClock
	within time.Duration
	rest   func(func() error) error
}

// Write writes all of it, or fails when the client takes too long.
func (p *paced) Write(data []byte) (n int, err error) {
	controller := http.NewResponseController(p.ResponseWriter)
	for len(data) > 0 {
		some := data[:min(len(data), writtenAtOnce)]
		err := p.rest(func() error {
			// A recorder has no deadlines, and needs none.
			_ = controller.SetWriteDeadline(p.clock.Now().Add(p.within))
			written, err := p.ResponseWriter.Write(some)
			n += written
			return err
		})
		if err != nil {
			return n, err
		}
		data = data[len(some):]
	}
	return n, nil
}

// Unwrap is for http.ResponseController.
func (p *paced) Unwrap() http.ResponseWriter { return p.ResponseWriter }
