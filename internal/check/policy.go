package check

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/pool"
)

// PolicyOptions name a policy server.
type PolicyOptions struct {
	Network, Address string        // "unix" or "tcp", and where
	Timeout          time.Duration // for one question; 10 s if 0
	Open             bool          // a server that does not answer refuses nobody
}

// Policy asks a policy server in the way of Postfix's policy delegation: lines
// of name=value and an empty one, answered by action=... and an empty one. Its
// method may be called at the same time; connections are kept and used again.
type Policy struct {
	o     PolicyOptions
	lines *pool.Pool[*pool.Line]
}

// maxIdle is how many connections are kept.
const maxIdle = 20

// NewPolicy makes a Policy; nothing is connected yet.
func NewPolicy(o PolicyOptions) *Policy {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	return &Policy{o, pool.New(pool.Options[*pool.Line]{
		Dial: func(ctx context.Context) (*pool.Line, error) { return pool.Dial(ctx, o.Network, o.Address, 4096) },
		Keep: maxIdle,
	})}
}

// Ask asks about a recipient, or in another state about the message, and gives
// the action.
func (p *Policy) Ask(ctx context.Context, state string, env *mail.Envelope, to *mail.Recipient) (action string, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	question := attributes(state, env, to)
	err = p.lines.Do(ctx, func(l *pool.Line) error {
		return l.Within(ctx, func() (err error) {
			action, err = askPolicy(l, question)
			return err
		})
	})
	if err != nil {
		return "", fmt.Errorf("policy server %s: %w", p.o.Address, err)
	}
	return action, nil
}

func askPolicy(l *pool.Line, question string) (action string, err error) {
	if _, err := io.WriteString(l, question); err != nil {
		return "", err
	}
	for n := 0; n < 64; n++ {
		line, err := l.R.ReadSlice('\n')
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
