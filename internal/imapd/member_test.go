package imapd

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// member is a client of a crowd, with what it has been told.
type member struct {
	*client
	c    *crowd
	rng  *rand.Rand
	kind string // plain, CONDSTORE, QRESYNC, UIDONLY
	own  string // the keyword that is its own

	listens bool     // with NOTIFY
	sorts   bool     // and has an order of its result
	result  []uint32 // of a search for $Shared that is kept up to date

	uids   []uint32          // by number; 0 at the end, not known yet
	flags  map[uint32]string // by UID
	modSeq uint64            // up to which it knows all, as far as it can tell
	ownSet map[uint32]bool   // its keyword

	made     int
	answer   string   // of the last command
	changing []uint32 // messages that a STORE at work gives the keyword, or takes it
	to       bool
	coming   bool // it comes back: what was cached holds
}

func (c *crowd) member(i int) *member {
	m := &member{
		c: c, rng: newRand(i), kind: []string{"plain", "CONDSTORE", "QRESYNC", "UIDONLY"}[i%4], own: fmt.Sprintf("own%d", i),
		flags: map[uint32]string{}, ownSet: map[uint32]bool{}, listens: i%8 >= 4, sorts: i%3 == 2,
	}
	m.connect()
	m.run("SELECT INBOX", true)
	m.run("UID FETCH 1:* (UID FLAGS ENVELOPE)", false)
	m.watch()
	return m
}

// watch begins to search for $Shared.
func (m *member) watch() {
	m.result = nil
	if m.sorts {
		m.run("UID SORT RETURN (UPDATE ALL) (REVERSE SIZE) UTF-8 KEYWORD $Shared", false)
	} else {
		m.run("UID SEARCH RETURN (UPDATE ALL) KEYWORD $Shared", false)
	}
}

func (m *member) connect() {
	m.client = m.c.h.open("alice")
	switch m.kind {
	case "QRESYNC", "CONDSTORE":
		m.ok("ENABLE " + m.kind)
	case "UIDONLY":
		m.ok("ENABLE UIDONLY QRESYNC")
	}
	if m.listens {
		when := "selected-delayed"
		if m.kind == "UIDONLY" {
			when = "selected" // it has no numbers that could change
		}
		m.ok("NOTIFY SET (" + when + " (MessageNew (FLAGS) MessageExpunge FlagChange))")
	}
}

// run gives a command, learns from the responses, and asks for the flags of what
// is new. quiet says that no message may go meanwhile.
func (m *member) run(command string, quiet bool) []string {
	m.t.Helper()
	lines, answer := m.do(command)
	m.told(command, lines, answer, quiet)
	m.askNew()
	m.answer = answer
	return lines
}

// askNew asks for the flags of messages that it knows nothing of.
func (m *member) askNew() {
	for tries := 0; slices.Contains(m.uids, 0) && !m.coming; tries++ {
		k := slices.Index(m.uids, 0)
		if tries == 100 {
			m.t.Fatalf("client %s (%s) is not told of all: %v", m.own, m.kind, m.uids)
		}
		command := "UID FETCH 1:* (FLAGS ENVELOPE)"
		if k > 0 && m.kind != "UIDONLY" {
			command = fmt.Sprintf("UID FETCH %d:* FLAGS", m.uids[k-1]+1)
		}
		lines, answer := m.do(command)
		m.told(command, lines, answer, false)
	}
}

var (
	crowdFetch = regexp.MustCompile(`^\* (\d+) (UIDFETCH|FETCH) \((.*)$`)
	crowdFlags = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	crowdUID   = regexp.MustCompile(`\bUID (\d+)`)
	crowdMod   = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	crowdTitle = regexp.MustCompile(`ENVELOPE \((?:NIL|"[^"]*") "([^"]*)"`)
)

