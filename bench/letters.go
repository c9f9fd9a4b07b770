package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"time"
)

// letters makes mail as people get it: plain text in several charsets, HTML with
// its alternative, attachments, threads. The n-th is the same in every run.
type letters struct {
	words  []string
	people []string
}

// What a search looks for: a name that one letter in forty is from, and a word
// that one in five thousand has in its text.
const (
	rareName  = "Quirke"
	rareWord  = "xylophone"
	rareEvery = 5000
)

func newLetters() *letters {
	const (
		heads = "b c d f g h j l m n p r s t v w br ch cl cr dr fl gr pl pr sh sl sp st str th tr"
		cores = "a e i o u ai ea ee ou oo"
		tails = "n r s t l d m ck nd ng nt st rs ll ss y e"
	)
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(s string) string { f := strings.Fields(s); return f[r.IntN(len(f))] }
	l := &letters{}
	for range 6000 {
		w := ""
		for range 1 + r.IntN(3) {
			w += pick(heads) + pick(cores)
		}
		l.words = append(l.words, w+pick(tails))
	}
	first := strings.Fields("Ada Alan Barbara Claude Donald Edith Frances Grace Hedy Ivan Joan Ken Leslie Margaret Niklaus Ole Peter Radia Sophie Tim")
	last := strings.Fields("Adler Berg Costa Dupont Evans Fischer Garcia Hansen Ito Jensen Kowalski Larsen Moreau Novak Okafor Petrov " + rareName +
		" Rossi Sato Tanaka Ueda Varga Weber Xu Yilmaz Zhang Brown Clark Diaz Egede Ferrari Greco Haas Iversen Jung Klein Lopez Meyer Nagy Olsen")
	for i := range 800 {
		l.people = append(l.people, first[i/len(last)]+" "+last[i%len(last)])
	}
	return l
}

// text is some words, common ones more often, as lines of a letter.
func (l *letters) text(r *rand.Rand, words int) string {
	var b strings.Builder
	for width := 0; words > 0; words-- {
		f := r.Float64()
		w := l.words[int(f*f*f*float64(len(l.words)))]
		if width += len(w) + 1; width > 70 {
			b.WriteString("\r\n")
			width = len(w)
		} else if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w)
	}
	return b.String()
}

func (l *letters) person(r *rand.Rand) string {
	name := l.people[r.IntN(len(l.people))]
	return fmt.Sprintf("%s <%s@sender.test>", name, strings.ToLower(strings.ReplaceAll(name, " ", ".")))
}

// short is a note of some 700 octets, for very many.
func (l *letters) short(n int) []byte { return l.make(n, true) }

// letter is the n-th letter, with CRLF line ends.
func (l *letters) letter(n int) []byte { return l.make(n, false) }

// ready gives the first letters, made beforehand: making one takes as long as
// keeping it.
func (l *letters) ready(many int) func(n int) []byte {
	made := make([][]byte, many)
	for n := range made {
		made[n] = l.letter(n)
	}
	return func(n int) []byte { return made[n] }
}

// What is sent by SMTP: longer mail has a picture, since that is what makes mail
// long, and no more than so much is made beforehand, then it comes again.
const (
	pictured = 64 << 10
	madeMost = 32 << 20
)

// posted gives n letters of a size as SMTP sends them, with their final dot, made
// beforehand. They differ, and can be compressed no better than mail can: one side
// compresses it.
func (l *letters) posted(octets, n int) func(n int) []byte {
	made := make([][]byte, max(1, min(n, madeMost/octets)))
	for n := range made {
		made[n] = append(l.sized(n, octets), ".\r\n"...)
	}
	return func(n int) []byte { return made[n%len(made)] }
}

// sized is a letter of so many octets, a few more or less.
func (l *letters) sized(n, octets int) []byte {
	r := rand.New(rand.NewPCG(5, uint64(n)))
	b := bytes.NewBuffer(make([]byte, 0, octets+1<<10))
	l.header(b, r, n, true)
	if octets >= pictured {
		fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=\"=_mix_%d\"\r\n\r\n--=_mix_%d\r\n", n, n)
		l.plain(b, r, n, 60)
		const line, encoded = 57, 78
		file(b, n, "picture.jpg", picture(r, (octets-b.Len()-250)/encoded*line))
		return b.Bytes()
	}
	b.WriteString("Content-Type: text/plain; charset=us-ascii\r\n\r\n")
	const shortest = 4 // octets of a word and what parts it from the next
	if more := octets - b.Len() - len("\r\n"); more > 0 {
		b.WriteString(strings.TrimRight(l.text(r, more/shortest+1)[:more], "\r\n"))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

func (l *letters) make(n int, short bool) []byte {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	b := bytes.NewBuffer(make([]byte, 0, 8<<10))
	l.header(b, r, n, short)
	switch kind := r.IntN(100); {
	case short:
		l.plain(b, r, n, 30)
	case kind < 70:
		l.plain(b, r, n, 80+r.IntN(500))
	case kind < 95:
		l.alternative(b, r, n)
	default:
		l.attachment(b, r, n)
	}
	return b.Bytes()
}

func (l *letters) header(b *bytes.Buffer, r *rand.Rand, n int, short bool) {
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * 97 * time.Second)
	date := at.Format("Mon, 2 Jan 2006 15:04:05 -0700")
	for i := 0; !short && i < 2+r.IntN(2); i++ {
		fmt.Fprintf(b, "Received: from mx%d.sender.test (mx%d.sender.test [192.0.2.%d])\r\n\tby relay%d.sender.test with ESMTPS id %016x;\r\n\t%s\r\n",
			r.IntN(9), r.IntN(9), r.IntN(250), i, r.Uint64(), date)
	}
	if !short {
		fmt.Fprintf(b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=sender.test; s=mail;\r\n\th=From:To:Subject:Date:Message-ID;\r\n\tb=%s\r\n",
			base64.StdEncoding.EncodeToString(picture(r, 256)))
	}
	fmt.Fprintf(b, "From: %s\r\nTo: %s", l.person(r), l.person(r))
	for range r.IntN(3) {
		fmt.Fprintf(b, ",\r\n\t%s", l.person(r))
	}
	subject := strings.ReplaceAll(l.text(r, 3+r.IntN(6)), "\r\n", " ")
	if r.IntN(7) == 0 {
		subject = "=?utf-8?B?" + base64.StdEncoding.EncodeToString([]byte("Grüße: "+subject[:min(len(subject), 30)])) + "?="
	}
	fmt.Fprintf(b, "\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%d.letter@sender.test>\r\n", subject, date, n)
	if n > 20 && r.IntN(5) < 2 {
		fmt.Fprintf(b, "In-Reply-To: <%[1]d.letter@sender.test>\r\nReferences: <%[1]d.letter@sender.test>\r\n", n-1-r.IntN(20))
	}
	b.WriteString("MIME-Version: 1.0\r\n")
}

