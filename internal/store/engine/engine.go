// Package engine says what a store keeps its records and bodies in. It speaks
// of mail, not of keys, so that an engine may as well be SQL. The embedded one
// is below it; enginetest holds the suite that each engine passes.
//
// An engine keeps no mailbox semantics: it stores what it is given, atomically
// and durably, and gives it back in order. Allocation of UIDs and MODSEQs,
// snapshots and notices are the store's.
package engine

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"plic/internal/mail"
)

// AccountID numbers an account for ever; it is never given twice.
type AccountID uint64

// MailboxID numbers a mailbox within its account for ever.
type MailboxID uint32

// UID is an IMAP unique identifier, RFC 9051 section 2.3.1.1.
type UID uint32

// ModSeq is a modification sequence, RFC 7162; it never falls in a mailbox.
type ModSeq uint64

// Flags are the flags of a message: system flags in the low bits, keywords
// above them as the mailbox numbers them.
type Flags uint64

// Errors of engines; test with errors.Is.
var (
	ErrNotFound = errors.New("no such record")
	ErrDamaged  = errors.New("damaged record") // set aside, its bytes kept
	ErrFull     = errors.New("no space left for mail")
	ErrLocked   = errors.New("another program has locked the mailbox") // for too long
	ErrFailed   = errors.New("the store has stopped after a write error")
	ErrClosed   = errors.New("the store is closed")
	ErrBadName  = errors.New("not a mailbox name")
)

// Account is an account's record.
type Account struct {
	ID              AccountID
	Name            string
	NextMailbox     MailboxID
	NextUIDValidity uint32 // a counter, never the clock
	Created         time.Time
}

// Mailbox is a mailbox's record: what must be known of it without its index.
type Mailbox struct {
	ID            MailboxID
	Name          string // UTF-8, "/" between levels
	UIDValidity   uint32
	UIDNext       UID
	HighestModSeq ModSeq
	RecentFrom    UID // messages from here on are \Recent to the next session
	SpecialUse    string
	Subscribed    bool
	NoSelect      bool     // a deleted mailbox that still has children
	Keywords      []string // keyword n is bit n above the system flags
	Created       time.Time

	Messages uint32 // counters that STATUS answers from
	Unseen   uint32
	Deleted  uint32
	Bytes    int64

	// What is known of messages that went: all of them since a MODSEQ, and
	// about how many that are.
	ExpungedSince ModSeq
	ExpungedCount uint32
}

// Entry is a message in a mailbox's index: small and fixed in size.
type Entry struct {
	UID      UID
	ModSeq   ModSeq
	Flags    Flags
	Size     int64 // octets of prefix and body together: RFC822.SIZE
	Internal Date  // INTERNALDATE
	Saved    int64 // when it came into this mailbox, seconds since 1970
	Body     mail.ID
}

// Detail is what belongs to a message but is not needed to list it: the header
// lines put before its body, and its summary as the store encodes it.
type Detail struct {
	Prefix  []byte
	Summary []byte
}

// Clone is the detail with octets of its own.
func (d Detail) Clone() Detail {
	return Detail{Prefix: bytes.Clone(d.Prefix), Summary: bytes.Clone(d.Summary)}
}

// Message is a new message of a batch.
type Message struct {
	Entry
	Detail
}

// Note is a small record that means nothing to the engine: what a part of plic
// keeps of a mailbox, of an account (Mailbox 0) or of the site (Account 0 too).
// It goes with its mailbox or account.
type Note struct {
	Account AccountID
	Mailbox MailboxID
	Key     string
	Value   []byte
	All     bool // in a batch, without Value: all go whose keys begin with Key
}

// MailboxChange is all that a batch does to one mailbox.
type MailboxChange struct {
	Account    AccountID
	Record     Mailbox // as it is afterwards; Record.ID names it
	Add        []Message
	Update     []Entry   // existing messages with new flags and MODSEQ, not those of Expunge
	Expunge    []UID     // remembered with ExpungedAt
	Gone       []mail.ID // the bodies of Expunge, or nil: then they are looked up
	ExpungedAt ModSeq
	Unlearn    ModSeq // what is remembered up to it is forgotten, also of Expunge
	Remove     bool   // the mailbox goes, with all its messages
	Found      bool   // so the files are already: see Files
	// Details are those that messages get which are there already, and not of
	// Expunge: by rising UID, in place of those that they had.
	Details []Detailed
	// Moved says that the messages of Add are there already, and now have other
	// bodies. Those without prefix and summary keep their details.
	Moved bool
}

