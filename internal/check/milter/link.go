package milter

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
)

// link is a connection to a milter, beside one session.
type link struct {
	c    *Client
	f    *Filter
	conn net.Conn
	r    *bufio.Reader
	agreed

	down     bool // it did not answer
	accepted bool // it wants to see no more of the session
	told     bool // of the client
	helo     string
	begun    bool // a transaction is on
	passed   bool // of which it wants to see no more
	discard  bool // that it throws away
	rcpts    int
}

// idle says that a message is none of its business.
func (l *link) idle() bool { return l.down || l.accepted || l.passed && !l.discard }

func (l *link) close() {
	if l.conn == nil {
		return
	}
	if !l.down {
		l.conn.SetDeadline(time.Now().Add(time.Second))
		writePacket(l.conn, cmdQuit, nil)
	}
	l.conn.Close()
	l.conn = nil
}

// open connects, and agrees on what is to be seen and done.
func (l *link) open(ctx context.Context) error {
	if l.conn != nil {
		return nil
	}
	dial, cancel := context.WithTimeout(ctx, l.f.Connect)
	defer cancel()
	conn, err := l.c.o.Dial(dial, l.f.Network, l.f.Address)
	if err != nil {
		return &trouble{err}
	}
	l.conn, l.r = conn, bufio.NewReader(conn)
	stop := l.bound(ctx, l.f.Command)
	defer stop()
	if err := writePacket(conn, cmdOptions, options()); err != nil {
		return &trouble{err}
	}
	kind, data, err := readPacket(l.r)
	if err == nil && kind != cmdOptions {
		err = errPacket
	}
	if err == nil {
		l.agreed, err = readOptions(data)
	}
	if err != nil {
		return &trouble{err}
	}
	return nil
}

// bound ends what takes longer, or is no longer wanted.
func (l *link) bound(ctx context.Context, d time.Duration) (stop func() bool) {
	conn := l.conn
	conn.SetDeadline(time.Now().Add(d))
	return context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
}

// event tells of something, unless the milter need not see it, and reads the
// answer, unless there is none.
func (l *link) event(ctx context.Context, cmd byte, data []byte, no, nr uint32) (byte, []byte, error) {
	if l.protocol&no != 0 {
		return ansContinue, nil, nil
	}
	stop := l.bound(ctx, l.f.Command)
	defer stop()
	if err := writePacket(l.conn, cmd, data); err != nil {
		return 0, nil, &trouble{err}
	}
	if l.protocol&nr != 0 {
		return ansContinue, nil, nil
	}
	for {
		kind, data, err := readPacket(l.r)
		if err != nil {
			return 0, nil, &trouble{err}
		}
		if kind != ansProgress {
			return kind, data, nil
		}
		l.conn.SetDeadline(time.Now().Add(l.f.Command))
	}
}

// macros tells what goes with an event.
func (l *link) macros(ctx context.Context, cmd byte, stage uint32, values map[string]string) error {
	var all []string
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	wanted, chosen := l.agreed.macros[stage]
	for _, name := range names {
		if values[name] != "" && (!chosen || slices.Contains(wanted, name) || slices.Contains(wanted, strings.Trim(name, "{}"))) {
			all = append(all, name, values[name])
		}
	}
	if len(all) == 0 {
		return nil
	}
	stop := l.bound(ctx, l.f.Command)
	defer stop()
	if err := writePacket(l.conn, cmdMacro, append([]byte{cmd}, pack(all...)...)); err != nil {
		return &trouble{err}
	}
	return nil
}

