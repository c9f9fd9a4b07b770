package mbox_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/store/mbox"
)

// aside gives what was set aside, and empties it.
func (s *site) aside() (text string) {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.at.Path, ".plic", "torn-*"))
	s.ok(err)
	for _, n := range names {
		b, err := os.ReadFile(n)
		s.ok(err)
		s.ok(os.Remove(n))
		text += string(b)
	}
	return text
}

// TestTornAppend: a crash has cut short, at any octet, what was being appended.
// Messages that were there are as they were, with their UIDs. Of the one nobody was
// told of there is nothing in the mailbox, and all octets beside it; it can be
// delivered again.
func TestTornAppend(t *testing.T) {
	t.Parallel()
	for _, before := range [][]string{nil, {message("one")}, {message("one"), message("two")}} {
		s := newSite(t, nil, mbox.Options{}, nil)
		if before != nil {
			s.ok(s.deliver(before...))
		}
		start := ""
		if before != nil {
			start = s.read()
		}
		next := s.next
		s.ok(s.deliver(message("late") + "more\r\n"))
		whole := s.read()
		// Its UID was not counted yet.
		counted, plain := fmt.Sprintf("X-IMAPbase: 7 %010d", next), fmt.Sprintf("X-IMAPbase: 7 %010d", next-1)
		if !strings.Contains(whole, counted) {
			t.Fatalf("no %s in\n%s", counted, whole)
		}
		whole = strings.Replace(whole, counted, plain, 1)
		var want []string
		for i, text := range before {
			want = append(want, fmt.Sprintf("%d %s", i+1, text))
		}
		end := len(whole) - len("\n") // the empty line behind it is no part of it
		for cut := len(start) + 1; cut < end; cut++ {
			s.write(whole[:cut])
			s.next = next
			s.open()
			if got := s.scan(); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("cut at %d of %d, behind %q:\n%q", cut, end, whole[max(0, cut-20):cut], got)
			}
			if got := s.aside(); got != whole[len(start):cut] || s.read() != start {
				t.Fatalf("cut at %d: beside the mailbox there is\n%q, in it\n%q", cut, got, s.read())
			}
			s.ok(s.deliver(message("again")))
			again := append(want[:len(want):len(want)], fmt.Sprintf("%d %s", next, message("again")))
			if got := s.scan(); fmt.Sprint(got) != fmt.Sprint(again) {
				t.Fatalf("cut at %d, then delivered again:\n%q", cut, got)
			}
		}
	}
}

// TestTornBetween: another program has appended behind what a crash has cut short
// before anybody could clean up. Nothing of either is lost.
func TestTornBetween(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, mbox.Options{}, nil)
	s.ok(s.deliver(message("one")))
	start := len(s.read())
	s.ok(s.deliver(message("late") + strings.Repeat("more\r\n", 10)))
	whole := s.read()
	other := "From ann@peer.test Thu Nov 26 18:25:12 2026\nSubject: other\n\nAbout other.\n\n"
	for cut := strings.Index(whole[start:], "\nSubject") + start + 1; cut < len(whole); cut++ {
		s.write(whole[:cut] + other)
		s.open()
		got := s.scan()
		if len(got) != 3 || got[0] != "1 "+message("one") || got[2] != "0 "+message("other") {
			t.Fatalf("cut at %d, behind %q:\n%q", cut, whole[cut-20:cut], got)
		}
		if aside := s.aside(); aside != "" {
			t.Errorf("cut at %d: set aside %q", cut, aside)
		}
	}
}

// TestTornOfOthers: what another program has written, or what was there and has
// lost its end since, is a message as it is.
func TestTornOfOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, mbox.Options{}, nil)
	s.ok(s.deliver(message("one")))
	s.ok(s.deliver(message("two") + "the end\r\n"))
	whole := s.read()
	s.write(strings.TrimSuffix(whole, "the end\n\n"))
	s.open()
	if got := s.scan(); len(got) != 2 || got[1] != "2 "+message("two") {
		t.Errorf("of a message that was counted there is %q", got)
	}
	s.write(whole + "From ann@peer.test Thu Nov 26 18:25:12 2026\nSubject: three\n\nAbout th")
	s.open()
	if got := s.scan(); len(got) != 3 || got[2] != "0 Subject: three\r\n\r\nAbout th" {
		t.Errorf("of a message of another program there is %q", got)
	}
	s.ok(s.deliver(message("four")))
	if got := s.scan(); len(got) != 4 || !strings.HasPrefix(got[2], "0 Subject: three\r\n\r\nAbout th") || got[3] != "3 "+message("four") {
		t.Errorf("after another delivery there is %q", got)
	}
	if aside := s.aside(); aside != "" {
		t.Errorf("set aside %q", aside)
	}
}
