package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// testHistory runs a random history over the engine and compares it with the
// model at each step, and in the end with the same history in memory.
func testHistory(t *testing.T, place NewPlace, seed uint64) {
	steps := 400
	if testing.Short() {
		steps = 150
	}
	got := runHistory(t, place(t), seed, steps)
	reference := memory.New(new(clock).now)
	want := runHistory(t, func() engine.Engine { reference.Reopen(); return reference }, seed, steps)
	if got != want {
		g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d differs from the engine in memory:\n%s\n%s", i, g[i], w[i])
			}
		}
		t.Fatal("differs in length from the engine in memory")
	}
}

func runHistory(t *testing.T, place Place, seed uint64, steps int) string {
	s := newSite(t, place)
	a := s.account("ann")
	h := &history{site: s, random: rand.New(rand.NewPCG(seed, 7)), seen: map[string]*store.Snapshot{}}
	first, err := a.Info("INBOX")
	s.ok(err)
	h.model = newModel(first.UIDValidity)
	s.ok(s.SetDomainLimits(s.ctx, "ann", store.Usage{Bytes: 1 << 50})) // so that it is counted
	for n := range steps {
		h.log = append(h.log, fmt.Sprintf("%d: ", n))
		h.step()
		h.compare()
		if t.Failed() {
			t.Fatalf("history of seed %d:\n%s", seed, strings.Join(h.log[max(0, len(h.log)-20):], "\n"))
		}
	}
	out := s.dump()
	s.ok(s.end())
	return out
}

// history is a run of random changes, made to a store and to a model.
type history struct {
	*site
	random *rand.Rand
	model  *model
	log    []string
	seen   map[string]*store.Snapshot // by name and UIDVALIDITY
	texts  int
}

func (h *history) say(format string, args ...any) {
	h.log[len(h.log)-1] += fmt.Sprintf(format, args...)
}

// name is one that may be there or not: one to three levels of three letters.
func (h *history) name() string {
	if h.random.IntN(6) == 0 {
		return "INBOX"
	}
	levels := make([]string, 1+h.random.IntN(3))
	for i := range levels {
		levels[i] = string(rune('a' + h.random.IntN(3)))
	}
	return strings.Join(levels, "/")
}

