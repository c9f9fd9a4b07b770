package store

// Changes is what made one snapshot of a mailbox into a later one.
type Changes struct {
	Expunged []UID   // by rising UID, as they were in the old one
	Flagged  []Entry // in both, with a new MODSEQ; as they are in the new one
	Added    int     // index in the new one of the first message that the old one has not
}

// Diff compares two snapshots of one mailbox, the older first. It costs about
// as much as the chunks that differ. What both have ran through the same
// numbers: apply Expunged to the old one, and the messages below Added of the
// new one are left.
func Diff(old, new *Snapshot) Changes {
	var c Changes
	if old == new {
		c.Added = new.n
		return c
	}
	o, n := cursorOf(old), cursorOf(new)
	for !o.end() {
		if n.end() {
			c.Expunged = append(c.Expunged, o.uid())
			o.next()
			continue
		}
		if o.i == 0 && n.i == 0 && o.chunks[o.k] == n.chunks[n.k] {
			o.skip()
			n.skip()
			continue
		}
		ou, nu := o.uid(), n.uid()
		if ou == nu {
			if o.modSeq() != n.modSeq() {
				c.Flagged = append(c.Flagged, n.chunks[n.k].entry(n.i))
			}
			o.next()
			n.next()
			continue
		}
		// UIDs only rise: what the old one has and the new one lacks is gone.
		c.Expunged = append(c.Expunged, ou)
		o.next()
	}
	c.Added = new.n
	if !n.end() {
		c.Added = n.starts[n.k] + n.i
	}
	return c
}

// cursor walks a snapshot message by message or chunk by chunk.
type cursor struct {
	chunks []*chunk
	starts []int
	k, i   int
}

func cursorOf(s *Snapshot) cursor {
	chunks, starts := s.list()
	return cursor{chunks: chunks, starts: starts}
}

func (c *cursor) end() bool      { return c.k == len(c.chunks) }
func (c *cursor) uid() UID       { return c.chunks[c.k].uids[c.i] }
func (c *cursor) modSeq() ModSeq { return c.chunks[c.k].modseqs[c.i] }
func (c *cursor) skip()          { c.k++ }

func (c *cursor) next() {
	if c.i++; c.i == len(c.chunks[c.k].uids) {
		c.k, c.i = c.k+1, 0
	}
}
