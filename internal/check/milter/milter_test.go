package milter

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/mail"
)

// packet is an answer of a scripted milter.
type packet struct {
	kind byte
	data []byte
}

func number(n uint32, rest ...string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, n), pack(rest...)...)
}

// script says what a milter answers to each command; CONTINUE to others.
type script struct {
	actions, protocol uint32
	macros            []byte
	answers           map[byte][]packet
}

// played is a milter that plays a script, and notes what it sees.
type played struct {
	mu   sync.Mutex
	seen []string
	ends int // connections that came to their end
}

func (p *played) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, fmt.Sprintf(format, args...))
}

func (p *played) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

func (p *played) serve(s *script, conn net.Conn) {
	defer conn.Close()
	defer func() { p.mu.Lock(); p.ends++; p.mu.Unlock() }()
	r := bufio.NewReader(conn)
	for {
		cmd, data, err := readPacket(r)
		if err != nil {
			return
		}
		switch cmd {
		case cmdOptions:
			out := binary.BigEndian.AppendUint32(nil, version)
			out = binary.BigEndian.AppendUint32(out, s.actions)
			out = binary.BigEndian.AppendUint32(out, s.protocol)
			writePacket(conn, cmdOptions, append(out, s.macros...))
			continue
		case cmdMacro:
			p.note("macro %c %s", data[0], strings.Join(texts(data[1:]), "|"))
			continue
		case cmdConnect:
			p.note("C %s %c", texts(data)[0], data[strings.IndexByte(string(data), 0)+1])
		case cmdBody:
			p.note("B %d", len(data))
		default:
			p.note("%c %s", cmd, strings.Join(texts(data), "|"))
		}
		silent := map[byte]uint32{cmdConnect: nrConnect, cmdHelo: nrHelo, cmdMail: nrMail, cmdRcpt: nrRcpt, cmdData: nrData, cmdHeader: nrHeader, cmdEOH: nrEOH, cmdBody: nrBody}
		if cmd == cmdQuit || cmd == cmdAbort || s.protocol&silent[cmd] != 0 {
			continue
		}
		answers, ok := s.answers[cmd]
		if !ok {
			answers = []packet{{ansContinue, nil}}
		}
		for _, a := range answers {
			if a.kind == 0 {
				return
			}
			writePacket(conn, a.kind, a.data)
		}
	}
}

// play makes a Client whose milters play scripts.
func play(t testing.TB, change func(*Filter), scripts ...*script) (*Client, []*played) {
	t.Helper()
	var all []*played
	o := Options{Host: "mx.here.test", Version: "1"}
	byName := map[string]*script{}
	for i, s := range scripts {
		name := fmt.Sprint(i)
		f := Filter{Name: name, Network: "tcp", Address: name, Command: 5 * time.Second, Content: 5 * time.Second}
		if change != nil {
			change(&f)
		}
		o.Filters = append(o.Filters, f)
		byName[name] = s
		all = append(all, &played{})
	}
	o.Dial = func(_ context.Context, _, name string) (net.Conn, error) {
		s := byName[name]
		if s == nil {
			return nil, io.ErrUnexpectedEOF
		}
		ours, theirs := net.Pipe()
		go all[slices.IndexFunc(o.Filters, func(f Filter) bool { return f.Name == name })].serve(s, theirs)
		return ours, nil
	}
	return New(o), all
}

func envelope() *mail.Envelope {
	return &mail.Envelope{
		ID: mail.NewID(time.Now()), From: mail.MustAddress("x@there.test"),
		To:     []mail.Recipient{{Address: mail.MustAddress("ann@here.test")}, {Address: mail.MustAddress("bob@here.test")}},
		Origin: mail.Origin{Conn: mail.NewID(time.Now()), Service: "smtp", Helo: "mx.there.test", Name: "mx.there.test", Remote: netip.MustParseAddrPort("192.0.2.1:1234")},
	}
}

const letterText = "From: x@there.test\r\nSubject: one\r\n two\r\nX-A: 1\r\nX-a:2\r\n\r\nbody\r\n"

