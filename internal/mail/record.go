package mail

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// itemRecord is the version of an item's record. It is never '{', with which JSON
// begins.
const itemRecord = 1

var errItemRecord = errors.New("no record of an item")

// AppendBinary appends the item as a record: what it is made of in a fixed order,
// the lengths of texts before them. It is read several times as fast as JSON, of
// which a sweep through a long queue is made.
func (i *Item) AppendBinary(b []byte) ([]byte, error) {
	r := recorder{append(b, itemRecord)}
	r.id(i.ID)
	r.id(i.Body)
	r.bits(i.Hold, i.Warned, i.Report)
	r.int(i.Size)
	r.int(int64(i.Attempts))
	r.int(int64(i.Parts))
	r.time(i.Due)
	r.time(i.Expires)
	r.hop(&i.Hop)
	r.envelope(&i.Envelope)
	r.text(string(i.Prefix))
	r.text(i.Why)
	r.text(i.Junk)
	r.int(int64(len(i.To)))
	for k := range i.To {
		r.rcpt(&i.To[k])
	}
	r.int(int64(len(i.Tries)))
	for k := range i.Tries {
		r.try(&i.Tries[k])
	}
	r.int(int64(len(i.Fates)))
	for k := range i.Fates {
		f := &i.Fates[k]
		r.b = append(r.b, byte(f.Kind))
		r.bits(f.Expanded, f.Untimed)
		r.rcpt(&f.ItemRcpt)
	}
	return r.b, nil
}

// recorder appends fields to a record.
type recorder struct{ b []byte }

func (r *recorder) id(id ID)    { r.b = append(r.b, id[:]...) }
func (r *recorder) int(n int64) { r.b = binary.AppendVarint(r.b, n) }

func (r *recorder) text(s string) {
	r.b = append(binary.AppendUvarint(r.b, uint64(len(s))), s...)
}

func (r *recorder) bits(set ...bool) {
	var bits byte
	for k, on := range set {
		if on {
			bits |= 1 << k
		}
	}
	r.b = append(r.b, bits)
}

// The kinds of instants in a record: those of UTC stay so.
const (
	noTime byte = iota
	localTime
	utcTime
)

func (r *recorder) time(t time.Time) {
	kind := localTime
	switch {
	case t.IsZero():
		r.b = append(r.b, noTime)
		return
	case t.Location() == time.UTC:
		kind = utcTime
	}
	r.b = append(r.b, kind)
	r.int(t.Unix())
	r.int(int64(t.Nanosecond()))
}

func (r *recorder) address(a Address) {
	r.text(a.Local)
	r.text(a.Domain.name)
}

func (r *recorder) status(s Status) {
	r.int(int64(s.Code))
	for _, n := range s.Enhanced {
		r.int(int64(n))
	}
	r.text(s.Text)
}

func (r *recorder) port(a netip.AddrPort) {
	text, _ := a.AppendBinary(nil) // which never fails
	r.text(string(text))
}

func (r *recorder) hop(h *Hop) {
	r.text(string(h.Kind))
	r.text(h.Host)
	r.int(int64(h.Port))
	r.bits(h.Exact)
	r.text(h.Login)
	r.text(h.Args)
	r.text(h.Source)
}

func (r *recorder) envelope(e *Envelope) {
	r.id(e.ID)
	r.address(e.From)
	r.bits(e.UTF8, e.RequireTLS, e.TLSOptional, e.By.Return, e.By.Trace)
	r.text(string(e.Kind))
	r.text(e.Ret)
	r.text(e.EnvelopeID)
	r.int(e.Size)
	r.int(int64(e.Priority))
	r.time(e.Release)
	r.time(e.By.At)
	r.time(e.Received)
	r.int(int64(len(e.To)))
	for k := range e.To {
		r.recipient(&e.To[k])
	}
	o := &e.Origin
	r.id(o.Conn)
	r.text(o.Service)
	r.text(o.Protocol)
	r.port(o.Remote)
	r.port(o.Local)
	r.text(o.Name)
	r.text(o.Helo)
	r.text(o.TLS)
	r.text(o.Account)
}

func (r *recorder) recipient(to *Recipient) {
	r.address(to.Address)
	r.b = append(r.b, byte(to.Notify))
	r.text(to.Original)
}

func (r *recorder) rcpt(to *ItemRcpt) {
	r.recipient(&to.Recipient)
	r.status(to.Last)
	r.text(to.Host)
	r.text(string(to.Fault))
	r.text(to.Reason)
	r.time(to.At)
}

func (r *recorder) try(t *Try) {
	r.time(t.At)
	r.int(int64(t.Took))
	r.int(int64(t.Number))
	r.int(int64(t.To))
	r.text(t.Host)
	r.text(t.Remote)
	r.text(t.TLS)
	r.status(t.Status)
	r.text(string(t.Fault))
	r.text(t.Reason)
}

