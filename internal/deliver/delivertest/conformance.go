package delivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

// Transport is what is tested.
type Transport interface {
	Deliver(ctx context.Context, item *mail.Item, body mail.Body) []mail.Outcome
}

// Dial opens connections for a Transport.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Hop is where the items of Item go.
var hop = mail.Hop{Kind: mail.HopRemote, Host: "192.0.2.25", Exact: true}

// Body is a message in memory.
func Body(text string) mail.Body {
	return memory{strings.NewReader(text)}
}

type memory struct{ *strings.Reader }

func (memory) Close() error { return nil }

// Item is a message from sender@client.test to recipients, which are user
// names at mx.test or whole addresses.
func Item(body mail.Body, to ...string) *mail.Item {
	at := time.Unix(1_800_000_000, 0)
	item := &mail.Item{ID: mail.NewID(at), Hop: hop, Size: body.Size(),
		Envelope: mail.Envelope{ID: mail.NewID(at), From: mail.MustAddress("sender@client.test"), Received: at}}
	for _, name := range to {
		if !strings.Contains(name, "@") {
			name += "@mx.test"
		}
		item.To = append(item.To, mail.ItemRcpt{Recipient: mail.Recipient{Address: mail.MustAddress(name)}})
	}
	return item
}

const text = "Subject: test\r\n\r\n.dot\r\nline\r\n"

// trial is one way for a host to behave, and what must come of it.
type trial struct {
	name   string
	remote *Remote
	to     string // names apart by spaces; "a b c" if empty
	body   mail.Body
	want   string // a digit for each recipient, or one for all
	taken  int    // messages that the host has
	cancel time.Duration
	most   time.Duration // how long it may take; an hour and a bit if zero
	edit   func(*mail.Item)
}

// Conformance is what every transport that speaks SMTP as a client must do
// with hosts good and bad: one outcome for each recipient, success where and
// only where the host has said so, an end in bounded time and memory.
func Conformance(t *testing.T, start func(t *testing.T, dial Dial) Transport) {
	conform(t, start, slices.Concat(good(), refusals(), failures(), floods(), tlsTrials(), ours()))
}

// LMTP is the same for one that speaks LMTP.
func LMTP(t *testing.T, start func(t *testing.T, dial Dial) Transport) {
	trials := slices.Concat(good(), refusals(), failures(), floods(), tlsTrials(), ours(), perRecipient())
	trials = slices.DeleteFunc(trials, func(tr trial) bool { return tr.name == "good/HELO" }) // it has none
	for i := range trials {
		trials[i].remote.LMTP = true
		edit := trials[i].edit
		trials[i].edit = func(item *mail.Item) {
			if item.Hop.Kind = mail.HopLMTP; edit != nil {
				edit(item)
			}
		}
	}
	conform(t, start, trials)
}

func conform(t *testing.T, start func(t *testing.T, dial Dial) Transport, trials []trial) {
	for _, trial := range trials {
		t.Run(trial.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { trial.run(t, start) })
		})
	}
}

// perRecipient are answers to the message that differ: RFC 2033 section 4.2.
func perRecipient() []trial {
	answer := func(replies ...string) func(*Conn, string, string) bool {
		return at(".", func(c *Conn) {
			c.answers = 1
			all := c.m.To
			for i, reply := range replies {
				if c.m.To = all[i : i+1]; reply[0] == '2' {
					c.Accept(reply)
				} else {
					c.Reply(reply)
				}
			}
			if len(replies) < len(all) {
				c.End()
			}
		})
	}
	return []trial{
		{name: "each/differs", remote: &Remote{Extensions: pipelining, On: answer("250 2.1.5 ok", "452 4.2.2 full", "550 5.7.1 no")}, want: "245", taken: 1},
		{name: "each/one by one", remote: &Remote{On: answer("550 5.2.2 full", "250 2.1.5 ok", "250 2.1.5 ok")}, want: "522", taken: 2},
		{name: "each/gone in between", remote: &Remote{On: answer("250 2.1.5 ok")}, want: "244", taken: 1},
		{name: "each/421 in between", remote: &Remote{On: answer("250 2.1.5 ok", "421 4.3.2 closing")}, want: "244", taken: 1},
	}
}

