package imapd

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/imap"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/thread"
)

// Programs of any size and depth are refused, and the session goes on.
func TestHostileSearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	for _, args := range []string{
		strings.Repeat("NOT ", 100000) + "ALL", strings.Repeat("NOT ", 101) + "ALL", strings.Repeat("OR ALL ", 101) + "ALL",
		strings.Repeat("(", 101) + "ALL" + strings.Repeat(")", 101), strings.Repeat("(", 100000), strings.Repeat("FUZZY ", 101) + "ALL",
		strings.Repeat("ALL ", 5000) + "ALL", "FUZZY " + strings.Repeat("(", 101) + "ALL",
	} {
		for _, command := range []string{"SEARCH ", "SORT (DATE) UTF-8 ", "THREAD REFERENCES UTF-8 ", "ESEARCH "} {
			if _, answer := c.do(command + args); !strings.HasPrefix(answer, "BAD") {
				t.Errorf("%s%.40s...: %s", command, args, answer)
			}
			c.ok("NOOP") // one that is good, so that there are never too many that are not
		}
	}
	deep := strings.Repeat("FUZZY (NOT ", 24) + "TEXT x" + strings.Repeat(")", 24)
	if _, answer := c.do("SEARCH " + deep); !strings.HasPrefix(answer, "OK") {
		t.Errorf("a deep search: %s", answer)
	}
	if _, answer := c.do("SORT (" + strings.Repeat("DATE ", 40) + "DATE) UTF-8 ALL"); !strings.HasPrefix(answer, "BAD") {
		t.Errorf("many sort keys: %s", answer)
	}
}

// A search that takes long says how far it is.
func TestProgress(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.ProgressEvery = time.Nanosecond })
	texts := make([]string, 40)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i)
	}
	h.deliver("INBOX", store.Flags{}, texts...)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	lines := c.ok("SEARCH HEADER X-None none")
	want := []string{`* OK [INPROGRESS ("x" 16 40)] ...`, `* OK [INPROGRESS ("x" 32 40)] ...`, "* SEARCH"}
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for i := range want {
		if !match(want[i], lines[i]) {
			t.Errorf("got %q, want %q", lines[i], want[i])
		}
	}
}

// A search whose client has gone ends before it is done, and leaves its places to
// others.
func TestSearchEndsWithClient(t *testing.T) {
	t.Parallel()
	const messages = 16000
	var armed atomic.Bool
	turns := make(chan struct{})
	h := newHouse(t, func(o *Options) {
		o.Now = func() time.Time {
			if armed.Load() { // a search asks for the time now and then
				turns <- struct{}{}
			}
			return time.Now()
		}
	})
	texts := make([]string, 1000)
	for i := range texts {
		texts[i] = "Subject: x\r\n\r\n"
	}
	for range messages / len(texts) {
		h.deliver("INBOX", store.Flags{}, texts...)
	}
	c := h.open("alice")
	c.ok("SELECT INBOX")
	armed.Store(true)
	c.send("a SEARCH HEADER X-None none\r\n")
	for range 5 {
		<-turns
	}
	c.nc.Close()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if h.server.searches.Len() == 0 {
				return
			}
			runtime.Gosched()
		}
	}()
	looked := 0
	for {
		select {
		case <-turns:
			looked++
			continue
		case <-ended:
		}
		break
	}
	armed.Store(false)
	if looked >= messages/16 {
		t.Errorf("the search looked %d times for its client and went on to the end", looked)
	}
	go func() { // what else of the session asks for the time
		for range turns {
		}
	}()
	other := h.open("alice")
	other.ok("SELECT INBOX")
	other.ok("SEARCH RETURN (COUNT) HEADER X-None none")
}