// UnmarshalBinary reads a record of AppendBinary. The item's texts share one copy
// of it.
func (i *Item) UnmarshalBinary(record []byte) error {
	if len(record) == 0 || record[0] != itemRecord {
		return errItemRecord
	}
	r := reader{rest: string(record[1:])}
	*i = Item{ID: r.id(), Body: r.id()}
	r.bits(&i.Hold, &i.Warned, &i.Report)
	i.Size = r.int()
	i.Attempts, i.Parts = r.small(), r.small()
	i.Due, i.Expires = r.time(), r.time()
	r.hop(&i.Hop)
	r.envelope(&i.Envelope)
	if prefix := r.text(); prefix != "" {
		i.Prefix = []byte(prefix)
	}
	i.Why, i.Junk = r.text(), r.text()
	i.To = list(&r, r.rcpt)
	i.Tries = list(&r, r.try)
	i.Fates = list(&r, func(f *Fate) {
		f.Kind = Notify(r.octet())
		r.bits(&f.Expanded, &f.Untimed)
		r.rcpt(&f.ItemRcpt)
	})
	if r.bad || r.rest != "" {
		return fmt.Errorf("%w: %d octets", errItemRecord, len(record))
	}
	return nil
}

// reader takes fields from a record; after a short read everything is zero.
type reader struct {
	rest string
	bad  bool
}

func (r *reader) take(n uint64) string {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad, r.rest = true, ""
		return ""
	}
	got := r.rest[:n]
	r.rest = r.rest[n:]
	return got
}

// list reads as many things as it says there are, none of which is empty.
func list[T any](r *reader, read func(*T)) []T {
	n := r.int()
	if n <= 0 || n > int64(len(r.rest)) {
		r.bad = r.bad || n != 0
		return nil
	}
	all := make([]T, 0, min(n, 1<<10))
	for ; n > 0 && !r.bad; n-- {
		var one T
		read(&one)
		all = append(all, one)
	}
	return all
}

func (r *reader) octet() byte {
	if r.rest == "" {
		r.bad = true
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *reader) bits(set ...*bool) {
	bits := r.octet()
	for k := range set {
		*set[k] = bits>>k&1 != 0
	}
	r.bad = r.bad || bits>>len(set) != 0
}

func (r *reader) id() (id ID) {
	copy(id[:], r.take(uint64(len(id))))
	return id
}

func (r *reader) uint() (n uint64) {
	for shift := 0; shift < 64; shift += 7 {
		c := r.octet()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) int() int64 {
	n := r.uint()
	return int64(n>>1) ^ -int64(n&1)
}

// small is a number that fits everywhere.
func (r *reader) small() int {
	n := r.int()
	if n < math.MinInt32 || n > math.MaxInt32 {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return r.take(r.uint()) }

func (r *reader) time() time.Time {
	kind := r.octet()
	if kind == noTime {
		return time.Time{}
	}
	t := time.Unix(r.int(), r.int())
	switch {
	case t.IsZero(): // that is noTime
	case kind == localTime:
		return t
	case kind == utcTime:
		return t.UTC()
	}
	r.bad = true
	return time.Time{}
}

func (r *reader) address() Address { return Address{r.text(), Domain{r.text()}} }

func (r *reader) status() Status {
	s := Status{Code: r.small()}
	for k := range s.Enhanced {
		s.Enhanced[k] = uint16(r.small())
	}
	s.Text = r.text()
	return s
}

func (r *reader) port() (a netip.AddrPort) {
	if a.UnmarshalBinary([]byte(r.text())) != nil {
		r.bad = true
	}
	return a
}

func (r *reader) hop(h *Hop) {
	h.Kind, h.Host, h.Port = HopKind(r.text()), r.text(), uint16(r.small())
	r.bits(&h.Exact)
	h.Login, h.Args, h.Source = r.text(), r.text(), r.text()
}

func (r *reader) envelope(e *Envelope) {
	e.ID, e.From = r.id(), r.address()
	r.bits(&e.UTF8, &e.RequireTLS, &e.TLSOptional, &e.By.Return, &e.By.Trace)
	e.Kind, e.Ret, e.EnvelopeID = BodyKind(r.text()), r.text(), r.text()
	e.Size, e.Priority = r.int(), int8(r.small())
	e.Release, e.By.At, e.Received = r.time(), r.time(), r.time()
	e.To = list(r, r.recipient)
	o := &e.Origin
	o.Conn, o.Service, o.Protocol = r.id(), r.text(), r.text()
	o.Remote, o.Local = r.port(), r.port()
	o.Name, o.Helo, o.TLS, o.Account = r.text(), r.text(), r.text(), r.text()
}

func (r *reader) recipient(to *Recipient) {
	to.Address, to.Notify, to.Original = r.address(), Notify(r.octet()), r.text()
}

func (r *reader) rcpt(to *ItemRcpt) {
	r.recipient(&to.Recipient)
	to.Last, to.Host, to.Fault, to.Reason, to.At = r.status(), r.text(), Fault(r.text()), r.text(), r.time()
}

func (r *reader) try(t *Try) {
	t.At, t.Took, t.Number, t.To = r.time(), time.Duration(r.int()), r.small(), r.small()
	t.Host, t.Remote, t.TLS = r.text(), r.text(), r.text()
	t.Status, t.Fault, t.Reason = r.status(), Fault(r.text()), r.text()
}