func (tr *trial) run(t *testing.T, start func(t *testing.T, dial Dial) Transport) {
	names := strings.Fields(tr.to)
	if len(names) == 0 {
		names = []string{"a", "b", "c"}
	}
	body := tr.body
	if body == nil {
		body = Body(text)
	}
	item := Item(body, names...)
	if tr.edit != nil {
		tr.edit(item)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if tr.cancel > 0 {
		time.AfterFunc(tr.cancel, cancel)
	}
	transport := start(t, tr.remote.Dial)
	began := time.Now()
	outcomes := transport.Deliver(ctx, item, body)
	took := time.Since(began)
	if closer, ok := transport.(io.Closer); ok {
		closer.Close()
	}
	tr.remote.Settle()
	if len(outcomes) != len(item.To) {
		t.Fatalf("%d outcomes for %d recipients", len(outcomes), len(item.To))
	}
	for i, o := range outcomes {
		tr.check(t, names[i], item.To[i].Address, o, tr.want[min(i, len(tr.want)-1)])
	}
	if got := len(tr.remote.Messages()); got != tr.taken {
		t.Errorf("the host has %d messages, want %d", got, tr.taken)
	}
	if tr.remote.read > mostRead {
		t.Errorf("%d octets of one reply were read", tr.remote.read)
	}
	most := tr.most
	if most == 0 {
		most = 61 * time.Minute
	}
	if took > most {
		t.Errorf("took %v, more than %v", took, most)
	}
}

// check holds an outcome against what is wanted and what the host has.
func (tr *trial) check(t *testing.T, name string, to mail.Address, o mail.Outcome, want byte) {
	t.Helper()
	if got := o.Status.String(); got[0] != want {
		t.Errorf("%s: %q (%v), want %cxx", name, got, o.Err, want)
	}
	if o.Status.Enhanced == (mail.Enhanced{}) || int(o.Status.Enhanced[0]) != o.Status.Code/100 {
		t.Errorf("%s: enhanced code %v of %d", name, o.Status.Enhanced, o.Status.Code)
	}
	copies := 0
	for _, m := range tr.remote.Messages() {
		if slices.ContainsFunc(m.To, func(path string) bool { return strings.HasPrefix(path, to.Path()) }) {
			copies++
		}
	}
	class := o.Status.Class()
	if class == mail.Success && copies != 1 || class == mail.Permanent && copies != 0 || copies > 1 {
		t.Errorf("%s: %v, and the host has %d copies", name, o.Status, copies)
	}
	if class == mail.Success && (o.Host == "" || o.Remote == "") {
		t.Errorf("%s: nobody is said to have taken it: %+v", name, o)
	}
}

// at makes a Remote.On that does one thing at one step.
func at(step string, do func(c *Conn)) func(*Conn, string, string) bool {
	return func(c *Conn, s, _ string) bool {
		if s != step {
			return false
		}
		do(c)
		return true
	}
}

func say(lines ...string) func(*Conn) { return func(c *Conn) { c.Reply(lines...) } }

// closing says 421 and goes.
func closing(c *Conn) {
	c.Reply("421 4.3.2 closing")
	c.End()
}

var pipelining = []string{"PIPELINING", "8BITMIME", "SIZE 100000", "ENHANCEDSTATUSCODES"}

func good() []trial {
	tooMany := func(c *Conn, step, args string) bool {
		if step != "RCPT" || len(c.m.To) < 2 {
			return false
		}
		c.Reply("452 4.5.3 too many recipients")
		return true
	}
	many := ""
	for i := range 230 {
		many += fmt.Sprintf(" r%d", i)
	}
	return []trial{
		{name: "good/one by one", remote: &Remote{}, want: "2", taken: 1},
		{name: "good/pipelined", remote: &Remote{Extensions: pipelining}, want: "2", taken: 1},
		{name: "good/HELO", remote: &Remote{On: at("EHLO", say("502 5.5.1 what"))}, want: "2", taken: 1},
		{name: "good/some recipients", remote: &Remote{Extensions: pipelining, On: refuse("b", "550 5.1.1 nobody")}, want: "252", taken: 1},
		{name: "good/some recipients one by one", remote: &Remote{On: refuse("b", "451 4.2.1 greylisted")}, want: "242", taken: 1},
		{name: "good/too many recipients", remote: &Remote{Extensions: pipelining, On: tooMany}, to: "a b c d e", want: "2", taken: 3},
		{name: "good/too many recipients one by one", remote: &Remote{On: tooMany}, to: "a b c d e", want: "2", taken: 3},
		{name: "good/LIMITS", remote: &Remote{Extensions: []string{"PIPELINING", "LIMITS RCPTMAX=2 MAILMAX=2"}}, to: "a b c d e", want: "2", taken: 3},
		{name: "good/many recipients", remote: &Remote{Extensions: pipelining}, to: many, want: "2", taken: 5},
	}
}

// refuse refuses the recipient whose name is given.
func refuse(name, reply string) func(*Conn, string, string) bool {
	return func(c *Conn, step, args string) bool {
		if step != "RCPT" || !strings.HasPrefix(args, "TO:<"+name+"@") {
			return false
		}
		c.Reply(reply)
		return true
	}
}

func refusals() []trial {
	var list []trial
	for _, step := range []string{"CONNECT", "MAIL", "RCPT", "DATA", "."} {
		for _, code := range []string{"450 4.7.1", "550 5.7.1", "451", "554", "421 4.3.2", "250-strange\r\n250"} {
			for _, extensions := range [][]string{nil, pipelining} {
				want := code[:1]
				if want == "2" {
					if step != "CONNECT" && step != "DATA" {
						continue
					}
					want = "4"
				}
				list = append(list, trial{
					name:   fmt.Sprintf("refusal/%s at %s/%d", code[:3], step, len(extensions)),
					remote: &Remote{Extensions: extensions, On: at(step, say(code+" no"))}, want: want,
				})
			}
		}
	}
	both := func(reply string) func(*Conn, string, string) bool {
		return func(c *Conn, step, _ string) bool {
			if step != "EHLO" && step != "HELO" {
				return false
			}
			c.Reply(reply)
			return true
		}
	}
	return append(list,
		trial{name: "refusal/EHLO and HELO", remote: &Remote{On: both("550 5.7.1 go away")}, want: "5"},
		trial{name: "refusal/EHLO later", remote: &Remote{On: both("450 4.7.1 later")}, want: "4"},
		trial{name: "refusal/421 after some recipients", remote: &Remote{Extensions: pipelining, On: refuse("c", "421 4.3.2 closing")}, want: "4"},
		trial{name: "refusal/354 without recipients", remote: &Remote{Extensions: pipelining, On: func(c *Conn, step, _ string) bool {
			switch step {
			case "RCPT":
				c.Reply("550 5.1.1 nobody")
			case "DATA":
				c.Reply("354 go on anyway")
			case ".":
				c.Reply("554 5.5.1 nothing to do")
			default:
				return false
			}
			return true
		}}, want: "5"},
		trial{name: "refusal/MAIL refused, the rest taken", remote: &Remote{Extensions: pipelining, On: func(c *Conn, step, _ string) bool {
			if step == "MAIL" {
				c.open = true
				c.Reply("550 5.7.1 not you")
			}
			return step == "MAIL"
		}}, want: "5"},
		trial{name: "refusal/SIZE", remote: &Remote{Extensions: []string{"SIZE 10"}}, want: "5"},
		trial{name: "refusal/no SMTPUTF8", remote: &Remote{Extensions: pipelining}, to: "a ü b", want: "252", taken: 1},
		trial{name: "refusal/no SMTPUTF8 for the header", remote: &Remote{Extensions: pipelining}, body: Body("Subject: ü\r\n\r\nx\r\n"), want: "5",
			edit: func(i *mail.Item) { i.Envelope.UTF8 = true }},
		trial{name: "refusal/binary", remote: &Remote{Extensions: append([]string{"CHUNKING", "BINARYMIME"}, pipelining...)}, want: "5",
			edit: func(i *mail.Item) { i.Envelope.Kind = mail.BodyBinary }},
	)
}

func failures() []trial {
	var list []trial
	for _, extensions := range [][]string{nil, pipelining} {
		for _, step := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."} {
			for name, do := range map[string]func(*Conn){
				"drop": (*Conn).End, "silence": (*Conn).Wait, "421": closing,
				"half a line":  func(c *Conn) { io.WriteString(c, "25"); c.End() },
				"half a reply": func(c *Conn) { c.Reply("250-more"); c.End() },
				"nonsense":     say("hello there"), "two codes": say("250-a", "251 b"), "NUL": say("\x00\x00\x00\x00"),
				"drip": drip("2", "5", "0", "-", "x"),
			} {
				list = append(list, trial{name: fmt.Sprintf("failure/%s at %s/%d", name, step, len(extensions)), remote: &Remote{Extensions: extensions, On: at(step, do)}, want: "4"})
			}
		}
	}
	dropAfterTaking := func(c *Conn) {
		c.remote.mu.Lock()
		c.remote.messages = append(c.remote.messages, c.m)
		c.remote.mu.Unlock()
		c.End()
	}
	return append(list, trial{name: "failure/taken, then gone without a word", remote: &Remote{Extensions: pipelining, On: at(".", dropAfterTaking)}, want: "4", taken: 1})
}

