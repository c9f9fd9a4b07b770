package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"plic/internal/message"
)

// TestLettersSame: figures of one run can be compared with those of another, as
// long as the mail is the same. Who changes the letters measures anew what
// docs/performance.md says, and writes their new sums here.
func TestLettersSame(t *testing.T) {
	t.Parallel()
	ours, theirs := newLetters(), newLetters()
	sums := map[string]string{}
	for name, of := range map[string]func(l *letters) func(int) []byte{
		"letters": func(l *letters) func(int) []byte { return l.letter },
		"short":   func(l *letters) func(int) []byte { return l.short },
		"posted":  func(l *letters) func(int) []byte { return l.posted(20<<10, 300) },
	} {
		sum := sha256.New()
		a, b := of(ours), of(theirs)
		for n := range 300 {
			if !bytes.Equal(a(n), b(n)) {
				t.Fatalf("%s %d differs from side to side", name, n)
			}
			sum.Write(a(n))
		}
		sums[name] = hex.EncodeToString(sum.Sum(nil))[:16]
	}
	for name, want := range map[string]string{"letters": "f096a56d9197fa61", "short": "61dd2e329d29d260", "posted": "8171dadce0828133"} {
		if sums[name] != want {
			t.Errorf("%s have the sum %s, not %s", name, sums[name], want)
		}
	}
	if a, b := ours.ready(10), ours.letter; !bytes.Equal(a(7), b(7)) {
		t.Error("what is made beforehand is another letter")
	}
	if bytes.Equal(ours.letter(1), ours.letter(2)) {
		t.Error("two letters are the same")
	}
}

// TestLettersKinds: they are of the sizes and kinds that docs/performance.md tells of.
func TestLettersKinds(t *testing.T) {
	t.Parallel()
	l := newLetters()
	const many = 3000
	kinds, charsets := map[string]int{}, map[string]int{}
	octets, short, threads := 0, 0, 0
	charset := regexp.MustCompile(`charset=([a-z0-9-]+)`)
	for n := range many {
		text := l.letter(n)
		octets += len(text)
		short += len(l.short(n))
		wellFormed(t, text)
		if bytes.Contains(text, []byte("\r\nIn-Reply-To: ")) {
			threads++
		}
		for _, m := range charset.FindAllSubmatch(text, 1) {
			charsets[string(m[1])]++
		}
		switch {
		case bytes.Contains(text, []byte("multipart/alternative")):
			kinds["html"]++
		case bytes.Contains(text, []byte("name=\"picture.jpg\"")):
			kinds["picture"]++
		case bytes.Contains(text, []byte("name=\"table.csv\"")):
			kinds["table"]++
		default:
			kinds["text"]++
		}
	}
	about(t, "octets of a letter", octets/many, 6656, 0.05) // 6.5 KiB
	about(t, "octets of a short one", short/many, 700, 0.05)
	about(t, "answers", threads, many*2/5, 0.1)
	about(t, "texts", kinds["text"], many*70/100, 0.05)
	about(t, "with HTML", kinds["html"], many*25/100, 0.1)
	about(t, "with a picture", kinds["picture"], many*25/1000, 0.3)
	about(t, "with a table", kinds["table"], many*25/1000, 0.3)
	for _, name := range []string{"koi8-r", "iso-8859-1", "utf-8", "us-ascii"} {
		if charsets[name] < many/10 {
			t.Errorf("%d letters of %d are in %s", charsets[name], many, name)
		}
	}
}

// wellFormed: what servers differ in with malformed mail is not measured.
func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	if !bytes.HasSuffix(text, []byte("\r\n")) {
		t.Fatalf("a letter ends with %q", text[len(text)-10:])
	}
	for line := range bytes.SplitSeq(text, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") || bytes.HasPrefix(line, []byte(".")) || bytes.HasPrefix(line, []byte("From ")) {
			t.Fatalf("a letter has the line %.1200q", line)
		}
	}
	m, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"} {
		if m.Root.Get(field) == "" {
			t.Fatalf("a letter has no %s", field)
		}
	}
}

// about: a number is as wanted, give or take a share of it.
func about(t *testing.T, what string, got, want int, share float64) {
	t.Helper()
	if math.Abs(float64(got-want)) > share*float64(want) {
		t.Errorf("%s: %d, not about %d", what, got, want)
	}
}

// TestLettersRare: searches find as many letters as is said, and no others.
func TestLettersRare(t *testing.T) {
	t.Parallel()
	l := newLetters()
	if slices.Contains(l.words, rareWord) {
		t.Error("the rare word is one of all words")
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(l.people)))); n != 800 {
		t.Errorf("there are %d people, not 800", n)
	}
	const many = 8000
	named := 0
	for n := range many {
		text := "\r\n" + string(l.short(n))
		from := strings.Split(text, "\r\n")[1]
		if isRare([]byte(text)) != strings.Contains(from, rareName) {
			t.Fatalf("isRare is wrong of %q", from)
		}
		if isRare([]byte(text)) {
			named++
		}
	}
	about(t, "letters of the rare name", named, many/40, 0.15)
	for n := range 2 * rareEvery {
		if n%rareEvery < rareEvery/2-20 || n%rareEvery > rareEvery/2+20 { // the others are of other tests
			continue
		}
		text := readable(t, l.letter(n))
		if got := strings.Contains(text, rareWord); got != (n%rareEvery == rareEvery/2) {
			t.Errorf("letter %d has the rare word: %t", n, got)
		}
	}
	for many, want := range map[int]int{0: 0, 2500: 0, 2501: 1, 7500: 1, 7501: 2, 100_000: 20} {
		if got := rareWords(many); got != want {
			t.Errorf("of %d letters %d have the rare word, not %d", many, got, want)
		}
	}
}

// readable is what the texts of a letter say.
func readable(t *testing.T, letter []byte) string {
	t.Helper()
	m, err := message.Parse(bytes.NewReader(letter), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	m.Walk(func(p *message.Part) bool {
		if p.Type == "text" {
			body := bytes.NewReader(letter[p.Body:p.End])
			if _, err := all.ReadFrom(message.DecodeBody(body, p.Encoding)); err != nil {
				t.Fatal(err)
			}
		}
		return true
	})
	return all.String()
}

// TestPosted: what is sent by SMTP is of the size that its row names, no letter is
// like the one before, and none compresses better than mail does.
func TestPosted(t *testing.T) {
	t.Parallel()
	l := newLetters()
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		t.Fatal(err)
	}
	for _, octets := range []int{2 << 10, 20 << 10, 1 << 20} {
		letter := l.posted(octets, 40)
		for n := range 3 {
			text, ok := bytes.CutSuffix(letter(n), []byte("\r\n.\r\n"))
			if !ok {
				t.Fatalf("the letter ends with %q", letter(n)[len(letter(n))-10:])
			}
			text = append(bytes.Clone(text), "\r\n"...)
			wellFormed(t, text)
			about(t, "octets", len(text), octets, 0.01)
			if packed := len(z.EncodeAll(text, nil)); packed < len(text)*4/10 {
				t.Errorf("%d octets are compressed to %d", len(text), packed)
			}
		}
		if bytes.Equal(letter(0), letter(1)) {
			t.Error("two letters are the same")
		}
	}
	most := madeMost / (1 << 20)
	if a := l.posted(1<<20, most+5); !bytes.Equal(a(0), a(most)) {
		t.Error("more is held in memory than is allowed")
	}
}
