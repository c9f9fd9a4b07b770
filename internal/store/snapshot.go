package store

import (
	"iter"
	"slices"
	"sort"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// chunkSize is how many messages a chunk takes; a change copies one chunk's
// flags, and an index of 100,000 messages is 200 chunks.
const chunkSize = 512

// chunk is a run of messages by rising UID, in parallel slices, so that what
// looks only at flags or UIDs reads only those. It is immutable, but for one
// thing: the chunk that follows it in time may have appended to the same
// arrays, beyond its length.
type chunk struct {
	uids    []UID
	flags   []engine.Flags
	modseqs []ModSeq
	rest    []rest
	late    *late  // reads rest when it is first asked for; nil if it is there
	highest ModSeq // of modseqs, or more
	unseen  int
	deleted int
}

// rest is what of an Entry never changes.
type rest struct {
	size     int64
	internal engine.Date
	saved    int64
	body     mail.ID
}

func (c *chunk) last() UID { return c.uids[len(c.uids)-1] }

// tail is the rest of the entries.
func (c *chunk) tail() []rest {
	if c.late == nil {
		return c.rest
	}
	return c.late.read()
}

func (c *chunk) entry(i int) Entry {
	r := &c.tail()[i]
	return Entry{
		UID: c.uids[i], ModSeq: c.modseqs[i], Flags: c.flags[i],
		Size: r.size, Internal: r.internal, Saved: r.saved, Body: r.body,
	}
}

// push appends a message; only the newest of the chunks that share arrays may.
func (c *chunk) push(e *Entry) {
	c.uids = append(c.uids, e.UID)
	c.flags = append(c.flags, e.Flags)
	c.modseqs = append(c.modseqs, e.ModSeq)
	c.rest = append(c.rest, rest{e.Size, e.Internal, e.Saved, e.Body})
	c.highest = max(c.highest, e.ModSeq)
	c.count(e.Flags, 1)
}

func (c *chunk) count(f engine.Flags, by int) {
	if f&Seen == 0 {
		c.unseen += by
	}
	if f&Deleted != 0 {
		c.deleted += by
	}
}

// Snapshot is a mailbox as it was at one moment. It is immutable and shared;
// one that follows another shares every chunk that no change has touched.
type Snapshot struct {
	chunks  []*chunk // by list
	starts  []int    // index of each chunk's first message
	unread  *unread  // has the chunks; nil if they are here
	n       int
	unseen  int
	deleted int

	uidValidity uint32
	uidNext     UID
	modSeq      ModSeq
	keywords    []string
}

// Len is the number of messages.
func (s *Snapshot) Len() int { return s.n }

// UIDValidity is the mailbox's UIDVALIDITY.
func (s *Snapshot) UIDValidity() uint32 { return s.uidValidity }

// UIDNext is the UID that the next message will get, at least.
func (s *Snapshot) UIDNext() UID { return s.uidNext }

// HighestModSeq is the MODSEQ of the last change, RFC 7162.
func (s *Snapshot) HighestModSeq() ModSeq { return s.modSeq }

// Keywords are the mailbox's keywords: number n is KeywordBit(n) of an Entry's
// flags; a number without a keyword is "". Not to be changed.
func (s *Snapshot) Keywords() []string { return s.keywords }

// Flags gives an entry's flags by name.
func (s *Snapshot) Flags(e Entry) Flags { return flagsOf(e.Flags, s.keywords) }

// Unseen is how many messages are not \Seen.
func (s *Snapshot) Unseen() int { return s.unseen }

// Deleted is how many messages are \Deleted.
func (s *Snapshot) Deleted() int { return s.deleted }

// FirstUnseen is the index of the first message that is not \Seen.
func (s *Snapshot) FirstUnseen() (i int, ok bool) {
	if s.unseen == 0 {
		return 0, false
	}
	chunks, starts := s.list()
	for k, c := range chunks {
		if c.unseen == 0 {
			continue
		}
		for j, f := range c.flags {
			if f&Seen == 0 {
				return starts[k] + j, true
			}
		}
	}
	return 0, false
}

// At is the message at an index from 0 to Len()-1.
func (s *Snapshot) At(i int) Entry {
	chunks, starts := s.list()
	k := sort.SearchInts(starts, i+1) - 1
	return chunks[k].entry(i - starts[k])
}

// Find is the index of a message; if it is not there, that of the first with a
// higher UID, and false.
func (s *Snapshot) Find(uid UID) (i int, ok bool) {
	chunks, starts := s.list()
	k := chunkOf(chunks, uid)
	if k == len(chunks) {
		return s.n, false
	}
	j, ok := slices.BinarySearch(chunks[k].uids, uid)
	return starts[k] + j, ok
}

// Search is the index of the first message whose UID is at least uid; Len() if
// there is none.
func (s *Snapshot) Search(uid UID) int {
	switch {
	case uid <= 1:
		return 0
	case uid >= s.uidNext:
		return s.n
	}
	i, _ := s.Find(uid)
	return i
}

// Get is the message with the UID.
func (s *Snapshot) Get(uid UID) (Entry, bool) {
	chunks, _ := s.list()
	if k := chunkOf(chunks, uid); k < len(chunks) {
		if j, ok := slices.BinarySearch(chunks[k].uids, uid); ok {
			return chunks[k].entry(j), true
		}
	}
	return Entry{}, false
}

// chunkOf is the first chunk that ends at uid or above.
func chunkOf(chunks []*chunk, uid UID) int {
	return sort.Search(len(chunks), func(k int) bool { return chunks[k].last() >= uid })
}

// All gives every message with its index.
func (s *Snapshot) All() iter.Seq2[int, Entry] { return s.Range(0, s.n) }

// Range gives the messages with index from <= i < to.
func (s *Snapshot) Range(from, to int) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		from, to := max(from, 0), min(to, s.n)
		if from >= to {
			return
		}
		chunks, starts := s.list()
		for k := max(sort.SearchInts(starts, from+1)-1, 0); k < len(chunks); k++ {
			c, start := chunks[k], starts[k]
			for j := max(from-start, 0); j < len(c.uids); j++ {
				if start+j >= to || !yield(start+j, c.entry(j)) {
					return
				}
			}
		}
	}
}

