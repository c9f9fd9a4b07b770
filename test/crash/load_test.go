package crash

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	ann  = "ann" // read by IMAP
	bob  = "bob"
	carl = "carl" // read by POP3
	dora = "dora"
	sam  = "sam"  // sends, and gets the reports
	team = "team" // an alias of ann and bob
)

var users = []string{ann, bob, carl, dora, sam}

func at(user string) string { return user + "@" + domain }

// trial is a server, a load on it, and the ledger of both.
type trial struct {
	site   *site
	sink   *sink
	ledger *ledger
	seed   uint64
	loads  uint64

	ending    atomic.Bool // the server is being ended: connections may break
	mayRefuse atomic.Bool // something is wrong with the machine: the server may say no
	serial    atomic.Int64
	wait      func()   // for the clients
	doctored  bool     // faults are wanted
	finished  []string // addresses at the sink that the queue has done with
}

// random is a source of choices that depends on the seed and the names only.
func (x *trial) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(x.seed, n)) }

// load puts every kind of client to work and returns when so many operations
// have begun. They go on until the server ends; wait returns when all have
// noticed that.
func (x *trial) load(operations int) (wait func()) {
	x.loads++
	x.ending.Store(false)
	reached, gone := x.ledger.begun(operations), make(chan struct{})
	var all sync.WaitGroup
	worker := uint64(0)
	client := func(who string, session func(who string, rng *rand.Rand) error) {
		worker++
		rng := x.random(x.loads<<8 + worker)
		all.Go(func() { x.client(who, rng, session) })
	}
	client("smtp 1", x.stranger)
	client("smtp 2", x.stranger)
	client("lmtp", x.relay)
	client("submission 1", x.submitter)
	client("submission 2", x.submitter)
	client("imap ann 1", x.reader(ann, "a1", true))
	client("imap ann 2", x.reader(ann, "a2", false))
	client("imap bob 1", x.reader(bob, "b1", true))
	client("imap bob 2", x.reader(bob, "b2", false))
	client("pop3 carl", x.collector(carl))
	client("pop3 dora", x.collector(dora))
	client("observer", x.observer)
	go func() {
		all.Wait()
		close(gone)
	}()
	select {
	case <-reached:
	case <-gone: // which is a fault
	}
	x.wait = func() { <-gone }
	return x.wait
}

