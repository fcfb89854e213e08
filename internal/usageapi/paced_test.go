package usageapi

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"k8s.io/utils/clock"
)

// pacedServer writes so many bytes to whoever asks, and tells how that ended, and how
// often it rested.
func pacedServer(t *testing.T, bytes int, within time.Duration) (server *httptest.Server, ended chan error, rests chan int) {
	t.Helper()
	ended, rests = make(chan error, 1), make(chan int, 1)
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		rested := 0
		p := &paced{ResponseWriter: w, clock: clock.RealClock{}, within: within, rest: func(waiting func() error) error {
			rested++
			return waiting()
		}}
		n, err := p.Write(make([]byte, bytes))
		if err == nil && n != bytes {
			err = io.ErrShortWrite
		}
		rests <- rested
		ended <- err
	}))
	t.Cleanup(server.Close)
	return server, ended, rests
}

// A client that asks and reads nothing is cut off, and what was made for it is free.
func TestWhoReadsNothingIsCutOff(t *testing.T) {
	server, ended, rests := pacedServer(t, 256<<20, 50*time.Millisecond)
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("it says %v: want that the deadline has passed", err)
	}
	if rested := <-rests; rested == 0 || rested > 256<<20/writtenAtOnce/2 {
		t.Errorf("it was given up after %d pieces", rested)
	}
}

// One that reads, however little at a time, gets all of it: the deadline is of each piece.
func TestWhoReadsSlowlyGetsAll(t *testing.T) {
	const bytes = 8 << 20
	server, ended, rests := pacedServer(t, bytes, 30*time.Second)
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, piece := 0, make([]byte, 1000)
	for {
		n, err := answer.Body.Read(piece)
		read += n
		if err != nil {
			break
		}
	}
	if err := <-ended; err != nil || read != bytes {
		t.Errorf("%d bytes were read of %d: %v", read, bytes, err)
	}
	if rested := <-rests; rested != bytes/writtenAtOnce {
		t.Errorf("others had the processor %d times, want %d", rested, bytes/writtenAtOnce)
	}
}