// Changed gives the messages with index from <= i < to that have a MODSEQ above
// since. Chunks without such are passed over.
func (s *Snapshot) Changed(from, to int, since ModSeq) iter.Seq2[int, Entry] {
	return func(yield func(int, Entry) bool) {
		from, to := max(from, 0), min(to, s.n)
		if from >= to {
			return
		}
		chunks, starts := s.list()
		for k := max(sort.SearchInts(starts, from+1)-1, 0); k < len(chunks) && starts[k] < to; k++ {
			c, start := chunks[k], starts[k]
			if c.highest <= since {
				continue
			}
			for j := max(from-start, 0); j < min(len(c.uids), to-start); j++ {
				if c.modseqs[j] > since && !yield(start+j, c.entry(j)) {
					return
				}
			}
		}
	}
}

// entryBytes is what one message takes in a snapshot.
const entryBytes = 60

// bytes is about how much memory the snapshot takes.
func (s *Snapshot) bytes() int64 { return 512 + int64(s.n)*entryBytes + int64(s.n/chunkSize+1)*128 }

// used is every flag that some message has.
func (s *Snapshot) used() (all engine.Flags) {
	chunks, _ := s.list()
	for _, c := range chunks {
		for _, f := range c.flags {
			all |= f
		}
	}
	return all
}

// with is the snapshot after a change: UIDs of each list rise.
func (s *Snapshot) with(rec *engine.Mailbox, c *engine.MailboxChange) *Snapshot {
	chunks, _ := s.list()
	b := builder{chunks: chunks}
	b.update(c.Update)
	b.expunge(c.Expunge)
	for i := range c.Add {
		b.add(&c.Add[i].Entry)
	}
	return b.snapshot(rec)
}

// Behind is the snapshot as somebody knows it who cannot be told yet of what went
// since: with some messages as they are in known, by rising UID, and, unless later
// is nil, with those that came later than all of its own.
func (s *Snapshot) Behind(known []Entry, later *Snapshot) *Snapshot {
	chunks, _ := s.list()
	b, next := builder{chunks: chunks}, s.uidNext
	b.update(known)
	if later != nil {
		b.chunks = append(slices.Clone(b.chunks), newChunk(1)) // others may append to the arrays of the last
		b.owned, b.open, next = true, true, max(next, later.uidNext)
		for _, e := range later.Range(later.Search(s.uidNext), later.n) {
			b.add(&e)
		}
		if last := len(b.chunks) - 1; len(b.chunks[last].uids) == 0 {
			b.chunks = b.chunks[:last]
		}
	}
	return b.snapshot(&engine.Mailbox{UIDValidity: s.uidValidity, UIDNext: next, HighestModSeq: s.modSeq, Keywords: s.keywords})
}

// builder makes a snapshot, sharing what it does not change.
type builder struct {
	chunks []*chunk
	owned  bool // chunks is not shared
	open   bool // the last chunk is the builder's own
}

