package crash

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Tokens of facts that are about a mailbox, not about a message in it.
const (
	exists     = "(exists)"
	subscribed = "(subscribed)"
	elsewhere  = "@" // the account of recipients at the sink; the box is the address
)

// fact is one thing that is so: a message, named by its token, is in a mailbox
// with these flags; or a mailbox exists; or a recipient elsewhere has a message
// or will have it.
type fact struct {
	Account, Box, Token string
	UID                 uint32 // 0 is not known yet
	Flags               string
}

// same says whether two facts may be one, when a UID may be unknown.
func (f fact) same(o fact) bool {
	return f.Account == o.Account && f.Box == o.Box && f.Token == o.Token && f.Flags == o.Flags &&
		(f.UID == o.UID || f.UID == 0 || o.UID == 0)
}

func (f fact) String() string {
	s := f.Account + " " + f.Box + " " + f.Token
	if f.UID != 0 {
		s += fmt.Sprintf(" uid %d", f.UID)
	}
	if f.Flags != "" {
		s += " " + f.Flags
	}
	return s
}

// op is something that was asked of the server: facts to go and facts to come,
// all of them or none.
type op struct {
	Who, What   string
	Remove, Add []fact
	Answer      string
	applied     bool // acknowledged, or its effect was seen
	refused     bool
}

func (o *op) String() string {
	state := "without an answer"
	switch {
	case o.Answer != "":
		state = fmt.Sprintf("answered %q", o.Answer)
	case o.applied:
		state = "its effect was seen"
	}
	return fmt.Sprintf("%s: %s, %s; goes %v; comes %v", o.Who, o.What, state, o.Remove, o.Add)
}

type place struct{ account, box string }

type name struct {
	place
	validity, uid uint32
}

// version is what a message was at a MODSEQ.
type version struct {
	modseq uint64
	flags  string
}

// mark is how far the counters of a mailbox have come.
type mark struct {
	validity, next uint32
	modseq         uint64
}

// ledger holds what the server has promised and what it has shown.
type ledger struct {
	mu       sync.Mutex
	facts    map[place][]fact
	sums     map[string]string // SHA-256 of each message by its token
	pending  []*op             // neither acknowledged nor refused
	history  []*op
	names    map[name]string
	versions map[name]version
	uidls    map[place]map[string]string // token by UIDL
	marks    map[place]mark
	gone     map[fact]bool // removed without a known UID
	done     map[string]bool
	faults   []string
	count    int // ops until enough is closed
	enough   chan struct{}
}

func newLedger() *ledger {
	return &ledger{
		facts: map[place][]fact{}, sums: map[string]string{}, names: map[name]string{}, versions: map[name]version{},
		uidls: map[place]map[string]string{}, marks: map[place]mark{}, gone: map[fact]bool{}, done: map[string]bool{},
	}
}

// fault notes that the server broke its word.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken(format, args...)
}

func (l *ledger) broken(format string, args ...any) {
	l.faults = append(l.faults, fmt.Sprintf(format, args...))
}

// register notes what a message is before it is sent anywhere.
func (l *ledger) register(token, sum string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sums[token] = sum
}

// begin notes what will be asked. It comes before the first octet is sent.
func (l *ledger) begin(who, what string, remove, add []fact) *op {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := &op{Who: who, What: what, Remove: remove, Add: add}
	l.pending = append(l.pending, o)
	l.history = append(l.history, o)
	if l.count--; l.count == 0 {
		close(l.enough)
	}
	return o
}

// begun gives a channel that is closed when so many more ops have begun. There
// is one at a time.
func (l *ledger) begun(ops int) (enough chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.count, l.enough = ops, make(chan struct{})
	return l.enough
}

// acknowledge notes that the server has promised an op; uids are those of the
// facts to come, where it told.
func (l *ledger) acknowledge(o *op, answer string, validity uint32, uids ...uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.Answer = answer
	l.apply(o)
	for i, uid := range uids {
		l.sight(place{o.Add[i].Account, o.Add[i].Box}, validity, uid, o.Add[i].Token)
	}
}

// refuse notes that the server said no: the op must have no effect.
func (l *ledger) refuse(o *op, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.Answer, o.refused = answer, true
	if o.applied {
		l.broken("refused, but its effect was seen: %v", o)
	}
	l.drop(o)
}

func (l *ledger) drop(o *op) {
	l.pending = slices.DeleteFunc(l.pending, func(p *op) bool { return p == o })
}