// client tells of a connection.
func (l *link) client(ctx context.Context, o *mail.Origin) error {
	if l.down {
		return l.outage()
	}
	if l.accepted || l.told {
		return nil
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	l.told = true
	if err := l.macros(ctx, cmdConnect, atConnect, map[string]string{
		"j": l.c.o.Host, "v": "plic " + l.c.o.Version, "{daemon_name}": o.Service, "{daemon_addr}": addrText(o.Local.Addr().String()),
		"{client_name}": nameOf(o), "{client_addr}": addrText(o.Remote.Addr().String()), "{client_ptr}": o.Name, "_": nameOf(o) + " [" + addrText(o.Remote.Addr().String()) + "]",
	}); err != nil {
		return err
	}
	data := pack(nameOf(o))
	switch a := o.Remote.Addr().Unmap(); {
	case a.Is4():
		data = append(binary.BigEndian.AppendUint16(append(data, '4'), o.Remote.Port()), pack(a.String())...)
	case a.Is6():
		data = append(binary.BigEndian.AppendUint16(append(data, '6'), o.Remote.Port()), pack(a.WithZone("").String())...)
	default:
		data = append(data, 'U')
	}
	kind, text, err := l.event(ctx, cmdConnect, data, noConnect, nrConnect)
	return l.decide(kind, text, err, &l.accepted)
}

func addrText(text string) string {
	if text == "invalid IP" {
		return ""
	}
	return text
}

// nameOf is the name of a client, as milters expect it.
func nameOf(o *mail.Origin) string {
	switch {
	case o.Name != "":
		return o.Name
	case o.Remote.IsValid():
		return "[" + o.Remote.Addr().Unmap().WithZone("").String() + "]"
	}
	return "localhost"
}

// hello tells of HELO.
func (l *link) hello(ctx context.Context, o *mail.Origin) error {
	if err := l.client(ctx, o); err != nil || l.down || l.accepted {
		return err
	}
	if err := l.abort(ctx); err != nil {
		return err
	}
	l.helo = o.Helo
	if err := l.macros(ctx, cmdHelo, atHelo, tlsMacros(o)); err != nil {
		return err
	}
	kind, text, err := l.event(ctx, cmdHelo, pack(o.Helo), noHelo, nrHelo)
	return l.decide(kind, text, err, &l.accepted)
}

func tlsMacros(o *mail.Origin) map[string]string {
	if o.TLS == "" {
		return map[string]string{}
	}
	version, cipher, _ := strings.Cut(o.TLS, " ")
	return map[string]string{"{tls_version}": version, "{cipher}": cipher}
}

// abort ends a transaction that did not come to its end.
func (l *link) abort(ctx context.Context) error {
	if l.begun {
		stop := l.bound(ctx, l.f.Command)
		defer stop()
		if err := writePacket(l.conn, cmdAbort, nil); err != nil {
			return &trouble{err}
		}
	}
	l.begun, l.passed, l.discard, l.rcpts = false, false, false, 0
	return nil
}

// sender tells of MAIL.
func (l *link) sender(ctx context.Context, env *mail.Envelope) error {
	o := &env.Origin
	if l.helo != o.Helo || !l.told {
		if err := l.hello(ctx, o); err != nil {
			return err
		}
	}
	if l.down {
		return l.outage()
	}
	if l.accepted {
		return nil
	}
	if err := l.abort(ctx); err != nil {
		return err
	}
	l.begun = true
	values := tlsMacros(o)
	values["i"], values["{mail_addr}"], values["{mail_host}"], values["{mail_mailer}"] = env.ID.String(), env.From.String(), env.From.Domain.String(), "smtp"
	if o.Account != "" {
		values["{auth_authen}"], values["{auth_type}"] = o.Account, "plic"
	}
	if err := l.macros(ctx, cmdMail, atMail, values); err != nil {
		return err
	}
	args := []string{env.From.Path()}
	if env.Size > 0 {
		args = append(args, "SIZE="+strconv.FormatInt(env.Size, 10))
	}
	if env.UTF8 {
		args = append(args, "SMTPUTF8")
	}
	kind, text, err := l.event(ctx, cmdMail, pack(args...), noMail, nrMail)
	return l.decide(kind, text, err, &l.passed)
}

// recipient tells of RCPT.
func (l *link) recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error {
	if l.down {
		return l.outage()
	}
	if l.accepted || l.passed {
		return nil
	}
	if !l.begun {
		if err := l.sender(ctx, env); err != nil {
			return err
		}
	}
	if err := l.macros(ctx, cmdRcpt, atRcpt, map[string]string{
		"{rcpt_addr}": to.Address.String(), "{rcpt_host}": to.Address.Domain.String(), "{rcpt_mailer}": "smtp", "i": env.ID.String(),
	}); err != nil {
		return err
	}
	kind, text, err := l.event(ctx, cmdRcpt, pack(to.Address.Path()), noRcpt, nrRcpt)
	if err = l.decide(kind, text, err, &l.passed); err == nil {
		l.rcpts++
	}
	return err
}

// catchUp tells a milter what it has not seen of a message's transaction. One that has
// failed within it will not see the message.
func (l *link) catchUp(ctx context.Context, env *mail.Envelope) error {
	if l.down {
		return l.outage()
	}
	if l.accepted || l.begun {
		return nil
	}
	if err := l.sender(ctx, env); err != nil {
		return err
	}
	for _, to := range env.To {
		if err := l.recipient(ctx, env, to); err != nil {
			return err
		}
	}
	return nil
}

// decide reads an answer. all is what ACCEPT ends.
func (l *link) decide(kind byte, data []byte, err error, all *bool) error {
	if err != nil {
		return err
	}
	switch kind {
	case ansContinue, ansSkip:
		return nil
	case ansAccept:
		*all = true
		return nil
	case ansDiscard:
		l.passed, l.discard = true, true
		return nil
	case ansReject:
		return l.refusal(mail.Reply(550, "5.7.1", "refused by a filter"))
	case ansTempFail, ansConnFail:
		return l.refusal(mail.Reply(451, "4.7.1", "a filter asks you to try again later"))
	case ansShutdown:
		return l.refusal(mail.Reply(421, "4.7.0", "a filter ends the session"))
	case ansReplyCode:
		status, err := replyCode(data)
		if err != nil {
			return &trouble{err}
		}
		return l.refusal(status)
	}
	return &trouble{fmt.Errorf("it answers %q", kind)}
}

func (l *link) refusal(s mail.Status) error {
	return &mail.Failure{Op: "milter " + l.f.Name, Status: s}
}

// replyCode reads the answer that a milter writes itself: its first line tells
// code and enhanced code.
func replyCode(data []byte) (mail.Status, error) {
	text := strings.TrimRight(string(data), "\x00\r\n")
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, "\r\n"))
	}
	if len(lines) == 0 || len(lines[0]) < 3 {
		return mail.Status{}, errPacket
	}
	code, err := strconv.Atoi(lines[0][:3])
	if err != nil || code < 400 || code > 599 {
		return mail.Status{}, errors.New("it answers with a code that refuses nothing")
	}
	enhanced := map[bool]string{true: "4.7.1", false: "5.7.1"}[code < 500]
	var words []string
	for _, line := range lines {
		if len(line) > 4 && line[:3] == lines[0][:3] {
			line = line[4:]
		}
		first, rest, _ := strings.Cut(line, " ")
		var e mail.Enhanced
		if n, _ := fmt.Sscanf(first, "%d.%d.%d", &e[0], &e[1], &e[2]); n == 3 && e.String() == first && int(e[0]) == code/100 {
			enhanced, line = first, rest
		}
		words = append(words, clean(line))
	}
	return mail.Reply(code, enhanced, clip(strings.Join(words, " "))), nil
}

// clean leaves out what no reply may hold.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?"))
}

func clip(text string) string { return text[:min(len(text), 400)] }
