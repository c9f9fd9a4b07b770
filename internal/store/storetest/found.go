package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// FoundPlace is a place of mail in files that another program delivers to.
type FoundPlace interface {
	CrashPlace
	// Put delivers a message to INBOX of an account, with LF line ends, durably.
	Put(account, text string) error
}

// RunFound has another program deliver by the hundred: the first look reads no
// more than it must, and what is known of the messages is whole and right whenever
// somebody asks, before and while all are analysed, and after crashes.
func RunFound(t *testing.T, place func(testing.TB) FoundPlace) {
	for name, run := range map[string]func(*finder){
		"First": testFirst, "Few": testFew, "Background": testBackground, "Copies": testCopies, "Expunged": testExpungedBefore, "Crash": testFoundCrash,
		"Interrupted": testInterrupted, "Unreadable": testUnreadable, "Unreadable row": testUnreadableRow,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run(newFinder(t, place))
		})
	}
	t.Run("Disk away", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { testDiskAway(newFinder(t, place)) })
	})
}

func newFinder(t *testing.T, place func(testing.TB) FoundPlace) *finder {
	f := &finder{FoundPlace: place(t)}
	s := &site{t: t, ctx: context.WithValue(t.Context(), asker{}, true), place: f.open}
	s.o.Pace = func(ctx context.Context) error {
		f.steps.Add(1)
		return ctx.Err()
	}
	s.start()
	t.Cleanup(func() { s.end() })
	f.site = s
	return f
}

// asker is the key of a value in the contexts of who asks.
type asker struct{}

// filesEngine is an engine over files.
type filesEngine interface {
	engine.Engine
	engine.Files
}

// gated is an engine whose bodies are counted as they are opened: those for who
// asks, and those for the background, which waits at a gate before each.
type gated struct {
	filesEngine
	asked, behind atomic.Int64
	gate          chan struct{}
	bad           atomic.Pointer[map[mail.ID]bool] // cannot be read
	failed        atomic.Int64
}

func (g *gated) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	if bad := g.bad.Load(); bad != nil && (*bad)[id] {
		g.failed.Add(1)
		return nil, syscall.EACCES
	}
	if ctx.Value(asker{}) != nil {
		g.asked.Add(1)
		return g.filesEngine.OpenBody(ctx, id)
	}
	select {
	case <-g.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g.behind.Add(1)
	return g.filesEngine.OpenBody(ctx, id)
}

// finder is a site to which another program delivers.
type finder struct {
	FoundPlace
	*site
	engine *gated
	steps  atomic.Int64     // that the background has made
	texts  []string         // in the order in which they were put
	facts  map[string]known // by text
}

// known is what there is to know of a message.
type known struct {
	envelope, body, structure, preview string
	keys                               store.Keys
}

func (f *finder) open() engine.Engine {
	f.engine = &gated{filesEngine: f.Open().(filesEngine), gate: make(chan struct{})}
	return f.engine
}

// put has another program deliver n messages, of which some have parts.
func (f *finder) put(n int) {
	f.t.Helper()
	f.account("ann")
	if f.facts == nil {
		f.facts = map[string]known{}
	}
	ref := store.New(store.Options{Engine: memory.New(f.clock.now)})
	defer ref.Close()
	a, err := ref.Account(f.ctx, "ann")
	f.ok(err)
	inbox, err := a.Mailbox("INBOX")
	f.ok(err)
	for range n {
		body := text(fmt.Sprint("number", len(f.texts)))
		if len(f.texts)%5 == 2 {
			body = fmt.Sprintf("Message-ID: <%d@x>\r\nReferences: <%d@x>\r\nDate: Mon, 2 Mar 2026 10:00:%02d +0100\r\n%s", len(f.texts), len(f.texts)-5, len(f.texts)%60, mixed)
		}
		f.ok(f.Put("ann", strings.ReplaceAll(body, "\r\n", "\n")))
		f.texts = append(f.texts, body)
		d, err := ref.NewDraft(f.ctx)
		f.ok(err)
		_, err = d.Write([]byte(body))
		f.ok(err)
		placed, err := inbox.Append(f.ctx, store.Incoming{Draft: d})
		f.ok(err)
		for x, err := range inbox.Details(f.ctx, []store.UID{placed[0].UID}) {
			f.ok(err)
			f.facts[body] = knownOf(&x)
		}
	}
}

func knownOf(d *store.Detail) known {
	k := d.Keys()
	k.Base, k.From, k.To, k.Cc = bytes.Clone(k.Base), bytes.Clone(k.From), bytes.Clone(k.To), bytes.Clone(k.Cc)
	k.ShownFrom, k.ShownTo = bytes.Clone(k.ShownFrom), bytes.Clone(k.ShownTo)
	body, _ := d.AppendBody(nil)
	return known{string(d.AppendEnvelope(nil)), string(body), string(d.BodyStructure), d.Preview(), k}
}

