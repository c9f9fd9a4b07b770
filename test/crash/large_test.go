package crash

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/store/engine/embedded"
)

// crowds are what mailboxes hold, in order: the token of each message and its flags.
type crowds map[string][]string

func (c crowds) clone() crowds {
	out := crowds{}
	for box, all := range c {
		out[box] = slices.Clone(all)
	}
	return out
}

// largeChange is a command on thousands of messages, and what it leaves.
type largeChange struct {
	selected, command string
	literals          [][]byte
	leaves            crowds
}

// TestCrashLargeChanges kills the server as or just after it answers to changes of
// thousands of messages: they have happened, whole, or have not if there was no answer.
func TestCrashLargeChanges(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("the short run kills nothing")
	}
	x := &trial{seed: seed(t)}
	t.Logf("PLIC_CRASH_SEED=%d plays the choices of this run again", x.seed)
	rng := x.random(0)
	x.site = newSite(t, 8, "0B", nil)
	x.site.start(t)
	held := crowds{"one": nil, "two": nil}
	c, err := imap(x.site.imap(), at(ann))
	if err != nil {
		t.Fatal(err)
	}
	for box := range held {
		if _, err := c.do("CREATE %s", box); err != nil {
			t.Fatal(err)
		}
	}
	marks := map[string]mark{}
	for round := range 9 {
		change := nextChange(rng, held, round)
		answered := commit(t, x, rng, c, change)
		c.Close()
		for range rng.IntN(3) { // once more, while it recovers
			x.site.launch(t)
			<-time.After(time.Duration(rng.IntN(100)) * time.Millisecond)
			x.site.kill()
		}
		x.site.start(t)
		if c, err = imap(x.site.imap(), at(ann)); err != nil {
			t.Fatal(err)
		}
		seen := crowds{}
		boxes := slices.Sorted(maps.Keys(held))
		for box := range change.leaves {
			boxes = append(boxes, box)
		}
		slices.Sort(boxes)
		for _, box := range slices.Compact(boxes) {
			if all, is := crowdIn(t, c, box, marks); is {
				seen[box] = all
			}
		}
		switch {
		case same(seen, change.leaves):
			held = change.leaves
		case answered || !same(seen, held):
			t.Fatalf("round %d, answered %v: %.60q left %v, of %v", round, answered, change.command, sizesOf(seen), sizesOf(held))
		}
	}
	c.Close()
	if err := x.site.term(); err != nil {
		t.Error(err)
	}
	e, err := embedded.Open(t.Context(), embedded.Options{Dir: x.site.dir + "/data"})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for problem := range e.Check(t.Context()) {
		t.Errorf("check of the store: %v", problem)
	}
}

// manyPeople make what is listed of a message so large that a commit of thousands has no
// place in the database's memory.
var manyPeople = strings.TrimSuffix(strings.Repeat("somebody@"+domain+",\r\n ", 200), ",\r\n ")

