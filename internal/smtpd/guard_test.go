package smtpd

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/serve"
)

// bouncer refuses whatever its words are about.
type bouncer struct{ words string }

func (b bouncer) refuse(stage, what string) error {
	if strings.Contains(b.words, stage+":"+what+" ") {
		return &mail.Failure{Op: stage, Status: mail.Reply(554, "5.7.1", "no "+stage)}
	}
	return nil
}

func (b bouncer) Client(_ context.Context, o *mail.Origin) error {
	return b.refuse("client", o.Remote.Addr().String())
}
func (b bouncer) Hello(_ context.Context, o *mail.Origin) error { return b.refuse("hello", o.Helo) }
func (b bouncer) Sender(_ context.Context, env *mail.Envelope) error {
	return b.refuse("sender", env.From.String())
}
func (b bouncer) Recipient(_ context.Context, _ *mail.Envelope, to mail.Recipient) error {
	return b.refuse("recipient", to.Address.String())
}

func (bouncer) Gone(mail.ID) {}

func TestGuard(t *testing.T) {
	h := open(t, MX, func(o *Options) {
		o.Guard = bouncer{"client:198.51.100.9 hello:bad.example sender:eve@far.example recipient:bob@us.example "}
	})
	defer h.close()
	c := newClient(t, h.ring("198.51.100.9:1"))
	if got := c.next(); got != "554 5.7.1 no client" {
		t.Errorf("a client that is not wanted: %q", got)
	}
	c = newClient(t, h.ring("198.51.100.8:1"))
	c.next()
	for _, x := range []struct{ say, want string }{
		{"HELO bad.example", "554 5.7.1 no hello"},
		{"MAIL FROM:<x@far.example>", "503 5.5.1 say EHLO first"},
		{"HELO good.example", "250 mx.us.example"},
		{"MAIL FROM:<eve@far.example>", "554 5.7.1 no sender"},
		{"MAIL FROM:<x@far.example>", "250 2.1.0 sender ok"},
		{"RCPT TO:<nobody@us.example>", "550 5.1.1 no such user"},
		{"RCPT TO:<bob@us.example>", "554 5.7.1 no recipient"},
		{"RCPT TO:<alice@us.example>", "250 2.1.5 recipient ok"},
		{"XCLIENT ADDR=192.0.2.1", "550 5.7.1 XCLIENT is not for you"},
		{"QUIT", "221 2.0.0 *"},
	} {
		c.send(x.say + "\r\n")
		if got := c.next(); !like(x.want, got) {
			t.Errorf("%s: %q, want %q", x.say, got, x.want)
		}
	}
}

// Who is brought by a proxy is listed, and ended, as who he is.
func TestXClientIsListed(t *testing.T) {
	var roll serve.Roll
	h := open(t, MX, func(o *Options) {
		o.Sessions, o.XClient = &roll, []netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")}
	})
	defer h.close()
	c := h.dial("203.0.113.5:4321")
	for _, x := range []struct{ say, want, remote, account string }{
		{"", "220 *", "203.0.113.5:4321", ""},
		{"EHLO proxy.example", "250*", "203.0.113.5:4321", ""},
		{"XCLIENT ADDR=192.0.2.1 PORT=99 LOGIN=ann@us.example", "220 *", "192.0.2.1:99", "ann@us.example"},
		{"XCLIENT ADDR=192.0.2.2 PORT=98 LOGIN=[UNAVAILABLE]", "220 *", "192.0.2.2:98", ""},
	} {
		if x.say != "" {
			c.send(x.say + "\r\n")
		}
		got := c.next()
		for len(got) > 3 && got[3] == '-' {
			got = c.next()
		}
		if all := roll.List(); !like(x.want, got) || len(all) != 1 || all[0].Remote.String() != x.remote || all[0].Account != x.account {
			t.Errorf("%s: %q, %+v", x.say, got, all)
		}
	}
}