// Batch is a set of changes that happen together or not at all.
type Batch struct {
	Accounts  []Account       // new or changed
	Mailboxes []MailboxChange // at most one for each mailbox
	PutNotes  []Note          // new or changed, in their order; without Value they go
	PutItems  []mail.Item     // queue items, new or changed
	DropItems []mail.ID
	Bodies    []BodyWriter // finished bodies that this batch gives a first owner
	Forget    []AccountID  // accounts that go with everything in them
}

// Ticket is an applied batch on its way to stable storage. Batches reach it in
// the order of Apply: when one is there, all before it are.
type Ticket interface {
	// Wait returns when the batch is on stable storage, or says that it may
	// never be; then the engine has stopped and takes no more batches.
	Wait() error
}

// BodyWriter takes a body as it comes in. Small ones stay in memory, large ones
// go to a file that is synced as it fills.
type BodyWriter interface {
	io.Writer
	ID() mail.ID
	Size() int64
	// Body reads what was written so far, until the next Write or Discard. Its
	// Close does nothing. A body that a batch has taken is better opened by
	// OpenBody.
	Body() mail.Body
	// Finish says that all is written: what can be done before Apply is done
	// now. It need not be called.
	Finish()
	// Discard frees a body that no applied batch has taken; after that, or
	// after Apply, it does nothing. It may be called more than once.
	Discard()
}

// Engine keeps the records and bodies of one site. Its methods may be called
// at the same time; order of changes to one account is the caller's business.
//
// A sequence shows the state at its start. It leaves damaged records out: the
// engine sets each aside with its octets kept and reports it; an error ends the
// sequence. What is asked for by name (an account, a note, an item, a body) is
// ErrDamaged.
type Engine interface {
	Records
	Index
	Queue
	Bodies
	// Apply makes the changes visible to the methods above and starts them on
	// their way to stable storage. ErrFull, ErrFailed: nothing was changed.
	// A body's owners are the messages and items that name it; one without
	// owners is reclaimed some time after the last of them went. It may give the
	// messages of Add other bodies, in place, which hold what prefix and body held.
	Apply(b *Batch) (Ticket, error)
	// Close ends background work and closes the files.
	Close() error
}

// Records are the accounts and what is known of them.
type Records interface {
	// Accounts lists every account.
	Accounts(ctx context.Context) iter.Seq2[Account, error]
	// Account finds an account by name, with all its mailboxes; ErrNotFound.
	Account(ctx context.Context, name string) (Account, []Mailbox, error)
	// Notes gives the notes whose keys begin with a prefix, by rising key.
	Notes(ctx context.Context, a AccountID, m MailboxID, prefix string) iter.Seq2[Note, error]
	// Note finds the value of one note; ErrNotFound.
	Note(ctx context.Context, a AccountID, m MailboxID, key string) ([]byte, error)
}

// Index is the messages of mailboxes.
type Index interface {
	// Entries gives a mailbox's index by rising UID, starting at from.
	Entries(ctx context.Context, a AccountID, m MailboxID, from UID) iter.Seq2[Entry, error]
	// Marks gives of the entries only UID, MODSEQ and flags for sure, which may
	// be quicker: by rising UID, some at a time, in lists that hold until the
	// next.
	Marks(ctx context.Context, a AccountID, m MailboxID) iter.Seq2[[]Entry, error]
	// Details gives the details of the messages asked for, which rise; those
	// that do not exist are left out. Their octets hold until the next, and are
	// not to be changed.
	Details(ctx context.Context, a AccountID, m MailboxID, uids []UID) iter.Seq2[Detailed, error]
	// Expunged gives the UIDs expunged after a MODSEQ, by rising MODSEQ.
	Expunged(ctx context.Context, a AccountID, m MailboxID, since ModSeq) iter.Seq2[Expunged, error]
}

// Queue is the queue's items.
type Queue interface {
	// Items gives every queue item by rising ID.
	Items(ctx context.Context) iter.Seq2[mail.Item, error]
	// Item finds one queue item; ErrNotFound.
	Item(ctx context.Context, id mail.ID) (mail.Item, error)
}

// Bodies are the octets of messages.
type Bodies interface {
	// NewBody starts a body.
	NewBody(ctx context.Context) (BodyWriter, error)
	// OpenBody reads a body that an applied batch has taken, by checked blocks;
	// ErrNotFound.
	OpenBody(ctx context.Context, id mail.ID) (mail.Body, error)
	// OpenBodies opens bodies one after the other, as OpenBody does, and may need
	// less time: for each ID, in their order, a body, or why there is none.
	OpenBodies(ctx context.Context, ids []mail.ID) iter.Seq2[mail.Body, error]
	// Room says whether mail of the size can be taken now; ErrFull, ErrFailed.
	Room(size int64) error
}

// Detailed is a detail with its UID.
type Detailed struct {
	UID UID
	Detail
}

// Expunged is one message that went.
type Expunged struct {
	UID    UID
	ModSeq ModSeq
}
