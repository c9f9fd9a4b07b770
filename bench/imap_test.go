package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestDone: what the client makes of answers, with a buffer of 32 octets, so that
// lines are longer than it.
func TestDone(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(" 123456", 40)
	for name, x := range map[string]struct {
		answer string
		fails  string // part of the error
		hits   int
		last   string
	}{
		"OK":                     {answer: "* 5 EXISTS\r\nt OK done\r\n", last: "* 5 EXISTS\r\n"},
		"NO":                     {answer: "t NO not now\r\n", fails: "t NO not now"},
		"BAD":                    {answer: "* OK well\r\nt BAD what\r\n", fails: "t BAD what"},
		"the end":                {answer: "* BYE\r\n", fails: "EOF"},
		"no answer":              {answer: "", fails: "EOF"},
		"a literal":              {answer: "* 1 FETCH (BODY[] {19}\r\nt NO in the letter\r\n)\r\nt OK done\r\n"},
		"an empty literal":       {answer: "* 1 FETCH (BODY[] {0}\r\n)\r\nt OK done\r\n"},
		"two literals":           {answer: "* 1 FETCH (A {6}\r\nt NO\r\n B {7}\r\nt BAD\r\n)\r\nt OK done\r\n"},
		"a literal cut off":      {answer: "* 1 FETCH (BODY[] {100}\r\nt OK done\r\n", fails: "EOF"},
		"a literal, a long line": {answer: "* 1 FETCH (" + strings.Repeat("x", 60) + " {6}\r\nt NO\r\n)\r\nt OK done\r\n"},
		"no literal":             {answer: "* OK {x}\r\n* OK 5}\r\nt OK done\r\n"},
		"a long line":            {answer: "* OK " + strings.Repeat("x", 27) + "t NO in a line\r\nt OK done\r\n"},
		"found":                  {answer: "* SEARCH 2 84 882\r\nt OK done\r\n", hits: 3},
		"found nothing":          {answer: "* SEARCH\r\nt OK done\r\n", hits: 0},
		"found many":             {answer: "* SEARCH" + long + "\r\nt OK done\r\n", hits: 40},
		"found, with others":     {answer: "* SEARCH 1 2\r\n* 7 EXISTS\r\n* OK a b c d\r\nt OK done\r\n", hits: 2},
	} {
		c := &imapConn{r: bufio.NewReaderSize(strings.NewReader(x.answer), 32), hits: 99}
		err := c.done()
		if (err == nil) != (x.fails == "") || err != nil && !strings.Contains(err.Error(), x.fails) {
			t.Errorf("%s: error %v, not %q", name, err, x.fails)
		}
		if err == nil && c.hits != x.hits {
			t.Errorf("%s: %d hits, not %d", name, c.hits, x.hits)
		}
		if x.last != "" && string(c.last) != x.last {
			t.Errorf("%s: the last line is %q", name, c.last)
		}
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	s := onlyIMAP(t, func(line string) string {
		got.Store(line)
		return "t OK in\r\n"
	})
	c, err := s.login(t.Context(), user(51))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if want := "t LOGIN u1@local.test " + password; got.Load() != want {
		t.Errorf("it says %q, not %q", got.Load(), want)
	}
	s = onlyIMAP(t, imapd(map[string]string{"LOGIN": "t NO wrong\r\n"}))
	if c, err := s.login(t.Context(), user(0)); err == nil || c != nil {
		t.Errorf("a refused login gives %v, %v", c, err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := onlyIMAP(t, imapd(map[string]string{"SEARCH FROM": "* SEARCH 1 2 3\r\n", "SEARCH TEXT": "t NO too much\r\n"}))
	c, err := s.login(t.Context(), user(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := c.find("FROM x", 3); err != nil {
		t.Error(err)
	}
	for _, what := range []string{"FROM x", "TEXT x", "BODY x"} {
		if c.find(what, 2) == nil {
			t.Errorf("SEARCH %s has found 2", what)
		}
	}
}

func TestMessages(t *testing.T) {
	t.Parallel()
	var answer atomic.Value
	s := onlyIMAP(t, func(line string) string {
		if strings.Contains(line, "STATUS") {
			return answer.Load().(string) + "t OK done\r\n"
		}
		return "t OK done\r\n"
	})
	for text, want := range map[string]int{"* STATUS INBOX (MESSAGES 231)\r\n": 231, "* STATUS INBOX (MESSAGES 0)\r\n": 0, "": -1, "* OK\r\n": -1} {
		answer.Store(text)
		c, err := s.login(t.Context(), user(0))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.messages(); (err != nil) != (want < 0) || err == nil && n != want {
			t.Errorf("%q: %d messages, %v", text, n, err)
		}
		c.close()
	}
}

func TestIdle(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		r := bufio.NewReader(theirs)
		if line, _ := r.ReadString('\n'); line != "t IDLE\r\n" {
			theirs.Close()
			return
		}
		fmt.Fprint(theirs, "+ idling\r\n* 3 EXISTS\r\n* 1 RECENT\r\n* 2 EXPUNGE\r\n* OK Still here\r\n* 4 EXISTS\r\n")
		theirs.Close()
	}()
	c := &imapConn{conn: ours, r: bufio.NewReader(ours)}
	said, err := c.idle()
	if err != nil {
		t.Fatal(err)
	}
	first, second := <-said, <-said
	if second.Before(first) {
		t.Error("the moments are not in order")
	}
	select {
	case at := <-said:
		t.Errorf("it was told at %v once more", at)
	default:
	}
}

// TestPour: the mailbox is filled with the letters in their order, by MULTIAPPEND
// if there is that, and all their octets are counted.
func TestPour(t *testing.T) {
	t.Parallel()
	letters := newLetters()
	const many = 1234
	var want bytes.Buffer
	for n := range many {
		want.Write(letters.short(n))
	}
	for _, able := range []string{"MULTIAPPEND", "MULTIAPPENDED"} {
		var mu sync.Mutex
		var got []string
		s := onlyIMAP(t, func(line string) string {
			mu.Lock()
			defer mu.Unlock()
			if strings.HasPrefix(line, "t APPEND") {
				got = append(got, line)
			}
			return imapd(map[string]string{"CAPABILITY": "* CAPABILITY IMAP4rev1 " + able + "\r\n"})(line)
		})
		c, err := s.login(t.Context(), user(0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.close()
		octets, err := s.pour(t.Context(), c, 0, many, letters.short)
		if err != nil || octets != int64(want.Len()) {
			t.Errorf("%s: %d octets, not %d, %v", able, octets, want.Len(), err)
		}
		commands := map[string]int{"MULTIAPPEND": 3, "MULTIAPPENDED": many}[able]
		if len(got) != commands {
			t.Errorf("%s: %d commands, not %d", able, len(got), commands)
		}
		if have := bodies(t, got); have != want.String() {
			t.Errorf("%s: %d octets came, or others", able, len(have))
		}
	}
	s := onlyIMAP(t, imapd(map[string]string{"APPEND": "t NO full\r\n"}))
	c, err := s.login(t.Context(), user(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if _, err := s.pour(t.Context(), c, 0, 3, letters.short); err == nil {
		t.Error("a refused message is no error")
	}
}

// bodies are the literals of APPEND, one after the other.
func bodies(t *testing.T, commands []string) string {
	t.Helper()
	var all strings.Builder
	for _, command := range commands {
		rest := command
		for i := 0; rest != ""; i++ {
			head, more, _ := strings.Cut(rest, "\r\n")
			var n int
			form := " (\\Seen) {%d+}"
			if i == 0 {
				form = "t APPEND Archive" + form
			}
			if _, err := fmt.Sscanf(head, form, &n); err != nil {
				t.Fatalf("%.80q: %v", head, err)
			}
			all.WriteString(more[:n])
			rest = more[n:]
		}
	}
	return all.String()
}

// TestFill: it counts what the disk and search rows need, and fills once.
func TestFill(t *testing.T) {
	t.Parallel()
	const many = 200
	var appended atomic.Int64
	s := onlyIMAP(t, func(line string) string {
		if strings.HasPrefix(line, "t APPEND") {
			appended.Add(1)
		}
		return imapd(nil)(line)
	})
	want, octets := 0, 0
	for n := range many {
		text := s.letters.letter(n)
		octets += len(text)
		if isRare(text) {
			want++
		}
	}
	c, err := s.login(t.Context(), user(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if err := s.pourAll(t.Context(), c, many); err != nil {
		t.Fatal(err)
	}
	if s.named != want || s.raw != int64(octets) || appended.Load() != many || want == 0 {
		t.Errorf("%d octets in %d messages, %d from the rare name; not %d, %d, %d", s.raw, appended.Load(), s.named, octets, many, want)
	}
	if err := s.fill(t.Context(), many); err != nil || appended.Load() != many {
		t.Errorf("it is filled once more: %d, %v", appended.Load(), err)
	}
}

// TestDisturbed: a search that fails disturbs nobody, so there is no figure.
func TestDisturbed(t *testing.T) {
	t.Parallel()
	s := onlyIMAP(t, imapd(nil))
	if took, err := s.disturbed(t.Context(), 0); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
	s = onlyIMAP(t, imapd(map[string]string{"SORT": "t NO busy\r\n"}))
	if _, err := s.disturbed(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "busy") {
		t.Errorf("searches are refused, but the error is %v", err)
	}
}

// TestCrowd: every session logs in, selects and idles before the function is
// called, and all end after it.
func TestCrowd(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	s := onlyIMAP(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		seen[strings.Fields(line)[1]]++
		if line == "t IDLE" {
			return "+ idling\r\n"
		}
		return "t OK done\r\n"
	})
	called := false
	err := s.crowd(t.Context(), 30, nil, func() {
		mu.Lock()
		defer mu.Unlock()
		called = true
		for _, verb := range []string{"LOGIN", "SELECT", "IDLE"} {
			if seen[verb] != 30 {
				t.Errorf("%d sessions have said %s", seen[verb], verb)
			}
		}
	})
	if err != nil || !called {
		t.Error(called, err)
	}
	s = onlyIMAP(t, imapd(map[string]string{"SELECT": "t NO such mailbox\r\n"}))
	if err := s.crowd(t.Context(), 3, nil, func() { t.Error("it goes on without its sessions") }); err == nil {
		t.Error("sessions that cannot select are no error")
	}
}

// TestWith: only the act is timed, what was prepared is taken away, and a failure
// of any of it is told.
func TestWith(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var said []string
	s := onlyIMAP(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, line)
		return imapd(map[string]string{"REFUSED": "t NO\r\n"})(line)
	})
	act := func(command string) func(*imapConn) error {
		return func(c *imapConn) error { return c.do("%s", command) }
	}
	if _, err := s.with(t.Context(), []string{"CREATE Work"}, act("COPY 1:2 Work"), "DELETE Work"); err != nil {
		t.Error(err)
	}
	if want := []string{"t LOGIN u0@local.test " + password, "t CREATE Work", "t COPY 1:2 Work", "t DELETE Work"}; !slices.Equal(said, want) {
		t.Errorf("it said %q", said)
	}
	for _, x := range [][3]string{{"REFUSED", "A", "B"}, {"A", "REFUSED", "B"}, {"A", "B", "REFUSED"}} {
		if _, err := s.with(t.Context(), x[:1], act(x[1]), x[2]); err == nil {
			t.Errorf("%q is no error", x)
		}
	}
}

// TestTimed: it is done to the large mailbox, so many times.
func TestTimed(t *testing.T) {
	t.Parallel()
	var selected atomic.Int64
	s := onlyIMAP(t, func(line string) string {
		if line == "t SELECT "+largeBox {
			selected.Add(1)
		}
		return "t OK done\r\n"
	})
	times := 0
	took, err := timed(t.Context(), s, 4, func(*imapConn) error {
		times++
		return nil
	})
	if err != nil || times != 4 || selected.Load() != 1 || took < 0 {
		t.Errorf("%d times, %d SELECT, %v, %v", times, selected.Load(), took, err)
	}
	if _, err := timed(t.Context(), s, 1, func(*imapConn) error { return context.Canceled }); err == nil {
		t.Error("an error is lost")
	}
}
