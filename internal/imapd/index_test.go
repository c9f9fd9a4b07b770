package imapd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"plic/internal/store"
	"plic/internal/store/search"
)

// randomKey gives a search key that has strings in it.
func randomKey(r *rand.Rand, words []string, depth int) string {
	text := func() string {
		w := words[r.IntN(len(words))]
		if r.IntN(3) == 0 {
			w += []string{" ", "-", "", "@"}[r.IntN(4)] + words[r.IntN(len(words))]
		}
		from := r.IntN(len(w))
		for w[from]&0xc0 == 0x80 {
			from--
		}
		return `"` + strings.TrimSpace(w[from:]) + `"`
	}
	switch r.IntN(12) {
	case 0:
		if depth < 4 {
			return "NOT " + randomKey(r, words, depth+1)
		}
	case 1, 2:
		if depth < 4 {
			return "OR " + randomKey(r, words, depth+1) + " " + randomKey(r, words, depth+1)
		}
	case 3:
		if depth < 4 {
			return "(" + randomKey(r, words, depth+1) + " " + randomKey(r, words, depth+1) + ")"
		}
	case 4:
		return "HEADER " + []string{"X-Tag", "Subject", "Message-ID", "X-None"}[r.IntN(4)] + " " + []string{`""`, text()}[r.IntN(2)]
	case 5:
		return []string{"SEEN", "2:20", "UID 10:*", "SMALLER 300"}[r.IntN(4)]
	case 6:
		return "FUZZY TEXT " + text()
	}
	return []string{"FROM", "TO", "CC", "SUBJECT", "BODY", "TEXT"}[r.IntN(6)] + " " + text()
}

// upToDate has an index learn of all messages of a mailbox, in the background.
func upToDate(t *testing.T, index *search.Index, mb *store.Mailbox) {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	var background sync.WaitGroup
	background.Go(func() { index.Run(ctx) })
	defer func() { end(); background.Wait() }()
	index.Changed(mb)
	for known := -1; known < int(mb.Info().Messages); runtime.Gosched() {
		st, err := index.Status(ctx, mb)
		if err != nil {
			t.Fatal(err)
		}
		known = st.Indexed
	}
}

// Sessions with an index and without find the same, while messages come and go.
func TestSearchByIndex(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	words := strings.Fields("alpha alphabet Beta gamma-delta naïve ünder Straße 漢字 東京都 foo@bar.example x1 the and 42 Привет tag")
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 21))
		h := newHouse(t, nil)
		index := search.New(search.Options{Wait: -1, Least: 1})
		plain := h.open("alice")
		h.server.o.Index = index // no session is at work
		quick := h.open("alice")
		h.server.o.Index = nil
		some := func(n int) string {
			var b strings.Builder
			for range n {
				b.WriteString(words[r.IntN(len(words))] + []string{" ", " ", ", ", ""}[r.IntN(4)])
			}
			return b.String()
		}
		for range 5 {
			texts := make([]string, 30+r.IntN(30))
			for i := range texts {
				texts[i] = fmt.Sprintf("From: %s <u%d@example.org>\r\nCc: %s\r\nSubject: %s\r\nMessage-ID: <%d@x>\r\nX-Tag: %s\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n",
					words[r.IntN(3)], r.IntN(9), "c@"+words[r.IntN(2)], some(r.IntN(4)), r.IntN(50), some(2), some(r.IntN(40)))
			}
			h.deliver("INBOX", store.Flags{System: []store.Flags{{}, {System: store.Seen}}[r.IntN(2)].System}, texts...)
			account, err := h.store.Account(ctx, "alice")
			if err != nil {
				t.Fatal(err)
			}
			mb, err := account.Mailbox("INBOX")
			if err != nil {
				t.Fatal(err)
			}
			if r.IntN(4) > 0 {
				upToDate(t, index, mb)
			}
			plain.ok("EXAMINE INBOX")
			quick.ok("EXAMINE INBOX")
			for range 40 {
				command := "UID SEARCH RETURN (ALL COUNT) CHARSET UTF-8 " + randomKey(r, words, 0)
				h.server.o.Index = nil
				want := plain.ok(command)
				h.server.o.Index = index
				got := quick.ok(command)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d: %s gives %q by index, %q without", seed, command, got, want)
				}
			}
		}
	}
}
