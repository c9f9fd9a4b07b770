package imap

import (
	"bytes"
	"errors"
	"strconv"
)

// wire reads, value by value, what AppendEnvelope and AppendStructure wrote.
type wire struct {
	text  []byte
	at    int
	depth int // of bodies
	bad   bool
}

// maxDepth is ten times as deep as message.Limits lets messages nest.
const maxDepth = 1000

func (w *wire) peek() byte {
	if w.at < len(w.text) {
		return w.text[w.at]
	}
	return 0
}

func (w *wire) need(c byte) {
	if w.peek() != c {
		w.bad = true
	}
	w.at++
}

// value gives the next value: a string, NIL, a number, or a list.
func (w *wire) value() []byte {
	start, depth := w.at, 0
	for !w.bad {
		switch w.peek() {
		case '(':
			depth++
			w.at++
		case ')':
			depth--
			w.at++
		case ' ':
			w.bad = depth == 0
			w.at++
		case '"':
			w.quoted()
		case '{':
			w.literal()
		default:
			w.atom()
		}
		if depth <= 0 {
			w.bad = w.bad || depth < 0
			break
		}
	}
	if w.bad {
		return nil
	}
	return w.text[start:w.at]
}

func (w *wire) atom() {
	n := bytes.IndexAny(w.text[min(w.at, len(w.text)):], ` ()"{`)
	w.bad = n <= 0
	w.at += n
}

func (w *wire) quoted() {
	for i := w.at + 1; i < len(w.text); i++ {
		switch w.text[i] {
		case '\\':
			i++
		case '"':
			w.at = i + 1
			return
		}
	}
	w.bad = true
}

func (w *wire) literal() {
	digits, _, ok := bytes.Cut(w.text[w.at+1:], []byte("}\r\n"))
	n, err := strconv.Atoi(string(digits))
	if w.at += len("{}\r\n") + len(digits); !ok || err != nil || n < 0 || n > len(w.text)-w.at {
		w.bad = true
		return
	}
	w.at += n
}

// SameSenders finds From in an ENVELOPE in which Sender and Reply-To are the same, as
// in most: where it begins and how long it is. What follows it are two spaces with the
// same after each. Without such n is 0.
func SameSenders(envelope []byte) (at, n int) {
	w := wire{text: envelope}
	w.need('(')
	w.value()
	w.need(' ')
	w.value()
	w.need(' ')
	at = w.at
	from := w.value()
	for range 2 {
		w.need(' ')
		if same := w.value(); w.bad || !bytes.Equal(from, same) {
			return 0, 0
		}
	}
	return at, len(from)
}

var errStructure = errors.New("no BODYSTRUCTURE")

// AppendBody writes BODY out of a BODYSTRUCTURE: the same but for the extension data,
// RFC 9051 section 7.5.2.
func AppendBody(dst, structure []byte) ([]byte, error) {
	w := wire{text: structure}
	b := w.body(dst)
	if w.bad || w.at != len(structure) {
		return dst, errStructure
	}
	return b, nil
}

func (w *wire) body(dst []byte) []byte {
	w.need('(')
	dst = append(dst, '(')
	w.depth++
	w.bad = w.bad || w.depth > maxDepth
	if w.peek() == '(' {
		for w.peek() == '(' && !w.bad {
			dst = w.body(dst)
		}
		dst, _ = w.copy(dst) // the subtype
	} else {
		dst = w.single(dst)
	}
	for !w.bad && w.peek() == ' ' {
		w.at++
		w.value()
	}
	w.need(')')
	w.depth--
	return append(dst, ')')
}

// single copies what a part has that is no multipart, without extension data.
func (w *wire) single(dst []byte) []byte {
	kind := w.value()
	dst = append(dst, kind...)
	dst, subtype := w.copy(dst)
	for range 5 { // parameters, id, description, encoding, octets
		dst, _ = w.copy(dst)
	}
	switch {
	case string(kind) == `"message"` && (string(subtype) == `"rfc822"` || string(subtype) == `"global"`):
		dst, _ = w.copy(dst) // the envelope
		w.need(' ')
		dst = w.body(append(dst, ' '))
		dst, _ = w.copy(dst) // lines
	case string(kind) == `"text"`:
		dst, _ = w.copy(dst) // lines
	}
	return dst
}

// copy copies a space and a value.
func (w *wire) copy(dst []byte) (out, value []byte) {
	w.need(' ')
	value = w.value()
	return append(append(dst, ' '), value...), value
}