// rareWords is how many of the first letters have the rare word.
func rareWords(many int) int { return (many + rareEvery/2 - 1) / rareEvery }

// isRare says whether a letter is from the rare name.
func isRare(letter []byte) bool {
	_, from, _ := bytes.Cut(letter, []byte("\r\nFrom: "))
	from, _, _ = bytes.Cut(from, []byte("\r\n"))
	return bytes.Contains(from, []byte(rareName))
}

// prose is text with the rare word in some letters.
func (l *letters) prose(r *rand.Rand, n, words int) string {
	text := l.text(r, words)
	if n%rareEvery == rareEvery/2 {
		text += "\r\nIt came with a " + rareWord + " that nobody can play.\r\n"
	}
	return text + "\r\n"
}

func (l *letters) plain(b *bytes.Buffer, r *rand.Rand, n, words int) {
	text := l.prose(r, n, words)
	switch r.IntN(5) {
	case 0:
		b.WriteString("Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		wrapped(b, []byte("\xf0\xd2\xc9\xd7\xc5\xd4!\r\n"+text))
	case 1:
		b.WriteString("Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		quoted(b, "Gr\xfc\xdfe aus K\xf6ln\r\n"+text)
	case 2:
		b.WriteString("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nNaïve façade, 日本語\r\n" + text)
	default:
		b.WriteString("Content-Type: text/plain; charset=us-ascii\r\n\r\n" + text)
	}
}

// alternative is a text and the same as HTML, which is several times as long.
func (l *letters) alternative(b *bytes.Buffer, r *rand.Rand, n int) {
	text := l.prose(r, n, 60+r.IntN(300))
	fmt.Fprintf(b, "Content-Type: multipart/alternative; boundary=\"=_alt_%d\"\r\n\r\n", n)
	fmt.Fprintf(b, "--=_alt_%d\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", n)
	quoted(b, text)
	fmt.Fprintf(b, "\r\n--=_alt_%d\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", n)
	var page strings.Builder
	page.WriteString("<html><head><style>p{margin:0 0 1em 0;font-family:Helvetica,Arial,sans-serif}</style></head><body>\r\n")
	for line := range strings.SplitSeq(text, "\r\n") {
		page.WriteString("<p style=\"color:#333333;font-size:14px\"><span class=\"line\">" + line + "</span></p>\r\n")
	}
	page.WriteString("</body></html>\r\n")
	quoted(b, page.String())
	fmt.Fprintf(b, "\r\n--=_alt_%d--\r\n", n)
}

// attachment is a text with a file: half of them do not compress, as pictures.
func (l *letters) attachment(b *bytes.Buffer, r *rand.Rand, n int) {
	fmt.Fprintf(b, "Content-Type: multipart/mixed; boundary=\"=_mix_%d\"\r\n\r\n--=_mix_%d\r\n", n, n)
	l.plain(b, r, n, 50+r.IntN(100))
	name, data := "table.csv", []byte(nil)
	if size := 8<<10 + r.IntN(32<<10); r.IntN(2) == 0 {
		name, data = "picture.jpg", picture(r, size)
	} else {
		for len(data) < size {
			data = fmt.Appendf(data, "%d;%d.%02d;%s;EUR\r\n", len(data), r.IntN(10000), r.IntN(100), l.words[r.IntN(300)])
		}
	}
	file(b, n, name, data)
}

// picture is octets that do not compress.
func picture(r *rand.Rand, size int) []byte {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// file is the last part of the n-th letter.
func file(b *bytes.Buffer, n int, name string, data []byte) {
	fmt.Fprintf(b, "\r\n--=_mix_%d\r\nContent-Type: application/octet-stream; name=\"%s\"\r\nContent-Disposition: attachment; filename=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", n, name, name)
	wrapped(b, data)
	fmt.Fprintf(b, "\r\n--=_mix_%d--\r\n", n)
}

func wrapped(b *bytes.Buffer, data []byte) {
	for line := 57; len(data) > 0; data = data[line:] {
		line = min(line, len(data))
		b.WriteString(base64.StdEncoding.EncodeToString(data[:line]))
		b.WriteString("\r\n")
	}
}

func quoted(b *bytes.Buffer, text string) {
	w := quotedprintable.NewWriter(b)
	w.Write([]byte(text))
	w.Close()
}
