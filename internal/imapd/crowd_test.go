package imapd

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded"
	"plic/internal/store/files"
	"plic/internal/store/maildir"
	"plic/internal/store/memory"
	"plic/internal/vfs"
)

// crowdSize is how many clients are at one mailbox.
const crowdSize = 20

// TestCrowd lets 20 clients work on one mailbox at once, of each engine and in a
// Maildir: plain ones, and such that come back by CONDSTORE, QRESYNC and UIDONLY;
// some of each listen with NOTIFY, and all have a result kept up to date. Each
// believes only what it is told, and checks that it could be so: no message goes
// while numbers are in use, every UID keeps its content, a flag that one client
// alone changes is as that client left it, what a replay tells adds up to what
// there is, and the highest mod-sequence never falls. It is short, or as long as
// PLIC_CROWD says, as in PLIC_CROWD=5m.
func TestCrowd(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(testing.TB) engine.Engine{
		"memory":  func(testing.TB) engine.Engine { return memory.New(time.Now) },
		"own":     func(t testing.TB) engine.Engine { return ownEngine(t, t.TempDir()) },
		"maildir": maildirEngine,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := store.New(store.Options{Engine: open(t)})
			t.Cleanup(func() { s.Close() })
			crowded(t, houseOver(t, s, func(o *Options) { o.PerUserIP, o.PerIP = 2*crowdSize, 2*crowdSize }))
		})
	}
}

// ownEngine keeps mail in a directory as plic itself does.
func ownEngine(t testing.TB, dir string) engine.Engine {
	t.Helper()
	e, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, Ballast: -1, Reserve: -1, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// maildirEngine keeps mail in Maildirs, and watches for what others do there.
func maildirEngine(t testing.TB) engine.Engine {
	t.Helper()
	dir := t.TempDir()
	watcher := vfs.NewWatcher()
	t.Cleanup(func() { watcher.Close() })
	return files.New(files.Options{
		Engine:  ownEngine(t, dir+"/store"),
		Formats: map[string]files.Format{"maildir": maildir.New(maildir.Options{Watcher: watcher})},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "maildir:" + dir + "/mail/%u"}, nil
		},
	})
}

func crowded(t *testing.T, h *house) {
	var until time.Time
	rounds, steps := 3, 25
	if text := os.Getenv("PLIC_CROWD"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		until, rounds, steps = time.Now().Add(d), 1<<30, 200
	}
	c := &crowd{t: t, h: h, content: map[uint32]string{}}
	for i := range 30 {
		h.deliver("INBOX", store.Flags{}, fmt.Sprintf("Subject: m%d\r\n\r\nm%d", i, i))
	}
	members := make([]*member, crowdSize)
	for i := range members {
		members[i] = c.member(i)
	}
	for round := 0; round < rounds && !t.Failed() && (until.IsZero() || time.Now().Before(until)); round++ {
		var work sync.WaitGroup
		for _, m := range members {
			work.Go(func() {
				for step := 0; step < steps && !t.Failed(); step++ {
					m.step()
				}
			})
		}
		work.Wait()
		c.compare(members)
	}
}

// crowd is what the members have in common.
type crowd struct {
	t       *testing.T
	h       *house
	highest atomic.Uint64 // mod-sequence that anybody was told

	mu      sync.Mutex
	content map[uint32]string // by UID
}

// holds notes the content of a message: it must be what it was.
func (c *crowd) holds(uid uint32, content string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was, ok := c.content[uid]; ok && was != content {
		c.t.Errorf("UID %d was %q and is %q", uid, was, content)
	}
	c.content[uid] = content
}

func (c *crowd) contentOf(uid uint32) (string, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	content, ok := c.content[uid]
	return content, ok
}

// raise notes a highest mod-sequence; before is the one known before it was asked
// for.
func (c *crowd) raise(before, now uint64) {
	if now < before {
		c.t.Errorf("HIGHESTMODSEQ fell from %d to %d", before, now)
	}
	for {
		was := c.highest.Load()
		if was >= now || c.highest.CompareAndSwap(was, now) {
			return
		}
	}
}

