package search

import (
	"context"
	"errors"

	"plic/internal/store"
)

// Reader answers questions about one mailbox from its index.
type Reader struct {
	x        *Index
	mb       *store.Mailbox
	segments []*segment
}

// Open reads the index of a mailbox; one that cannot be read knows of no message.
func (x *Index) Open(ctx context.Context, mb *store.Mailbox) (*Reader, error) {
	r := &Reader{x: x, mb: mb}
	for range 3 { // it may be replaced meanwhile
		m, err := x.read(ctx, mb)
		if err != nil {
			return nil, err
		}
		r.segments = r.segments[:0]
		err = nil
		for _, info := range m.Segments {
			var s *segment
			if s, err = x.open(ctx, mb, info); err != nil {
				break
			}
			r.segments = append(r.segments, s)
		}
		if !errors.Is(err, errBroken) {
			return r, err
		}
	}
	x.note(mb, anew)
	r.segments = nil
	return r, nil
}

// Known is how many messages the index knows of, or knew.
func (r *Reader) Known() (n int) {
	for _, s := range r.segments {
		n += len(s.uids)
	}
	return n
}

// High is the highest UID that the index knows of.
func (r *Reader) High() store.UID {
	if n := len(r.segments); n > 0 {
		return r.segments[n-1].High
	}
	return 0
}

// Verdict is what the index knows of a message.
type Verdict uint8

// The verdicts: nothing is known, or the message must be looked into; it does not
// hold what is sought; it does.
const (
	Unknown Verdict = iota
	No
	Yes
)

// Hits is what the index knows about a string. It is for one goroutine.
type Hits struct {
	segments []segmentHits
	at       int // where the last message was
}

type segmentHits struct {
	*segment
	docs  bitset
	exact bool
	next  int // the message behind the last one
}

// Find looks a folded string up in some parts of messages. Strings in a message's
// field, as HEADER seeks them, are found in Header by themselves; whether it is
// that field must be looked at.
func (r *Reader) Find(ctx context.Context, needle []byte, in Class) (*Hits, error) {
	parts, exact := pieces(needle)
	return r.find(ctx, parts, exact, in)
}

// FindField looks up the messages that may have a string in a field of the
// header.
func (r *Reader) FindField(ctx context.Context, name, needle []byte) (*Hits, error) {
	parts, _ := pieces(needle)
	names, _ := pieces(append([]byte{'\n'}, append(name, '\n')...))
	return r.find(ctx, append(parts, names...), false, Header)
}

func (r *Reader) find(ctx context.Context, parts []piece, exact bool, in Class) (*Hits, error) {
	h := new(Hits)
	if len(parts) == 0 {
		return h, nil // what is between words is not known
	}
	for _, s := range r.segments {
		var docs bitset
		for i, p := range parts {
			with, err := s.with(ctx, p, in)
			if errors.Is(err, errBroken) {
				r.x.note(r.mb, anew)
				return new(Hits), nil
			}
			if err != nil {
				return nil, err
			}
			if i == 0 {
				docs = with
			} else {
				docs.and(with)
			}
			if docs.empty() {
				break
			}
		}
		h.segments = append(h.segments, segmentHits{segment: s, docs: docs, exact: exact})
	}
	return h, nil
}

// Of is what is known of a message. It is quick where UIDs rise from one call to
// the next.
func (h *Hits) Of(uid store.UID) Verdict {
	if h.at >= len(h.segments) || !h.segments[h.at].holds(uid) {
		h.at = 0
		for h.at < len(h.segments) && !h.segments[h.at].holds(uid) {
			h.at++
		}
		if h.at == len(h.segments) {
			return Unknown
		}
	}
	s := &h.segments[h.at]
	doc, ok := s.doc(uid)
	switch {
	case !ok:
		return Unknown
	case !s.docs.has(uint32(doc)):
		return No
	case s.exact:
		return Yes
	}
	return Unknown
}

// doc finds a message's number.
func (s *segmentHits) doc(uid store.UID) (int, bool) {
	lo, hi := 0, len(s.uids)
	if s.next < hi && s.uids[s.next] <= uid {
		if lo = s.next; s.uids[lo] == uid {
			hi = lo
		}
	}
	for lo < hi {
		if mid := (lo + hi) / 2; s.uids[mid] < uid {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	s.next = min(lo+1, len(s.uids))
	return lo, lo < len(s.uids) && s.uids[lo] == uid
}
