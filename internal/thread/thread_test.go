package thread

import (
	"errors"
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

// ways are the ways of threading.
var ways = map[string]func([]Message, func() error) (*Forest, error){"REFS": Refs, "REFERENCES": References, "ORDEREDSUBJECT": Ordered}

func onward() error { return nil }

// threads are messages threaded in all ways.
func threads(t testing.TB, m []Message) map[string]*Forest {
	t.Helper()
	out := map[string]*Forest{}
	for name, way := range ways {
		f, err := way(m, onward)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = f
	}
	return out
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
		want := map[string]string{"REFS": c.refs, "REFERENCES": c.references, "ORDEREDSUBJECT": c.subject}
		for name, f := range threads(t, parse(c.in)) {
			if got := f.text(); got != want[name] {
				t.Errorf("%s: %s gives %s, want %s", c.name, name, got, want[name])
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
		for name, f := range threads(t, m) {
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
		made := threads(t, m)
		if got := made["REFS"].Len(); got < 1 || got > n/2 {
			t.Errorf("%s: %d threads", name, got)
		}
		if got := made["REFERENCES"].Len(); got < 1 {
			t.Errorf("%s: %d threads", name, got)
		}
	}
}

// Work on many messages is made in steps, however they hang together, and ends at the
// step that says so.
func TestSteps(t *testing.T) {
	t.Parallel()
	const n = 6000
	lists := map[string][]Message{"mixed": mixed(n), "one thread": mixed(n), "one missing": mixed(n), "one subject": mixed(n), "a chain": mixed(n), "in circles": mixed(n)}
	for i := range n {
		lists["one thread"][i].Refs = []uint64{1}
		lists["one missing"][i].Refs = []uint64{n + 1}
		lists["one subject"][i].Refs, lists["one subject"][i].Subject = nil, []byte("s")
		lists["a chain"][i].Refs = []uint64{uint64(i)}
		lists["in circles"][i].Refs = []uint64{uint64(i * 7 % n), uint64(i * 13 % n), uint64(i * 31 % n)}
	}
	ended := errors.New("ended")
	for list, m := range lists {
		for name, run := range map[string]func(*Forest){"REFS": (*Forest).byNewest, "REFERENCES": (*Forest).byReferences, "ORDEREDSUBJECT": (*Forest).bySubject} {
			all := newForest(m, onward)
			run(all)
			if all.worked < 2*n {
				t.Errorf("%s, %s: %d pieces of work for %d messages", list, name, all.worked, n)
			}
			last := all.worked / stride
			for at := 1; at <= last; at += 1 + last/40 {
				steps := 0
				f := newForest(m, func() error {
					if steps++; steps == at {
						return ended
					}
					return nil
				})
				run(f)
				if _, err := f.end(); err != ended || steps != at || f.worked > at*stride+50 {
					t.Errorf("%s, %s: ended at step %d of %d, %d pieces of work follow: %v", list, name, at, last, f.worked-at*stride, err)
				}
			}
		}
	}
}

// mixed gives messages of which some answer others.
func mixed(n int) []Message {
	r := rand.New(rand.NewPCG(1, 2))
	m := make([]Message, n)
	for i := range m {
		m[i] = Message{Number: uint32(i + 1), ID: uint64(i + 1), Date: int64(i), Subject: fmt.Appendf(nil, "subject %d", r.IntN(30000))}
		if i > 0 && r.IntN(3) > 0 {
			m[i].Refs = []uint64{uint64(1 + r.IntN(i)), uint64(i)}
		}
	}
	return m
}

func BenchmarkReferences(b *testing.B) {
	m := mixed(100000)
	for b.Loop() {
		if _, err := References(m, onward); err != nil {
			b.Fatal(err)
		}
	}
}
