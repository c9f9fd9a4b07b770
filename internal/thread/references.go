package thread

// References is REFERENCES: messages hang on those they refer to, and threads of
// one subject are joined.
func References(messages []Message, step func() error) (*Forest, error) {
	f := newForest(messages, step)
	f.byReferences()
	return f.end()
}

func (f *Forest) byReferences() {
	f.hangAll()
	f.orderChildren(f.postorder(f.roots))
	f.order(f.roots)
	f.joinSubjects()
	f.orderChildren(f.postorder(f.roots))
}

// Refs is REFS: threads by reference only, the one with the newest message at the
// end.
func Refs(messages []Message, step func() error) (*Forest, error) {
	f := newForest(messages, step)
	f.byNewest()
	return f.end()
}

func (f *Forest) byNewest() {
	f.hangAll()
	post := f.postorder(f.roots)
	f.orderChildren(post)
	latest := make([]int64, len(f.nodes))
	for _, n := range post {
		if !f.works() {
			return
		}
		if m := f.nodes[n].message; m != none {
			latest[n] = max(latest[n], f.messages[m].Date)
		}
		if p := f.nodes[n].parent; p != none {
			latest[p] = max(latest[p], latest[n])
		}
	}
	for _, r := range f.roots {
		f.nodes[r].date = latest[r]
	}
	f.order(f.roots)
}

// linker hangs messages on others, RFC 5256 section 3, step 1.
type linker struct {
	*Forest
	named map[uint64]int32
	sets  []int32 // a tree's nodes lead to one of them; those of others may too
	steps int     // left for looking for loops one by one
}

// maxSteps bounds how far ancestors are followed in all; what messages would
// need more was made to need it, and goes without some of its links.
const maxSteps = 20 << 20

// hangAll hangs messages on those they refer to.
func (f *Forest) hangAll() {
	l := &linker{Forest: f, named: make(map[uint64]int32, len(f.messages)), steps: maxSteps}
	own := make([]int32, len(f.messages))
	for i := range f.messages {
		if !l.works() {
			return
		}
		own[i] = l.own(int32(i))
	}
	for i := range f.messages {
		last := none
		for _, ref := range f.messages[i].Refs {
			if !l.works() {
				return
			}
			n := l.node(ref)
			if last != none && l.nodes[n].parent == none && !l.loops(last, n) {
				l.hang(last, n)
			}
			last = n
		}
		// What the message itself says of its parent counts more than what
		// others say of theirs.
		if n := own[i]; last != none && l.nodes[n].parent != last && !l.loops(last, n) {
			l.unlink(n)
			l.hang(last, n)
		}
	}
	l.prune()
}

func (l *linker) node(id uint64) int32 {
	if n, ok := l.named[id]; ok {
		return n
	}
	n := l.newNode(none)
	l.named[id] = n
	return n
}

func (l *linker) newNode(message int32) int32 {
	n := l.add(message)
	l.sets = append(l.sets, n)
	return n
}

// own is the node of a message: a new one if it has no ID, or one that another
// message has.
func (l *linker) own(i int32) int32 {
	id := l.messages[i].ID
	if id == 0 {
		return l.newNode(i)
	}
	if _, taken := l.named[id]; taken {
		return l.newNode(i)
	}
	n := l.newNode(i)
	l.named[id] = n
	return n
}

func (l *linker) hang(parent, child int32) {
	l.link(parent, child)
	l.sets[l.set(child)] = l.set(parent)
}

func (l *linker) set(n int32) int32 {
	for l.sets[n] != n {
		l.sets[n] = l.sets[l.sets[n]]
		n = l.sets[n]
	}
	return n
}

// loops says that a node must not hang on another since it is that, or above it.
// Nodes of two sets were never in one tree, so that mostly there is nothing to
// follow.
func (l *linker) loops(parent, child int32) bool {
	if parent == child {
		return true
	}
	if l.nodes[child].first == none || l.set(parent) != l.set(child) {
		return false
	}
	for n := parent; n != none; n = l.nodes[n].parent {
		if n == child || l.steps <= 0 || !l.works() {
			return true
		}
		l.steps--
	}
	return false
}

// prune takes out what is not there, step 2: its children take its place, but
// for one at the top that holds several together.
func (l *linker) prune() {
	var tops, room []int32
	for n := range l.nodes {
		if !l.works() {
			return
		}
		if l.nodes[n].parent == none {
			tops = append(tops, int32(n))
		}
	}
	for _, n := range l.postorder(tops) {
		if !l.works() {
			return
		}
		if l.nodes[n].message != none {
			continue
		}
		parent := l.nodes[n].parent
		if parent == none && l.nodes[n].first != l.nodes[n].last {
			l.roots = append(l.roots, n)
			continue
		}
		room = l.children(n, room)
		for _, c := range room {
			if !l.works() {
				return
			}
			l.unlink(c)
			if parent != none {
				l.link(parent, c)
			} else {
				l.roots = append(l.roots, c)
			}
		}
		l.unlink(n)
	}
	for _, n := range tops {
		if l.nodes[n].message != none {
			l.roots = append(l.roots, n)
		}
	}
}

// joinSubjects brings threads of one subject together, step 5.
func (f *Forest) joinSubjects() {
	table := map[string]int32{} // by subject, the thread that others join
	for _, root := range f.roots {
		if !f.works() {
			return
		}
		message, subject := f.subject(root)
		if len(subject) == 0 {
			continue
		}
		other, ok := table[string(subject)]
		if !ok || f.nodes[root].message == none && f.nodes[other].message != none ||
			f.isReply(other) && !f.messages[message].Reply && f.nodes[other].message != none {
			table[string(subject)] = root
		}
	}
	place := map[int32]int{} // of a root in roots
	for i, r := range f.roots {
		place[r] = i
	}
	for i, root := range f.roots {
		if !f.works() {
			return
		}
		_, subject := f.subject(root)
		if len(subject) == 0 || f.roots[i] == none {
			continue
		}
		other := table[string(subject)]
		if other == root {
			continue
		}
		f.roots[i] = none
		joined := f.join(other, root)
		if joined != other {
			at := place[other]
			f.roots[at], place[joined] = joined, at
			table[string(subject)] = joined
		}
	}
	kept := f.roots[:0]
	for _, r := range f.roots {
		if r != none {
			kept = append(kept, r)
		}
	}
	f.roots = kept
	f.orderChildren(f.postorder(f.roots))
	f.order(f.roots)
}

func (f *Forest) isReply(root int32) bool {
	message, _ := f.subject(root)
	return message != none && f.messages[message].Reply
}

// join puts a thread to another of its subject and gives the root of the two.
func (f *Forest) join(other, root int32) int32 {
	there, here := f.nodes[other].message != none, f.nodes[root].message != none
	switch {
	case !there && !here:
		for _, c := range f.children(root, nil) {
			f.unlink(c)
			f.link(other, c)
		}
		return other
	case !there, here && f.isReply(root) && !f.isReply(other):
		f.link(other, root)
		return other
	}
	both := f.add(none)
	f.link(both, other)
	f.link(both, root)
	return both
}
