package main

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
)

// TestSteps: the steps of a mailbox of the server's own are all done, each with a
// figure, and a command that is refused ends them.
func TestSteps(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var said []string
	refused := ""
	s := &fileSite{format: "native", site: *onlyIMAP(t, func(line string) string {
		mu.Lock()
		defer mu.Unlock()
		_, command, _ := strings.Cut(line, " ")
		said = append(said, command)
		if refused != "" && strings.HasPrefix(command, refused) {
			return "t NO\r\n"
		}
		return imapd(nil)(line)
	})}
	s.start, s.stop = func(context.Context) error { return nil }, func() {}
	s.serving = func() (int, error) { return os.Getpid(), nil }
	took, order, err := s.steps(t.Context(), 30, 2000)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"SELECT, first after it was filled", "FETCH 1:* (ENVELOPE) at once", "FETCH 1:* (ENVELOPE) again", "SELECT again",
		"SELECT after a restart", "NOOP", "APPEND", "STORE of a flag, and back", "STORE of a flag, first in a session"}
	if strings.Join(order, "; ") != strings.Join(want, "; ") || len(took) != len(want) {
		t.Errorf("the steps are %q", order)
	}
	for name, f := range took {
		if f.took <= 0 || f.memory <= 0 {
			t.Errorf("%s: %+v", name, f)
		}
	}
	appended := 0
	for _, command := range said {
		if strings.HasPrefix(command, "APPEND INBOX ") {
			appended++
		}
	}
	if appended != 31 {
		t.Errorf("%d messages were appended", appended)
	}
	for _, refused = range []string{"APPEND", "SELECT", "FETCH"} {
		if _, _, err := s.steps(t.Context(), 3, 2000); err == nil {
			t.Errorf("a %s that is refused is no error", refused)
		}
	}
}