// told takes in what a command was answered.
func (m *member) told(command string, lines []string, answer string, quiet bool) {
	m.t.Helper()
	m.answer = answer
	if !strings.HasPrefix(answer, "OK") && !strings.HasPrefix(answer, "NO [EXPUNGEISSUED]") {
		m.t.Errorf("%s: %s", command, answer)
	}
	if modified, ok := between(answer, "[MODIFIED ", "]"); ok {
		failed := parseSet(modified)
		if !strings.HasPrefix(command, "UID") {
			failed = m.uidsOf(modified)
		}
		m.changing = slices.DeleteFunc(slices.Clone(m.changing), func(uid uint32) bool { return slices.Contains(failed, uid) })
	}
	before, expunged := len(m.uids), false
	for i, line := range lines {
		if f := crowdFetch.FindStringSubmatch(line); f != nil {
			rest := f[3]
			if strings.HasSuffix(rest, "}") { // the body is one line
				rest += "\n" + lines[i+1]
			}
			m.fetched(line, atou(f[1]), f[2], rest)
		} else if n, ok := between(line, "* OK [HIGHESTMODSEQ ", "]"); ok {
			m.modSeq = atou(n)
		} else if n, ok := between(line, "* OK [UIDVALIDITY ", "]"); ok {
			m.uidValidity = n
		} else if n, ok := between(line, "* ", " EXISTS"); ok {
			m.exists(line, int(atou(n)))
		} else if n, ok := between(line, "* ", " EXPUNGE"); ok {
			expunged = true
			m.expunged(line, int(atou(n)))
		} else if set, ok := strings.CutPrefix(line, "* VANISHED "); ok {
			earlier, isEarlier := strings.CutPrefix(set, "(EARLIER) ")
			expunged = expunged || !isEarlier
			m.vanished(line, parseSet(earlier), isEarlier)
		} else if change, ok := strings.CutPrefix(line, `* ESEARCH (TAG "x") UID `); ok {
			m.found(line, change)
		}
	}
	if quiet && (expunged || len(m.uids) < before) && !m.coming {
		m.t.Errorf("client %s (%s): messages went during %s", m.own, m.kind, command)
	}
	if n, ok := between(answer, "[HIGHESTMODSEQ ", "]"); ok {
		m.modSeq = atou(n)
	}
}

// found takes in what a search has found, or finds and does not find any more.
func (m *member) found(line, change string) {
	word, rest, _ := strings.Cut(change, " ")
	if word == "ALL" {
		m.result = parseSet(rest)
		return
	}
	words := strings.Fields(strings.Trim(rest, "()"))
	for i := 0; i+1 < len(words); i += 2 {
		place := int(atou(words[i]))
		for _, uid := range parseSet(words[i+1]) {
			at := slices.Index(m.result, uid)
			switch {
			case m.sorts != (place > 0) || (at >= 0) != (word == "REMOVEFROM"):
				m.t.Errorf("client %s (%s): %q, of %v", m.own, m.kind, line, m.result)
			case word == "REMOVEFROM":
				if m.sorts && at != place-1 {
					m.t.Errorf("client %s (%s): %q, of %v", m.own, m.kind, line, m.result)
				}
				m.result = slices.Delete(m.result, at, at+1)
			case m.sorts && place <= len(m.result)+1:
				m.result = slices.Insert(m.result, place-1, uid)
			default:
				m.result = append(m.result, uid)
			}
		}
	}
	if !m.sorts {
		slices.Sort(m.result)
	}
}

func (m *member) exists(line string, n int) {
	if n < len(m.uids) {
		m.t.Errorf("%q but there were %d", line, len(m.uids))
		return
	}
	m.uids = append(m.uids, make([]uint32, n-len(m.uids))...)
}

func (m *member) expunged(line string, n int) {
	if m.kind == "QRESYNC" || m.kind == "UIDONLY" || n < 1 || n > len(m.uids) {
		m.t.Errorf("client %s (%s): %q with %d messages", m.own, m.kind, line, len(m.uids))
		return
	}
	delete(m.flags, m.uids[n-1])
	m.uids = slices.Delete(m.uids, n-1, n)
}

