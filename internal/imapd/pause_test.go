package imapd

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/pace"
	"plic/internal/store"
)

// I4: a search pauses while others' commands follow each other on too few
// processors, is answered though they never stop, and ends in its pause when its
// client goes away.
func TestSearchPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Pace = pace.New(2) })
		for range 20 {
			h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\nbody\r\n")
		}
		c, gone := h.open("alice"), h.dial("127.0.0.2:1")
		c.ok("SELECT INBOX")
		gone.expect("* OK ...")
		gone.ok("LOGIN alice secret")
		gone.ok("SELECT INBOX")
		time.Sleep(time.Second)
		began := time.Now()
		c.ok("SEARCH BODY body")
		if took := time.Since(began); took != 0 {
			t.Errorf("a search took %v while nobody came", took)
		}
		defer h.busy()()
		time.Sleep(10 * time.Millisecond)
		began = time.Now()
		c.ok("SEARCH BODY body")
		if took := time.Since(began); took == 0 || took > 100*time.Millisecond {
			t.Errorf("a search took %v of pauses while others came", took)
		}
		time.Sleep(10 * time.Millisecond)
		sessions := h.server.sessions.Len()
		gone.send("a SEARCH BODY body\r\n")
		time.Sleep(time.Millisecond)
		gone.nc.Close()
		time.Sleep(time.Millisecond)
		if n := h.server.sessions.Len(); n != sessions-1 {
			t.Errorf("there are %d sessions, and were %d: the search goes on in its pause", n, sessions)
		}
	})
}

// A search does not pause for what its own client has just done, nor for who has
// not logged in.
func TestSearchPausesForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Pace = pace.New(2) })
		h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\nbody\r\n")
		c, stranger := h.open("alice"), h.dial("127.0.0.2:1")
		stranger.expect("* OK ...")
		search := func(after string) {
			t.Helper()
			began := time.Now()
			c.ok("SORT (SUBJECT) UTF-8 BODY body")
			if took := time.Since(began); took != 0 {
				t.Errorf("a search after %s took %v", after, took)
			}
		}
		c.ok("SELECT INBOX")
		c.ok("NOOP")
		search("commands of its client")
		time.Sleep(time.Second)
		for range 5 {
			stranger.ok("NOOP")
		}
		search("commands of a stranger")
	})
}

// busy has another user's commands follow each other until they are ended.
func (h *house) busy() (end func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		other := h.open("bob")
		for {
			select {
			case <-stop:
				return
			default:
				other.ok("NOOP")
				time.Sleep(20 * time.Microsecond)
			}
		}
	}()
	return func() { close(stop); <-stopped }
}

// LIST of very much makes way for others, and while its client does not read it does
// not keep them from being at work.
func TestLongListTakesTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Pace = pace.New(2) })
		defer h.close()
		h.deliver("INBOX", store.Flags{}, "Subject: x\r\n\r\nbody\r\n")
		c := h.open("alice")
		for i := range 150 {
			c.ok(fmt.Sprintf("CREATE m%d", i))
		}
		var entries strings.Builder
		for i := range 900 {
			fmt.Fprintf(&entries, " /private/%d", i)
		}
		long := `LIST "" * RETURN (METADATA (` + entries.String()[1:] + "))"
		end := h.busy()
		for _, command := range []string{"NOOP", long} {
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			c.ok(command)
			if took := time.Since(began); (took > 0) != (command == long) {
				t.Errorf("%.20s: a pause of %v", command, took)
			}
		}
		end()
		slow := h.raw(t)
		defer slow.Close()
		go io.WriteString(slow, "c "+long+"\r\n")
		synctest.Wait()
		other := h.open("bob")
		other.ok("SELECT INBOX")
		other.ok("SEARCH BODY x")
		other.ok("SORT (SUBJECT) UTF-8 ALL")
	})
}

// A search in very many mailboxes makes way, too, though it is short in each.
func TestSearchOfManyPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Pace = pace.New(2) })
		defer h.close()
		c := h.open("alice")
		for i := range 100 {
			c.ok(fmt.Sprintf("CREATE m%d", i))
		}
		keys := strings.Repeat(" SEEN", 4000)
		end := h.busy()
		for _, command := range []string{"ESEARCH IN (inboxes) RETURN (COUNT)" + keys, "ESEARCH IN (personal) RETURN (COUNT)" + keys} {
			time.Sleep(10 * time.Millisecond)
			began := time.Now()
			c.ok(command)
			if took := time.Since(began); (took > 0) != strings.Contains(command, "personal") {
				t.Errorf("%.30s: a pause of %v", command, took)
			}
		}
		end()
	})
}