// session has all stages asked.
func runSession(t testing.TB, c *Client, env *mail.Envelope, text string) (*Change, error) {
	t.Helper()
	ctx := t.Context()
	if err := c.Client(ctx, &env.Origin); err != nil {
		return nil, err
	}
	if err := c.Hello(ctx, &env.Origin); err != nil {
		return nil, err
	}
	if err := c.Sender(ctx, env); err != nil {
		return nil, err
	}
	var left []mail.Recipient
	var last error
	for _, to := range env.To {
		if last = c.Recipient(ctx, env, to); last == nil {
			left = append(left, to)
		}
	}
	if env.To = left; len(left) == 0 {
		return nil, last
	}
	return c.Message(ctx, env, mail.Bytes([]byte(text)))
}

func statusOf(err error) string {
	if err == nil {
		return ""
	}
	return mail.StatusOf(err).String()
}

// What a milter sees of a session, all of it and what it wants.
func TestEvents(t *testing.T) {
	t.Parallel()
	c, all := play(t, nil, &script{actions: doAll})
	env := envelope()
	x, err := runSession(t, c, env, letterText)
	if err != nil || x.Any() {
		t.Fatalf("%+v, %v", x, err)
	}
	got := slices.DeleteFunc(all[0].take(), func(s string) bool { return strings.HasPrefix(s, "macro") })
	want := []string{"C mx.there.test 4", "H mx.there.test", "M <x@there.test>", "R <ann@here.test>", "R <bob@here.test>", "T ",
		"L From|x@there.test", "L Subject|one\n two", "L X-A|1", "L X-a|2", "N ", "B 6", "E "}
	if !slices.Equal(got, want) {
		t.Errorf("it sees %q", got)
	}

	// The next message of the session, after one that was given up.
	for range 2 {
		if err := c.Sender(t.Context(), env); err != nil {
			t.Fatal(err)
		}
	}
	got = slices.DeleteFunc(all[0].take(), func(s string) bool { return strings.HasPrefix(s, "macro") })
	if !slices.Equal(got, []string{"M <x@there.test>", "A ", "M <x@there.test>"}) {
		t.Errorf("then it sees %q", got)
	}
	c.Gone(env.Origin.Conn)
	if len(c.sessions) != 0 {
		t.Error("the session is kept")
	}

	// It gets what it asks for, and answers where it wants.
	c, all = play(t, nil, &script{
		protocol: noConnect | noHelo | noRcpt | noData | nrHeader | nrEOH | nrBody | nrMail | leadSpace,
		macros:   append(append(number(atMail), "i {mail_addr}\x00"...), append(number(atEOH), "\x00"...)...),
	})
	if _, err := runSession(t, c, envelope(), letterText); err != nil {
		t.Fatal(err)
	}
	got = all[0].take()
	if i := slices.IndexFunc(got, func(s string) bool { return strings.HasPrefix(s, "macro M") }); i < 0 || !strings.HasSuffix(got[i], "|{mail_addr}|x@there.test") || strings.Contains(got[i], "mail_host") {
		t.Errorf("macros: %q", got)
	}
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "macro") })
	if want := []string{"M <x@there.test>", "L From| x@there.test", "L Subject| one\n two", "L X-A| 1", "L X-a|2", "N ", "B 6", "E "}; !slices.Equal(got, want) {
		t.Errorf("it sees %q", got)
	}

	// A milter may have seen enough, and large bodies come in pieces.
	c, all = play(t, nil, &script{protocol: skips, answers: map[byte][]packet{cmdBody: {{ansSkip, nil}}}})
	if _, err := runSession(t, c, envelope(), "\r\n"+strings.Repeat("x", 200000)); err != nil {
		t.Fatal(err)
	}
	if got := all[0].take(); !slices.Equal(got[len(got)-3:], []string{"B 65535", "macro E i|" + strings.TrimPrefix(got[len(got)-2], "macro E i|"), "E "}) {
		t.Errorf("it sees %q", got[len(got)-4:])
	}
}

