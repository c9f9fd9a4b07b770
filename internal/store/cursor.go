package store

import "slices"

// Cursor looks messages of a snapshot up by UIDs that mostly rise: the next one is
// found where the last one was.
type Cursor struct {
	s      *Snapshot
	chunks []*chunk
	k, j   int // a chunk, and a message in it
}

// Cursor gives one at the first message.
func (s *Snapshot) Cursor() Cursor { return Cursor{s: s} }

// Get is the message with the UID.
func (c *Cursor) Get(uid UID) (Entry, bool) {
	if c.chunks == nil {
		c.chunks, _ = c.s.list()
	}
	if c.k < len(c.chunks) && c.j == len(c.chunks[c.k].uids) {
		c.k, c.j = c.k+1, 0
	}
	if c.k == len(c.chunks) || c.chunks[c.k].uids[c.j] != uid {
		var ok bool
		if c.k = chunkOf(c.chunks, uid); c.k == len(c.chunks) {
			c.j = 0
			return Entry{}, false
		}
		if c.j, ok = slices.BinarySearch(c.chunks[c.k].uids, uid); !ok {
			return Entry{}, false
		}
	}
	e := c.chunks[c.k].entry(c.j)
	c.j++
	return e, true
}