// nextChange chooses what to do with the mailboxes that are there.
func nextChange(rng *rand.Rand, held crowds, round int) largeChange {
	names := slices.SortedFunc(maps.Keys(held), func(a, b string) int { return len(held[b]) - len(held[a]) })
	from, to := names[0], names[1]
	all := len(held[from])
	c := largeChange{selected: from, leaves: held.clone()}
	what := rng.IntN(7)
	if all < 1000 {
		what = 0
	}
	if all > 5000 { // of more it is several commits
		what = 4
	}
	switch what {
	case 0:
		c.command = "APPEND " + from
		for n := range 1500 + rng.IntN(1500) {
			token := fmt.Sprintf("r%d-%d", round, n)
			c.literals = append(c.literals, fmt.Appendf(nil, "%s%s\r\nTo: %s\r\n\r\n%s\r\n", tokenField, token, manyPeople, strings.Repeat("x", n%300)))
			c.leaves[from] = append(c.leaves[from], token+" ")
		}
	case 1:
		c.command = "COPY 1:* " + to
		c.leaves[to] = append(c.leaves[to], held[from]...)
	case 2:
		c.command = "MOVE 1:* " + to
		c.leaves[to], c.leaves[from] = append(c.leaves[to], held[from]...), nil
	case 3, 4:
		flag := []string{`\Flagged`, `\Deleted`}[what-3]
		c.command = fmt.Sprintf("STORE 1:* FLAGS.SILENT (%s)", flag)
		for i, m := range held[from] {
			token, _, _ := strings.Cut(m, " ")
			c.leaves[from][i] = token + " " + flag
		}
		if what == 4 && strings.HasSuffix(held[from][0], flag) {
			c.command = "EXPUNGE"
			c.leaves[from] = slices.DeleteFunc(held.clone()[from], func(m string) bool { return strings.HasSuffix(m, flag) })
		}
	case 5:
		c.selected, c.command = inbox, fmt.Sprintf("RENAME %s new%d", from, round)
		c.leaves[fmt.Sprint("new", round)] = c.leaves[from]
		delete(c.leaves, from)
	case 6:
		c.command = fmt.Sprintf("COPY %d:* %s", all-500, to)
		c.leaves[to] = append(c.leaves[to], held[from][all-501:]...)
	}
	return c
}

// commit sends a command and kills the server, mostly when it is answered.
func commit(t *testing.T, x *trial, rng *rand.Rand, c *link, change largeChange) (answered bool) {
	t.Helper()
	if _, err := c.do("SELECT %s", change.selected); err != nil {
		t.Fatal(err)
	}
	if server := x.site.cmd.Process; rng.IntN(3) == 0 {
		kill := time.AfterFunc(time.Duration(rng.IntN(300))*time.Millisecond, func() { server.Kill() })
		defer kill.Stop()
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "large %s", change.command)
	for _, l := range change.literals {
		fmt.Fprintf(&text, " {%d+}\r\n%s", len(l), l)
	}
	text.WriteString("\r\n")
	err := c.send(text.Bytes())
	for err == nil && !answered {
		var line imapLine
		if line, err = c.imapLine(); err == nil && strings.HasPrefix(line.text, "large ") {
			if answered = true; !strings.HasPrefix(line.text, "large OK") {
				t.Fatal(&refusal{change.command, line.text})
			}
		}
	}
	x.site.kill()
	return answered
}

// crowdIn looks at a mailbox. Its UIDs and MODSEQs go on from where they were.
func crowdIn(t *testing.T, c *link, box string, marks map[string]mark) (all []string, is bool) {
	t.Helper()
	r, err := c.do("EXAMINE %s (CONDSTORE)", box)
	if no := (*refusal)(nil); errors.As(err, &no) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	m, before := mark{uint32(r.number(validityCode)), uint32(r.number(nextCode)), r.number(modseqCode)}, marks[box]
	if m.validity == before.validity && (m.next < before.next || m.modseq < before.modseq) {
		t.Errorf("%s: %+v after %+v", box, m, before)
	}
	marks[box] = m
	if r.number(existsLine) == 0 {
		return nil, true
	}
	if r, err = c.do("FETCH 1:* (UID FLAGS MODSEQ BODY.PEEK[HEADER.FIELDS (X-Ledger)])"); err != nil {
		t.Fatal(err)
	}
	last := uint32(0)
	for _, msg := range r.messages() {
		if msg.uid <= last || msg.uid >= m.next || msg.modseq > m.modseq {
			t.Errorf("%s: UID %d, MODSEQ %d behind UID %d of %+v", box, msg.uid, msg.modseq, last, m)
		}
		last = msg.uid
		all = append(all, msg.token+" "+msg.flags)
	}
	return all, true
}

func same(a, b crowds) bool {
	return maps.EqualFunc(a, b, func(x, y []string) bool { return slices.Equal(x, y) })
}

func sizesOf(c crowds) map[string]int {
	out := map[string]int{}
	for box, all := range c {
		out[box] = len(all)
	}
	return out
}