// Every answer at every stage.
func TestAnswers(t *testing.T) {
	t.Parallel()
	reply := packet{ansReplyCode, []byte("554 5.7.9 no such thing\x00")}
	for _, x := range []struct {
		at     byte
		answer packet
		want   string
	}{
		{cmdConnect, packet{ansReject, nil}, "550 5.7.1 refused by a filter"},
		{cmdConnect, packet{ansConnFail, nil}, "451 4.7.1 a filter asks you to try again later"},
		{cmdHelo, packet{ansTempFail, nil}, "451 4.7.1 a filter asks you to try again later"},
		{cmdMail, reply, "554 5.7.9 no such thing"},
		{cmdMail, packet{ansReplyCode, []byte("450-4.3.2 one\r\n450 two\x00")}, "450 4.3.2 one two"},
		{cmdMail, packet{ansReplyCode, []byte("451 come\x01 again\x00")}, "451 4.7.1 come  again"},
		{cmdMail, packet{ansShutdown, nil}, "421 4.7.0 a filter ends the session"},
		{cmdRcpt, packet{ansReject, nil}, "550 5.7.1 refused by a filter"},
		{cmdData, reply, "554 5.7.9 no such thing"},
		{cmdHeader, packet{ansReject, nil}, "550 5.7.1 refused by a filter"},
		{cmdEOH, packet{ansTempFail, nil}, "451 4.7.1 a filter asks you to try again later"},
		{cmdBody, reply, "554 5.7.9 no such thing"},
		{cmdEnd, packet{ansReject, nil}, "550 5.7.1 refused by a filter"},
		{cmdEnd, reply, "554 5.7.9 no such thing"},
		{cmdEnd, packet{ansReplyCode, []byte("250 2.0.0 fine\x00")}, "451 4.7.1 the service is not available now, try again later"},
		{cmdMail, packet{'?', nil}, "451 4.7.1 the service is not available now, try again later"},
		{cmdRcpt, packet{0, nil}, "451 4.7.1 the service is not available now, try again later"},
		{cmdConnect, packet{ansAccept, nil}, ""},
		{cmdMail, packet{ansAccept, nil}, ""},
		{cmdHeader, packet{ansAccept, nil}, ""},
	} {
		c, all := play(t, nil, &script{actions: doAll, answers: map[byte][]packet{x.at: {x.answer}}})
		if _, err := runSession(t, c, envelope(), letterText); statusOf(err) != x.want {
			t.Errorf("%q to %q: %q, want %q", x.answer.kind, x.at, statusOf(err), x.want)
		}
		if seen := all[0].take(); x.answer.kind == ansAccept && slices.Contains(seen, "E ") {
			t.Errorf("after accepting at %q it sees %q", x.at, seen)
		}
	}

	// One recipient is refused, the other not.
	c, _ := play(t, nil, &script{answers: map[byte][]packet{cmdRcpt: {{ansContinue, nil}}}})
	env := envelope()
	if _, err := runSession(t, c, env, letterText); err != nil || len(env.To) != 2 {
		t.Errorf("%v, %d recipients", err, len(env.To))
	}
	for at, want := range map[byte]bool{cmdMail: true, cmdBody: true, cmdEnd: true} {
		c, _ := play(t, nil, &script{answers: map[byte][]packet{at: {{ansDiscard, nil}}}})
		if x, err := runSession(t, c, envelope(), letterText); err != nil || x.Discard != want {
			t.Errorf("DISCARD to %q: %+v, %v", at, x, err)
		}
	}
}

