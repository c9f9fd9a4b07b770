// Package thread finds the conversations among messages: the algorithms of
// THREAD, RFC 5256 section 3 (ORDEREDSUBJECT, REFERENCES), and REFS, which is
// REFERENCES without the joining by subject. Whatever messages claim to refer to,
// themselves and each other included, the outcome is a forest and the time is
// bounded.
package thread

import (
	"cmp"
	"slices"
	"strconv"
)

// Message is what is known of a message. Those of a list are in the order of
// the mailbox.
type Message struct {
	Number  uint32 // what stands for it in the outcome
	ID      uint64 // a hash of its Message-ID, 0 for none
	Refs    []uint64
	Subject []byte // base subject in comparable form
	Reply   bool   // the subject says that it is a reply or forwarded
	Date    int64  // when it was sent
}

// Forest is threads in their order.
type Forest struct {
	messages []Message
	nodes    []node
	roots    []int32

	step   func() error
	worked int
	err    error // of step: what there is means nothing
}

// node is a message, or a message that others refer to and that is not there.
type node struct {
	message      int32 // its index, or none
	parent       int32
	first, last  int32 // children
	older, newer int32 // siblings before and behind
	date         int64
}

const none int32 = -1

// stride is how much is done between two steps: some tens of microseconds' worth.
const stride = 256

func newForest(messages []Message, step func() error) *Forest {
	return &Forest{messages: messages, nodes: make([]node, 0, len(messages)+len(messages)/4), step: step}
}

// works counts a piece of work, makes a step from time to time, and says whether to
// go on.
func (f *Forest) works() bool {
	if f.worked++; f.worked%stride == 0 && f.err == nil {
		f.err = f.step()
	}
	return f.err == nil
}

// end is the outcome.
func (f *Forest) end() (*Forest, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f, nil
}

func (f *Forest) add(message int32) int32 {
	n := node{message: message, parent: none, first: none, last: none, older: none, newer: none}
	if message != none {
		n.date = f.messages[message].Date
	}
	f.nodes = append(f.nodes, n)
	return int32(len(f.nodes) - 1)
}

// link makes a node without a parent the last child of another.
func (f *Forest) link(parent, child int32) {
	c, p := &f.nodes[child], &f.nodes[parent]
	c.parent, c.older, c.newer = parent, p.last, none
	if p.last != none {
		f.nodes[p.last].newer = child
	} else {
		p.first = child
	}
	p.last = child
}

// unlink takes a node from its parent.
func (f *Forest) unlink(child int32) {
	c := &f.nodes[child]
	if c.parent == none {
		return
	}
	p := &f.nodes[c.parent]
	if c.older != none {
		f.nodes[c.older].newer = c.newer
	} else {
		p.first = c.newer
	}
	if c.newer != none {
		f.nodes[c.newer].older = c.older
	} else {
		p.last = c.older
	}
	c.parent, c.older, c.newer = none, none, none
}

// children gives the children of a node, in a slice that is used again.
func (f *Forest) children(n int32, room []int32) []int32 {
	room = room[:0]
	for c := f.nodes[n].first; c != none && f.works(); c = f.nodes[c].newer {
		room = append(room, c)
	}
	return room
}

// order sorts nodes by date, those of one date as in the mailbox; no two have the same number.
func (f *Forest) order(nodes []int32) {
	slices.SortFunc(nodes, func(a, b int32) int {
		if f.err != nil || !f.works() {
			return 0 // all are alike: it ends soon
		}
		x, y := &f.nodes[a], &f.nodes[b]
		return cmp.Or(cmp.Compare(x.date, y.date), cmp.Compare(f.number(a), f.number(b)))
	})
}

// number is that of a node, or of the first message below one that is not there.
func (f *Forest) number(n int32) uint32 {
	for f.nodes[n].message == none {
		if n = f.nodes[n].first; n == none {
			return 0
		}
	}
	return f.messages[f.nodes[n].message].Number
}

// orderChildren sorts the children of each node. Children come before their
// parents in post, so that one that is not there has the date of its first child.
func (f *Forest) orderChildren(post []int32) {
	var room []int32
	for _, n := range post {
		if !f.works() {
			return
		}
		if f.nodes[n].first == none {
			continue
		}
		room = f.children(n, room)
		if len(room) > 1 {
			f.order(room)
			f.relink(n, room)
		}
		if f.nodes[n].message == none && f.err == nil {
			f.nodes[n].date = f.nodes[f.nodes[n].first].date
		}
	}
}

func (f *Forest) relink(parent int32, children []int32) {
	f.nodes[parent].first, f.nodes[parent].last = none, none
	for _, c := range children {
		if !f.works() {
			return
		}
		f.link(parent, c)
	}
}

// postorder gives the nodes below roots, each after its children, and the roots.
func (f *Forest) postorder(roots []int32) []int32 {
	out := make([]int32, 0, len(f.nodes))
	stack := slices.Clone(roots)
	for len(stack) > 0 && f.works() {
		n := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		out = append(out, n)
		for c := f.nodes[n].first; c != none; c = f.nodes[c].newer {
			stack = append(stack, c)
		}
	}
	slices.Reverse(out)
	return out
}

// Ordered is ORDEREDSUBJECT: messages of one subject are one thread, all below
// the first of them; messages without a subject are threads of their own. As for all
// ways of threading, step is called from time to time, and ends the work by its error.
func Ordered(messages []Message, step func() error) (*Forest, error) {
	f := newForest(messages, step)
	f.bySubject()
	return f.end()
}

func (f *Forest) bySubject() {
	byDate := make([]int32, len(f.messages))
	for i := range f.messages {
		byDate[i] = f.add(int32(i))
	}
	f.order(byDate)
	heads := map[string]int32{}
	for _, n := range byDate {
		if !f.works() {
			return
		}
		subject := f.messages[f.nodes[n].message].Subject
		if head, ok := heads[string(subject)]; ok {
			f.link(head, n)
			continue
		}
		heads[string(subject)] = n
		f.roots = append(f.roots, n)
	}
}

// Len is how many threads there are.
func (f *Forest) Len() int { return len(f.roots) }

// Append writes thread i as a thread-list of RFC 5256 section 5.
func (f *Forest) Append(b []byte, i int) []byte {
	type step struct {
		node  int32
		paren byte // instead of a node
	}
	stack := []step{{paren: ')'}, {node: f.roots[i]}, {paren: '('}}
	for len(stack) > 0 {
		s := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if s.paren != 0 {
			b = append(b, s.paren)
			continue
		}
		n := &f.nodes[s.node]
		if n.message != none {
			if b[len(b)-1] != '(' {
				b = append(b, ' ')
			}
			b = strconv.AppendUint(b, uint64(f.messages[n.message].Number), 10)
		}
		if n.first == n.last {
			if n.first != none {
				stack = append(stack, step{node: n.first})
			}
			continue
		}
		if n.message != none {
			b = append(b, ' ')
		}
		for c := n.last; c != none; c = f.nodes[c].older {
			stack = append(stack, step{paren: ')'}, step{node: c}, step{paren: '('})
		}
	}
	return b
}

// subject is that of a thread: of its root, or of the first child of one that is
// not there.
func (f *Forest) subject(root int32) (message int32, subject []byte) {
	n := root
	for f.nodes[n].message == none {
		if n = f.nodes[n].first; n == none {
			return none, nil
		}
	}
	message = f.nodes[n].message
	return message, f.messages[message].Subject
}