// client runs sessions until the server ends. It must not end them before, nor
// refuse anything, unless the trial allows for that.
func (x *trial) client(who string, rng *rand.Rand, session func(string, *rand.Rand) error) {
	for troubles := 0; troubles < 1000; {
		err := session(who, rng)
		if err == nil {
			continue
		}
		if x.ending.Load() {
			return
		}
		troubles++
		if !x.mayRefuse.Load() {
			x.ledger.fault("%s: %v, and the server was not being ended", who, err)
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}

// finish notes an answer that was not the one hoped for. Without any answer the
// op stays open.
func (x *trial) finish(o *op, err error) error {
	var no *refusal
	if errors.As(err, &no) {
		x.ledger.refuse(o, no.answer)
	}
	return err
}

// message makes a message that no other is like, and its token.
func (x *trial) message(rng *rand.Rand, from string) (token string, text []byte) {
	token = fmt.Sprintf("m%d", x.serial.Add(1))
	text = compose(rng, token, from)
	x.ledger.register(token, digest(text))
	return token, text
}

// stranger sends some messages from elsewhere to some of our users.
func (x *trial) stranger(who string, rng *rand.Rand) error {
	c, err := smtp(x.site.smtp(), "EHLO")
	if err != nil {
		return err
	}
	defer c.Close()
	for range 1 + rng.IntN(10) {
		token, text := x.message(rng, "eve@outside.test")
		to, facts := locals(rng, token, ann, bob, carl, dora, team)
		if err := x.post(c, rng, who, "eve@outside.test", to, facts, text); err != nil {
			return err
		}
	}
	_, err = c.ask("QUIT")
	return err
}

// locals chooses one or more of the users, and says what comes of mail to them.
func locals(rng *rand.Rand, token string, among ...string) (to []string, facts []fact) {
	accounts := map[string]bool{}
	for _, i := range rng.Perm(len(among))[:1+rng.IntN(len(among))] {
		user := among[i]
		to = append(to, at(user))
		if user == team {
			accounts[at(ann)], accounts[at(bob)] = true, true
		} else {
			accounts[at(user)] = true
		}
	}
	for _, user := range users {
		if accounts[at(user)] {
			facts = append(facts, fact{Account: at(user), Box: inbox, Token: token})
		}
	}
	return to, facts
}

// submitter sends messages of sam to recipients elsewhere, some of whom do not
// exist, and to users here as well.
func (x *trial) submitter(who string, rng *rand.Rand) error {
	c, err := smtp(x.site.submission(), "EHLO")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.login(at(sam)); err != nil {
		return err
	}
	for range 1 + rng.IntN(5) {
		token, text := x.message(rng, at(sam))
		var to []string
		var facts []fact
		if rng.IntN(2) == 0 {
			to, facts = locals(rng, token, ann, carl)
		}
		for i := range 1 + rng.IntN(3) {
			address := fmt.Sprintf("%s.%d@%s", token, i, sinks[rng.IntN(len(sinks))])
			if rng.IntN(30) == 0 {
				address = refused + address
			}
			to = append(to, address)
			facts = append(facts, fact{Account: elsewhere, Box: address, Token: token})
		}
		if err := x.post(c, rng, who, at(sam), to, facts, text); err != nil {
			return err
		}
	}
	_, err = c.ask("QUIT")
	return err
}

// post sends a message over SMTP, by DATA or BDAT. One answer is for all.
func (x *trial) post(c *link, rng *rand.Rand, who, from string, to []string, facts []fact, text []byte) error {
	verb := []string{"DATA", "BDAT"}[rng.IntN(2)]
	o := x.ledger.begin(who, fmt.Sprintf("%s %s to %s", verb, facts[0].Token, strings.Join(to, " ")), nil, facts)
	answer, err := x.transfer(c, rng, verb, from, to, text)
	if err == nil && !strings.HasPrefix(answer, "250") {
		err = &refusal{verb, answer}
	}
	if err != nil {
		return x.finish(o, err)
	}
	x.ledger.acknowledge(o, answer, 0)
	return nil
}

// transfer sends envelope and message and reads the first answer to them.
func (x *trial) transfer(c *link, rng *rand.Rand, verb, from string, to []string, text []byte) (string, error) {
	if err := c.must("250", "MAIL FROM:<%s>", from); err != nil {
		return "", err
	}
	for _, address := range to {
		if err := c.must("250", "RCPT TO:<%s>", address); err != nil {
			return "", err
		}
	}
	if verb == "DATA" {
		if err := c.must("354", "DATA"); err != nil {
			return "", err
		}
		if err := c.send(stuffed(text)); err != nil {
			return "", err
		}
		return c.reply()
	}
	for chunks := rng.IntN(3); chunks > 0; chunks-- {
		n := rng.IntN(len(text))
		if err := c.send(fmt.Appendf(nil, "BDAT %d\r\n", n), text[:n]); err != nil {
			return "", err
		}
		answer, err := c.reply()
		if err == nil && !strings.HasPrefix(answer, "250") {
			err = &refusal{verb, answer}
		}
		if err != nil {
			return "", err
		}
		text = text[n:]
	}
	if err := c.send(fmt.Appendf(nil, "BDAT %d LAST\r\n", len(text)), text); err != nil {
		return "", err
	}
	return c.reply()
}

// relay hands in messages over LMTP, which answers for each recipient.
func (x *trial) relay(who string, rng *rand.Rand) error {
	c, err := smtp(x.site.lmtp(), "LHLO")
	if err != nil {
		return err
	}
	defer c.Close()
	for range 1 + rng.IntN(10) {
		token, text := x.message(rng, "eve@outside.test")
		to, _ := locals(rng, token, ann, bob, carl, dora)
		verb := []string{"DATA", "BDAT"}[rng.IntN(2)]
		var ops []*op
		for _, address := range to {
			ops = append(ops, x.ledger.begin(who, fmt.Sprintf("LMTP-%s %s to %s", verb, token, address), nil,
				[]fact{{Account: address, Box: inbox, Token: token}}))
		}
		answer, err := x.transfer(c, rng, verb, "eve@outside.test", to, text)
		if err != nil {
			for _, o := range ops {
				x.finish(o, err)
			}
			return err
		}
		for i, o := range ops {
			if i > 0 {
				if answer, err = c.reply(); err != nil {
					return err
				}
			}
			if !strings.HasPrefix(answer, "250") {
				err = x.finish(o, &refusal{verb, answer})
			} else {
				x.ledger.acknowledge(o, answer, 0)
			}
		}
		if err != nil {
			return err
		}
	}
	_, err = c.ask("QUIT")
	return err
}

// collector fetches and deletes by POP3.
func (x *trial) collector(user string) func(string, *rand.Rand) error {
	return func(who string, rng *rand.Rand) error {
		c, err := pop3(x.site.pop3(), at(user))
		if err != nil {
			return err
		}
		defer c.Close()
		uidls, err := c.uidls()
		if err != nil {
			return err
		}
		var goes []fact
		most := min(len(uidls), max(12, len(uidls)-full))
		for _, i := range slices.Sorted(slices.Values(rng.Perm(len(uidls))[:rng.IntN(most+1)])) {
			text, err := c.retrieve(i + 1)
			if err != nil {
				return err
			}
			token := tokenOf(text)
			x.ledger.uidl(at(user), uidls[i], token)
			goes = append(goes, fact{Account: at(user), Box: inbox, Token: token})
			if err := c.must("+OK", "DELE %d", i+1); err != nil {
				return err
			}
		}
		if len(goes) == 0 || rng.IntN(8) == 0 {
			return c.hangUp() // nothing goes
		}
		for _, f := range x.ledger.in(at(user), inbox) { // as the ledger knows them
			for i := range goes {
				if goes[i].Token == f.Token {
					goes[i] = f
				}
			}
		}
		o := x.ledger.begin(who, fmt.Sprintf("QUIT with %d deletes", len(goes)), goes, nil)
		if err := c.must("+OK", "QUIT"); err != nil {
			return x.finish(o, err)
		}
		x.ledger.acknowledge(o, "+OK", 0)
		return nil
	}
}

// hangUp leaves without QUIT, and waits until the server has noticed: it lets
// nobody else in before.
func (c *link) hangUp() error {
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c.r)
	return err
}

// retrieve fetches a message by POP3.
func (c *link) retrieve(n int) ([]byte, error) {
	if err := c.must("+OK", "RETR %d", n); err != nil {
		return nil, err
	}
	lines, err := c.list()
	return []byte(strings.Join(lines, "\r\n") + "\r\n"), err
}

// observer looks at INBOXes while others change them, and notes what it sees:
// what was shown once is as good as promised.
func (x *trial) observer(who string, rng *rand.Rand) error {
	account := at(users[rng.IntN(4)])
	c, err := imap(x.site.imap(), account)
	if err != nil {
		return err
	}
	defer c.Close()
	for range 1 + rng.IntN(3) {
		if _, err := x.look(c, "EXAMINE", account, inbox); err != nil {
			return err
		}
	}
	_, err = c.do("LOGOUT")
	return err
}

// look opens a mailbox and notes what is in it.
func (x *trial) look(c *link, verb, account, box string) (mark, error) {
	r, err := c.do("%s %q (CONDSTORE)", verb, box)
	if err != nil {
		return mark{}, err
	}
	m := mark{uint32(r.number(validityCode)), uint32(r.number(nextCode)), r.number(modseqCode)}
	x.ledger.marked(account, box, m, false)
	if r.number(existsLine) == 0 {
		return m, nil
	}
	r, err = c.do("UID FETCH 1:* (FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (X-Ledger)])")
	if err != nil {
		return mark{}, err
	}
	for _, f := range r.messages() {
		if f.token != "" {
			x.ledger.sighted(account, box, m.validity, f.uid, f.token)
			x.ledger.versioned(account, box, m.validity, f)
		}
	}
	return m, nil
}
