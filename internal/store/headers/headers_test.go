package headers

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/memory"
)

type place struct {
	t    testing.TB
	s    *store.Store
	k    *Keeper
	mb   *store.Mailbox
	want map[store.UID]string // what is kept of each message
	all  map[store.UID]string // its header
	r    *rand.Rand
}

func newPlace(t testing.TB) *place {
	t.Helper()
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { s.Close() })
	a, err := s.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &place{t: t, s: s, k: k, mb: mb, want: map[store.UID]string{}, all: map[store.UID]string{}, r: rand.New(rand.NewPCG(1, 2))}
}

// add puts messages into the mailbox.
func (p *place) add(n int) {
	p.t.Helper()
	for range n {
		keep := fmt.Sprintf("Subject: number %d\r\nX-PRIORITY: %d\r\nTo: a,\r\n\tb\r\n", p.r.IntN(1e6), p.r.IntN(5))
		header := "X-Other: one\r\n" + keep + "Received: from x\r\n by y\r\n"
		if p.r.IntN(50) == 0 { // too long to be kept
			header += "References: " + strings.Repeat("<a@b>\r\n ", maxKept/8) + "<c@d>\r\n"
			keep = ""
		}
		d, err := p.s.NewDraft(p.t.Context())
		if err != nil {
			p.t.Fatal(err)
		}
		io.WriteString(d, header+"\r\nSubject: not this one\r\n")
		placed, err := p.mb.Append(p.t.Context(), store.Incoming{Draft: d})
		if err != nil {
			p.t.Fatal(err)
		}
		p.want[placed[0].UID], p.all[placed[0].UID] = keep, header
	}
}

// sweep goes through all messages, and says of how many the header was known.
func (p *place) sweep() (known, long int) {
	p.t.Helper()
	snap, err := p.mb.Snapshot(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	s := p.k.Sweep(p.mb, snap)
	for _, e := range snap.All() {
		if p.want[e.UID] == "" {
			long++
		}
		h, ok := s.Header(p.t.Context(), e.UID)
		if !ok {
			s.Learn(p.t.Context(), e.UID, []byte(p.all[e.UID]+"\r\n"))
			continue
		}
		known++
		if string(h) != p.want[e.UID] {
			p.t.Fatalf("UID %d has %q, not %q", e.UID, h, p.want[e.UID])
		}
	}
	s.Close()
	p.k.busy.Lock() // it is written
	defer p.k.busy.Unlock()
	return known, long
}

func (p *place) pages() int {
	p.t.Helper()
	keys, err := p.mb.Notes().Keys(p.t.Context(), notes)
	if err != nil {
		p.t.Fatal(err)
	}
	return len(keys)
}

// What was learnt once is known, while the mailbox grows, loses messages and
// pages.
func TestKept(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.add(3*perPage - 20)
	if known, _ := p.sweep(); known != 0 {
		t.Fatalf("%d known before the first sweep", known)
	}
	if known, long := p.sweep(); known != len(p.want)-long {
		t.Fatalf("%d of %d known, %d are too long", known, len(p.want), long)
	}
	p.add(10) // too few to write for
	before := p.pages()
	p.sweep()
	if known, long := p.sweep(); known >= len(p.want)-long || p.pages() != before {
		t.Fatalf("%d known, %d pages", known, p.pages())
	}
	p.add(2 * perPage)
	p.sweep()
	if known, long := p.sweep(); known < len(p.want)-long-worth {
		t.Fatalf("%d of %d known", known, len(p.want)-long)
	}

	// A page that cannot be read is learnt anew.
	if err := p.mb.Notes().Put(t.Context(), key(1), []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	p.sweep()
	if known, long := p.sweep(); known < len(p.want)-long-worth {
		t.Fatalf("%d of %d known after damage", known, len(p.want)-long)
	}

	// Of messages that went nothing stays.
	before = p.pages()
	var gone []store.UID
	for uid := range store.UID(2*perPage + 1) {
		gone = append(gone, uid)
	}
	if _, err := p.mb.Expunge(t.Context(), gone, false); err != nil {
		t.Fatal(err)
	}
	p.add(perPage)
	p.sweep()
	if now := p.pages(); now != before-2+1 {
		t.Errorf("%d pages, %d before", now, before)
	}
}

// Headers of one message are the same whether they are read or known.
func TestKeeps(t *testing.T) {
	t.Parallel()
	k, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !k.Keeps([]string{"from", "SUBJECT", "Message-Id"}) || k.Keeps([]string{"From", "Received"}) {
		t.Error("it keeps other fields")
	}
}

// A page of any octets does no harm, and one that was written is read back.
func FuzzPage(f *testing.F) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	k, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x01\x01\x03abc"))
	f.Add([]byte("\x02\x01\x02\x05\x01abc"))
	f.Add([]byte("\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var p page
		if err := p.read(k.dec, enc.EncodeAll(raw, nil)); err != nil {
			return
		}
		var again page
		if err := again.read(k.dec, p.append(k.enc, nil)); err != nil {
			t.Fatal(err)
		}
		for i, r := range p.rows {
			s := again.rows[i]
			if r.uid != s.uid || !bytes.Equal(p.text[r.from:r.to], again.text[s.from:s.to]) {
				t.Fatalf("row %d is another", i)
			}
		}
	})
}

var sink []byte

// What a message of a page costs, when its header is known.
func BenchmarkHeader(b *testing.B) {
	p := newPlace(b)
	p.add(4 * perPage)
	p.sweep()
	snap, err := p.mb.Snapshot(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s := p.k.Sweep(p.mb, snap)
		for _, e := range snap.All() {
			h, _ := s.Header(context.Background(), e.UID)
			for _, raw := range message.Fields(h) {
				sink = raw
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*snap.Len()), "ns/message")
}
