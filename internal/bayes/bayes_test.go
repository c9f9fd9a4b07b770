package bayes

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"plic/internal/content"
	"plic/internal/message"
)

func features(t testing.TB, text string) []Feature {
	t.Helper()
	m, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return Features(7, m.Root.Header, content.Read(m, strings.NewReader(text)), true)
}

func texts(all []Feature) (out []string) {
	for _, f := range all {
		out = append(out, f.Text)
	}
	return out
}

// TestFeatures takes words as each script has them.
func TestFeatures(t *testing.T) {
	for text, want := range map[string]string{
		"buy cheap pills now": "buy|cheap|pills|now|buy cheap|cheap pills|buy * pills",
		"Grüße ÄRGER":         "grüße|ärger|grüße ärger",
		"don't $100 50% a":    "don't|$100|don't $100",
		"東京大学 ok":             "東京|京大|大学|ok|東京 京大",
		"สวัสดี":              "สว",
		"привет МИР":          "привет|мир|привет мир",
		"v\u200biagra":        "viagra",
		"12345 1.2":           "number 99999",
		"free 💰 money":        "💰|free 💰",
	} {
		got := texts(features(t, "Content-Type: text/plain; charset=utf-8\r\n\r\n"+text+"\r\n"))
		for w := range strings.SplitSeq(want, "|") {
			if !slices.Contains(got, w) {
				t.Errorf("%q has no %q: %q", text, w, got)
			}
		}
	}
	got := texts(features(t, "From: Ann <Ann@Shop.example>\r\nSubject: Big =?utf-8?Q?S=C3=A4le?=\r\nX-Mailer: Foo 1\r\nX-Spam-Flag: YES\r\nX-Odd: 1\r\n"+
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee http://www.evil.example/x\r\n--b\r\nContent-Type: image/png; name=a.png\r\n\r\nx\r\n--b--\r\n"))
	for _, w := range []string{"from:shop.example", "from:ann@shop.example", "from:ann", "subject:big", "subject:säle", "subject:big säle", "x-mailer:foo", "has:x-odd", "link:evil.example", "file: .png", "has:pictures"} {
		if !slices.Contains(got, w) {
			t.Errorf("no %q in %q", w, got)
		}
	}
	if slices.Contains(got, "has:x-spam-flag") {
		t.Error("what another filter has said is believed")
	}
}

// TestManyWords is K9: a million words make no more features than a message may
// have, and push nothing out of a model that was seen more than once.
func TestManyWords(t *testing.T) {
	var flood strings.Builder
	for i := range 1000000 {
		fmt.Fprintf(&flood, "w%x ", i*7919)
	}
	all := features(t, "\r\n"+flood.String())
	if len(all) > maxFeatures {
		t.Fatalf("K9: %d features", len(all))
	}
	m := New(7, 64<<10)
	known := features(t, "\r\nthe minutes of our meeting about the bridge")
	for range 5 {
		m.Learn(known, Ham)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		bad := make([]Feature, maxFeatures)
		for i := range bad {
			bad[i].Hash = r.Uint64()
		}
		m.Learn(bad, Spam)
	}
	lost := 0
	for _, f := range known {
		if at, _, ok := m.find(f.Hash); !ok || m.slots[at].count(Ham) < 5 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("K9: %d of %d known words are lost", lost, len(known))
	}
	if p, _ := m.Classify(known); p > 0.1 {
		t.Errorf("K9: what is wanted has a chance of %v", p)
	}
}

// letters makes mail of two kinds with words in common.
func letters(r *rand.Rand, n int, c Class) (all []string) {
	kinds := [2]string{"meeting report project review budget schedule team office draft minutes", "pills cheap casino winner prize offer click free credit loan"}
	own, both := strings.Fields(kinds[c]), strings.Fields("the a we you and of to for with this that today please here new more")
	for range n {
		var b strings.Builder
		b.WriteString("Subject: hello\r\n\r\n")
		for range 30 {
			words := both
			if r.IntN(4) == 0 {
				words = own
			}
			b.WriteString(words[r.IntN(len(words))] + " ")
		}
		all = append(all, b.String())
	}
	return all
}

func trained(t testing.TB, r *rand.Rand) *Model {
	m := New(7, 1<<20)
	for _, c := range []Class{Ham, Spam} {
		for _, text := range letters(r, 100, c) {
			m.Learn(features(t, text), c)
		}
	}
	return m
}

// TestClassify tells what it was taught, and nothing of what it was not.
func TestClassify(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := trained(t, r)
	for _, text := range letters(r, 50, Spam) {
		if p, _ := m.Classify(features(t, text)); p < 0.9 {
			t.Errorf("spam has %v: %q", p, text)
		}
	}
	for _, text := range letters(r, 50, Ham) {
		if p, _ := m.Classify(features(t, text)); p > 0.1 {
			t.Errorf("ham has %v: %q", p, text)
		}
	}
	if p, clues := m.Classify(features(t, "X-Any: 1\r\n\r\nquite unheard-of vocabulary indeed")); p != 0.5 || len(clues) != 0 {
		t.Errorf("what nobody taught has %v by %v", p, clues)
	}
	if p, _ := New(1, 0).Classify(nil); p != 0.5 {
		t.Errorf("an empty model says %v", p)
	}
}

// TestUnlearn takes back all of a lesson.
func TestUnlearn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := trained(t, r)
	before := slices.Clone(m.slots)
	f := features(t, letters(r, 1, Spam)[0])
	m.Learn(f, Spam)
	m.Unlearn(f, Spam)
	for i := range before {
		a, b := before[i], m.slots[i]
		if a.count(Ham) != b.count(Ham) || a.count(Spam) != b.count(Spam) {
			t.Fatalf("slot %d: %x, was %x", i, b, a)
		}
	}
	if ham, spam := m.Trained(); ham != 100 || spam != 100 {
		t.Errorf("%d and %d messages count", ham, spam)
	}
}

// TestSave gives back what was saved, page by page.
func TestSave(t *testing.T) {
	m := trained(t, rand.New(rand.NewPCG(1, 2)))
	head, pages := m.Save()
	back, err := Load(head, func(n int) ([]byte, error) { return pages[n], nil })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back.slots, m.slots) || back.trained != m.trained || back.seed != m.seed {
		t.Error("another model comes back")
	}
	if head, _ := m.Save(); head != nil {
		t.Error("it is saved again without a change")
	}
	m.Learn([]Feature{{Hash: 1}}, Ham)
	if head, pages := m.Save(); head == nil || len(pages) != 1 {
		t.Errorf("%d pages for one word", len(pages))
	}
	for _, bad := range [][]byte{nil, head[:5], append([]byte{9}, head[1:]...)} {
		if _, err := Load(bad, func(int) ([]byte, error) { return nil, nil }); err == nil {
			t.Errorf("a head of %d octets is read", len(bad))
		}
	}
}