// apply makes an op's effect part of what must be so.
func (l *ledger) apply(o *op) {
	if o.applied {
		return
	}
	o.applied = true
	l.drop(o)
	for _, f := range o.Remove {
		l.remove(f, o)
	}
	for _, f := range o.Add {
		at := place{f.Account, f.Box}
		l.facts[at] = append(l.facts[at], f)
	}
}

func (l *ledger) remove(f fact, o *op) {
	at := place{f.Account, f.Box}
	i := slices.IndexFunc(l.facts[at], f.same)
	if i < 0 {
		l.broken("the ledger lacks %v, which was to go by %v", f, o)
		return
	}
	l.facts[at] = slices.Delete(l.facts[at], i, i+1)
	if len(l.facts[at]) == 0 {
		delete(l.facts, at)
	}
	if f.UID == 0 {
		l.gone[fact{Account: f.Account, Box: f.Box, Token: f.Token}] = true
	}
}

// sighted notes that a message was seen under a UID.
func (l *ledger) sighted(account, box string, validity, uid uint32, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sight(place{account, box}, validity, uid, token)
}

func (l *ledger) sight(at place, validity, uid uint32, token string) {
	if !l.named(at, validity, uid, token) {
		l.arrive(at, uid, token)
	}
}

// named notes what a UID names, and says whether that was known.
func (l *ledger) named(at place, validity, uid uint32, token string) bool {
	n := name{at, validity, uid}
	known, ok := l.names[n]
	if ok && known != token {
		l.broken("UIDVALIDITY %d UID %d of %v named %s, and now %s", validity, uid, at, known, token)
	}
	l.names[n] = token
	if m := l.marks[at]; m.validity == validity {
		m.next = max(m.next, uid+1)
		l.marks[at] = m
	}
	return ok
}

// arrive learns the UID of a message that was not seen before: one that was
// promised, or one that is still on its way, which is then as good as promised.
// With UID 0 the message was seen by its content only.
func (l *ledger) arrive(at place, uid uint32, token string) {
	for {
		for i, f := range l.facts[at] {
			if f.Token == token && (f.UID == uid || f.UID == 0 || uid == 0) {
				l.facts[at][i].UID = max(f.UID, uid)
				return
			}
		}
		i := slices.IndexFunc(l.pending, func(o *op) bool {
			return slices.ContainsFunc(o.Add, func(f fact) bool {
				return place{f.Account, f.Box} == at && f.Token == token
			})
		})
		if i < 0 {
			break
		}
		l.apply(l.pending[i])
	}
	if !l.gone[fact{Account: at.account, Box: at.box, Token: token}] {
		l.broken("from nowhere: %s in %v with UID %d%s", token, at, uid, l.story(token))
	}
}

// uidl notes the UIDL of a message.
func (l *ledger) uidl(account, uidl, token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{account, inbox}
	if l.uidls[at] == nil {
		l.uidls[at] = map[string]string{}
	}
	if known, ok := l.uidls[at][uidl]; ok && known != token {
		l.broken("UIDL %s of %s named %s, and now %s", uidl, account, known, token)
	}
	l.uidls[at][uidl] = token
	l.arrive(at, 0, token)
}

// versioned notes the flags that a message has at a MODSEQ.
func (l *ledger) versioned(account, box string, validity uint32, m message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := name{place{account, box}, validity, m.uid}
	known := l.versions[n]
	if known.modseq == m.modseq && known.flags != m.flags {
		l.broken("%v UID %d had flags %q at MODSEQ %d, and now %q at the same", n.place, m.uid, known.flags, m.modseq, m.flags)
	}
	if m.modseq > known.modseq {
		l.versions[n] = version{m.modseq, m.flags}
	}
}

// marked notes the counters of a mailbox. Where nothing else goes on they must
// not have fallen.
func (l *ledger) marked(account, box string, m mark, quiet bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := place{account, box}
	known := l.marks[at]
	if quiet && (m.validity < known.validity || m.validity == known.validity && (m.next < known.next || m.modseq < known.modseq)) {
		l.broken("counters of %v fell: UIDVALIDITY %d UIDNEXT %d HIGHESTMODSEQ %d after %d %d %d",
			at, m.validity, m.next, m.modseq, known.validity, known.next, known.modseq)
	}
	switch {
	case m.validity > known.validity:
		l.marks[at] = m
	case m.validity == known.validity:
		l.marks[at] = mark{m.validity, max(m.next, known.next), max(m.modseq, known.modseq)}
	}
}

