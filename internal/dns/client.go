package dns

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	wire "github.com/miekg/dns"
)

// udpSize is the largest UDP answer asked for: it passes without fragments
// everywhere.
const udpSize = 1232

// Options are what a Client works with; the zero value of each is a default.
type Options struct {
	// Servers are recursive resolvers, address or address:port, in the order
	// they are asked. Default 127.0.0.1.
	Servers []string
	// TrustAD says that the servers validate DNSSEC and that nobody can forge
	// what comes from them: their AD bit is passed on.
	TrustAD bool
	// Timeout bounds one query to one server; default 5 s.
	Timeout time.Duration
	// Total bounds a look-up with all its queries; default 30 s.
	Total time.Duration
	// Rounds is how often the list of servers is gone through; default 2.
	Rounds int
	// CacheBytes is about how much memory the cache takes; default 16 MiB,
	// negative for no cache.
	CacheBytes int
	// MinTTL and MaxTTL clamp how long records are kept, MaxNegativeTTL how
	// long their absence is; default 5 s, 24 h and 1 h.
	MinTTL, MaxTTL, MaxNegativeTTL time.Duration
	// Now is the clock of the cache.
	Now func() time.Time
	// Dial opens a way to a server: network is "udp" or "tcp".
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Client is a Resolver that asks recursive servers. Make it with New.
type Client struct {
	o       Options
	servers []string
	cache   *cache // nil for none
}

// New makes a Client.
func New(o Options) *Client {
	setDefault(&o.Timeout, 5*time.Second)
	setDefault(&o.Total, 30*time.Second)
	setDefault(&o.Rounds, 2)
	setDefault(&o.CacheBytes, 16<<20)
	setDefault(&o.MinTTL, 5*time.Second)
	setDefault(&o.MaxTTL, 24*time.Hour)
	setDefault(&o.MaxNegativeTTL, time.Hour)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	c := &Client{o: o}
	for _, s := range o.Servers {
		c.servers = append(c.servers, ServerAddress(s))
	}
	if len(c.servers) == 0 {
		c.servers = []string{"127.0.0.1:53"} // as resolv.conf(5) has it
	}
	if o.CacheBytes > 0 {
		c.cache = newCache(o.CacheBytes)
	}
	return c
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Fresh is the same client without its cache, for what was just changed.
func (c *Client) Fresh() *Client {
	fresh := *c
	fresh.cache = nil
	return &fresh
}

// ServerAddress adds port 53 to the address of a server that has none.
func ServerAddress(text string) string {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(addr, 53).String()
	}
	return text
}

// ask goes through the servers until one answers. When each of them gives only
// what cannot be used, asking again would not help.
func (c *Client) ask(ctx context.Context, name string, qtype uint16) (*reply, error) {
	failure := &Error{Type: wire.TypeToString[qtype], Name: canonical(name), Kind: Malformed}
	for range c.o.Rounds {
		for _, server := range c.servers {
			r, err := c.query(ctx, server, name, qtype)
			if err == nil {
				return r, nil
			}
			failure.Server, failure.Err = server, err
			if isTrouble(err) {
				failure.Kind = Temporary
			}
			if ctx.Err() != nil {
				failure.Kind = Temporary
				return nil, failure
			}
		}
		if failure.Kind == Malformed {
			break
		}
	}
	return nil, failure
}

// isTrouble tells a server that does not answer from one whose answer is bad.
func isTrouble(err error) bool {
	var code rcodeError
	var netErr net.Error
	return errors.As(err, &code) || errors.As(err, &netErr) || errors.Is(err, errNoEDNS) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded)
}

// query asks one server: by UDP, by TCP when the answer does not fit, and
// without EDNS when the server does not know it, RFC 6891 section 6.2.2.
func (c *Client) query(ctx context.Context, server, name string, qtype uint16) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	network, edns := "udp", true
	for {
		r, err := c.exchange(ctx, network, server, name, qtype, edns)
		switch {
		case errors.Is(err, errTruncated) && network == "udp":
			network = "tcp" // RFC 7766 section 5
		case errors.Is(err, errNoEDNS) && edns:
			edns = false
		default:
			return r, err
		}
	}
}

// exchange sends one query over a connection of its own, so that the kernel
// picks a fresh port (RFC 5452 section 9.2), and waits for its answer.
func (c *Client) exchange(ctx context.Context, network, server, name string, qtype uint16, edns bool) (*reply, error) {
	id, packet, err := c.pack(name, qtype, edns)
	if err != nil {
		return nil, err
	}
	conn, err := c.o.Dial(ctx, network, server)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if network == "tcp" {
		packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
	}
	if _, err := conn.Write(packet); err != nil {
		return nil, err
	}
	buf := make([]byte, 4096)
	for {
		n, err := 0, error(nil)
		if network == "tcp" {
			buf, err = readFrame(conn)
			n = len(buf)
		} else {
			n, err = conn.Read(buf)
		}
		if err != nil {
			return nil, err
		}
		r, err := readReply(buf[:n], id, name, qtype)
		if errors.Is(err, errNotOurs) && network == "udp" {
			continue // forged or late: the true one may still come
		}
		if r != nil {
			r.authentic = r.authentic && c.o.TrustAD
		}
		return r, err
	}
}

// readFrame reads a message with its length before it, RFC 1035 section 4.2.2.
func readFrame(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// pack writes a query with an id that cannot be guessed.
func (c *Client) pack(name string, qtype uint16, edns bool) (uint16, []byte, error) {
	var random [2]byte
	rand.Read(random[:])
	m := wire.Msg{Question: []wire.Question{{Name: name, Qtype: qtype, Qclass: wire.ClassINET}}}
	m.Id = binary.BigEndian.Uint16(random[:])
	m.RecursionDesired = true
	m.AuthenticatedData = c.o.TrustAD // RFC 6840 section 5.7: "I understand AD"
	if edns {
		m.SetEdns0(udpSize, false)
	}
	packet, err := m.Pack()
	if err != nil {
		return 0, nil, fmt.Errorf("write the query: %w", err)
	}
	return m.Id, packet, nil
}
