// Package headers keeps the header fields by which mail programs list a
// mailbox, so that who asks for them again, of all its messages, opens no body.
// They are learnt from the first FETCH that reads them, some hundred messages
// in a compressed page that is a note of the mailbox (see store.Notes). What a
// page lacks is read from the message; a page that is lost is learnt again.
//
// RFC 9051 section 6.4.5.1 (BODY[HEADER.FIELDS]).
package headers

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"plic/internal/message"
	"plic/internal/store"
)

const (
	notes    = "headers/"
	perPage  = 256     // UIDs of a page
	maxKept  = 4 << 10 // octets of one message; one with more is read each time
	worth    = 32      // messages that make it worth to write a page
	maxReady = 32      // pages of one FETCH that wait to be written
)

// kept are the fields that Thunderbird, Apple's Mail, mutt, K-9, Roundcube,
// SOGo, Evolution and others list a mailbox by.
var kept = []string{
	"Autocrypt", "Bcc", "Cc", "Chat-Version", "Content-Class", "Content-Description", "Content-Language", "Content-Transfer-Encoding",
	"Content-Type", "Date", "Disposition-Notification-To", "From", "Importance", "In-Reply-To", "Lines", "List-Help", "List-Id",
	"List-Post", "List-Subscribe", "List-Unsubscribe", "List-Unsubscribe-Post", "Mail-Followup-To", "Mail-Reply-To", "Message-ID", "MIME-Version",
	"Newsgroups", "Organization", "Precedence", "Priority", "References", "Reply-To", "Return-Path", "Return-Receipt-To", "Sender", "Subject",
	"Thread-Index", "Thread-Topic", "To", "User-Agent", "X-Draft-Info", "X-Forwarded-Message-Id", "X-K9mail-Identity", "X-Label",
	"X-Mailer", "X-MSMail-Priority", "X-Original-To", "X-Priority", "X-Spam-Flag", "X-Spam-Level", "X-Spam-Status",
	"X-Universally-Unique-Identifier", "X-Uniform-Type-Identifier",
}

// Options are what a Keeper may be told.
type Options struct {
	Log *slog.Logger
}

// Keeper keeps the fields of all mailboxes. Its methods may be called at the
// same time.
type Keeper struct {
	log   *slog.Logger
	names map[string]bool // in lower case
	enc   *zstd.Encoder
	dec   *zstd.Decoder
	busy  sync.Mutex // held by who writes
}

// New makes a Keeper.
func New(o Options) (*Keeper, error) {
	k := &Keeper{log: o.Log, names: map[string]bool{}}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	for _, n := range kept {
		k.names[strings.ToLower(n)] = true
	}
	var err error
	if k.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)); err != nil {
		return nil, err
	}
	k.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(perPage*(maxKept+16)))
	return k, err
}

// Keeps says whether all the fields are among those that are kept.
func (k *Keeper) Keeps(names []string) bool {
	return !slices.ContainsFunc(names, func(n string) bool { return !k.names[strings.ToLower(n)] })
}

// Sweep is one way through a mailbox, by rising UIDs. It belongs to one
// goroutine.
type Sweep struct {
	k      *Keeper
	mb     *store.Mailbox
	snap   *store.Snapshot
	at     uint32 // the number of the page
	page   *page  // nil before the first
	ready  []store.Note
	learnt int // pages that became ready
}

// Sweep begins a way through the messages of a snapshot of a mailbox.
func (k *Keeper) Sweep(mb *store.Mailbox, snap *store.Snapshot) *Sweep {
	return &Sweep{k: k, mb: mb, snap: snap}
}

// Header gives the kept fields of a message as they stand, each with its line
// end; false if they are not kept.
func (s *Sweep) Header(ctx context.Context, uid store.UID) ([]byte, bool) {
	if s == nil {
		return nil, false
	}
	h, ok := s.turn(ctx, uid).find(uid)
	return h, ok
}

