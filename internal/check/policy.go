package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
)

// Policy asks a policy server in the way of Postfix's policy delegation: lines
// of name=value and an empty one, answered by action=... and an empty one. Its
// method may be called at the same time; connections are kept and used again.
type Policy struct {
	Network, Address string        // "unix" or "tcp", and where
	Timeout          time.Duration // for one question; 10 s if 0
	Open             bool          // a server that does not answer refuses nobody
	Dial             func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex
	idle []*policyConn
}

type policyConn struct {
	net.Conn
	r *bufio.Reader
}

// maxIdle is how many connections are kept.
const maxIdle = 20

// Ask asks about a recipient, or in another state about the message, and gives
// the action.
func (p *Policy) Ask(ctx context.Context, state string, env *mail.Envelope, to *mail.Recipient) (string, error) {
	timeout := p.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	question := attributes(state, env, to)
	for {
		c, kept, err := p.open(ctx)
		if err != nil {
			return "", err
		}
		action, err := c.ask(ctx, question)
		if err == nil {
			p.keep(c)
			return action, nil
		}
		c.Close()
		if !kept { // one that was kept may have ended meanwhile
			return "", fmt.Errorf("policy server %s: %w", p.Address, err)
		}
	}
}

func (p *Policy) open(ctx context.Context) (c *policyConn, kept bool, err error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c, p.idle = p.idle[n-1], p.idle[:n-1]
	}
	p.mu.Unlock()
	if c != nil {
		return c, true, nil
	}
	dial := p.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, p.Network, p.Address)
	if err != nil {
		return nil, false, fmt.Errorf("policy server: %w", err)
	}
	return &policyConn{nc, bufio.NewReader(nc)}, false, nil
}

func (p *Policy) keep(c *policyConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < maxIdle {
		p.idle = append(p.idle, c)
		return
	}
	c.Close()
}

func (c *policyConn) ask(ctx context.Context, question string) (action string, err error) {
	if until, ok := ctx.Deadline(); ok {
		c.SetDeadline(until)
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := io.WriteString(c, question); err != nil {
		return "", err
	}
	for n := 0; n < 64; n++ {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			if action == "" {
				return "", errors.New("it gave no action")
			}
			return action, nil
		}
		if name, value, ok := strings.Cut(text, "="); ok && name == "action" {
			action = value
		}
	}
	return "", errors.New("its answer has no end")
}

// attributes is a question, as smtpd_policy_service of Postfix documents it.
func attributes(state string, env *mail.Envelope, to *mail.Recipient) string {
	o := &env.Origin
	name := o.Name
	if name == "" {
		name = "unknown"
	}
	list := [][2]string{
		{"request", "smtpd_access_policy"}, {"protocol_state", state}, {"protocol_name", o.Protocol},
		{"helo_name", o.Helo}, {"queue_id", ""}, {"instance", env.ID.String()},
		{"sender", address(env.From)}, {"recipient_count", strconv.Itoa(len(env.To))},
		{"client_address", o.Remote.Addr().String()}, {"client_name", name}, {"reverse_client_name", name},
		{"client_port", strconv.Itoa(int(o.Remote.Port()))}, {"server_address", o.Local.Addr().String()},
		{"server_port", strconv.Itoa(int(o.Local.Port()))}, {"sasl_method", ""}, {"sasl_username", o.Account},
		{"sasl_sender", ""}, {"size", strconv.FormatInt(env.Size, 10)}, {"encryption_protocol", o.TLS}, {"policy_context", ""},
	}
	if to != nil {
		list = append(list, [2]string{"recipient", to.Address.String()})
	}
	var b strings.Builder
	for _, a := range list {
		b.WriteString(a[0] + "=" + strings.Map(printable, a[1]) + "\n")
	}
	return b.String() + "\n"
}

func address(a mail.Address) string {
	if a.IsNull() {
		return ""
	}
	return a.String()
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f {
		return '?'
	}
	return r
}