// details asks for the details of messages and compares them with what they must
// be: texts are those of the UIDs.
func (f *finder) details(m *store.Mailbox, uids []store.UID, texts []string) {
	f.t.Helper()
	i := 0
	for d, err := range m.Details(f.ctx, uids) {
		f.ok(err)
		if i == len(uids) || d.UID != uids[i] {
			f.t.Fatalf("details of UID %d, which nobody has asked for", d.UID)
		}
		want := f.facts[texts[i]]
		if got := knownOf(&d); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) || !bytes.Equal(refsOf(got), refsOf(want)) {
			f.t.Fatalf("UID %d:\n%+v\nand not\n%+v", d.UID, got, want)
		}
		i++
	}
	equal(f.t, "messages with details", i, len(uids))
}

func refsOf(k known) []byte { return fmt.Append(nil, k.keys.Refs()) }

// all asks for the details of all messages.
func (f *finder) all(m *store.Mailbox) {
	f.t.Helper()
	f.details(m, f.uids(m), f.texts)
}

// settled waits until nothing is left to be analysed.
func (f *finder) settled(m *store.Mailbox) {
	f.t.Helper()
	for left := 1; left > 0; runtime.Gosched() {
		keys, err := m.Notes().Keys(f.ctx, "pending/")
		f.ok(err)
		left = len(keys)
	}
}

const manyFound = 200

// testFirst: nothing is analysed for the first look. Who asks gets all that there is
// to know, and what was asked for once needs no body ever again.
func testFirst(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	snap := f.snapshot(inbox)
	equal(f.t, "messages", snap.Len(), manyFound)
	for i, e := range snap.All() {
		equal(f.t, fmt.Sprint("size of UID ", e.UID), e.Size, int64(len(f.texts[i])))
	}
	equal(f.t, "octets", inbox.Info().Bytes, int64(len(strings.Join(f.texts, ""))))
	modSeq := snap.HighestModSeq()
	_, _, err := inbox.SetFlags(f.ctx, []store.UID{3}, store.FlagsAdd, store.Flags{System: store.Flagged}, store.MaxModSeq)
	f.ok(err)
	equal(f.t, "analysed for the first look", f.engine.asked.Load()+f.engine.behind.Load(), 0)

	f.details(inbox, []store.UID{7, 150}, []string{f.texts[6], f.texts[149]})
	equal(f.t, "analysed for two", f.engine.asked.Load(), 2)
	f.details(inbox, []store.UID{7, 150}, []string{f.texts[6], f.texts[149]})
	equal(f.t, "analysed for them again", f.engine.asked.Load(), 2)
	equal(f.t, "MODSEQ", f.snapshot(inbox).HighestModSeq(), modSeq+1)

	f.restart()
	inbox = f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	equal(f.t, "analysed after a restart", f.engine.asked.Load(), 0)
	columns, err := inbox.Columns(f.ctx, f.snapshot(inbox))
	f.ok(err)
	equal(f.t, "analysed to sort", f.engine.asked.Load(), manyFound-2)
	for i, uid := range f.uids(inbox) {
		equal(f.t, "key to sort by", fmt.Sprintf("%+v", columns.Keys(uid)), fmt.Sprintf("%+v", f.facts[f.texts[i]].keys))
	}
	f.all(inbox)
	f.restart()
	inbox = f.mailbox("ann", "INBOX")
	f.all(inbox)
	equal(f.t, "analysed once all were", f.engine.asked.Load(), 0)
	equal(f.t, "MODSEQ", f.snapshot(inbox).HighestModSeq(), modSeq+1)
}

// patient is a context that ends once it was looked at some times.
type patient struct {
	context.Context
	left atomic.Int64
}

