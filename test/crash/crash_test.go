package crash

import (
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/store/engine/embedded"
)

// recovery is how long a start may take, whatever happened before.
const recovery = 10 * time.Second

// newTrial makes a server that runs, with a ledger of what it has at first.
func newTrial(t *testing.T, n int, reserve string, mount func(string)) *trial {
	t.Helper()
	if testing.Short() {
		t.Skip("the short run kills nothing")
	}
	x := &trial{ledger: newLedger(), seed: seed(t)}
	t.Logf("PLIC_CRASH_SEED=%d plays the choices of this run again", x.seed)
	x.site = newSite(t, n, reserve, mount)
	x.sink = newSink(t, x.site.sinkAddress(), x.random(1<<40), x.ledger)
	t.Cleanup(func() {
		x.kill()
		if x.doctored {
			return
		}
		for _, fault := range x.ledger.report() {
			t.Error(fault)
		}
		if strings.Contains(x.site.log(), "panic") {
			t.Errorf("a panic:\n%s", x.site.log())
		}
		if t.Failed() {
			t.Logf("the end of the log:\n%s", tail(x.site.log(), 4000))
		}
		messages, copies := x.sink.again()
		t.Logf("%s the sink has %d, and %d of them once more", x.ledger.tally(), messages, copies)
	})
	x.sink.next()
	x.site.start(t)
	for user, homes := range map[string][]string{ann: {"a1", "a2"}, bob: {"b1", "b2"}} {
		c, err := imap(x.site.imap(), at(user))
		if err != nil {
			t.Fatal(err)
		}
		for _, home := range homes {
			if _, err := c.do("CREATE %q", home); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
	}
	x.ledger.adopt(x.survey(t))
	return x
}

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("PLIC_CRASH_SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// kill ends the server, and waits for the clients to notice.
func (x *trial) kill() {
	x.ending.Store(true)
	x.site.kill()
	if x.wait != nil {
		x.wait()
	}
}

// restart starts the server after an end, and holds what it shows against the
// ledger. It stops the test at the first fault, to keep the state as it is.
func (x *trial) restart(t *testing.T) {
	t.Helper()
	x.sink.next()
	if took := x.site.start(t); took > recovery {
		t.Errorf("the start took %v", took)
	}
	x.check(t)
}

func (x *trial) check(t *testing.T) {
	t.Helper()
	seen := x.survey(t)
	x.ledger.settle(seen)
	x.ledger.settled(x.finished)
	if len(x.ledger.report()) > 0 {
		t.FailNow()
	}
}

// drain waits until the queue is empty, then looks a last time; then stops the
// server and has the store check all its records.
func (x *trial) drain(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); len(x.site.queued(t)) > 0; {
		if time.Now().After(end) {
			t.Fatalf("the queue is not empty after two minutes: %v", x.site.queued(t))
		}
		<-time.After(50 * time.Millisecond)
	}
	x.check(t)
	if err := x.site.term(); err != nil {
		t.Errorf("the server ends with %v", err)
	}
	e, err := embedded.Open(t.Context(), embedded.Options{Dir: x.site.dir + "/data"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for problem := range e.Check(t.Context()) {
		t.Errorf("check of the store: %v", problem)
	}
	stats, err := e.Stats(t.Context())
	if err != nil || stats.Items != 0 || stats.Damaged != 0 {
		t.Errorf("the store has %+v, %v; want no items, no damage", stats, err)
	}
}

// TestCrashKilledAgainAndAgain kills the server with SIGKILL in the midst of a
// mixed load, and now and then while it recovers from that.
func TestCrashKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	cycles := 10
	if text := os.Getenv("PLIC_CRASH_CYCLES"); text != "" {
		var err error
		if cycles, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	x := newTrial(t, 1, "0B", nil)
	rng := x.random(0)
	for cycle := range cycles {
		x.load(50 + rng.IntN(250))
		<-time.After(time.Duration(rng.IntN(20_000)) * time.Microsecond)
		x.kill()
		for rng.IntN(4) == 0 { // once more, while it recovers
			x.sink.next()
			x.site.launch(t)
			<-time.After(time.Duration(rng.IntN(150)) * time.Millisecond)
			x.site.kill()
		}
		x.restart(t)
		if cycle%25 == 24 {
			t.Logf("%d cycles: %s", cycle+1, x.ledger.tally())
		}
	}
	x.drain(t)
}

// TestCrashSIGTERM ends the server as an init does while clients go on: the end
// is clean, and nothing is lost or done by half.
func TestCrashSIGTERM(t *testing.T) {
	t.Parallel()
	x := newTrial(t, 2, "0B", nil)
	rng := x.random(0)
	for range 3 {
		wait := x.load(100 + rng.IntN(100))
		x.ending.Store(true)
		if err := x.site.term(); err != nil {
			t.Errorf("the server ends with %v", err)
		}
		wait()
		x.restart(t)
	}
	x.drain(t)
}

// eventually tries something again until it goes well.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited %v until %s: %v", patience, what, err)
		}
		<-time.After(50 * time.Millisecond)
	}
}