// Every change, by two milters of which the second sees what the first has done.
func TestChanges(t *testing.T) {
	t.Parallel()
	first := &script{actions: doAll, answers: map[byte][]packet{cmdEnd: {
		{ansProgress, nil},
		{ansAddHeader, pack("X-New", "folded\n and\nbroken")},
		{ansInsHeader, number(0, "X-First", "0")},
		{ansInsHeader, number(99, "X-Last", "99")},
		{ansChgHeader, number(2, "x-a", "changed")},
		{ansChgHeader, number(1, "X-A", "")},
		{ansChgHeader, number(1, "X-Not-There", "added")},
		{ansReplBody, []byte("new ")}, {ansReplBody, []byte("body\r\n")},
		{ansChgFrom, pack("<eve@there.test>", "SIZE=3")},
		{ansAddRcpt, pack("<carl@here.test>")}, {ansAddRcptPar, pack("<dora@here.test>", "NOTIFY=NEVER")},
		{ansDelRcpt, pack("<bob@here.test>")},
		{ansQuarantine, pack("looks\r\nodd")},
		{ansAccept, nil},
	}}}
	second := &script{actions: doAll, answers: map[byte][]packet{cmdEnd: {{ansDelRcpt, pack("<dora@here.test>")}, {ansContinue, nil}}}}
	c, all := play(t, nil, first, second)
	x, err := runSession(t, c, envelope(), letterText)
	if err != nil {
		t.Fatal(err)
	}
	want := "X-First: 0\r\nFrom: x@there.test\r\nSubject: one\r\n two\r\nX-a: changed\r\nX-New: folded\r\n and\r\n broken\r\nX-Last: 99\r\nX-Not-There: added\r\n\r\nnew body\r\n"
	if string(x.Text) != want {
		t.Errorf("the message is\n%s", x.Text)
	}
	if x.From == nil || x.From.String() != "eve@there.test" || x.Hold != "looks  odd" || len(x.Add) != 1 || x.Add[0].String() != "carl@here.test" || len(x.Del) != 2 {
		t.Errorf("%+v", x)
	}
	if seen := all[1].take(); !slices.Contains(seen, "L X-New|folded\n and\n broken") || !slices.Contains(seen, "B 10") {
		t.Errorf("the second sees %q", seen)
	}

	// What it has not said it does, and nonsense, is none of it; nothing is changed.
	for name, p := range map[string]packet{
		"not agreed":  {ansReplBody, []byte("x")},
		"no name":     {ansAddHeader, pack("", "x")},
		"a bad name":  {ansAddHeader, pack("A: b\r\nC", "x")},
		"no address":  {ansAddRcpt, pack("nobody")},
		"no number":   {ansInsHeader, []byte("x")},
		"no argument": {ansQuarantine, nil},
		"unknown":     {'!', nil},
	} {
		s := &script{actions: doAll &^ doChgBody, answers: map[byte][]packet{cmdEnd: {{ansAddHeader, pack("X-Y", "z")}, p, {ansAccept, nil}}}}
		c, _ := play(t, func(f *Filter) { f.Open = true }, s)
		if x, err := runSession(t, c, envelope(), letterText); err != nil || x.Any() {
			t.Errorf("%s: %+v, %v", name, x, err)
		}
	}
}

// A milter that is down: mail waits or goes on, as it is set.
func TestDown(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		for name, s := range map[string]*script{
			"not there":       nil,
			"ends":            {answers: map[byte][]packet{cmdEnd: {{0, nil}}}},
			"silent":          {answers: map[byte][]packet{cmdMail: {}}},
			"another version": {protocol: 1 << 30},
			"wants too much":  {actions: 1 << 20},
		} {
			c, _ := play(t, func(f *Filter) {
				if f.Open = open; name == "silent" {
					f.Command = 100 * time.Millisecond
				}
			}, s)
			env := envelope()
			x, err := runSession(t, c, env, letterText)
			switch {
			case open && (err != nil || x.Any()):
				t.Errorf("%s: %+v, %v", name, x, err)
			case !open && statusOf(err) != "451 4.7.1 the service is not available now, try again later":
				t.Errorf("%s: %v", name, err)
			}
			// It stays so for the session, and another asks anew.
			if err := c.Sender(t.Context(), env); (err == nil) != open {
				t.Errorf("%s, again: %v", name, err)
			}
			c.Gone(env.Origin.Conn)
		}
	}
}