// in are the facts about an account's mailboxes of a name and below it.
func (l *ledger) in(account, box string) []fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []fact
	for at, list := range l.facts {
		if at.account == account && (at.box == box || strings.HasPrefix(at.box, box+"/")) {
			all = append(all, list...)
		}
	}
	slices.SortFunc(all, func(a, b fact) int {
		return cmp.Or(cmp.Compare(a.Box, b.Box), cmp.Compare(a.UID, b.UID), cmp.Compare(a.Token, b.Token))
	})
	return all
}

// story is what was done with a message.
func (l *ledger) story(token string) string {
	var b strings.Builder
	for _, o := range l.history {
		about := func(f fact) bool { return f.Token == token }
		if slices.ContainsFunc(o.Add, about) || slices.ContainsFunc(o.Remove, about) {
			text := o.String()
			fmt.Fprintf(&b, "\n\t%s", text[:min(len(text), 1500)])
		}
	}
	return b.String()
}

// survey is all that could be seen while nothing else went on.
type survey struct {
	facts []fact
	sums  map[string][]string // digests seen, by token
}

// settle holds a survey against the ledger. What was under way when the server
// ended is now known to have happened or not.
func (l *ledger) settle(s survey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for token, sums := range s.sums {
		for _, sum := range sums {
			if sum != l.sums[token] {
				l.broken("%s was sent with digest %.16s and is now %.16s%s", token, l.sums[token], sum, l.story(token))
			}
		}
	}
	left := map[place][]fact{}
	for _, f := range s.facts {
		at := place{f.Account, f.Box}
		left[at] = append(left[at], f)
	}
	take := func(f fact) bool {
		at := place{f.Account, f.Box}
		i := slices.IndexFunc(left[at], f.same)
		if i < 0 {
			return false
		}
		left[at] = slices.Delete(left[at], i, i+1)
		return true
	}
	var doubtful []fact
	for _, o := range l.pending {
		doubtful = append(doubtful, o.Remove...)
	}
	for _, known := range []bool{true, false} { // those with a UID first: they fit one only
		for _, list := range l.facts {
			for _, f := range list {
				if (f.UID != 0) != known {
					continue
				}
				if i := slices.IndexFunc(doubtful, f.same); i >= 0 {
					doubtful = slices.Delete(doubtful, i, i+1)
				} else if !take(f) {
					l.broken("lost: %v%s", f, l.story(f.Token))
				}
			}
		}
	}
	for _, o := range l.pending {
		l.decide(o, take)
	}
	for at, list := range left {
		for _, f := range list {
			l.broken("doubled, come back or from nowhere: %v in %v%s", f, at, l.story(f.Token))
		}
	}
	l.adopt(s)
}

// adopt takes what was seen as what must be so.
func (l *ledger) adopt(s survey) {
	l.pending = nil
	l.facts = map[place][]fact{}
	for _, f := range s.facts {
		at := place{f.Account, f.Box}
		l.facts[at] = append(l.facts[at], f)
	}
}

// decide finds out whether an op without an answer has happened, which it must
// have wholly or not at all.
func (l *ledger) decide(o *op, take func(fact) bool) {
	count := func(list []fact) (n int) {
		for _, f := range list {
			if take(f) {
				n++
			}
		}
		return n
	}
	come, stayed := count(o.Add), count(o.Remove)
	happened := come == len(o.Add) && stayed == 0
	not := come == 0 && stayed == len(o.Remove)
	if !happened && !not {
		l.broken("done by half: %d of %d came, %d of %d stayed: %v", come, len(o.Add), stayed, len(o.Remove), o)
	}
	o.applied = happened
}

// settled drops recipients elsewhere who have got their message, so that the
// ledger of a long run stays small.
func (l *ledger) settled(addresses []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, address := range addresses {
		delete(l.facts, place{elsewhere, address})
		l.done[address] = true
	}
}

// over says whether a recipient elsewhere has got its message for good.
func (l *ledger) over(address string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[address]
}

// report gives the faults, the first of them if there are many.
func (l *ledger) report() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.faults[:min(len(l.faults), 20)])
}

// tally counts the ops by kind and what became of them.
func (l *ledger) tally() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := map[string]int{}
	for _, o := range l.history {
		kind, _, _ := strings.Cut(o.What, " ")
		switch {
		case o.refused:
			kind += " refused"
		case o.Answer == "" && o.applied:
			kind += " unanswered, happened"
		case o.Answer == "":
			kind += " unanswered, absent"
		}
		counts[kind]++
	}
	var b strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%s %d; ", kind, counts[kind])
	}
	return b.String()
}