// drip writes pieces, one in a second, the last of them for ever.
func drip(pieces ...string) func(*Conn) {
	return func(c *Conn) {
		for i := 0; ; i++ {
			if _, err := io.WriteString(c, pieces[min(i, len(pieces)-1)]); err != nil {
				c.End()
				return
			}
			time.Sleep(time.Second)
		}
	}
}

// mostRead is how much of one reply a client may read, with its buffers.
const mostRead = 128 << 10

func floods() []trial {
	var list []trial
	for _, step := range []string{"CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."} {
		for name, line := range map[string]string{"lines": "250-and so on\r\n", "one line": "250-and so on ", "empty lines": "\r\n"} {
			flood := func(c *Conn) {
				for c.remote.read <= 16*mostRead {
					n, err := io.WriteString(c, line)
					if c.remote.read += n; err != nil {
						break
					}
				}
				c.End()
			}
			list = append(list, trial{name: "flood/" + name + " at " + step, remote: &Remote{Extensions: pipelining, On: at(step, flood)}, want: "4"})
		}
	}
	return list
}

func ours() []trial {
	return []trial{
		{name: "ours/stopped", remote: &Remote{On: at("DATA", (*Conn).Wait)}, want: "4", cancel: time.Second, most: 2 * time.Second},
		{name: "ours/unreadable", remote: &Remote{Extensions: pipelining}, body: broken{Body(strings.Repeat("x", 100000)), errors.New("bad disk")}, want: "4"},
		{name: "ours/panic", remote: &Remote{Extensions: pipelining}, body: broken{Body(strings.Repeat("x", 100000)), nil}, want: "4"},
		{name: "ours/no line end", remote: &Remote{}, body: Body("Subject: x\r\n\r\n."), want: "2", taken: 1},
		{name: "ours/no body", remote: &Remote{}, body: Body(""), want: "2", taken: 1},
	}
}

// broken fails, or panics without an error, in the middle.
type broken struct {
	mail.Body
	err error
}

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off < 50000 {
		return b.Body.ReadAt(p, off)
	}
	if b.err == nil {
		panic("the body panics")
	}
	return 0, b.err
}