// A milter that fails after it took a recipient has not seen the message, which
// waits or goes on, as it is set.
func TestFailsWithin(t *testing.T) {
	t.Parallel()
	for _, open := range []bool{false, true} {
		c, _ := play(t, func(f *Filter) { f.Open = open }, &script{})
		dial, conn := c.o.Dial, net.Conn(nil)
		c.o.Dial = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
			conn, err = dial(ctx, network, address)
			return conn, err
		}
		env := envelope()
		if err := errors.Join(c.Sender(t.Context(), env), c.Recipient(t.Context(), env, env.To[0])); err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if err := c.Recipient(t.Context(), env, env.To[1]); (err == nil) != open {
			t.Errorf("open %v: the other recipient: %v", open, err)
		}
		env.To = env.To[:1]
		if _, err := c.Message(t.Context(), env, mail.Bytes([]byte(letterText))); (err == nil) != open || err != nil && mail.StatusOf(err).Code != 451 {
			t.Errorf("open %v: the message: %v", open, err)
		}
		if err := c.Sender(t.Context(), env); (err == nil) != open {
			t.Errorf("open %v: the next one: %v", open, err)
		}
		c.Gone(env.Origin.Conn)
	}
}

// Mail that came without a session is shown with one.
func TestWithoutSession(t *testing.T) {
	t.Parallel()
	c, all := play(t, func(f *Filter) { f.Services = []string{"local"} }, &script{actions: doAll, answers: map[byte][]packet{cmdEnd: {{ansAddHeader, pack("X-Y", "z")}, {ansContinue, nil}}}})
	env := envelope()
	if x, err := runSession(t, c, env, letterText); err != nil || x.Any() || len(all[0].take()) > 0 {
		t.Errorf("it sees what is not for it: %+v, %v", x, err)
	}
	env.Origin = mail.Origin{Service: "local"}
	x, err := c.Message(t.Context(), env, mail.Bytes([]byte(letterText)))
	if err != nil || !strings.Contains(string(x.Text), "X-Y: z\r\n\r\nbody") {
		t.Errorf("%+v, %v", x, err)
	}
	if seen := all[0].take(); !slices.Contains(seen, "C localhost U") || !slices.Contains(seen, "R <bob@here.test>") {
		t.Errorf("it sees %q", seen)
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	f, err := Parse("inet:8891@localhost down=accept services=smtp,local content=2m")
	if err != nil || f.Network != "tcp" || f.Address != "localhost:8891" || !f.Open || len(f.Services) != 2 || f.Content != 2*time.Minute {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := Parse("unix:/run/x.sock"); err != nil || f.Network != "unix" || f.Address != "/run/x.sock" || f.Open {
		t.Errorf("%+v, %v", f, err)
	}
	for _, bad := range []string{"", "x", "unix:relative", "inet:nowhere", "unix:/x down=maybe", "unix:/x services=ftp", "unix:/x content=-1s", "unix:/x what=ever"} {
		if _, err := Parse(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Whatever a milter answers, nothing breaks, and what comes out is a message.
func FuzzAnswers(f *testing.F) {
	f.Add(byte(ansAddHeader), []byte("X\x00y\x00"), byte(ansChgHeader), []byte("\x00\x00\x00\x01From\x00\x00"))
	f.Add(byte(ansReplBody), []byte("x"), byte(ansReplyCode), []byte("550"))
	f.Add(byte(ansInsHeader), []byte("\xff\xff\xff\xffA\x00b\r\n\r\nc\x00"), byte(ansChgFrom), []byte("<>\x00"))
	f.Fuzz(func(t *testing.T, k1 byte, d1 []byte, k2 byte, d2 []byte) {
		c, _ := play(t, func(f *Filter) { f.Command, f.Content = 50*time.Millisecond, 50*time.Millisecond }, &script{actions: doAll, answers: map[byte][]packet{
			cmdEnd: {{k1, d1}, {k2, d2}, {ansAccept, nil}},
		}})
		env := envelope()
		x, err := runSession(t, c, env, letterText)
		c.Gone(env.Origin.Conn)
		if err != nil || x.Text == nil {
			return
		}
		m, err := read(mail.Bytes(x.Text))
		if err != nil || string(m.bytes()) != string(x.Text) {
			t.Fatalf("%q, %v", x.Text, err)
		}
	})
}
