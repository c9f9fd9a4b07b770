package internet

import (
	"fmt"
	stdnet "net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/test/world"
)

// The queue's commands against the running server: mail that would wait an
// hour is seen, held, released, tried and removed.
func TestQueueCommands(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.2")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test",
		Settings: map[string]string{"queue.backoff_min": `"1h"`, "queue.backoff_max": `"1h"`}})
	var open atomic.Bool
	sink := w.Sink(t, "mx.far.test", &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
		if step != "RCPT" || open.Load() {
			return false
		}
		c.Reply("450 4.2.0 not yet, dear")
		return true
	}})
	ann := p.Account(t, "ann")
	ids := map[string]string{}
	for _, to := range []string{"retry", "hold", "remove"} {
		ids[to], _ = send(t, p, ann, "queue-"+to, to+"@far.test")
		p.WaitJournal(t, ids[to], journal.Defer)
	}
	if out := p.Run(t, "queue", "list"); strings.Count(out, "\n") != 4 {
		t.Errorf("queue list:\n%s", out)
	} else {
		has(t, "queue list", out, "450 4.2.0 not yet, dear", "retry@far.test", "hold@far.test", "remove@far.test", "<ann@one.test>")
		if due := regexp.MustCompile(` in (5\dm|1h)`).FindAllString(out, -1); len(due) != 3 { // an hour, give or take the jitter
			t.Errorf("queue list tells %d times when the next try is:\n%s", len(due), out)
		}
	}
	has(t, "queue show", p.Run(t, "queue", "show", ids["hold"]), "mx.far.test said 450 4.2.0 not yet, dear", "<hold@far.test>", "tries", "smtp far.test")
	has(t, "queue show --message", p.Run(t, "queue", "show", "--message", ids["hold"]), "Subject: queue-hold\r\n", "with ESMTPSA id "+ids["hold"])

	p.Run(t, "queue", "hold", ids["hold"])
	has(t, "queue list", p.Run(t, "queue", "list", "--to", "hold@far.test"), "held")
	if _, errs, code := p.Command(t, "", "queue", "remove", ids["remove"]); code != 0 || !strings.Contains(errs, "is removed") {
		t.Errorf("queue remove: exit code %d, %s", code, errs)
	}
	if out := p.Run(t, "queue", "list"); strings.Contains(out, "remove@far.test") {
		t.Errorf("queue list after remove:\n%s", out)
	}
	if _, errs, code := p.Command(t, "", "queue", "show", ids["remove"]); code != 1 || !strings.Contains(errs, "no such item") {
		t.Errorf("queue show of what was removed: exit code %d, %s", code, errs)
	}

	open.Store(true)
	p.Run(t, "queue", "retry", "--all") // the held one is not let go by it
	if m := sink.Wait(t, 1)[0]; fmt.Sprint(m.To) != "[<retry@far.test>]" {
		t.Errorf("retry sent %v", m.To)
	}
	p.WaitJournal(t, ids["retry"], journal.Relayed)
	items := p.Queue(t)
	if i := find(items, "hold@far.test"); i < 0 || !items[i].Hold || len(items) != 1 {
		t.Errorf("the queue: %+v", items)
	}
	p.Run(t, "queue", "release", ids["hold"])
	world.Wait(t, "the released item", func() bool {
		p.Command(t, "", "queue", "retry", ids["hold"]) // if its hour has still to come
		return len(sink.Messages()) == 2
	})
	world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
	if _, _, code := p.Command(t, "", "queue", "retry", ids["hold"]); code != 1 {
		t.Errorf("queue retry of what is gone: exit code %d", code)
	}
	if _, errs, _ := p.Command(t, "", "queue", "list"); !strings.Contains(errs, "The queue is empty.") {
		t.Errorf("queue list of an empty queue: %s", errs)
	}
	for kind, to := range map[string]string{journal.Hold: "hold", journal.Remove: "remove"} {
		p.WaitJournal(t, ids[to], kind)
	}
	if got := p.Inbox(t, ann); len(got) != 0 || len(sink.Messages()) != 2 {
		t.Errorf("%d messages went out, the sender has %q", len(sink.Messages()), got)
	}
}