// box picks a mailbox that is there.
func (h *history) box() (string, *store.Mailbox, *modelBox) {
	var names []string
	for name, b := range h.model.boxes {
		if !b.noSelect {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	name := names[h.random.IntN(len(names))]
	return name, h.mailbox("ann", name), h.model.boxes[name]
}

// pick picks some UIDs of a mailbox, in any order, and one that is not there.
func (h *history) pick(b *modelBox) []store.UID {
	uids := []store.UID{b.uidNext + 5}
	for _, msg := range b.messages {
		if h.random.IntN(3) == 0 {
			uids = append(uids, msg.uid)
		}
	}
	h.random.Shuffle(len(uids), func(i, j int) { uids[i], uids[j] = uids[j], uids[i] })
	return uids
}

func (h *history) someFlags() (store.Flags, []string) {
	var f store.Flags
	var names []string
	for i, name := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`} {
		if h.random.IntN(3) == 0 {
			f.System |= store.Seen << i
			names = append(names, name)
		}
	}
	if h.random.IntN(2) == 0 {
		k := fmt.Sprint("k", h.random.IntN(5))
		f.Keywords = append(f.Keywords, k)
		names = append(names, k)
	}
	return f, names
}

func (h *history) step() {
	a := h.account("ann")
	switch h.random.IntN(14) {
	case 0:
		name := h.name()
		h.agree("create "+name, a.Create(h.ctx, name, ""), h.model.create(name))
	case 1:
		name := h.name()
		h.agree("delete "+name, a.Delete(h.ctx, name), h.model.delete(name))
	case 2:
		from, to := h.name(), h.name()
		h.agree("rename "+from+" "+to, a.Rename(h.ctx, from, to), h.model.rename(from, to))
	case 3:
		name, on := h.name(), h.random.IntN(2) == 0
		h.model.subscribe(name, on)
		h.agree(fmt.Sprintf("subscribe %s %v", name, on), a.Subscribe(h.ctx, name, on), nil)
	case 4:
		if h.random.IntN(4) == 0 {
			h.say("restart")
			h.restart()
		}
	case 5, 6, 7, 8:
		h.append()
	case 9, 10:
		h.setFlags()
	case 11:
		name, m, b := h.box()
		uids, only := h.pick(b), h.random.IntN(2) == 0
		h.say("expunge %v %v of %s", uids, only, name)
		gone, err := m.Expunge(h.ctx, uids, only)
		h.ok(err)
		same(h.t, "gone", gone, b.expunge(uids, only))
	default:
		h.transfer(h.random.IntN(2) == 0)
	}
}

func (h *history) agree(what string, got, want error) {
	h.say("%s: %v", what, got)
	if (got == nil) != (want == nil) {
		h.t.Errorf("%s: got %v, the model says %v", what, got, want)
	}
}

func (h *history) append() {
	name, m, b := h.box()
	var in []store.Incoming
	var msgs []modelMessage
	for range 1 + h.random.IntN(40) {
		h.texts++
		f, names := h.someFlags()
		body, prefix := text(fmt.Sprint("number", h.texts)), fmt.Sprintf("X-Number: %d\r\n", h.texts)
		in = append(in, store.Incoming{Draft: h.draft(body), Prefix: []byte(prefix), Flags: f})
		msg := modelMessage{flags: map[string]bool{}, text: prefix + body}
		for _, n := range names {
			msg.flags[n] = true
		}
		msgs = append(msgs, msg)
	}
	h.say("append %d to %s", len(in), name)
	_, err := m.Append(h.ctx, in...)
	h.ok(err)
	b.add(msgs...)
}

func (h *history) setFlags() {
	name, m, b := h.box()
	uids, op := h.pick(b), store.FlagOp(h.random.IntN(3))
	f, names := h.someFlags()
	since := store.MaxModSeq
	if h.random.IntN(3) == 0 {
		since = store.ModSeq(h.random.IntN(int(b.modSeq) + 1))
	}
	h.say("flags %v %d %v since %d in %s", uids, op, names, since, name)
	entries, modified, err := m.SetFlags(h.ctx, uids, op, f, since)
	h.ok(err)
	var changed []store.UID
	for _, e := range entries {
		changed = append(changed, e.UID)
	}
	wantChanged, wantModified := b.setFlags(uids, op, names, since)
	same(h.t, "changed", changed, wantChanged)
	same(h.t, "modified", modified, wantModified)
}

func (h *history) transfer(move bool) {
	name, from, b := h.box()
	toName, to, tb := h.box()
	uids := h.pick(b)
	h.say("transfer %v from %s to %s, move %v", uids, name, toName, move)
	do := from.Copy
	if move {
		do = from.Move
	}
	src, dst, err := do(h.ctx, uids, to)
	h.ok(err)
	equal(h.t, "copied", len(src), h.model.copy(b, tb, uids, move))
	equal(h.t, "copies", len(dst), len(src))
}

// compare looks at everything, and follows each mailbox from the snapshot before
// by Diff.
func (h *history) compare() {
	infos := h.account("ann").Mailboxes()
	equal(h.t, "number of names", len(infos), len(h.model.boxes))
	used, _, err := h.DomainQuota(h.ctx, "ann")
	h.ok(err)
	equal(h.t, "usage", used, h.model.usage())
	for _, info := range infos {
		b := h.model.boxes[info.Name]
		if b == nil {
			h.t.Errorf("%s is there, the model has no such name", info.Name)
			return
		}
		got := fmt.Sprint(info.UIDValidity, info.NoSelect, info.Subscribed, info.UIDNext, info.HighestModSeq, info.Messages)
		want := fmt.Sprint(b.uidValidity, b.noSelect, b.subscribed, b.uidNext, b.modSeq, len(b.messages))
		if got != want {
			h.t.Errorf("%s: got %s, the model has %s", info.Name, got, want)
			return
		}
		if !b.noSelect && h.random.IntN(6) == 0 {
			h.compareMailbox(info.Name, b)
		}
	}
}

func (h *history) compareMailbox(name string, b *modelBox) {
	m := h.mailbox("ann", name)
	h.recount(m)
	snap := h.snapshot(m)
	for i, e := range snap.All() {
		msg := b.messages[i]
		flags := strings.Join(strings.Fields(flagNames(snap.Flags(e))), " ")
		want := strings.Join(strings.Fields(flagNames(named(msg.flags))), " ")
		if e.UID != msg.uid || e.ModSeq != msg.modSeq || e.Size != int64(len(msg.text)) || flags != want {
			h.t.Errorf("%s: got %+v %s, the model has %d %d %s", name, e, flags, msg.uid, msg.modSeq, want)
			return
		}
	}
	if snap.Len() > 0 {
		i := h.random.IntN(snap.Len())
		equal(h.t, "text", h.read(m, snap.At(i).UID), b.messages[i].text)
	}
	var log []engine.Expunged
	for x, err := range m.Expunged(h.ctx, 0) {
		h.ok(err)
		log = append(log, x)
	}
	same(h.t, "log of expunged messages", log, b.expunged)
	key := fmt.Sprint(name, snap.UIDValidity())
	f := follower{m: m, snap: h.seen[key], view: map[store.UID]store.ModSeq{}}
	if f.snap != nil {
		for _, e := range f.snap.All() {
			f.view[e.UID] = e.ModSeq
		}
	}
	if err := f.follow(h.ctx); err != nil {
		h.t.Error(err)
	}
	h.seen[key] = f.snap
}

func named(flags map[string]bool) (f store.Flags) {
	for i, name := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`} {
		if flags[name] {
			f.System |= store.Seen << i
		}
	}
	for name := range flags {
		if name[0] != '\\' {
			f.Keywords = append(f.Keywords, name)
		}
	}
	return f
}
