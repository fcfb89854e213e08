package connlimit_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"
	"pgregory.net/rapid"

	"github.com/usage-operator/usage-operator/internal/connlimit"
)

// line is a listener that connections are put into by hand.
type line struct {
	net.Listener
	coming chan net.Conn
}

func (l *line) Accept() (net.Conn, error) {
	c, more := <-l.coming
	if !more {
		return nil, errors.New("closed")
	}
	return c, nil
}

// caller is one end of a connection, of an address.
type caller struct {
	net.Conn
	address string
	closed  chan struct{}
}

func (c *caller) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.ParseIP(c.address), Port: 1}
}

func (c *caller) Close() error {
	close(c.closed)
	return nil
}

func (c *caller) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// server is a Listener and what it has accepted.
type server struct {
	*connlimit.Listener
	line     *line
	accepted chan net.Conn
	clock    *testclock.FakePassiveClock
}

func serve(limits connlimit.Limits) *server {
	s := &server{line: &line{coming: make(chan net.Conn)}, accepted: make(chan net.Conn, 1), clock: testclock.NewFakePassiveClock(time.Unix(0, 0))}
	s.Listener = connlimit.Listen(s.line, limits, s.clock)
	go func() {
		for {
			c, err := s.Accept()
			if err != nil {
				close(s.accepted)
				return
			}
			s.accepted <- c
		}
	}()
	return s
}

// call connects; nil: it was refused.
func (s *server) call(address string) (*caller, net.Conn) {
	c := &caller{address: address, closed: make(chan struct{})}
	s.line.coming <- c
	select {
	case accepted := <-s.accepted:
		return c, accepted
	case <-c.closed:
		return nil, nil
	}
}

// opened is a connection that a test knows of.
type opened struct {
	caller *caller
	conn   net.Conn
	busy   bool
}

// model is what a test knows of a server.
type model struct {
	*server
	limits connlimit.Limits
	all    []*opened
}

func (m *model) useOrLeave(t *rapid.T) {
	if len(m.all) == 0 {
		t.Skip()
	}
	o := rapid.SampledFrom(m.all).Draw(t, "which")
	o.busy = !o.busy
	m.ConnState(o.conn, map[bool]http.ConnState{true: http.StateActive, false: http.StateIdle}[o.busy])
}

// counts are how many are open of each address, and how many of them idle.
func (m *model) counts() (open, idle map[string]int) {
	open, idle = map[string]int{}, map[string]int{}
	for _, o := range m.all {
		open[o.caller.address]++
		if !o.busy {
			idle[o.caller.address]++
		}
	}
	return open, idle
}

func (m *model) connect(t *rapid.T) {
	open, idle := m.counts()
	address := rapid.SampledFrom([]string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}).Draw(t, "address")
	may := len(m.all) < m.limits.Total
	for other, n := range open {
		may = may || n > open[address]+1 && idle[other] > 0
	}
	may = may && open[address] < m.limits.Each
	c, conn := m.call(address)
	if (c != nil) != may {
		t.Fatalf("%s with %v open, %v of them idle, of %+v: accepted is %t", address, open, idle, m.limits, c != nil)
	}
	if c == nil {
		return
	}
	m.all = append(m.all, &opened{caller: c, conn: conn})
	if len(m.all) > m.limits.Total {
		m.giveWay(t, address, open)
	}
}

// giveWay notes which one was closed for another of an address.
func (m *model) giveWay(t *rapid.T, address string, open map[string]int) {
	for {
		for i, o := range m.all {
			if !o.caller.isClosed() {
				continue
			}
			if o.busy || open[o.caller.address] <= open[address]+1 {
				t.Fatalf("one of %s had to give way to %s, busy is %t: %v", o.caller.address, address, o.busy, open)
			}
			m.all = append(m.all[:i:i], m.all[i+1:]...)
			return
		}
		runtime.Gosched()
	}
}

// However addresses come and go, there are never more connections than may be, and an
// address that has fewer than another gets one more.
func TestThereIsRoomForEveryAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := connlimit.Limits{Total: rapid.IntRange(2, 12).Draw(t, "total"), Each: rapid.IntRange(1, 12).Draw(t, "each"), PerSecond: 1e9, Burst: 1e6}
		m := &model{server: serve(limits), limits: limits}
		defer close(m.line.coming)
		t.Repeat(map[string]func(*rapid.T){"connect": m.connect, "connect too": m.connect, "use or leave": m.useOrLeave, "": func(t *rapid.T) {
			if m.Open() != len(m.all) || m.Open() > limits.Total {
				t.Fatalf("%d are open, want %d", m.Open(), len(m.all))
			}
		}})
		for _, o := range m.all {
			_ = o.conn.Close()
		}
		if m.Open() != 0 {
			t.Fatalf("%d are open in the end", m.Open())
		}
	})
}

func TestAnAddressOpensSoManyASecond(t *testing.T) {
	s := serve(connlimit.Limits{Total: 100, Each: 100, PerSecond: 2, Burst: 3})
	defer close(s.line.coming)
	accepted := func(address string) (n int) {
		for range 5 {
			if c, _ := s.call(address); c != nil {
				n++
			}
		}
		return n
	}
	if n := accepted("10.0.0.1"); n != 3 {
		t.Errorf("%d of 5 at once, want 3", n)
	}
	if n := accepted("10.0.0.2"); n != 3 {
		t.Errorf("%d of 5 of another address, want 3", n)
	}
	s.clock.SetTime(s.clock.Now().Add(time.Second))
	if n := accepted("10.0.0.1"); n != 2 {
		t.Errorf("a second later %d, want 2", n)
	}
	if s.Refused() != 7 {
		t.Errorf("%d were refused, want 7", s.Refused())
	}
}

func TestWhoseConnectionsAreCountedTogether(t *testing.T) {
	for remote, want := range map[string]string{
		"10.1.2.3:443": "10.1.2.3", "[::ffff:10.1.2.3]:443": "10.1.2.3", "[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "pipe": "pipe", "192.0.2.1": "192.0.2.1",
	} {
		if got := connlimit.AddressOf(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}

// An HTTP server's idle connections give way, and it takes that for a client that has gone.
func TestBehindAServer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := connlimit.Listen(inner, connlimit.Limits{Total: 4, Each: 2, PerSecond: 1e9, Burst: 1e6, SendBuffer: 1 << 16}, testclock.NewFakePassiveClock(time.Unix(0, 0)))
	server := &http.Server{Handler: http.NotFoundHandler(), ConnState: l.ConnState, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	from := func(address string) net.Conn {
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).DialContext(t.Context(), "tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	answers := func(c net.Conn) bool {
		_, _ = fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		n, _ := c.Read(make([]byte, 100))
		return n > 0
	}
	held := []net.Conn{from("127.0.0.2"), from("127.0.0.2"), from("127.0.0.3"), from("127.0.0.3")}
	if !answers(held[1]) || !answers(held[2]) || !answers(held[3]) {
		t.Fatal("they are not served")
	}
	if !answers(from("127.0.0.4")) {
		t.Error("another address is kept out")
	}
	if _, err := held[0].Read(make([]byte, 1)); err == nil {
		t.Error("the connection that was used least recently is still open")
	}
	if !answers(held[1]) {
		t.Error("another was closed as well")
	}
}