// compare lets every member catch up, come back, and see what a new client sees.
func (c *crowd) compare(members []*member) {
	fresh := c.member(crowdSize)
	defer fresh.nc.Close()
	for _, m := range members {
		if c.t.Failed() {
			return
		}
		for range 2 { // as it is told, and as it is when it comes back
			m.run("NOOP", false)
			if !maps.Equal(m.flags, fresh.flags) {
				c.t.Errorf("client %s (%s) sees\n%v, a new one\n%v", m.own, m.kind, m.flags, fresh.flags)
				return
			}
			want := slices.Clone(fresh.result)
			if fresh.sorts && !m.sorts {
				slices.Sort(want)
			}
			if !slices.Equal(m.result, want) {
				c.t.Errorf("client %s (%s) has found\n%v, a new one\n%v", m.own, m.kind, m.result, want)
				return
			}
			m.comeBack()
		}
	}
	for uid := range fresh.flags {
		if _, ok := c.contentOf(uid); !ok {
			c.t.Errorf("nobody knows the content of UID %d", uid)
		}
	}
}

// step does something at random.
func (m *member) step() {
	uid, set := "1", "1"
	if n := len(m.uids); n > 0 {
		from := m.rng.IntN(n)
		to := min(n-1, from+m.rng.IntN(4))
		set = fmt.Sprintf("%d:%d", to+1, from+1)
		uid = fmt.Sprintf("%d:%d", m.uids[from], m.uids[to])
	} else {
		m.append()
		return
	}
	numbers := m.kind != "UIDONLY"
	sign := []string{"+", "-"}[m.rng.IntN(2)]
	shared := []string{`\Seen`, `\Flagged`, `\Answered`, "$Shared"}[m.rng.IntN(4)]
	switch n := m.rng.IntN(20); {
	case n < 4 && len(m.uids) < 60:
		m.append()
	case n < 6 && numbers:
		m.storeOwn("STORE "+set, sign, m.uidsOf(set))
	case n < 8:
		m.storeOwn("UID STORE "+uid, sign, parseSet(uid))
	case n == 8 && m.kind != "plain":
		m.storeOwn(fmt.Sprintf("UID STORE %s (UNCHANGEDSINCE %d)", uid, m.modSeq), sign, parseSet(uid))
	case n == 9:
		m.run("UID STORE "+uid+" "+sign+"FLAGS ("+shared+")", false)
	case n == 10 && numbers:
		m.run("STORE "+set+` +FLAGS (\Deleted)`, true)
	case n == 11:
		m.run([]string{"EXPUNGE", "UID EXPUNGE " + uid}[m.rng.IntN(2)], false)
	case n == 12:
		m.run("UID MOVE "+uid+" Trash", false)
	case n == 13 && m.rng.IntN(2) == 0:
		m.replace(uid)
	case n == 13:
		m.copyHere(uid)
	case n == 14 && numbers:
		m.run("FETCH "+set+" (UID FLAGS ENVELOPE)", true)
	case n == 15:
		m.run("UID FETCH "+uid+" (FLAGS BODY.PEEK[TEXT])", false)
	case n == 16:
		m.idle()
	case n == 17:
		m.searchOwn()
	case n == 18:
		before := m.c.highest.Load()
		for _, line := range m.run("STATUS INBOX (HIGHESTMODSEQ)", false) {
			if n, ok := between(line, "(HIGHESTMODSEQ ", ")"); ok {
				m.c.raise(before, atou(n))
			}
		}
	case n == 19 && m.rng.IntN(3) == 0:
		m.comeBack()
	default:
		m.run("NOOP", false)
	}
}

func (m *member) append() {
	m.made++
	id := fmt.Sprintf("%s-%d", m.own, m.made)
	text := fmt.Sprintf("Subject: %s\r\n\r\n%s", id, id)
	m.run(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(text), text), false)
	if uid, ok := between(m.answer, "[APPENDUID ", "]"); !ok {
		m.t.Errorf("APPEND: %s", m.answer)
	} else {
		m.c.holds(uint32(atou(uid[strings.IndexByte(uid, ' ')+1:])), id)
	}
}