func (b *builder) own() {
	if !b.owned {
		b.chunks = append(make([]*chunk, 0, len(b.chunks)+1), b.chunks...)
		b.owned = true
	}
}

func (b *builder) add(e *Entry) {
	b.own()
	last := len(b.chunks) - 1
	switch {
	case last < 0 || len(b.chunks[last].uids) >= chunkSize || b.chunks[last].late != nil:
		b.chunks = append(b.chunks, newChunk(1))
		last++
	case !b.open:
		c := *b.chunks[last] // shares the arrays: see chunk
		b.chunks[last] = &c
	}
	b.open = true
	b.chunks[last].push(e)
}

func (b *builder) update(entries []Entry) {
	k := 0
	for len(entries) > 0 {
		k += sort.Search(len(b.chunks)-k, func(i int) bool { return b.chunks[k+i].last() >= entries[0].UID })
		if k == len(b.chunks) {
			return
		}
		b.own()
		c := *b.chunks[k]
		c.flags, c.modseqs = slices.Clone(c.flags), slices.Clone(c.modseqs)
		next := 0
		for len(entries) > 0 && entries[0].UID <= c.last() {
			e := &entries[0]
			j, ok := next, next < len(c.uids) && c.uids[next] == e.UID
			if !ok {
				j, ok = slices.BinarySearch(c.uids, e.UID)
			}
			if next = j + 1; ok {
				c.count(c.flags[j], -1)
				c.flags[j], c.modseqs[j] = e.Flags, e.ModSeq
				c.highest = max(c.highest, e.ModSeq)
				c.count(e.Flags, 1)
			}
			entries = entries[1:]
		}
		b.chunks[k] = &c
	}
}

// expunge leaves messages out. A chunk that has become small joins the one
// before it, so that chunks do not wither.
func (b *builder) expunge(uids []UID) {
	if len(uids) == 0 {
		return
	}
	out := make([]*chunk, 0, len(b.chunks)+1)
	for _, c := range b.chunks {
		if len(uids) > 0 && uids[0] <= c.last() {
			c, uids = c.without(uids)
			if len(c.uids) == 0 {
				continue
			}
			if n := len(out); n > 0 && len(out[n-1].uids)+len(c.uids) <= chunkSize/2 {
				out[n-1] = join(out[n-1], c)
				continue
			}
		}
		out = append(out, c)
	}
	b.chunks, b.owned = out, true
}

// without is the chunk less the messages of uids, and the uids beyond it.
func (c *chunk) without(uids []UID) (*chunk, []UID) {
	out := newChunk(len(c.uids))
	for j, uid := range c.uids {
		for len(uids) > 0 && uids[0] < uid {
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0] == uid {
			continue
		}
		e := c.entry(j)
		out.push(&e)
	}
	for len(uids) > 0 && uids[0] <= c.last() {
		uids = uids[1:]
	}
	return out, uids
}

func newChunk(n int) *chunk {
	return &chunk{
		uids: make([]UID, 0, n), flags: make([]engine.Flags, 0, n),
		modseqs: make([]ModSeq, 0, n), rest: make([]rest, 0, n),
	}
}

func join(a, b *chunk) *chunk {
	out := newChunk(len(a.uids) + len(b.uids))
	for _, c := range []*chunk{a, b} {
		out.uids = append(out.uids, c.uids...)
		out.flags = append(out.flags, c.flags...)
		out.modseqs = append(out.modseqs, c.modseqs...)
		out.rest = append(out.rest, c.tail()...)
		out.highest = max(out.highest, c.highest)
		out.unseen += c.unseen
		out.deleted += c.deleted
	}
	return out
}

func (b *builder) snapshot(rec *engine.Mailbox) *Snapshot {
	s := &Snapshot{
		chunks: b.chunks, starts: make([]int, len(b.chunks)),
		uidValidity: rec.UIDValidity, uidNext: rec.UIDNext,
		modSeq: rec.HighestModSeq, keywords: rec.Keywords,
	}
	for k, c := range b.chunks {
		s.starts[k] = s.n
		s.n += len(c.uids)
		s.unseen += c.unseen
		s.deleted += c.deleted
	}
	return s
}

// DeletedBytes is the size of the messages that are \Deleted together.
func (s *Snapshot) DeletedBytes() (n int64) {
	if s.deleted == 0 {
		return 0
	}
	chunks, _ := s.list()
	for _, c := range chunks {
		if c.deleted == 0 {
			continue
		}
		rest := c.tail()
		for i, f := range c.flags {
			if f&Deleted != 0 {
				n += rest[i].size
			}
		}
	}
	return n
}