// Learn takes the header of a message of which none was kept.
func (s *Sweep) Learn(ctx context.Context, uid store.UID, header []byte) {
	if s == nil {
		return
	}
	p := s.turn(ctx, uid)
	before := len(p.text)
	for name, raw := range message.Fields(header) {
		if s.k.names[strings.ToLower(name)] {
			if p.text = append(p.text, raw...); raw[len(raw)-1] != '\n' {
				p.text = append(p.text, '\r', '\n')
			}
		}
	}
	if len(p.text)-before > maxKept {
		p.text = p.text[:before]
		return
	}
	p.learn(uid, before)
}

// Close keeps what was learnt, after the caller has gone on: it is not needed
// before the mailbox is listed again.
func (s *Sweep) Close() {
	if s == nil {
		return
	}
	s.leave()
	if s.learnt == 0 || !s.k.busy.TryLock() {
		return // somebody writes; this is learnt at the next time
	}
	go func() {
		defer s.k.busy.Unlock()
		defer func() {
			if p := recover(); p != nil {
				s.k.log.Error("headers: panic", "err", p)
			}
		}()
		s.write(context.Background())
		s.sweepUp(context.Background())
	}()
}

// turn turns to the page of a UID.
func (s *Sweep) turn(ctx context.Context, uid store.UID) *page {
	at := (uint32(uid) - 1) / perPage
	if s.page != nil && at == s.at {
		return s.page
	}
	s.leave()
	if len(s.ready) >= maxReady && s.k.busy.TryLock() {
		s.write(ctx)
		s.k.busy.Unlock()
	}
	s.at, s.page = at, &page{}
	value, err := s.mb.Notes().Get(ctx, key(at))
	if err == nil {
		err = s.page.read(s.k.dec, value)
	}
	if err != nil { // there is none, or it is damaged: learnt anew
		s.page = &page{}
	}
	s.page.old = len(s.page.rows)
	return s.page
}

// leave makes a page ready to be written, if it has learnt enough.
func (s *Sweep) leave() {
	p := s.page
	s.page = nil
	if p == nil || len(p.rows) == p.old || len(s.ready) >= maxReady {
		return
	}
	learnt := len(p.rows) - p.old
	p.keep(func(uid store.UID) bool { _, there := s.snap.Find(uid); return there })
	if learnt < worth && !s.whole(p) {
		return
	}
	if value := p.append(s.k.enc, nil); len(value) <= store.MaxNote {
		s.ready = append(s.ready, store.Note{Key: key(s.at), Value: value})
		s.learnt++
	}
}

// span is how many messages there are of a page, and whether it gets no more.
func (s *Sweep) span(at uint32) (n int, full bool) {
	from, to := uint64(at)*perPage+1, min(uint64(at+1)*perPage+1, 1<<32-1)
	return s.snap.Search(store.UID(to)) - s.snap.Search(store.UID(from)), to <= uint64(s.snap.UIDNext())
}

// whole says of a page that it has all messages that it will ever have.
func (s *Sweep) whole(p *page) bool {
	n, full := s.span(s.at)
	return full && len(p.rows) == n
}

// write puts the pages that are ready.
func (s *Sweep) write(ctx context.Context) {
	n := s.mb.Notes()
	size := 0
	for _, p := range s.ready {
		size += len(p.Value)
	}
	err := n.Room(int64(size))
	if err == nil {
		err = n.PutAll(ctx, s.ready...)
	}
	if err != nil {
		s.k.log.Warn("headers: they are not kept", "mailbox", s.mb.Name(), "err", err)
	}
	s.ready = s.ready[:0]
}

// sweepUp drops the pages whose messages are gone, and those of another version.
func (s *Sweep) sweepUp(ctx context.Context) {
	n := s.mb.Notes()
	keys, err := n.Keys(ctx, notes)
	var gone []store.Note
	for _, name := range keys {
		var at uint32
		if _, err := fmt.Sscanf(name, notes+"%08x", &at); err == nil && name == key(at) {
			if n, full := s.span(at); n > 0 || !full {
				continue
			}
		}
		gone = append(gone, store.Note{Key: name})
	}
	if err == nil && len(gone) > 0 {
		err = n.PutAll(ctx, gone...)
	}
	if err != nil {
		s.k.log.Warn("headers: those of messages that are gone stay", "mailbox", s.mb.Name(), "err", err)
	}
}

// key is that of the note of a page, with the version of what is kept.
func key(at uint32) string { return fmt.Sprintf("%s%08x.1", notes, at) }