// Mail in the queue outlives a stop and a kill, and is delivered once after.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.3")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	ann := p.Account(t, "ann")
	for _, x := range []struct {
		name string
		end  func()
	}{
		{"term", func() { p.Stop(t) }},
		{"interrupt", func() { p.Signal(t, syscall.SIGINT); p.WaitEnd(t) }},
		{"kill", p.Kill},
	} {
		sink := w.DownSink(t, "mx."+x.name+".test", nil)
		id, sent := send(t, p, ann, x.name, "carl@"+x.name+".test", ann)
		p.WaitJournal(t, id, journal.Defer)
		x.end()
		out := p.Run(t, "queue", "list") // on the directory, without a server
		has(t, "queue list", out, "carl@"+x.name+".test")
		p.Start(t)
		sink.Up(t)
		if m := sink.Wait(t, 1)[0]; !strings.HasSuffix(string(m.Data), sent) {
			t.Errorf("%s: it took %+v", x.name, m)
		}
		p.WaitJournal(t, id, journal.Relayed)
		world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
		if got := len(sink.Messages()); got != 1 {
			t.Errorf("%s: it came %d times", x.name, got)
		}
	}
	if got := p.Inbox(t, ann); len(got) != 3 {
		t.Errorf("%d messages in the INBOX, not 3", len(got))
	}
}

// A stop lets a delivery that is on its way come to its end: the host has the
// message once, though it takes its time.
func TestStopWithinDelivery(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.4")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	reached, goOn := make(chan struct{}), make(chan struct{})
	sink := w.Sink(t, "mx.slow.test", &delivertest.Remote{On: func(_ *delivertest.Conn, step, _ string) bool {
		if step == "." {
			reached <- struct{}{}
			<-goOn
		}
		return false
	}})
	send(t, p, p.Account(t, "ann"), "slow", "carl@slow.test")
	<-reached
	p.Signal(t, syscall.SIGTERM)
	world.Wait(t, "the doors to close", func() bool {
		conn, err := stdnet.Dial("tcp", p.Address+":25")
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if p.Ended() {
		t.Error("it ended with a delivery on its way")
	}
	close(goOn)
	p.WaitEnd(t)
	p.Start(t)
	if got := p.Queue(t); len(got) != 0 || len(sink.Messages()) != 1 {
		t.Errorf("%d messages came, the queue has %+v", len(sink.Messages()), got)
	}
}

// All mail goes through a smart host: the submission service of another plic,
// with AUTH over TLS that is proven to be its own.
func TestSmartHost(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.5")
	hub := w.Plic(t, world.Site{Host: "mx.hub.test", Domain: "hub.test", Settings: map[string]string{"submission.check_sender": "false"}})
	branch := hub.Account(t, "branch")
	far := w.Sink(t, "mx.far.test", nil)
	for i, port := range []string{"587", "465"} {
		secret := filepath.Join(w.Dir, "secret"+port)
		// A wrong password is our trouble: the mail waits, and goes when it is mended.
		if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p := w.Plic(t, world.Site{Host: "mx.b" + port + ".test", Domain: "b" + port + ".test", Settings: map[string]string{
			"remote.smart_host": `"mx.hub.test:` + port + `"`, "remote.smart_host_user": `"` + branch + `"`, "remote.smart_host_password_file": `"` + secret + `"`,
		}})
		ann := p.Account(t, "ann")
		id, _ := send(t, p, ann, "wrong-"+port, branch)
		if e := p.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, "451 4.7.8") {
			t.Errorf("deferred with %+v", e)
		}
		if err := os.WriteFile(secret, []byte(world.Password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		hub.WaitMail(t, branch, "Subject: wrong-"+port)

		id, sent := send(t, p, ann, "smart-"+port, "carl@far.test", branch)
		m := far.Wait(t, i+1)[i]
		if !strings.HasSuffix(string(m.Data), sent) || m.From != "<"+ann+">" {
			t.Errorf("it took %+v", m)
		}
		has(t, "the message", string(m.Data), "from "+p.Host+" ", "by mx.hub.test with ESMTPSA id ", "(TLS1.3) tls ", "by "+p.Host+" with ESMTPSA id "+id)
		hub.WaitMail(t, branch, "Subject: smart-"+port)
		relayedTo(t, p, id, "mx.hub.test", true)
		e := hub.WaitJournal(t, "<smart-"+port+"@test>", journal.Accept)
		if e.Account != branch || e.Service != "submission" {
			t.Errorf("the hub's journal: %+v", e)
		}
	}
}
