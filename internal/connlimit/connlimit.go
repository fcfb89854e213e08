// Package connlimit bounds the connections to a server: in total, from one address,
// and how many one address may open a second.
//
// If there is no room for a new connection, the least recently used idle connection
// of the address that has most is closed: a client that holds many connections open
// cannot keep others out.
package connlimit

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"

	"github.com/usage-operator/usage-operator/internal/lru"
)

// Limits bound the connections of a Listener.
type Limits struct {
	// Total and Each are how many connections may be open, in total and from one address.
	Total, Each int
	// PerSecond is how many connections one address may open a second, and Burst how
	// many at once.
	PerSecond float64
	Burst     int
	// SendBuffer is the size of a connection's send buffer in the kernel, in bytes; 0: the
	// system's default.
	SendBuffer int
}

// addressesKept is for how many addresses rate limiters are kept.
const addressesKept = 10_000

// Listener is a net.Listener with bounded connections. Its ConnState has to be set as
// the http.Server's ConnState.
type Listener struct {
	net.Listener
	limits Limits
	clock  clock.PassiveClock
	rates  *lru.Cache[string, *rate.Limiter]

	refused atomic.Int64

	mu        sync.Mutex
	open      map[*conn]struct{}
	addresses map[string]int // how many are open of each
	used      uint64         // the last use, by number
}

// conn is a connection that is counted.
type conn struct {
	net.Conn
	listener *Listener
	address  string
	idle     bool   // it has no request in progress
	used     uint64 // the number of its last use
}

// Listen bounds the connections of a listener.
func Listen(inner net.Listener, limits Limits, now clock.PassiveClock) *Listener {
	return &Listener{
		Listener: inner, limits: limits, clock: now, rates: lru.New[string, *rate.Limiter](addressesKept),
		open: map[*conn]struct{}{}, addresses: map[string]int{},
	}
}

// Accept returns the next connection that is within the limits; others it closes.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		accepted, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: accepted, listener: l, address: AddressOf(accepted.RemoteAddr().String()), idle: true}
		if tcp, is := accepted.(*net.TCPConn); is && l.limits.SendBuffer > 0 {
			_ = tcp.SetWriteBuffer(l.limits.SendBuffer) // it fails only if the connection is closed, which a read reports
		}
		if l.take(c) {
			return c, nil
		}
		l.refused.Add(1)
		_ = accepted.Close()
	}
}

// take counts a connection, and closes another if it has to; false: it is not within
// the limits.
func (l *Listener) take(c *conn) bool {
	limiter, known := l.rates.Get(c.address)
	if !known {
		limiter = rate.NewLimiter(rate.Limit(l.limits.PerSecond), l.limits.Burst)
		l.rates.Put(c.address, limiter, 1)
	}
	if !limiter.AllowN(l.clock.Now(), 1) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addresses[c.address] >= l.limits.Each {
		return false
	}
	if len(l.open) >= l.limits.Total {
		gives := l.mostIdle(c.address)
		if gives == nil {
			return false
		}
		l.drop(gives)
		_ = gives.Conn.Close() // there is nothing to do about an error
	}
	l.open[c] = struct{}{}
	l.addresses[c.address]++
	l.used++
	c.used = l.used
	return true
}

// mostIdle is the connection to close for a new one of an address: the least recently
// used idle connection of the address that has most, if that has more than this one
// would have; nil if there is none.
func (l *Listener) mostIdle(of string) *conn {
	var gives *conn
	for c := range l.open {
		if !c.idle || l.addresses[c.address] <= l.addresses[of]+1 {
			continue
		}
		if gives == nil || l.addresses[c.address] > l.addresses[gives.address] ||
			l.addresses[c.address] == l.addresses[gives.address] && c.used < gives.used {
			gives = c
		}
	}
	return gives
}

func (l *Listener) drop(c *conn) {
	if _, open := l.open[c]; !open {
		return
	}
	delete(l.open, c)
	if l.addresses[c.address]--; l.addresses[c.address] == 0 {
		delete(l.addresses, c.address)
	}
}

// Close closes the connection.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.drop(c)
	c.listener.mu.Unlock()
	return c.Conn.Close()
}

// ConnState notes whether a connection has a request in progress.
func (l *Listener) ConnState(of net.Conn, state http.ConnState) {
	if secured, is := of.(interface{ NetConn() net.Conn }); is {
		of = secured.NetConn()
	}
	c, is := of.(*conn)
	if !is {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c.idle = state != http.StateActive
	l.used++
	c.used = l.used
	if state == http.StateHijacked {
		l.drop(c)
	}
}

// Open is how many connections are open.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Refused is how many connections were closed at once, because there was no room or
// their address opened too many.
func (l *Listener) Refused() int64 { return l.refused.Load() }

// AddressOf is the key by which connections are counted together, of a remote address
// with or without a port: the IPv4 address, or the /64 prefix of an IPv6 address.
func AddressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	address = address.Unmap().WithZone("")
	if address.Is4() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}
