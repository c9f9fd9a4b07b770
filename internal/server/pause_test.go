package server

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/store"
)

// I4: what takes long pauses in a running server while quick commands come, whatever
// it is: threading, learning, and indexes made anew and in the background.
func TestLongWorkPauses(t *testing.T) {
	s, c := overIMAP(t)
	c.conn.SetDeadline(time.Now().Add(5 * time.Minute))
	for i := range 20 {
		c.append("INBOX", fmt.Sprint("letter ", i))
	}
	c.want("SELECT INBOX", "* 20 EXISTS")
	if err := s.site.learner.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer hurry(t, s, c)()

	paused := func(what string, work func(i int)) {
		t.Helper()
		before, until := s.site.pace.Paused(), time.Now().Add(time.Minute)
		for i := 0; s.site.pace.Paused() == before; i++ {
			if time.Now().After(until) {
				t.Errorf("%s does not pause", what)
				return
			}
			work(i)
		}
	}
	paused("threading", func(int) { c.want("THREAD REFERENCES UTF-8 ALL", "* THREAD (", "x OK") })
	paused("making an index anew", func(int) {
		for _, err := range s.Operations().Index.Rebuild(t.Context(), "ann@here.test") {
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	paused("learning", func(i int) {
		c.want(fmt.Sprintf("STORE 1 FLAGS (%s)", []string{"$Junk", "$NotJunk"}[i%2]), "x OK")
	})
	if err := s.site.learner.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := s.site.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	sent, err := a.Mailbox("Sent") // from which nothing is learnt
	if err != nil {
		t.Fatal(err)
	}
	paused("indexing", func(i int) {
		if i == 0 {
			s.fill(t, sent, 200)
		}
		c.want("NOOP", "x OK") // it begins some time after the last change
	})
	told := slices.IndexFunc(s.metrics(), func(m control.Metric) bool { return m.Name == "plic_paused_seconds_total" && m.Value > 0 })
	if told < 0 {
		t.Error("the metrics tell of no pauses")
	}
}

// hurry has quick commands come to a server, one after the other, for which processors
// are scarce, until it is told to stop.
func hurry(t *testing.T, s *Server, c *talk) (stop func()) {
	t.Helper()
	for range runtime.GOMAXPROCS(0) { // others', so that none is to spare
		q := s.site.pace.Quick()
		q.Begin()
		t.Cleanup(func() { q.Leave() })
	}
	const together = 100
	conn, r := dialLine(t, c.conn.RemoteAddr().String())
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	quick := &talk{t, conn, r}
	quick.want("LOGIN ann@here.test password", "x OK")
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := io.WriteString(conn, strings.Repeat("q NOOP\r\n", together)); err != nil {
				t.Error(err)
				return
			}
			for range together {
				if _, err := r.ReadString('\n'); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	return func() { close(done); <-ended }
}

// fill puts messages into a mailbox.
func (s *Server) fill(t *testing.T, mb *store.Mailbox, n int) {
	t.Helper()
	in := make([]store.Incoming, n)
	for i := range in {
		d, err := s.site.store.NewDraft(t.Context())
		if err == nil {
			_, err = fmt.Fprintf(d, "Subject: %d\r\n\r\nbody\r\n", i)
		}
		if err != nil {
			t.Fatal(err)
		}
		in[i] = store.Incoming{Draft: d}
	}
	if _, err := mb.Append(t.Context(), in...); err != nil {
		t.Fatal(err)
	}
}