func (m *member) vanished(line string, uids []uint32, earlier bool) {
	if m.kind != "QRESYNC" && m.kind != "UIDONLY" || earlier != m.coming {
		m.t.Errorf("client %s (%s): %q", m.own, m.kind, line)
	}
	for _, uid := range uids {
		delete(m.flags, uid)
		if earlier {
			continue
		}
		i := slices.Index(m.uids, uid)
		if i < 0 { // one of those that it has not asked for yet
			for i = len(m.uids); i > 0 && (m.uids[i-1] == 0 || m.uids[i-1] > uid); i-- {
			}
			if m.kind == "UIDONLY" {
				i = 0 // its list has no order
			}
			for i < len(m.uids) && m.uids[i] != 0 {
				i++
			}
		}
		if i == len(m.uids) {
			m.t.Errorf("%q but there is no UID %d in %v", line, uid, m.uids)
			return
		}
		m.uids = slices.Delete(m.uids, i, i+1)
	}
}

func (m *member) fetched(line string, n uint64, what, rest string) {
	if (what == "UIDFETCH") != (m.kind == "UIDONLY") {
		m.t.Errorf("client %s (%s): %q", m.own, m.kind, line)
	}
	var uid uint32
	if what == "UIDFETCH" {
		uid = uint32(n)
		if i := slices.Index(m.uids, 0); i >= 0 && !slices.Contains(m.uids, uid) {
			m.uids[i] = uid // in the order of UIDs, as it asks for them
		}
	} else {
		if n < 1 || int(n) > len(m.uids) {
			m.t.Errorf("%q with %d messages", line, len(m.uids))
			return
		}
		known := &m.uids[n-1]
		if u := crowdUID.FindStringSubmatch(rest); u != nil {
			uid = uint32(atou(u[1]))
			if *known != 0 && *known != uid {
				m.t.Errorf("client %s (%s): %q but number %d was UID %d", m.own, m.kind, line, n, *known)
			}
			*known = uid
		}
		uid = *known
	}
	if f := crowdTitle.FindStringSubmatch(rest); f != nil {
		m.c.holds(uid, f[1])
	}
	if _, body, ok := strings.Cut(rest, "\n"); ok {
		m.c.holds(uid, strings.TrimSuffix(body, ")"))
	}
	if q := crowdMod.FindStringSubmatch(rest); q != nil {
		m.modSeq = max(m.modSeq, atou(q[1]))
	}
	if f := crowdFlags.FindStringSubmatch(rest); f != nil {
		m.flagged(line, uid, sortedFlags(f[1]))
	}
}

// flagged takes in the flags of a message, and checks that its own is right.
func (m *member) flagged(line string, uid uint32, flags string) {
	m.flags[uid] = flags
	has := slices.Contains(strings.Fields(flags), m.own)
	if slices.Contains(m.changing, uid) {
		if m.listens && has != m.to {
			return // told before the server knew of the command
		}
		m.ownSet[uid] = m.to
	} else if _, known := m.ownSet[uid]; !known { // a copy that somebody made
		m.ownSet[uid] = has
	}
	if has != m.ownSet[uid] {
		m.t.Errorf("client %s: %q, but its flag should be %v", m.own, line, m.ownSet[uid])
	}
}