// replace puts a message in the place of one.
func (m *member) replace(uid string) {
	m.made++
	id := fmt.Sprintf("%s-%d", m.own, m.made)
	text := fmt.Sprintf("Subject: %s\r\n\r\n%s", id, id)
	uid, _, _ = strings.Cut(uid, ":")
	for _, line := range m.run(fmt.Sprintf("UID REPLACE %s INBOX {%d+}\r\n%s", uid, len(text), text), false) {
		if uid, ok := between(line, "* OK [APPENDUID ", "]"); ok {
			m.c.holds(uint32(atou(uid[strings.IndexByte(uid, ' ')+1:])), id)
		}
	}
}

// storeOwn changes the flag that no other client changes.
func (m *member) storeOwn(command, sign string, uids []uint32) {
	m.changing, m.to = uids, sign == "+"
	m.run(command+" "+sign+"FLAGS ("+m.own+")", !strings.HasPrefix(command, "UID"))
	for _, uid := range m.changing {
		m.ownSet[uid] = m.to
	}
	m.changing = nil
}

// copyHere copies messages within the mailbox: the copies hold the same.
func (m *member) copyHere(uids string) {
	m.run("UID COPY "+uids+" INBOX", false)
	code, ok := between(m.answer, "[COPYUID ", "]")
	if !ok {
		return // all were gone
	}
	sets := strings.Fields(code)
	from, to := parseSet(sets[1]), parseSet(sets[2])
	for i := range from {
		if content, ok := m.c.contentOf(from[i]); ok {
			m.c.holds(to[i], content)
		}
		if own, ok := m.ownSet[from[i]]; ok {
			m.ownSet[to[i]] = own
		}
	}
}

// idle waits for whatever there is at the moment.
func (m *member) idle() {
	m.send("x IDLE\r\n")
	var lines []string
	for asked := false; ; {
		line, ok := m.line()
		if !ok {
			m.t.Fatal("IDLE: the connection ended")
		}
		if strings.HasPrefix(line, "+") && !asked {
			asked = true
			m.send("DONE\r\n")
			continue
		}
		if rest, ok := strings.CutPrefix(line, "x "); ok {
			m.told("IDLE", lines, rest, false)
			m.askNew()
			return
		}
		lines = append(lines, line)
	}
}

// searchOwn looks for the flag of its own: on every message that is left it is
// as the client put it.
func (m *member) searchOwn() {
	found, before := map[uint32]bool{}, slices.Clone(m.uids)
	for _, line := range m.run("UID SEARCH KEYWORD "+m.own, false) {
		if rest, ok := strings.CutPrefix(line, "* SEARCH"); ok {
			for _, n := range strings.Fields(rest) {
				found[uint32(atou(n))] = true
			}
		}
	}
	for _, uid := range m.uids {
		if own := m.ownSet[uid]; slices.Contains(before, uid) && own != found[uid] {
			m.t.Errorf("client %s: UID %d has its flag %v, found %v", m.own, uid, m.ownSet[uid], found[uid])
		}
	}
}

func (m *member) uidsOf(numbers string) (uids []uint32) {
	for _, n := range parseSet(numbers) {
		uids = append(uids, m.uids[n-1])
	}
	return uids
}

// parseSet gives the numbers of a set in its order.
func parseSet(text string) (out []uint32) {
	for item := range strings.SplitSeq(text, ",") {
		a, b, ok := strings.Cut(item, ":")
		if !ok {
			b = a
		}
		from, to := uint32(atou(a)), uint32(atou(b))
		for n := min(from, to); n <= max(from, to); n++ {
			out = append(out, n)
		}
	}
	return out
}

// newRand gives each client its own, the same every time.
func newRand(i int) *rand.Rand { return rand.New(rand.NewPCG(uint64(i), 7)) }

func sortedFlags(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(f string) bool { return f == `\Recent` })
	slices.Sort(words)
	return strings.Join(words, " ")
}