// TestHalve forgets half, so that what is new can outweigh what is old.
func TestHalve(t *testing.T) {
	m := New(7, 0)
	f := []Feature{{Hash: 12345}}
	for range halveAt + 1 {
		m.Learn(f, Spam)
	}
	if _, spam := m.Trained(); spam != halveAt/2+1 {
		t.Errorf("%d messages count", spam)
	}
	if at, _, ok := m.find(12345); !ok || m.slots[at].count(Spam) != halveAt/2+1 {
		t.Errorf("a word is counted %d times", m.slots[at].count(Spam))
	}
}

func TestChi2(t *testing.T) {
	for _, x := range []struct {
		x    float64
		n    int
		want float64
	}{{0, 1, 1}, {2 * math.Ln2, 1, 0.5}, {3.357, 2, 0.5}, {3000, 100, 0}, {100, 1000, 1}} {
		if got := chi2(x.x, x.n); math.Abs(got-x.want) > 0.001 {
			t.Errorf("%v, %d: %v", x.x, x.n, got)
		}
	}
}

func FuzzFeatures(f *testing.F) {
	f.Add("Subject: x\r\n\r\nhello 東京 w\u00f6rld")
	f.Fuzz(func(t *testing.T, text string) {
		for _, x := range features(t, text) {
			if len(x.Text) > 1000 {
				t.Errorf("%q", x.Text)
			}
		}
	})
}

// BenchmarkClassify is the words of a message of 20 KiB, and what they say.
func BenchmarkClassify(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	m := New(7, 16<<20)
	for _, c := range []Class{Ham, Spam} {
		for _, text := range letters(r, 200, c) {
			m.Learn(features(b, text), c)
		}
	}
	text := "Subject: x\r\n\r\n" + strings.Join(letters(r, 140, Spam), "\r\n")[:20<<10]
	parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	c := content.Read(parsed, strings.NewReader(text))
	for b.Loop() {
		m.Classify(Features(7, parsed.Root.Header, c, false))
	}
}

// BenchmarkFlood is K9: a message of a million words.
func BenchmarkFlood(b *testing.B) {
	var flood strings.Builder
	for i := range 1000000 {
		fmt.Fprintf(&flood, "w%x ", i*7919)
	}
	text := "\r\n" + flood.String()
	m := New(7, 16<<20)
	for b.Loop() {
		parsed, err := message.Parse(strings.NewReader(text), message.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		m.Classify(Features(7, parsed.Root.Header, content.Read(parsed, strings.NewReader(text)), false))
	}
}