// I4: threading of many messages lets others go first, and ends with its client.
func TestThreadingSteps(t *testing.T) {
	t.Parallel()
	messages := make([]thread.Message, 100000)
	for i := range messages {
		messages[i] = thread.Message{Number: uint32(i + 1), ID: uint64(i + 1), Date: int64(i * 7919 % len(messages)), Subject: fmt.Append(nil, i%1000)}
		if i%3 > 0 {
			messages[i].Refs = []uint64{uint64(i)}
		}
	}
	for name, way := range map[string]threading{"ORDEREDSUBJECT": thread.Ordered, "REFERENCES": thread.References, "REFS": thread.Refs} {
		run := func(last int) (steps int, err error) {
			ctx, gone := context.WithCancel(t.Context())
			defer gone()
			_, err = way.under(pace.With(ctx, func(ctx context.Context) error {
				if steps++; steps == last {
					gone()
				}
				return ctx.Err()
			}), messages)
			return steps, err
		}
		all, err := run(-1)
		if err != nil || all < len(messages)/256 {
			t.Errorf("%s: %d steps: %v", name, all, err)
		}
		for _, last := range []int{1, all / 2, all - 1} {
			if steps, err := run(last); steps != last || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %d steps for a client that goes at step %d of %d: %v", name, steps, last, all, err)
			}
		}
	}
}

// Long searches of more sessions than there are places all come to their end.
func TestSearchesTakeTurns(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	texts := make([]string, 500)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i)
	}
	h.deliver("INBOX", store.Flags{}, texts...)
	clients := make([]*client, 12)
	for i := range clients {
		clients[i] = h.open("alice")
		clients[i].ok("SELECT INBOX")
	}
	for _, c := range clients {
		c.send("a SEARCH RETURN (COUNT) BODY body\r\nb SORT RETURN (COUNT) (SUBJECT) UTF-8 TEXT 7\r\nc THREAD REFS UTF-8 SUBJECT 499\r\n")
	}
	for _, c := range clients {
		c.expect(`* ESEARCH (TAG "a") COUNT 500`, "a OK ...", `* ESEARCH (TAG "b") COUNT ...`, "b OK ...", "* THREAD (500)", "c OK ...")
	}
	if n := h.server.atWork.taken(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// I4: while one user runs 50 costly searches, few of them are in line for a place,
// which are fewer than processors. So another user's search is not behind them all,
// and what is not costly asks for no place.
func TestCostlySearchesOfOneUser(t *testing.T) {
	t.Parallel()
	const many = 50
	h := newHouse(t, func(o *Options) { o.PerUserIP, o.PerIP = 2*many, 2*many })
	work := h.server.atWork
	if n := work.places; n >= runtime.GOMAXPROCS(0) && n > 1 {
		t.Errorf("%d places on %d processors", n, runtime.GOMAXPROCS(0))
	}
	h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\nbody\r\n", "Subject: y\r\n\r\nbody\r\n")
	var lanes []*pace.Lane
	for range work.places { // somebody is at work
		lane, err := work.sit(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		lanes = append(lanes, lane)
	}
	until := func(what string, so func() bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); !so(); runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d wait for a place", what, work.waiting.Load())
			}
		}
	}
	clients := make([]*client, many)
	for i := range clients {
		clients[i] = h.open("alice")
		clients[i].ok("SELECT INBOX")
		clients[i].send("a SEARCH BODY body\r\n")
	}
	until("of all searches", func() bool {
		return h.server.searches.Waiting("alice") == many && work.waiting.Load() == perAccount
	})
	bob := h.open("bob")
	bob.ok("APPEND INBOX {22+}\r\nSubject: z\r\n\r\nbody\r\n\r\n")
	bob.ok("SELECT INBOX")
	bob.ok("FETCH 1 (ENVELOPE BODY[])")
	bob.ok("STORE 1 +FLAGS (\\Flagged)")
	bob.ok("SEARCH FLAGGED")
	bob.send("a SEARCH BODY body\r\n")
	until("of another user's", func() bool { return work.waiting.Load() == perAccount+1 })
	for _, lane := range lanes {
		work.rise(lane)
	}
	bob.expect("* SEARCH 1", "a OK ...")
	for _, c := range clients {
		c.expect("* SEARCH 1 2", "a OK ...")
	}
}

// taken is how many places are taken.
func (b *bench) taken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.places - len(b.free)
}

