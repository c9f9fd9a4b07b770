package crash

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	listLine   = regexp.MustCompile(`^\* LIST \(([^)]*)\) "(.)" (.*)$`)
	statusItem = func(name string) *regexp.Regexp { return regexp.MustCompile(`[( ]` + name + ` (\d+)`) }

	statusMessages = statusItem("MESSAGES")
	statusUnseen   = statusItem("UNSEEN")
	statusDeleted  = statusItem("DELETED")
	statusSize     = statusItem("SIZE")
	statusNext     = statusItem("UIDNEXT")
	statusValidity = statusItem("UIDVALIDITY")
	statusModSeq   = statusItem("HIGHESTMODSEQ")
)

const statusAll = "(MESSAGES UNSEEN DELETED SIZE UIDNEXT UIDVALIDITY HIGHESTMODSEQ)"

// surveyor looks at all that the server has while no client does anything.
type surveyor struct {
	x       *trial
	seen    survey
	bounced map[string]int // reports by the address that failed
}

// survey looks at everything: what waits in the queue, every mailbox of every
// account with every message by IMAP, the INBOXes by POP3, and what the sink
// has. In that order mail on its way out is seen at least once.
func (x *trial) survey(t *testing.T) survey {
	t.Helper()
	s := &surveyor{x: x, seen: survey{sums: map[string][]string{}}, bounced: map[string]int{}}
	remote := x.site.queued(t)
	for _, user := range users {
		if err := s.account(at(user)); err != nil {
			t.Fatalf("survey of %s: %v\n%s", user, err, tail(x.site.log(), 2000))
		}
	}
	for _, user := range []string{carl, dora} {
		if err := s.maildrop(at(user)); err != nil {
			t.Fatalf("survey of %s by POP3: %v\n%s", user, err, tail(x.site.log(), 2000))
		}
	}
	for address, n := range s.bounced {
		remote[address] = true
		if n > 1 {
			x.ledger.fault("%d reports about %s", n, address)
		}
	}
	waiting := x.site.queued(t)
	x.finished = nil
	for _, address := range x.sink.addresses() {
		remote[address] = true
		for _, m := range x.sink.has(address) {
			s.seen.sums[m.token] = append(s.seen.sums[m.token], m.sum)
		}
		if !waiting[address] {
			x.finished = append(x.finished, address)
		}
	}
	for address := range remote {
		if !x.ledger.done[address] {
			token, _, _ := strings.Cut(strings.TrimPrefix(address, refused), "@")
			token, _, _ = strings.Cut(token, ".")
			s.seen.facts = append(s.seen.facts, fact{Account: elsewhere, Box: address, Token: token})
		}
	}
	return s.seen
}

// account looks at the mailboxes of an account.
func (s *surveyor) account(account string) error {
	c, err := imap(s.x.site.imap(), account)
	if err != nil {
		return err
	}
	defer c.Close()
	r, err := c.do(`LIST "" "*" RETURN (SUBSCRIBED)`)
	if err != nil {
		return err
	}
	for _, line := range r.lines {
		m := listLine.FindStringSubmatch(line.text)
		if m == nil {
			continue
		}
		box := strings.Trim(m[3], `"`)
		if !strings.Contains(m[1], `\NonExistent`) {
			s.seen.facts = append(s.seen.facts, fact{Account: account, Box: box, Token: exists})
			if err := s.mailbox(c, account, box); err != nil {
				return fmt.Errorf("%s: %w", box, err)
			}
		}
		if strings.Contains(m[1], `\Subscribed`) {
			s.seen.facts = append(s.seen.facts, fact{Account: account, Box: box, Token: subscribed})
		}
	}
	return nil
}

// mailbox looks at a mailbox: its counters must be what counting its messages
// gives. A report may come in meanwhile, then it looks again.
func (s *surveyor) mailbox(c *link, account, box string) error {
	for range 20 {
		before, err := c.do("STATUS %q "+statusAll, box)
		if err != nil {
			return err
		}
		r, err := c.do("EXAMINE %q (CONDSTORE)", box)
		if err != nil {
			return err
		}
		m := mark{uint32(r.number(validityCode)), uint32(r.number(nextCode)), r.number(modseqCode)}
		var all []message
		if exists := r.number(existsLine); exists > 0 {
			if r, err = c.do("UID FETCH 1:* (FLAGS MODSEQ RFC822.SIZE BODY.PEEK[])"); err != nil {
				return err
			}
			all = r.messages()
			if len(all) < int(exists) {
				s.x.ledger.fault("%s %s shows %d messages of %d", account, box, len(all), exists)
			}
		}
		after, err := c.do("STATUS %q "+statusAll, box)
		if err != nil {
			return err
		}
		if before.lines[0].text == after.lines[0].text {
			s.count(account, box, before, m, all)
			return nil
		}
	}
	return fmt.Errorf("never comes to rest")
}