// comeBack ends the session and begins another. What the client has kept, and
// what it is told now, must add up to what there is.
func (m *member) comeBack() {
	if m.rng.IntN(2) == 0 {
		m.do("LOGOUT")
	}
	m.nc.Close()
	validity := m.uidValidity
	m.connect()
	m.uids, m.coming, m.result = nil, true, nil
	defer m.watch()
	defer func() { m.coming = false }()
	kept := m.flags
	before, since := m.c.highest.Load(), m.modSeq
	command := "SELECT INBOX"
	if m.kind == "QRESYNC" || m.kind == "UIDONLY" {
		command += fmt.Sprintf(" (QRESYNC (%s %d", validity, max(since, 1))
		if m.kind == "QRESYNC" && m.rng.IntN(2) == 0 {
			command += m.sample()
		}
		command += "))"
	}
	var highest uint64
	exists := -1
	for _, line := range m.run(command, true) {
		if n, ok := between(line, "* ", " EXISTS"); ok && exists < 0 {
			exists = int(atou(n))
		}
		if n, ok := between(line, "* OK [HIGHESTMODSEQ ", "]"); ok {
			if highest == 0 { // the mailbox's; one may follow that says what was told
				highest = atou(n)
				m.c.raise(before, highest)
			}
		}
	}
	switch m.kind {
	case "plain":
		m.coming, m.flags = false, map[uint32]string{}
		m.run("UID FETCH 1:* FLAGS", false)
		return
	case "CONDSTORE":
		m.run(fmt.Sprintf("UID FETCH 1:* FLAGS (CHANGEDSINCE %d)", since), false)
	}
	m.coming = false
	m.verify(kept, exists, highest)
	m.modSeq = max(m.modSeq, highest)
}

// verify asks for all flags. Those that did not change since the mailbox was
// selected must be known, and no others.
func (m *member) verify(kept map[uint32]string, exists int, highest uint64) {
	replayed := m.flags
	m.flags = map[uint32]string{}
	lines, answer := m.do("UID FETCH 1:* (UID FLAGS MODSEQ)")
	there := map[uint32]bool{}
	for _, line := range lines {
		f := crowdFetch.FindStringSubmatch(line)
		if f == nil || !crowdUID.MatchString(line) {
			continue
		}
		uid := uint32(atou(crowdUID.FindStringSubmatch(line)[1]))
		there[uid] = true
		if q := crowdMod.FindStringSubmatch(line); atou(q[1]) > highest {
			continue
		}
		now := sortedFlags(crowdFlags.FindStringSubmatch(line)[1])
		if was, ok := replayed[uid]; !ok || was != now {
			m.t.Errorf("client %s (%s) came back and believes UID %d has %q (%v), it has %q; it kept %q", m.own, m.kind, uid, was, ok, now, kept[uid])
		}
	}
	if m.kind != "CONDSTORE" { // which must look for what went by itself
		if len(replayed) < exists {
			m.t.Errorf("client %s (%s) came back and knows %d of %d messages", m.own, m.kind, len(replayed), exists)
		}
		for _, line := range lines { // of what goes now it is told now
			if set, ok := strings.CutPrefix(line, "* VANISHED "); ok {
				for _, uid := range parseSet(set) {
					delete(replayed, uid)
				}
			}
		}
		for uid := range replayed {
			if !there[uid] {
				m.t.Errorf("client %s (%s) came back and believes in UID %d", m.own, m.kind, uid)
			}
		}
	}
	m.told("UID FETCH", lines, answer, false)
	m.askNew()
}

// sample is some of what the client knows, as QRESYNC takes it.
func (m *member) sample() string {
	if len(m.flags) == 0 {
		return ""
	}
	uids := make([]uint32, 0, len(m.flags))
	for uid := range m.flags {
		uids = append(uids, uid)
	}
	slices.Sort(uids)
	half, last := len(uids)/2, len(uids)-1
	text := fmt.Sprintf(" 1:%d (", uids[last]+1000)
	if half == last {
		return text + fmt.Sprintf("%d %d)", last+1, uids[last])
	}
	return text + fmt.Sprintf("%d,%d %d,%d)", half+1, last+1, uids[half], uids[last])
}

// between gives what stands in a line between two texts.
func between(line, before, after string) (string, bool) {
	_, rest, ok := strings.Cut(line, before)
	if !ok {
		return "", false
	}
	got, _, ok := strings.Cut(rest, after)
	return got, ok
}

func atou(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		panic(fmt.Sprintf("not a number: %q", text))
	}
	return n
}
