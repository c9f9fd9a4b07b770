package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// startSink is a sink on a port of its own.
func startSink(t *testing.T) *sink {
	t.Helper()
	s, err := newSink("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestSend: as many letters come as were to be sent, each of them once, whatever
// the number of connections, and to whom each connection sends.
func TestSend(t *testing.T) {
	t.Parallel()
	for _, conns := range []int{1, 7} {
		s := startSink(t)
		var mu sync.Mutex
		times := map[int]int{}
		letter := newLetters().posted(2<<10, 5)
		err := send(t.Context(), s.Addr().String(), load{2 << 10, conns, 100}, func(n int) []byte {
			mu.Lock()
			defer mu.Unlock()
			times[n]++
			return letter(n)
		}, user)
		if err != nil {
			t.Fatal(err)
		}
		if taken, reached := s.taken.Load(), s.reached.Load(); taken != 100 || reached != 100 || len(times) != 100 {
			t.Errorf("%d connections: %d messages to %d recipients, %d letters", conns, taken, reached, len(times))
		}
	}
}

// TestCrowded: a message to many counts once, and all its recipients.
func TestCrowded(t *testing.T) {
	t.Parallel()
	s := startSink(t)
	c, err := dialSMTP(t.Context(), s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	letter := newLetters().posted(2<<10, 2)
	for i := range 2 {
		if err := c.crowded("load@sender.test", letter(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.command("RCPT TO:<nobody@sink.test>", "250"); err != nil { // of no message
		t.Fatal(err)
	}
	if taken, reached := s.taken.Load(), s.reached.Load(); taken != 2 || reached != 2*crowds {
		t.Errorf("%d messages to %d recipients", taken, reached)
	}
	s.Close()
	if c.command("NOOP", "250") == nil {
		t.Error("a sink that is closed answers")
	}
}

// TestSMTPAnswers: answers of several lines, and those that refuse.
func TestSMTPAnswers(t *testing.T) {
	t.Parallel()
	usual := map[string]string{"EHLO": "250-mx\r\n250-PIPELINING\r\n250 SIZE\r\n", "MAIL": "250 ok\r\n", "RCPT": "250\r\n", "DATA": "354 go\r\n", ".": "250 taken\r\n", "QUIT": "221 bye\r\n"}
	for name, x := range map[string]struct {
		greeting, verb, answer string
		fails                  bool
	}{
		"all well":          {"220-mx\r\n220 here\r\n", "", "", false},
		"a busy server":     {"421 later\r\n", "", "", true},
		"EHLO":              {"220 mx\r\n", "EHLO", "250-mx\r\n550 no\r\n", true},
		"sender":            {"220 mx\r\n", "MAIL", "451 later\r\n", true},
		"recipient":         {"220 mx\r\n", "RCPT", "550 unknown\r\n", true},
		"DATA":              {"220 mx\r\n", "DATA", "250 what\r\n", true},
		"message":           {"220 mx\r\n", ".", "452 full\r\n", true},
		"message, no reply": {"220 mx\r\n", ".", "", true},
		"QUIT":              {"220 mx\r\n", "QUIT", "250 no\r\n", true},
	} {
		data := false
		address := scripted(t, x.greeting, func(line string) string {
			verb := line[:min(4, len(line))]
			switch {
			case data && line != ".":
				return "\x00" // something that is no answer
			case verb == x.verb:
				return x.answer
			}
			data = verb == "DATA"
			return usual[verb]
		})
		err := send(t.Context(), address, load{0, 1, 1}, func(int) []byte { return []byte(".\r\n") }, user)
		if (err != nil) != x.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRelay: the rate is that of what has come to the sink.
func TestRelay(t *testing.T) {
	t.Parallel()
	s := &site{sink: startSink(t), letters: newLetters()}
	s.relay = s.sink.Addr().String()
	for _, m := range []measure{relay(load{2 << 10, 3, 50}), answers(load{2 << 10, 3, 50})} {
		before := s.sink.taken.Load()
		if v, err := m.do(t.Context(), s); err != nil || v <= 0 || s.sink.taken.Load()-before != 50 {
			t.Errorf("%s: %v, %v, %d messages", m.name, v, err, s.sink.taken.Load()-before)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.relayed(ctx, 1000) == nil {
		t.Error("it does not wait for what does not come")
	}
}

// TestIngest: a message counts once IMAP shows it, in whichever of the mailboxes,
// and what was there before does not.
func TestIngest(t *testing.T) {
	t.Parallel()
	smtp := startSink(t)
	const conns, many, before = 4, 40, 1000
	var polls atomic.Int64
	s := onlyIMAP(t, func(line string) string {
		if !strings.Contains(line, "STATUS") {
			return "t OK done\r\n"
		}
		shown := int64(before)
		if smtp.taken.Load() > 0 {
			// One more of each mailbox at each look.
			shown += min(polls.Add(1)/conns, many/conns)
		}
		return fmt.Sprintf("* STATUS INBOX (MESSAGES %d)\r\nt OK done\r\n", shown)
	})
	s.smtp = smtp.Addr().String()
	v, err := ingest(load{2 << 10, conns, many}).do(t.Context(), s)
	if err != nil || v <= 0 || smtp.taken.Load() != many {
		t.Errorf("%v, %v, %d messages", v, err, smtp.taken.Load())
	}
	if n := polls.Load(); n < many {
		t.Errorf("it was content after %d looks at mailboxes", n)
	}
}

// popd is a server of POP3 with letters, of which one is missing.
func popd(t *testing.T, letters [][]byte, missing int, seen *atomic.Int64) *site {
	t.Helper()
	return &site{pop3: scripted(t, "+OK hello\r\n", func(line string) string {
		verb, rest, _ := strings.Cut(line, " ")
		switch {
		case verb == "PASS" && rest != password, verb == "USER" && rest != popUser:
			return "-ERR who\r\n"
		case verb == "RETR":
			var n int
			fmt.Sscan(rest, &n)
			if n == missing || n < 1 || n > len(letters) {
				return "-ERR none\r\n"
			}
			seen.Add(1)
			return "+OK\r\n" + string(letters[n-1]) + ".\r\n"
		}
		return "+OK\r\n"
	})}
}

func TestRetrieve(t *testing.T) {
	t.Parallel()
	letters := [][]byte{[]byte("A: b\r\n\r\n..\r\n.. \r\n+OK\r\n-ERR\r\n"), []byte("\r\n"), nil, bytes.Repeat([]byte("x\r\n"), 50_000)}
	for _, pipelined := range []bool{false, true} {
		var seen atomic.Int64
		took, err := retrieve(t.Context(), popd(t, letters, 0, &seen), len(letters), pipelined)
		if err != nil || took <= 0 || int(seen.Load()) != len(letters) {
			t.Errorf("pipelined %t: %d letters, %v, %v", pipelined, seen.Load(), took, err)
		}
		if _, err := retrieve(t.Context(), popd(t, letters, 3, &seen), len(letters), pipelined); err == nil {
			t.Errorf("pipelined %t: a letter that is missing is no error", pipelined)
		}
		if _, err := retrieve(t.Context(), popd(t, letters, 0, &seen), len(letters)+1, pipelined); err == nil {
			t.Errorf("pipelined %t: too few letters are no error", pipelined)
		}
	}
}
