package search

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"

	"plic/internal/casemap"
	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// vocabulary is what texts are made of.
var vocabulary = strings.Fields("Hello hello hell world WORLD Grüße grüsse naïve cafe\u0301 café Ärger STRAẞE straße 42 4242 a I ab abc abcd x1y2z3 " +
	"漢字 漢 字漢 日本語 にほんご カタカナ 東京都 京都 한국어 안녕하세요 Привет привет ПРИВЕТ Ελλάδα ΣΑΣ σας สวัสดี " +
	"user@example.org anna.b+c@mail.example.com https://example.com/path?q=1&r=2 don't e-mail foo_bar 1,234.56 --- ... ﬁne ﬀ K ½ ² ① " +
	"deadbeefcafe0123456789 e\u0301e\u0301 \u0301 🙂 a🙂b x\u200by")

func words(r *rand.Rand, n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString([]string{" ", " ", "\r\n", ", ", "", "-", "\u3000"}[r.IntN(7)])
		}
		w := vocabulary[r.IntN(len(vocabulary))]
		if r.IntN(40) == 0 {
			w = strings.Repeat(w, 1+r.IntN(60)) // longer than a window
		}
		b.WriteString(w)
	}
	return b.String()
}

// header gives a value for a field.
func header(r *rand.Rand, text string) string {
	text = strings.Join(strings.Fields(text), " ")
	switch r.IntN(3) {
	case 0:
		return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(text)) + "?="
	case 1:
		return message.EncodeHeader(text, false)
	}
	return text
}

func part(r *rand.Rand, text string) string {
	subtype := "plain"
	if r.IntN(3) == 0 {
		subtype = "html"
		text = "<p title=\"hidden\">" + strings.ReplaceAll(strings.ReplaceAll(text, "&", "&amp;"), "ü", "&uuml;") + "</p><script>secret</script><b>b</b>old"
	}
	charset, body := "utf-8", []byte(text)
	encodings := []struct {
		name string
		e    encoding.Encoding
	}{{"iso-8859-1", charmap.ISO8859_1}, {"koi8-r", charmap.KOI8R}, {"shift_jis", japanese.ShiftJIS}, {"gb18030", simplifiedchinese.GB18030}}
	if e := encodings[r.IntN(len(encodings))]; r.IntN(3) == 0 {
		if out, err := e.e.NewEncoder().Bytes(body); err == nil {
			charset, body = e.name, out
		}
	}
	if r.IntN(10) == 0 {
		charset = "x-nonsense"
	}
	named := ""
	if r.IntN(3) == 0 {
		named = "\r\nContent-Disposition: attachment" + message.FormatParam("filename", words(r, 2)) + "\r\nContent-Description: " + header(r, words(r, 2))
	}
	return "Content-Type: text/" + subtype + "; charset=" + charset + named + "\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(body) + "\r\n"
}

func mailText(r *rand.Rand) string {
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s <%c@example.org>\r\n", header(r, words(r, 1+r.IntN(2))), 'a'+rune(r.IntN(5)))
	fmt.Fprintf(&b, "To: %s <to%d@example.com>, x@y\r\nSubject: %s\r\n", header(r, words(r, 1)), r.IntN(30), header(r, words(r, r.IntN(6))))
	if r.IntN(2) == 0 {
		fmt.Fprintf(&b, "Cc: c%d@example.net\r\nX-Tag: %s\r\n", r.IntN(9), header(r, words(r, 2)))
	}
	fmt.Fprintf(&b, "Message-ID: <%d.%d@host>\r\n", r.IntN(100), r.IntN(100))
	switch r.IntN(4) {
	case 0:
		b.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
		for range 1 + r.IntN(2) {
			b.WriteString("--b\r\n" + part(r, words(r, r.IntN(30))))
		}
		b.WriteString("--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: " + header(r, words(r, 3)) + "\r\n" + part(r, words(r, 5)) + "\r\n--b--\r\n")
	default:
		b.WriteString(part(r, words(r, r.IntN(60))))
	}
	return b.String()
}

// needle gives a string to seek: a piece of what there is, or of something else.
func needle(r *rand.Rand) string {
	text := []rune(words(r, 1+r.IntN(3)))
	from := r.IntN(len(text))
	to := from + 1 + r.IntN(min(len(text)-from, 1+r.IntN(200)))
	return strings.Join(strings.Fields(string(text[from:to])), " ")
}

// house is a mailbox to index.
type house struct {
	t     testing.TB
	store *store.Store
	box   *store.Mailbox
}