func (p *patient) Err() error {
	if p.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// testInterrupted: who goes away amid the first look leaves nothing that is half
// known to who looks next.
func testInterrupted(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	for _, n := range []int64{0, 1, 3, 10, manyFound / 2, manyFound - 1} {
		ctx := &patient{Context: f.ctx}
		ctx.left.Store(n)
		if _, err := inbox.Snapshot(ctx); !errors.Is(err, context.Canceled) {
			f.t.Fatalf("the look ended with %v", err)
		}
	}
	for i, e := range f.snapshot(inbox).All() {
		equal(f.t, fmt.Sprint("size of UID ", e.UID), e.Size, int64(len(f.texts[i])))
	}
	f.all(inbox)
}

// testFew: messages that come one by one are analysed as they are found.
func testFew(f *finder) {
	f.put(3)
	inbox := f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	equal(f.t, "analysed when found", f.engine.asked.Load(), 3)
	f.all(inbox)
	equal(f.t, "analysed when asked for", f.engine.asked.Load(), 3)
	f.settled(inbox)
}

// testBackground: all is analysed by itself, once, and gone on with after a restart.
func testBackground(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	for range 100 {
		f.engine.gate <- struct{}{}
	}
	f.restart()
	inbox = f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	close(f.engine.gate)
	f.settled(inbox)
	if n := f.engine.behind.Load(); n >= manyFound || n < manyFound-100 {
		f.t.Errorf("%d messages were analysed after the restart", n)
	}
	if n := f.steps.Load(); n < manyFound {
		f.t.Errorf("the background has let others go first %d times", n)
	}
	f.all(inbox)
	f.restart()
	inbox = f.mailbox("ann", "INBOX")
	f.all(inbox)
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), 0)

	f.put(100) // more of them
	f.snapshot(inbox)
	close(f.engine.gate)
	f.settled(inbox)
	f.all(inbox)
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), 0)
	equal(f.t, "analysed by itself", f.engine.behind.Load(), 100)
}

// testCopies: what is copied or moved without having been analysed is analysed
// where it is then.
func testCopies(f *finder) {
	f.put(manyFound)
	inbox, archive, other := f.mailbox("ann", "INBOX"), f.mailbox("ann", "Archive"), f.mailbox("bob", "INBOX")
	uids := f.uids(inbox)
	f.details(inbox, uids[:10], f.texts)
	_, _, err := inbox.Copy(f.ctx, uids[:120], archive)
	f.ok(err)
	_, _, err = inbox.Copy(f.ctx, uids[50:150], other)
	f.ok(err)
	_, _, err = inbox.Move(f.ctx, uids[100:], archive)
	f.ok(err)
	equal(f.t, "analysed to copy", f.engine.asked.Load(), 10)
	moved := append(append([]string{}, f.texts[:120]...), f.texts[100:]...)
	f.details(archive, f.uids(archive)[5:15], moved[5:15])
	close(f.engine.gate)
	for _, m := range []*store.Mailbox{inbox, archive, other} {
		f.snapshot(m)
		f.settled(m)
	}
	asked := f.engine.asked.Load()
	f.details(inbox, f.uids(inbox), f.texts[:100])
	f.details(archive, f.uids(archive), moved)
	f.details(other, f.uids(other), f.texts[50:150])
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), asked)
}

// testExpungedBefore: what goes before it is analysed leaves nothing.
func testExpungedBefore(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	uids := f.uids(inbox)
	for range 20 {
		f.engine.gate <- struct{}{} // some are being analysed
	}
	_, err := inbox.Expunge(f.ctx, uids[10:190], false)
	f.ok(err)
	close(f.engine.gate)
	f.settled(inbox)
	for d, err := range inbox.Details(f.ctx, uids[10:190]) {
		f.t.Fatalf("details of UID %d, which has gone: %v", d.UID, err)
	}
	f.details(inbox, uids[:10], f.texts)
	f.details(inbox, uids[190:], f.texts[190:])
	f.recount(inbox)
}

// testFoundCrash pulls the plug while messages are found, asked for and analysed.
func testFoundCrash(f *finder) {
	random := rand.New(rand.NewPCG(5, 6))
	told := map[store.UID]int{} // which messages sessions were told of
	for range 6 {
		f.put(70 + random.IntN(60))
		inbox := f.mailbox("ann", "INBOX")
		var all sync.WaitGroup
		if random.IntN(4) > 0 {
			for i, uid := range f.uids(inbox) {
				told[uid] = i
			}
			all.Go(func() { // somebody asks while power fails
				for _, err := range inbox.Details(f.ctx, f.uids(inbox)) {
					if err != nil && !errors.Is(err, engine.ErrNotFound) {
						f.t.Error(err)
					}
				}
			})
			for range random.IntN(80) {
				select {
				case f.engine.gate <- struct{}{}:
				default:
					runtime.Gosched()
				}
			}
		}
		f.Crash(random)
		all.Wait()
		f.ok(f.Store.Close())
		f.start()
		inbox = f.mailbox("ann", "INBOX")
		uids := f.uids(inbox)
		equal(f.t, "messages after a crash", len(uids), len(f.texts))
		for i, uid := range uids {
			if was, known := told[uid]; known && was != i {
				f.t.Fatalf("UID %d names message %d and %d", uid, was, i)
			}
			delete(told, uid)
		}
		equal(f.t, "UIDs that were told and are gone", len(told), 0)
		if random.IntN(2) == 0 {
			f.all(inbox)
		}
		f.recount(inbox)
	}
	inbox := f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	close(f.engine.gate)
	f.settled(inbox)
	f.restart()
	f.all(f.mailbox("ann", "INBOX"))
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), 0)
}