// Places go to those who wait in the order in which they came; who does not wait any
// more is passed over, and whoever has just had one comes last.
func TestBench(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(pace.New(2))
		lane, err := b.sit(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		var order []string
		sit := func(ctx context.Context, who string) {
			go func() {
				lane, err := b.sit(ctx, nil)
				if order = append(order, who); err == nil {
					b.rise(lane)
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		sit(t.Context(), "first")
		sit(ctx, "gone")
		sit(t.Context(), "second")
		cancel()
		synctest.Wait()
		if n := b.waiting.Load(); n != 2 {
			t.Errorf("%d wait", n)
		}
		b.rise(lane)
		if lane, err = b.sit(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		order = append(order, "again")
		b.rise(lane)
		if got := strings.Join(order, " "); got != "gone first second again" || b.taken() != 0 || b.waiting.Load() != 0 {
			t.Errorf("places were had by %s; %d are taken, %d wait", got, b.taken(), b.waiting.Load())
		}
	})
}

// slowFilter takes longer over each message than one may stay at work while others
// wait.
type slowFilter struct {
	t    *testing.T
	work *bench
	bob  func() // begins a search
	runs int
}

func (f *slowFilter) Chosen(context.Context, *store.Account, string, string) (Filter, error) {
	return f, nil
}
func (f *slowFilter) Event(_ context.Context, mb *store.Mailbox) (Filter, error) {
	if mb.Name() != "Sent" {
		return nil, nil
	}
	return f, nil
}
func (f *slowFilter) URL() string { return "" }

func (f *slowFilter) Run(context.Context, Standing) error {
	if f.runs++; f.runs > 1 {
		if n := f.work.waiting.Load(); n != 0 {
			f.t.Errorf("message %d: %d still wait for a place", f.runs, n)
		}
		return nil
	}
	began := time.Now()
	f.bob()
	for f.work.waiting.Load() == 0 || time.Since(began) <= slice {
		if time.Since(began) > time.Minute {
			f.t.Fatal("nobody waits for a place")
		}
		runtime.Gosched()
	}
	return nil
}

// I4: who filters what is in a mailbox takes turns with others who want long work,
// too, and so do the scripts of mailboxes that much is copied to.
func TestFilterTakesTurns(t *testing.T) {
	t.Parallel()
	f := &slowFilter{t: t}
	h := newHouse(t, func(o *Options) { o.Filters = f })
	f.work = h.server.atWork
	h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\nbody\r\n", "Subject: y\r\n\r\nbody\r\n", "Subject: z\r\n\r\nbody\r\n")
	for range f.work.places - 1 { // somebody is at work at the other places
		if _, err := f.work.sit(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	alice, bob := h.open("alice"), h.open("bob")
	alice.ok("SELECT INBOX")
	bob.ok("APPEND INBOX {5+}\r\nhello")
	bob.ok("SELECT INBOX")
	f.bob = func() { bob.send("a SEARCH BODY hello\r\n") }
	if lines := alice.ok("FILTER SIEVE DELIVERY ALL"); len(lines) != 3 {
		t.Errorf("%q", lines)
	}
	bob.expect("* SEARCH 1", "a OK ...")
	alice.ok("APPEND INBOX" + strings.Repeat(" {5+}\r\nhello", fewEvents))
	f.runs = 0
	alice.ok("COPY 1:* Sent")
	if f.runs != fewEvents+3 {
		t.Errorf("%d of %d messages", f.runs, fewEvents+3)
	}
	bob.expect("* SEARCH 1", "a OK ...")
	if n := f.work.taken(); n != f.work.places-1 {
		t.Errorf("%d places are still taken", n)
	}
}

// I4: a search makes way also in the midst of a message: between the keys of one that
// has many, and in a text that is long.
func TestSearchPausesInMessage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\n"+strings.Repeat("word ", 200_000))
	account, err := h.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	mb, err := account.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	now, err := mb.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v := &view{mb: mb, seq: now, told: now, now: now}
	for query, least := range map[string]int{
		" " + strings.Repeat("NOT HEADER X-None x ", 500) + "ALL": 500, " BODY nothing": 50,
	} {
		s := imap.NewScanner([]byte(query), true)
		q := s.Search()
		p, err := (&compiler{v: v}).compile(&q.Key)
		if err != nil || s.Err() != nil {
			t.Fatal(err, s.Err())
		}
		paused := 0
		m := matcher{ctx: t.Context(), mb: mb, pool: h.server, rest: func() error { paused++; return nil }}
		for d, err := range mb.Details(t.Context(), []store.UID{1}) {
			if err != nil {
				t.Fatal(err)
			}
			e, _ := now.Get(1)
			if _, err := m.matches(p, e, &d); err != nil {
				t.Fatal(err)
			}
		}
		m.close()
		if paused < least {
			t.Errorf("%.30s: %d pauses", query, paused)
		}
	}
}
