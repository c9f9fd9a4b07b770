package learn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"plic/internal/bayes"
	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/spf"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// world is a store whose users teach.
type world struct {
	t       *testing.T
	engine  engine.Engine
	store   *store.Store
	learner *Learner
	now     time.Time
	stop    context.CancelFunc
	done    chan error
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, engine: memory.New(time.Now), now: time.Unix(1700000000, 0)}
	w.store = store.New(store.Options{Engine: w.engine, Touched: func(m *store.Mailbox, c *engine.MailboxChange) { w.learner.Touched(m, c) }})
	t.Cleanup(func() { w.store.Close() })
	w.start()
	t.Cleanup(func() { w.end() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	l, err := Open(w.t.Context(), Options{Store: w.store, Host: "mx.here.test", Minimum: 2, Octets: 1 << 20, Account: 64 << 10, Daily: 3, Models: 2, Now: func() time.Time { return w.now }})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	w.learner, w.stop, w.done = l, stop, make(chan error, 1)
	go func() { w.done <- l.Run(ctx) }()
}

func (w *world) end() {
	w.stop()
	if err := <-w.done; err != nil {
		w.t.Error(err)
	}
	w.done <- nil
}

func (w *world) box(account, name string) *store.Mailbox {
	w.t.Helper()
	a, err := w.store.Account(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := a.Mailbox(name)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// deliver is an arrival.
func (w *world) deliver(account, name, prefix, text string) store.UID {
	w.t.Helper()
	return w.put(account, name, prefix, text, true)
}

func (w *world) put(account, name, prefix, text string, arrival bool) store.UID {
	w.t.Helper()
	draft, err := w.store.NewDraft(w.t.Context())
	if err == nil {
		_, err = draft.Write([]byte(text))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	tx := w.store.Begin()
	if arrival {
		tx.Arrival()
	}
	tx.Deliver(w.box(account, name), store.Incoming{Draft: draft, Prefix: []byte(prefix)})
	placed, err := tx.Commit(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return placed[0].UID
}

func (w *world) move(account, from, to string, uid store.UID) store.UID {
	w.t.Helper()
	_, placed, err := w.box(account, from).Move(w.t.Context(), []store.UID{uid}, w.box(account, to))
	if err != nil {
		w.t.Fatal(err)
	}
	return placed[0].UID
}

// want compares what was learnt by an account, "" being the site.
func (w *world) want(what, account string, ham, spam int) {
	w.t.Helper()
	if err := w.learner.Settle(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	st, err := w.learner.Status(w.t.Context(), account)
	if err != nil {
		w.t.Fatal(err)
	}
	if st.Ham != ham || st.Spam != spam {
		w.t.Errorf("%s: %q has learnt %d ham and %d spam, want %d and %d", what, account, st.Ham, st.Spam, ham, spam)
	}
}

func letter(n int) string {
	return fmt.Sprintf("From: Shop <news@shop.test>\r\nSubject: offer %d\r\n\r\nbuy number%d now\r\n", n, n)
}

const (
	results  = "Return-Path: <x@shop.test>\r\nAuthentication-Results: mx.here.test; iprev=pass policy.iprev=192.0.2.1;\r\n\tspf=pass smtp.mailfrom=x@shop.test\r\n"
	asJunk   = "Return-Path: <x@shop.test>\r\nX-Spam-Flag: YES\r\n"
	ann, bob = "ann@here.test", "bob@here.test"
)

// TestMoves learns by what users do over any protocol: they move, copy and append,
// and set keywords. What is delivered teaches nothing: K9.
func TestMoves(t *testing.T) {
	w := newWorld(t)
	first := w.deliver(ann, "INBOX", results, letter(1))
	w.deliver(ann, "Junk", asJunk, letter(2))
	w.deliver(ann, "Junk", "", letter(3)) // a script has changed it, and filed it there
	w.want("K9: deliveries", ann, 0, 0)
	first = w.move(ann, "INBOX", "Junk", first)
	w.want("moved into Junk", ann, 0, 1)
	first = w.move(ann, "Junk", "INBOX", first)
	w.want("moved back", ann, 1, 0)
	w.move(ann, "INBOX", "Trash", first)
	w.want("thrown away", ann, 1, 0)
	second := w.deliver(ann, "Junk", asJunk, letter(4))
	second = w.move(ann, "Junk", "Archive", second)
	w.want("taken out of Junk", ann, 2, 0)
	w.move(ann, "Archive", "Junk", second)
	w.want("put there again", ann, 1, 1)
	w.put(ann, "Junk", "", letter(5), false)
	w.put(ann, "Archive", "", letter(6), false)
	w.put(ann, "Sent", "", letter(7), false)
	w.want("appended", ann, 2, 2)
	third := w.deliver(ann, "INBOX", results, letter(8))
	set := func(op store.FlagOp, f store.Flags) {
		t.Helper()
		if _, _, err := w.box(ann, "INBOX").SetFlags(t.Context(), []store.UID{third}, op, f, store.MaxModSeq); err != nil {
			t.Fatal(err)
		}
	}
	set(store.FlagsAdd, store.Flags{System: store.Seen})
	w.want("seen", ann, 2, 2)
	set(store.FlagsAdd, store.Flags{Keywords: []string{"$Junk"}})
	w.want("called junk", ann, 2, 3)
	set(store.FlagsSet, store.Flags{Keywords: []string{"NonJunk"}})
	w.want("called no junk", ann, 3, 2)
	set(store.FlagsSet, store.Flags{System: store.Answered})
	w.want("answered", ann, 3, 2)
	w.want("the site has learnt what it may", "", 1, 2)
}

// TestPoison bounds what one account, and one message, can teach the site: K9.
func TestPoison(t *testing.T) {
	w := newWorld(t)
	for i := range 10 {
		w.put(ann, "Junk", "", letter(i), false)
	}
	w.want("K9: an account", ann, 0, 10)
	w.want("K9: the site", "", 0, 3)
	w.now = w.now.Add(24 * time.Hour)
	w.put(ann, "Junk", "", letter(11), false)
	w.want("K9: another day", "", 0, 4)
}

// TestKept is what was learnt, after a restart too; and each account by itself.
func TestKept(t *testing.T) {
	w := newWorld(t)
	for i := range 3 {
		w.put(ann, "Junk", "", letter(i), false)
		w.put(bob, "Archive", "", letter(10+i), false)
	}
	w.want("before", ann, 0, 3)
	w.end()
	<-w.done
	w.start()
	w.want("after", ann, 0, 3)
	w.want("after", bob, 3, 0)
	w.want("after", "", 3, 3)
	w.put("carl@here.test", "Junk", "", letter(20), false)
	w.put("dora@here.test", "Junk", "", letter(21), false) // ann's model is put away
	w.want("from the store", ann, 0, 3)
	body := mail.Bytes([]byte(letter(1)))
	if err := w.learner.Learn(t.Context(), Sample{Class: bayes.Spam, Body: body}); err != nil {
		t.Fatal(err)
	}
	if err := w.learner.Learn(t.Context(), Sample{Class: bayes.Spam, Body: body}); !errors.Is(err, ErrKnown) {
		t.Errorf("the same message again: %v", err)
	}
	if err := w.learner.Forget(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	w.want("forgotten", ann, 0, 0)
}

// TestTaughtAgain teaches once more what was forgotten, and each model once.
func TestTaughtAgain(t *testing.T) {
	w := newWorld(t)
	teach := func(account string, class bayes.Class, want error) {
		t.Helper()
		w.now = w.now.Add(time.Second)
		if err := w.learner.Learn(t.Context(), Sample{Account: account, Class: class, Body: mail.Bytes([]byte(letter(1)))}); !errors.Is(err, want) {
			t.Fatalf("%q: %v", account, err)
		}
	}
	forget := func(account string) {
		t.Helper()
		w.now = w.now.Add(time.Second)
		if err := w.learner.Forget(t.Context(), account); err != nil {
			t.Fatal(err)
		}
	}
	w.box(ann, store.Inbox)
	teach(ann, bayes.Spam, nil)
	forget(ann)
	teach(ann, bayes.Spam, nil)
	teach(ann, bayes.Spam, ErrKnown)
	w.want("again", ann, 0, 1)
	w.want("again, the site", "", 0, 1)
	forget("")
	teach(ann, bayes.Ham, nil)
	w.want("the site had forgotten", ann, 1, 0)
	w.want("the site had forgotten", "", 1, 0)
	teach("", bayes.Spam, nil)
	forget("")
	w.want("all forgotten", "", 0, 0)
	teach("", bayes.Spam, nil)
	teach("", bayes.Spam, ErrKnown)
	w.want("taught anew", "", 0, 1)
}

// look is what the parts say of a message.
func (w *world) look(account, text string, f *sender.Findings) string {
	w.t.Helper()
	parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	m := score.NewMessage(&mail.Envelope{Origin: mail.Origin{Remote: netip.MustParseAddrPort("192.0.2.1:1")}}, parsed, mail.Bytes([]byte(text)))
	m.Found(f)
	a, err := w.learner.Words().Look(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	hits := a.Hits
	if account != "" {
		if hits, err = w.learner.Words().LookFor(w.t.Context(), m, account); err != nil {
			w.t.Fatal(err)
		}
	}
	b, err := w.learner.Names().Look(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for _, h := range append(hits, b.Hits...) {
		names = append(names, h.Symbol)
	}
	return strings.Join(names, " ")
}

// TestSays has a model speak once it knows enough, for the site and for an account
// that sees it otherwise.
func TestSays(t *testing.T) {
	w := newWorld(t)
	teach := func(account string, c bayes.Class, word string, n int) {
		t.Helper()
		for i := range n {
			text := fmt.Sprintf("Subject: x\r\n\r\nabout %s and %s again %s%d\r\n", word, word, account, i)
			if err := w.learner.Learn(t.Context(), Sample{Account: account, Class: c, Body: mail.Bytes([]byte(text))}); err != nil {
				t.Fatal(err)
			}
		}
	}
	casino := "Subject: x\r\n\r\nabout casino and casino again\r\n"
	teach("", bayes.Spam, "casino", 9)
	if got := w.look("", casino, nil); got != "" {
		t.Errorf("without any ham: %q", got)
	}
	teach("", bayes.Ham, "minutes", 9)
	if got := w.look("", casino, nil); got != "BAYES_SPAM" {
		t.Errorf("the site: %q", got)
	}
	if got := w.look("", strings.ReplaceAll(casino, "casino", "minutes"), nil); got != "BAYES_HAM" {
		t.Errorf("the site: %q", got)
	}
	if _, err := w.store.Account(t.Context(), ann); err != nil {
		t.Fatal(err)
	}
	teach(ann, bayes.Ham, "casino", 9)
	if got := w.look(ann, casino, nil); got != "" {
		t.Errorf("an account that has taught too little: %q", got)
	}
	teach(ann, bayes.Spam, "minutes", 9)
	if got := w.look(ann, casino, nil); got != "BAYES_HAM" && got != "" {
		t.Errorf("an account that plays: %q", got)
	}
}

// TestReputation goes by what users thought of whom mail came from.
func TestReputation(t *testing.T) {
	w := newWorld(t)
	good := &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "shop.test"}}
	for i := range 4 {
		uid := w.deliver(ann, "INBOX", results, letter(i))
		w.move(ann, "INBOX", "Junk", uid)
	}
	w.want("moved", ann, 0, 4)
	if got := w.look("", letter(9), good); got != "KNOWN_BAD" {
		t.Errorf("its domain: %q", got)
	}
	if got := w.look("", letter(9), nil); got != "KNOWN_BAD" {
		t.Errorf("its network: %q", got)
	}
	for i := range 12 {
		uid := w.deliver(bob, "INBOX", strings.ReplaceAll(results, "shop.test", "club.test"), strings.ReplaceAll(letter(100+i), "shop.test", "club.test"))
		w.move(bob, "INBOX", "Archive", uid)
	}
	w.want("filed", bob, 12, 0)
	club := &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "club.test"}}
	known := func(text string, f *sender.Findings) string {
		return strings.TrimSpace(strings.TrimPrefix(w.look("", text, f), "BAYES_HAM"))
	}
	fromClub := strings.ReplaceAll(letter(9), "shop.test", "club.test")
	if got := known(fromClub, club); got != "KNOWN_GOOD" {
		t.Errorf("one that users keep: %q", got)
	}
	if got := known(fromClub, nil); got != "" {
		t.Errorf("one that is not proven: %q", got)
	}
	w.now = w.now.Add(2 * 365 * 24 * time.Hour)
	if got := known(fromClub, club); got != "" {
		t.Errorf("after years: %q", got)
	}
}

// TestManyAtOnce: of a change of very many messages the first ones are learnt.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t)
	for n := range atOnce + 50 {
		w.deliver(ann, "INBOX", results, letter(n))
	}
	box := w.box(ann, "INBOX")
	snap, err := box.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var uids []store.UID
	for _, e := range snap.All() {
		uids = append(uids, e.UID)
	}
	if _, _, err := box.SetFlags(t.Context(), uids, store.FlagsAdd, store.Flags{System: store.Flagged}, store.MaxModSeq); err != nil {
		t.Fatal(err)
	}
	w.want("flagged", ann, atOnce, 0)
}

// TestPages: a model is kept in pages that are compressed where they gain, and those
// that are not are read as well.
func TestPages(t *testing.T) {
	w := newWorld(t)
	model := bayes.New(7, 4*bayes.PageOctets)
	var features []bayes.Feature
	for n := range uint64(200) {
		features = append(features, bayes.Feature{Hash: (n + 1) * 0x9e3779b97f4a7c15})
	}
	model.Learn(features, bayes.Spam)
	same := func(what string) {
		t.Helper()
		again, err := load(t.Context(), w.store.Notes())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if again.Fill() != model.Fill() || model.Fill() == 0 {
			t.Errorf("%s: %v is in use, want %v", what, again.Fill(), model.Fill())
		}
	}
	if err := save(t.Context(), w.store.Notes(), model); err != nil {
		t.Fatal(err)
	}
	same("as it is kept")
	model.Unsaved()
	head, pages := model.Save()
	for n, page := range pages {
		key := fmt.Sprintf("%s%04x", pageNote, n)
		if kept, err := w.store.Notes().Get(t.Context(), key); err != nil || len(kept) > len(page)/4 {
			t.Errorf("page %d: %d octets, %v", n, len(kept), err)
		}
		if err := w.store.Notes().PutAll(t.Context(), store.Note{Key: key, Value: page}, store.Note{Key: headNote, Value: head}); err != nil {
			t.Fatal(err)
		}
	}
	same("as it was kept before")
}

// TestWrote speaks for those whom a user has written to, once they are proven to be
// that, and for no other user.
func TestWrote(t *testing.T) {
	w := newWorld(t)
	w.learner.Wrote(ann, []mail.Recipient{{Address: mail.MustAddress("News@shop.test")}})
	w.learner.Wrote(bob, make([]mail.Recipient, maxWritten+1))
	proven := &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "shop.test"}}
	for name, x := range map[string]struct {
		account string
		f       *sender.Findings
		want    int
	}{"proven": {ann, proven, 1}, "not proven": {ann, nil, 0}, "another's": {ann, &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "evil.test"}}, 0}, "to another": {bob, proven, 0}} {
		parsed, err := message.Parse(strings.NewReader(letter(1)), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		m := score.NewMessage(&mail.Envelope{}, parsed, mail.Bytes(nil))
		m.Found(x.f)
		if hits, err := w.learner.Written().LookFor(t.Context(), m, x.account); err != nil || len(hits) != x.want {
			t.Errorf("%s: %v %v", name, hits, err)
		}
		if known := w.learner.Known(t.Context(), m); known != (x.f == proven) {
			t.Errorf("%s: known for greylisting: %v", name, known)
		}
	}
}
