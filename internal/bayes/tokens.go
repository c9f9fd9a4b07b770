package bayes

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"plic/internal/content"
	"plic/internal/message"
)

// The bounds of what is taken from one message, so that no message takes long or
// fills a model.
const (
	maxWords    = 2500 // of its text
	maxFeatures = 8000
	maxWord     = 24 // characters of a word that is kept as it is
)

// Feature is something that a message has: a word, or two that stand near each other.
type Feature struct {
	Hash uint64
	Text string // only if it was asked for
}

// Features are those of a message, each once. Texts are kept if they are to be shown.
func Features(seed uint64, header []message.Field, c *content.Content, texts bool) []Feature {
	s := scan{seed: seed, texts: texts, out: make([]Feature, 0, min(maxFeatures, 200+len(c.Text)/2))}
	s.header(header)
	s.from("", c.Text)
	s.words = 0
	if c.Hidden != "" {
		s.from("hidden:", c.Hidden[:min(len(c.Hidden), 4<<10)])
	}
	for i, l := range c.Links {
		if i == 100 {
			break
		}
		if d := l.Domain(); d != "" {
			s.add("link:", d)
		} else if l.Addr.IsValid() {
			s.add("link:", "address")
		}
	}
	for _, f := range c.Files {
		kind := string(f.Kind)
		if i := strings.LastIndexByte(f.Name, '.'); i >= 0 && len(f.Name)-i < 8 {
			kind += " " + strings.ToLower(f.Name[i:])
		}
		s.add("file:", kind)
	}
	for _, x := range []struct {
		is   bool
		word string
	}{{c.HTML && !c.Plain, "html only"}, {c.Images > 0, "pictures"}, {c.Images > 0 && len(c.Text) < 200, "pictures, little text"}, {c.Forms > 0, "form"}, {len(c.Links) > 10, "many links"}} {
		if x.is {
			s.add("has:", x.word)
		}
	}
	return unique(s.out)
}

// unique leaves each feature once, the first.
func unique(all []Feature) []Feature {
	size := 64
	for size < 2*len(all) {
		size *= 2
	}
	seen := make([]uint16, size) // place in out, plus one
	out := all[:0]
next:
	for _, f := range all {
		at := int(f.Hash & uint64(size-1))
		for ; seen[at] != 0; at = (at + 1) & (size - 1) {
			if out[seen[at]-1].Hash == f.Hash {
				continue next
			}
		}
		out = append(out, f)
		seen[at] = uint16(len(out))
	}
	return out
}

type scan struct {
	seed  uint64
	texts bool
	out   []Feature
	words int
	last  [2]string // words before
	buf   []byte
}

// header takes what a header says, but for what says how somebody has judged the
// message, or whom it is for.
func (s *scan) header(all []message.Field) {
	for i, f := range all {
		if i == 200 {
			break
		}
		name := strings.ToLower(f.Name)
		switch name {
		case "subject":
			s.from("subject:", message.DecodeHeader(f.Value))
		case "from", "reply-to":
			for _, box := range message.ParseAddressList(f.Value) {
				s.add(name+":", strings.ToLower(box.Host))
				s.add(name+":", strings.ToLower(box.Local+"@"+box.Host))
				s.from(name+":", message.DecodeHeader(box.Name))
			}
		case "x-mailer", "user-agent", "list-id", "organization", "content-type", "content-language":
			s.from(name+":", f.Text())
		case "received", "date", "message-id", "to", "cc", "mime-version", "content-transfer-encoding":
		default:
			if !judged(name) {
				s.add("has:", name)
			}
		}
		s.words = 0
	}
}

// judged says that a field is of those who filtered or stored the message before.
func judged(name string) bool {
	for _, p := range []string{"x-spam", "x-rspamd", "x-virus", "x-bogosity", "x-amavis", "x-ham", "x-dspam", "x-mozilla", "x-uid", "x-status", "status",
		"x-keywords", "arc-", "authentication-results", "dkim-", "return-path", "delivered-to", "envelope-to", "x-original-to", "lines", "content-length", "x-gm-", "x-evolution"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// add notes one feature.
func (s *scan) add(kind, word string) {
	if len(s.out) >= maxFeatures || word == "" {
		return
	}
	f := Feature{Hash: hash(s.seed, kind, word, "")}
	if s.texts {
		f.Text = kind + word
	}
	s.out = append(s.out, f)
}

// pair notes two words with what is between them.
func (s *scan) pair(kind, a, between, b string) {
	if len(s.out) >= maxFeatures || a == "" {
		return
	}
	f := Feature{Hash: hash(s.seed, kind+between, a, b)}
	if s.texts {
		f.Text = kind + a + between + b
	}
	s.out = append(s.out, f)
}

// from notes the words of a text, and each with the two before it. Scripts that put
// no space between words are taken by pairs of characters.
func (s *scan) from(kind, text string) {
	s.last = [2]string{}
	s.buf = s.buf[:0]
	var before rune // in a script without spaces
	for i := 0; i < len(text) && s.words < maxWords; {
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(text[i:])
		}
		switch {
		case r < utf8.RuneSelf && (r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '$'):
			s.buf = append(s.buf, byte(r))
		case r >= 'A' && r <= 'Z':
			s.buf = append(s.buf, byte(r)+'a'-'A')
		case r < utf8.RuneSelf && len(s.buf) > 0 && (r == '\'' || r == '-' || r == '.' || r == '%') && i+1 < len(text) && inner(text[i+1]):
			s.buf = append(s.buf, byte(r))
		case r < utf8.RuneSelf:
			s.word(kind)
			before = 0
		case unspaced(r):
			s.word(kind)
			if before != 0 {
				s.word2(kind, string([]rune{before, r}))
			}
			before = r
			i += n
			continue
		case unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r):
			s.buf = utf8.AppendRune(s.buf, unicode.ToLower(r))
		case unicode.Is(unicode.Cf, r): // what is not seen parts no words
		default:
			s.word(kind)
			if unicode.IsSymbol(r) {
				s.word2(kind, string(r))
			}
		}
		before = 0
		i += n
	}
	s.word(kind)
}

func inner(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// unspaced are letters of scripts that put no space between words.
func unspaced(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// word ends the word at hand.
func (s *scan) word(kind string) {
	if len(s.buf) == 0 {
		return
	}
	w := string(s.buf)
	s.buf = s.buf[:0]
	switch n := utf8.RuneCountInString(w); {
	case n > maxWord:
		w = "long " + w[:1] + strings.Repeat("+", min(n/maxWord, 4))
	case n < 2:
		return
	case number(w):
		w = "number " + strings.Repeat("9", min(n, 9))
	}
	s.word2(kind, w)
}

func number(w string) bool {
	for _, c := range []byte(w) {
		if (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func (s *scan) word2(kind, w string) {
	s.words++
	s.add(kind, w)
	s.pair(kind, s.last[1], " ", w)
	s.pair(kind, s.last[0], " * ", w)
	s.last[0], s.last[1] = s.last[1], w
}

// hash is FNV-1a over its parts from a secret start, with the bits mixed once more:
// nobody can choose words that share a place.
func hash(seed uint64, kind, a, b string) uint64 {
	const prime = 1099511628211
	h := seed ^ 14695981039346656037
	for _, s := range [...]string{kind, a, b} {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * prime
		}
		h = (h ^ 0xff) * prime
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