func newHouse(t testing.TB) *house {
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { s.Close() })
	a, err := s.Account(context.Background(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	return &house{t, s, mb}
}

func (h *house) put(texts ...string) {
	h.t.Helper()
	ctx := context.Background()
	in := make([]store.Incoming, len(texts))
	for i, text := range texts {
		d, err := h.store.NewDraft(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := io.WriteString(d, text); err != nil {
			h.t.Fatal(err)
		}
		in[i] = store.Incoming{Draft: d}
		if i%7 == 0 {
			in[i].Prefix = []byte("X-Prefix: before\r\n")
		}
	}
	if _, err := h.box.Append(ctx, in...); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) snapshot() *store.Snapshot {
	h.t.Helper()
	s, err := h.box.Snapshot(context.Background())
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// has looks into a message.
func (h *house) has(e store.Entry, text []byte, in Class) bool {
	h.t.Helper()
	ctx := context.Background()
	found := func(s string) bool { return bytes.Contains(casemap.Fold(s), text) }
	msg, err := h.box.Open(ctx, e)
	if err != nil {
		h.t.Fatal(err)
	}
	defer msg.Close()
	tree, err := msg.Structure()
	if err != nil {
		h.t.Fatal(err)
	}
	ok := false
	for d, err := range h.box.Details(ctx, []store.UID{e.UID}) {
		if err != nil {
			h.t.Fatal(err)
		}
		env, err := imap.ParseEnvelope(d.AppendEnvelope(nil))
		if err != nil {
			h.t.Fatal(err)
		}
		any := func(list []message.Mailbox) bool {
			return slices.ContainsFunc(list, func(a message.Mailbox) bool { return found(AddressText(a)) })
		}
		ok = in&From != 0 && any(env.From) || in&To != 0 && any(env.To) || in&Cc != 0 && any(env.Cc) ||
			in&Subject != 0 && found(message.DecodeHeader(env.Subject))
	}
	if in&Header != 0 {
		if err := WalkFields(msg, tree, func(text string) bool {
			ok = ok || found(text)
			return !ok
		}); err != nil {
			h.t.Fatal(err)
		}
	}
	if in&Body != 0 && !ok {
		Walk(tree, func(p *message.Part) bool {
			all, err := io.ReadAll(Text(msg, p))
			if err != nil {
				h.t.Fatal(err)
			}
			ok = bytes.Contains(all, text)
			return !ok
		}, func(p *message.Part) bool {
			Fields(p, func(text string) bool {
				ok = found(text)
				return !ok
			})
			return !ok
		})
	}
	return ok
}

// check compares what an index says with a look into every message. It gives how
// many of its answers were final.
func (h *house) check(x *Index, text string, in Class) (final int) {
	h.t.Helper()
	ctx := context.Background()
	folded := casemap.Fold(text)
	r, err := x.Open(ctx, h.box)
	if err != nil {
		h.t.Fatal(err)
	}
	hits, err := r.Find(ctx, folded, in)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, e := range h.snapshot().All() {
		v := hits.Of(e.UID)
		if v == Unknown {
			continue
		}
		final++
		if has := h.has(e, folded, in); has != (v == Yes) {
			h.t.Fatalf("UID %d has %q in %b: %v, but the index says %v", e.UID, text, in, has, v == Yes)
		}
	}
	return final
}

// What the index says of random messages and strings is what a look into each
// message says, whatever comes, goes and is merged.
func TestIndexIsExact(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 11))
		h := newHouse(t)
		x := New(Options{Wait: -1, Least: 1, dictBlock: []int{0, 200}[seed%2]})
		final, total := 0, 0
		for round := range 12 {
			texts := make([]string, 1+r.IntN(12))
			for i := range texts {
				texts[i] = mailText(r)
			}
			h.put(texts...)
			if round%3 == 2 {
				var gone []store.UID
				for _, e := range h.snapshot().All() {
					if r.IntN(4) == 0 {
						gone = append(gone, e.UID)
					}
				}
				if _, err := h.box.Expunge(ctx, gone, false); err != nil {
					t.Fatal(err)
				}
			}
			if r.IntN(4) > 0 {
				if err := x.updater(h.box, true).refresh(ctx); err != nil {
					t.Fatal(err)
				}
			}
			for range 12 {
				in := []Class{From, To, Cc, Subject, Body, Header | Body}[r.IntN(6)]
				final += h.check(x, needle(r), in)
				total += h.snapshot().Len()
			}
		}
		if 2*final < total {
			t.Errorf("seed %d: the index knew only %d of %d answers", seed, final, total)
		}
	}
}

// What is inside one word is known for sure; what spans words is not, unless a
// piece is nowhere.
func TestPieces(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "[] false", "hello": "[0:HELLO] true", "o w": "[2:O 1:W] false", " x ": "[3:X] false", "a.b.c": "[2:A 3:B 1:C] false",
		"漢": "[0:漢] true", "漢字": "[3:漢字] true", "漢字漢": "[3:漢字 3:字漢] false", "a漢": "[2:A 0:漢] false", "...": "[] false",
		strings.Repeat("x", 70): "[0:" + strings.Repeat("X", 64) + "] false",
	} {
		parts, exact := pieces(casemap.Fold(text))
		var got []string
		for _, p := range parts {
			got = append(got, fmt.Sprintf("%d:%s", p.how, p.text))
		}
		if s := fmt.Sprintf("%v %v", got, exact); s != want {
			t.Errorf("%q has the pieces %s, want %s", text, s, want)
		}
	}
}

// A merge leaves few segments, whose range is without gaps.
func TestSegmentsAreFew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h := newHouse(t)
	x := New(Options{Wait: -1, Least: 1})
	for i := range 60 {
		h.put(fmt.Sprintf("Subject: s%d\r\n\r\nbody\r\n", i), "Subject: t\r\n\r\n")
		if err := x.updater(h.box, false).refresh(ctx); err != nil {
			t.Fatal(err)
		}
		m, err := x.read(ctx, h.box)
		if err != nil {
			t.Fatal(err)
		}
		docs := 0
		for _, s := range m.Segments {
			docs += s.Docs
		}
		if docs != 2*(i+1) || len(m.Segments) > 6 || m.Segments[0].Low != 1 || len(m.Trash) > 0 {
			t.Fatalf("after %d messages: %+v", 2*(i+1), m)
		}
	}
	if keys, err := h.box.Notes().Keys(ctx, notes); err != nil || len(keys) > 1+6*7 {
		t.Errorf("%d notes are left, %v", len(keys), err)
	}
	if n := h.check(x, "s59", Subject); n != 120 {
		t.Errorf("the index knows %d of 120 messages", n)
	}
}
