package pop3d

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// maildrop is the inbox as it was at login, with the marks of this session.
type maildrop struct {
	box       *store.Mailbox
	snap      *store.Snapshot
	deleted   map[int]bool // by index
	count     int          // messages that are not marked
	octets    int64        // of them
	seen      map[int]bool // retrieved, so that other readers show them as read
	retrieved int
	removed   int
	sent      int64 // octets of messages
	last      int   // the message that was retrieved last, from 1
	next      store.Following
}

func openMaildrop(ctx context.Context, s *store.Store, account string) (*maildrop, error) {
	a, err := s.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	box, err := a.Mailbox(store.Inbox)
	if err != nil {
		return nil, err
	}
	snap, err := box.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	d := &maildrop{box: box, snap: snap, seen: map[int]bool{}}
	d.reset()
	return d, nil
}

// reset takes all marks away.
func (d *maildrop) reset() {
	d.deleted, d.count, d.octets = map[int]bool{}, d.snap.Len(), 0
	for _, e := range d.snap.All() {
		d.octets += e.Size
	}
}

// find reads a message number, RFC 1939 section 5: of a message that is there
// and not marked.
func (d *maildrop) find(text string) (int, store.Entry, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31)
	switch {
	case err != nil || n == 0:
		return 0, store.Entry{}, errorf("a message number is wanted, 1 to %d", d.snap.Len())
	case int(n) > d.snap.Len():
		return 0, store.Entry{}, errorf("no such message, there are %d", d.snap.Len())
	case d.deleted[int(n)-1]:
		return 0, store.Entry{}, errorf("message %d is marked as deleted", n)
	}
	return int(n) - 1, d.snap.At(int(n) - 1), nil
}

// update removes what is marked, durably when it returns; what others removed
// meanwhile is no trouble. Then it tells what was read, which is worth no
// failure.
func (d *maildrop) update(ctx context.Context) error {
	uids := d.uids(d.deleted)
	if len(uids) > 0 {
		gone, err := d.box.Expunge(ctx, uids, false)
		if err != nil && !errors.Is(err, store.ErrGone) {
			return fmt.Errorf("delete %d messages: %w", len(uids), err)
		}
		d.removed = len(gone)
	}
	for i := range d.deleted {
		delete(d.seen, i)
	}
	if unread := d.uids(d.seen); len(unread) > 0 {
		d.box.SetFlags(ctx, unread, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
	}
	return nil
}

func (d *maildrop) uids(marked map[int]bool) []store.UID {
	uids := make([]store.UID, 0, len(marked))
	for i := range marked {
		uids = append(uids, d.snap.At(i).UID)
	}
	return uids
}

// dele is DELE.
func (s *session) dele(args string) error {
	i, e, err := s.drop.find(args)
	if err != nil {
		return err
	}
	if s.readOnly {
		return coded("SYS/PERM", "this login is for reading only")
	}
	s.drop.deleted[i] = true
	s.drop.count--
	s.drop.octets -= e.Size
	s.ok("message %d goes at QUIT", i+1)
	return nil
}

// list is LIST: numbers and sizes, of one message or of all.
func (s *session) list(args string) error {
	return s.listing(args, func(b []byte, e store.Entry) []byte { return strconv.AppendInt(b, e.Size, 10) })
}

// uidl is UIDL, RFC 1939 section 7. The pair of UIDVALIDITY and UID never names
// two messages.
func (s *session) uidl(args string) error {
	validity := uint64(s.drop.snap.UIDValidity())
	return s.listing(args, func(b []byte, e store.Entry) []byte {
		b = append(strconv.AppendUint(b, validity, 10), '.')
		return strconv.AppendUint(b, uint64(e.UID), 10)
	})
}

func (s *session) listing(args string, column func([]byte, store.Entry) []byte) error {
	line := func(b []byte, i int, e store.Entry) []byte {
		return append(column(append(strconv.AppendInt(b, int64(i)+1, 10), ' '), e), "\r\n"...)
	}
	if args != "" {
		i, e, err := s.drop.find(args)
		if err != nil {
			return err
		}
		s.out.Write(line([]byte("+OK "), i, e))
		return nil
	}
	s.ok("%d messages (%d octets)", s.drop.count, s.drop.octets)
	var b []byte
	for i, e := range s.drop.snap.All() {
		if !s.drop.deleted[i] {
			b = line(b[:0], i, e)
			s.out.Write(b)
		}
	}
	s.out.WriteString(".\r\n")
	return nil
}

// openNext opens a message. If the next command is here already it is probably
// for the next message, so that many are opened at once.
func (s *session) openNext(ctx context.Context, i int, e store.Entry) (*store.Message, error) {
	d := s.drop
	if m := d.next.Take(e.UID); m != nil {
		return m, nil
	}
	if s.in.Buffered() > 0 {
		d.next.Fill(ctx, d.box, d.from(i))
		if m := d.next.Take(e.UID); m != nil {
			return m, nil
		}
	}
	return d.box.Open(ctx, e)
}

// openAhead opens the messages after one that was sent, while the client reads
// that one, if it seems to fetch one after the other and waits for each.
func (s *session) openAhead(ctx context.Context, i int) {
	d := s.drop
	inTurn := i == d.last
	d.last = i + 1
	if inTurn && d.next.Empty() && s.in.Buffered() == 0 && s.out.Flush() == nil {
		d.next.Fill(ctx, d.box, d.from(d.last))
	}
}

// from gives the messages from an index on that are not marked.
func (d *maildrop) from(i int) iter.Seq[store.Entry] {
	return func(yield func(store.Entry) bool) {
		for i, e := range d.snap.Range(i, d.snap.Len()) {
			if !d.deleted[i] && !yield(e) {
				return
			}
		}
	}
}

// open opens a message for RETR and TOP.
func (s *session) open(ctx context.Context, i int, e store.Entry) (*store.Message, error) {
	m, err := s.openNext(ctx, i, e)
	switch {
	case err == nil:
		return m, nil
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, store.ErrGone):
		return nil, errorf("another program has removed this message")
	}
	s.server.o.Log.Error("pop3: open a message", "account", s.account, "uid", e.UID, "error", err)
	if errors.Is(err, engine.ErrDamaged) {
		return nil, coded("SYS/PERM", "this message is damaged")
	}
	return nil, coded("SYS/TEMP", "this message cannot be read now")
}