func (s *surveyor) count(account, box string, status *response, m mark, all []message) {
	l := s.x.ledger
	var unseen, deleted, size uint64
	var last uint32
	for _, x := range all {
		if !strings.Contains(x.flags, `\Seen`) {
			unseen++
		}
		if strings.Contains(x.flags, `\Deleted`) {
			deleted++
		}
		size += uint64(x.size)
		if x.size != len(x.text) {
			l.fault("%s %s UID %d: RFC822.SIZE %d, but %d octets come", account, box, x.uid, x.size, len(x.text))
		}
		if x.uid <= last || x.uid >= m.next {
			l.fault("%s %s: UID %d after %d, before UIDNEXT %d", account, box, x.uid, last, m.next)
		}
		if x.modseq > m.modseq {
			l.fault("%s %s: UID %d has MODSEQ %d, above HIGHESTMODSEQ %d", account, box, x.uid, x.modseq, m.modseq)
		}
		last = x.uid
		s.message(account, box, m.validity, x)
	}
	for _, c := range []struct {
		item *regexp.Regexp
		want uint64
	}{
		{statusMessages, uint64(len(all))}, {statusUnseen, unseen}, {statusDeleted, deleted}, {statusSize, size},
		{statusNext, uint64(m.next)}, {statusValidity, uint64(m.validity)}, {statusModSeq, m.modseq},
	} {
		if got := status.number(c.item); got != c.want {
			l.fault("%s %s: %s, but %v is %d", account, box, status.lines[0].text, c.item, c.want)
		}
	}
	l.marked(account, box, m, true)
}

func (s *surveyor) message(account, box string, validity uint32, m message) {
	l := s.x.ledger
	l.versioned(account, box, validity, m)
	if m.token == "" && account == at(sam) && box == inbox {
		for _, address := range failed.FindAllSubmatch(m.text, -1) {
			s.bounced[string(address[1])]++
		}
		return
	}
	l.mu.Lock()
	l.named(place{account, box}, validity, m.uid, m.token)
	l.mu.Unlock()
	s.seen.facts = append(s.seen.facts, fact{Account: account, Box: box, Token: m.token, UID: m.uid, Flags: m.flags})
	s.seen.sums[m.token] = append(s.seen.sums[m.token], digest(m.text))
}

var failed = regexp.MustCompile(`(?i)Final-Recipient: rfc822; *(\S+)`)

// maildrop looks at an INBOX by POP3: it holds what IMAP shows, in the same
// order, and UIDLs stay what they were.
func (s *surveyor) maildrop(account string) error {
	var byIMAP []fact
	for _, f := range s.seen.facts {
		if f.Account == account && f.Box == inbox && f.Token != exists && f.Token != subscribed {
			byIMAP = append(byIMAP, f)
		}
	}
	c, err := pop3(s.x.site.pop3(), account)
	if err != nil {
		return err
	}
	defer c.Close()
	uidls, err := c.uidls()
	if err != nil {
		return err
	}
	if len(uidls) != len(byIMAP) {
		s.x.ledger.fault("%s has %d messages by POP3 and %d by IMAP", account, len(uidls), len(byIMAP))
		return nil
	}
	l := s.x.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{account, inbox}
	for i, uidl := range uidls {
		if l.uidls[at] == nil {
			l.uidls[at] = map[string]string{}
		}
		if known, ok := l.uidls[at][uidl]; ok && known != byIMAP[i].Token {
			l.broken("UIDL %s of %s named %s, and now %s", uidl, account, known, byIMAP[i].Token)
		}
		for old, token := range l.uidls[at] {
			if token == byIMAP[i].Token && old != uidl {
				l.broken("%s of %s had the UIDL %s, and now %s", token, account, old, uidl)
			}
		}
		l.uidls[at][uidl] = byIMAP[i].Token
	}
	return nil
}

// pop3 opens a session of an account.
func pop3(address, user string) (*link, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	greeting, err := c.line()
	if err == nil && !strings.HasPrefix(greeting, "+OK") {
		err = &refusal{"connect", greeting}
	}
	if err == nil {
		err = c.must("+OK", "USER %s", user)
	}
	if err == nil {
		err = c.must("+OK", "PASS %s", password)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// list reads the lines up to the one with a dot.
func (c *link) list() ([]string, error) {
	var all []string
	for {
		line, err := c.line()
		if err != nil || line == "." {
			return all, err
		}
		all = append(all, strings.TrimPrefix(line, "."))
	}
}

// uidls are those of the messages, in order.
func (c *link) uidls() ([]string, error) {
	if err := c.must("+OK", "UIDL"); err != nil {
		return nil, err
	}
	lines, err := c.list()
	for i, line := range lines {
		number, uidl, _ := strings.Cut(line, " ")
		if number != strconv.Itoa(i+1) {
			return nil, &refusal{"UIDL", line}
		}
		lines[i] = uidl
	}
	return slices.Clip(lines), err
}
