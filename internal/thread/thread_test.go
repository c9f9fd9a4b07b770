package thread

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// parse reads "id subject ref ref", one message a line, dates rising unless
// "@n" says another; "Re:" makes a reply.
func parse(text string) (out []Message) {
	hash := func(s string) (h uint64) {
		for _, c := range []byte(s) {
			h = h*131 + uint64(c)
		}
		return h
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		m := Message{Number: uint32(i + 1), Date: int64(i)}
		for k, w := range strings.Fields(line) {
			switch {
			case w[0] == '@':
				fmt.Sscan(w[1:], &m.Date)
			case k == 0 && w != "-":
				m.ID = hash(w)
			case k == 1 && w != "-":
				subject, reply := strings.CutPrefix(w, "Re:")
				m.Subject, m.Reply = []byte(subject), reply
			case k > 1:
				m.Refs = append(m.Refs, hash(w))
			}
		}
		out = append(out, m)
	}
	return out
}

func (f *Forest) text() string {
	var b []byte
	for i := range f.Len() {
		b = f.Append(b, i)
	}
	return string(b)
}

func TestThreads(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, in, refs, references, subject string }{
		{"alone", "a x", "(1)", "(1)", "(1)"},
		{"reply", "a x\nb Re:x a", "(1 2)", "(1 2)", "(1 2)"},
		{"chain", "a x\nb Re:x a\nc Re:x a b", "(1 2 3)", "(1 2 3)", "(1 (2)(3))"},
		{"fork", "a x\nb Re:x a\nc Re:x a", "(1 (2)(3))", "(1 (2)(3))", "(1 (2)(3))"},
		{"fork below", "a x\nb Re:x a\nc Re:x a b\nd Re:x a b\ne Re:x a b d", "(1 2 (3)(4 5))", "(1 2 (3)(4 5))", "(1 (2)(3)(4)(5))"},
		{"reply before", "b Re:x a @5\na x @1", "(2 1)", "(2 1)", "(2 1)"},
		{"missing parent", "b Re:x a\nc Re:x a", "((1)(2))", "((1)(2))", "(1 2)"},
		{"missing only parent", "b Re:x a", "(1)", "(1)", "(1)"},
		{"missing between", "a x\nc Re:x a b", "(1 2)", "(1 2)", "(1 2)"},
		{"subjects join", "a x\nb Re:x\nc y", "(1)(2)(3)", "(1 2)(3)", "(1 2)(3)"},
		{"two originals", "a x\nb x", "(1)(2)", "((1)(2))", "(1 2)"},
		{"three originals", "a x\nb x\nc Re:x", "(1)(2)(3)", "((1)(2)(3))", "(1 (2)(3))"},
		{"reply first", "a Re:x\nb x", "(1)(2)", "(2 1)", "(1 2)"},
		{"no subject", "a -\nb -", "(1)(2)", "(1)(2)", "(1 2)"},
		{"itself", "a x a", "(1)", "(1)", "(1)"},
		{"each other", "a x b\nb x a", "(2 1)", "(2 1)", "(1 2)"},
		{"three in a ring", "a x c\nb x a\nc x b", "(3 1 2)", "(3 1 2)", "(1 (2)(3))"},
		{"twice the same id", "a x\na y\nb Re:x a", "(2)(1 3)", "(1 3)(2)", "(1 3)(2)"},
		{"no id", "- x\n- y", "(1)(2)", "(1)(2)", "(1)(2)"},
		{"wrong parent mended", "a x\nb y\nd Re:x a c\nc Re:y b", "(1)(2 4 3)", "(1)(2 4 3)", "(1 3)(2 4)"},
		{"latest thread last", "a x\nb y\nc Re:x a", "(2)(1 3)", "(1 3)(2)", "(1 3)(2)"},
		{"missing joins missing", "b Re:x a\nc Re:x a\nd Re:x z\ne Re:x z", "((1)(2))((3)(4))", "((1)(2)(3)(4))", "(1 (2)(3)(4))"},
	} {
		m := parse(c.in)
		for name, got := range map[string][2]string{
			"REFS": {Refs(m).text(), c.refs}, "REFERENCES": {References(m).text(), c.references}, "ORDEREDSUBJECT": {Ordered(m).text(), c.subject},
		} {
			if got[0] != got[1] {
				t.Errorf("%s: %s gives %s, want %s", c.name, name, got[0], got[1])
			}
		}
	}
}

// Whatever messages refer to, each is in the outcome exactly once.
func TestEveryMessageOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		m := make([]Message, 1+r.IntN(40))
		for i := range m {
			m[i] = Message{Number: uint32(i + 1), ID: r.Uint64N(30), Date: r.Int64N(5), Reply: r.IntN(2) == 0}
			m[i].Subject = []byte("abcd")[:r.IntN(3)]
			for range r.IntN(5) {
				m[i].Refs = append(m[i].Refs, 1+r.Uint64N(29))
			}
		}
		for name, f := range map[string]*Forest{"REFS": Refs(m), "REFERENCES": References(m), "ORDEREDSUBJECT": Ordered(m)} {
			text := f.text()
			var numbers []int
			for _, w := range strings.FieldsFunc(text, func(c rune) bool { return c == '(' || c == ')' || c == ' ' }) {
				var n int
				fmt.Sscan(w, &n)
				numbers = append(numbers, n)
			}
			slices.Sort(numbers)
			for i, n := range numbers {
				if n != i+1 || len(numbers) != len(m) {
					t.Fatalf("seed %d, %s: %d messages give %s", seed, name, len(m), text)
				}
			}
			if strings.Contains(text, "()") || strings.Contains(text, "( ") || strings.Contains(text, "  ") {
				t.Fatalf("seed %d, %s: %s", seed, name, text)
			}
		}
	}
}

// Chains of any length and order end; a test of quadratic cost would not come
// back.
func TestHostileReferences(t *testing.T) {
	t.Parallel()
	const n = 100000
	orders := map[string]func(i int) int{
		"rising":   func(i int) int { return i },
		"falling":  func(i int) int { return n - 1 - i },
		"mixed":    func(i int) int { return i * 7919 % n },
		"in parts": func(i int) int { return i%1000*100 + i/1000 },
	}
	for name, order := range orders {
		m := make([]Message, n)
		for i := range m {
			k := uint64(order(i))
			m[i] = Message{Number: uint32(i + 1), ID: k + 1, Date: int64(k)}
			if k > 0 {
				m[i].Refs = []uint64{k}
			} else {
				m[i].Refs = []uint64{n} // a ring
			}
		}
		if got := Refs(m).Len(); got < 1 || got > n/2 {
			t.Errorf("%s: %d threads", name, got)
		}
		if got := References(m).Len(); got < 1 {
			t.Errorf("%s: %d threads", name, got)
		}
	}
}

func BenchmarkReferences(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	m := make([]Message, 100000)
	for i := range m {
		m[i] = Message{Number: uint32(i + 1), ID: uint64(i + 1), Date: int64(i), Subject: fmt.Appendf(nil, "subject %d", r.IntN(30000))}
		if i > 0 && r.IntN(3) > 0 {
			m[i].Refs = []uint64{uint64(1 + r.IntN(i)), uint64(i)}
		}
	}
	for b.Loop() {
		References(m)
	}
}
