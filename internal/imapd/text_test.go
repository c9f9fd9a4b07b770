package imapd

import (
	"context"
	"strings"
	"testing"

	"plic/internal/casemap"
)

// What is sought is found wherever the pieces of the text end.
func TestContains(t *testing.T) {
	t.Parallel()
	m := matcher{ctx: context.Background(), pool: New(Options{})}
	for at := pageSize - 12; at < pageSize+3; at++ {
		text := strings.Repeat("x", at) + "Nädel" + strings.Repeat("y", 5)
		if ok, err := m.contains(casemap.NewReader(strings.NewReader(text)), casemap.Fold("näDEL")); !ok || err != nil {
			t.Errorf("not found at %d: %v", at, err)
		}
	}
	long := strings.Repeat("0123456789", 10000)
	if ok, _ := m.contains(strings.NewReader("ab"+long), []byte("b"+long)); !ok {
		t.Error("a long string is not found")
	}
	if ok, _ := m.contains(strings.NewReader(long), []byte("b"+long)); ok {
		t.Error("found what is not there")
	}
}

func TestPlainHeader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"A: b\r\n\r\nbody": 8, "A: b\r\n c\r\n\r\n": 12, "\r\n": 2, "\nx": 1, "A: b\n\n": 6,
		"A: b\r\nodd\r\n\r\n": 0, " A: b\r\n\r\n": 0, "A: b\r\n": 0, "": 0, "A: b": 0, ": x\r\n\r\n": 0, "A\r\n\r\n": 0,
	} {
		if got := plainHeader([]byte(text)); got != want {
			t.Errorf("plainHeader(%q) = %d, want %d", text, got, want)
		}
	}
}
