package files

import (
	"context"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Format serves mail in files of one kind.
type Format interface {
	// Open opens what is at a place. ErrNoPlace if there is nothing and it is
	// not to be made.
	Open(ctx context.Context, at Place) (Tree, error)
}

// Tree is the mailboxes of one account in a format. Names are as the store has
// them: UTF-8, "/" between levels, INBOX in capitals. One method is called at a
// time, but for Box.
type Tree interface {
	// List says what there is; the same pointer as before if nothing changed.
	List(ctx context.Context) (*Listing, error)
	// Create makes a mailbox, which may be there; engine.ErrBadName if the format
	// cannot have it.
	Create(ctx context.Context, name string) error
	// Rename renames a mailbox. Those below it may go along: if from is not there
	// and to is, all is done.
	Rename(ctx context.Context, from, to string) error
	// Remove removes a mailbox with its messages, and not those below it; one that
	// is not there is no error.
	Remove(ctx context.Context, name string) error
	// Subscribe says which names are subscribed from now on.
	Subscribe(ctx context.Context, names []string) error
	// Box gives access to a mailbox, whether it is there or not.
	Box(name string) (Box, error)
	// Watch calls changed, soon, when which mailboxes there are or are subscribed
	// may have changed; an error says that it cannot.
	Watch(changed func()) (stop func(), err error)
}

// Listing is what there is in a Tree.
type Listing struct {
	Mailboxes  []string // that can be selected
	Subscribed []string // mailboxes or not
}

// Header is what a format keeps of a mailbox; zero is what it does not know.
type Header struct {
	UIDValidity uint32
	UIDNext     engine.UID
}

// Box is the messages of one mailbox in a format. Each has a key of 64 bits: it
// is the message's as long as its octets are in the mailbox, whatever happens to
// its flags, and no other's ever. Open may be called at any time, of the others
// one at a time.
type Box interface {
	// Hold keeps other programs from giving UIDs until release.
	Hold(ctx context.Context) (release func(), err error)
	// Header reads what the files say now.
	Header(ctx context.Context) (Header, error)
	// Scan says what there is; nil if nothing can have changed since the Scan
	// before and it is not asked for again, because the index does not agree with
	// that one. index knows the UIDs of the messages that the index has, for formats
	// whose files may have lost them. What it gives is not to be changed.
	Scan(ctx context.Context, index Index, again bool) (*Scan, error)
	// Describe reads what the index must have of new messages, for each in order,
	// or of none.
	Describe(ctx context.Context, keys []uint64) ([]Description, error)
	// Open reads a message, with CRLF line ends; engine.ErrNotFound.
	Open(ctx context.Context, key uint64) (mail.Body, error)
	// Carry carries a change out, durably, and sets the Key of what is added. After
	// an error all is as it was, as far as that can be.
	Carry(ctx context.Context, c *Change) (Carried, error)
	// Number notes UIDs that the index has given to messages found, and what the
	// header is to say. It is called while Hold lasts.
	Number(ctx context.Context, h Header, uids []Numbered) error
	// Watch calls changed, soon, when another program has changed something; an
	// error says that it cannot.
	Watch(changed func()) (stop func(), err error)
}

// Index is the keys of a mailbox's index with their UIDs.
type Index interface {
	UID(key uint64) (engine.UID, bool)
}

// Scan is what is in a mailbox.
type Scan struct {
	Header
	// Keywords that the format can keep here: number n is bit 8+n of the flags of
	// Messages; "" is none. Others stay as the index has them.
	Keywords []string
	Messages []Seen // those without UID in the order in which they came
	// Part says that Messages are only those that may have changed since the index
	// agreed with a Scan; Gone went since.
	Part bool
	Gone []uint64
}

// Seen is a message that is there.
type Seen struct {
	Key   uint64
	UID   engine.UID // 0 if none is known
	Flags engine.Flags
}

// Description is what the index has of a message.
type Description struct {
	Size     int64 // with CRLF line ends
	Internal time.Time
	Gone     bool // it is there no more
}

// Numbered is the UID of a message.
type Numbered struct {
	Key uint64
	UID engine.UID
}

// Change is what is to be done in one mailbox. The numbers of keywords are those
// of the record.
type Change struct {
	Record  *engine.Mailbox // as it is afterwards
	Add     []Added         // by rising UID
	Flag    []Flagged
	Expunge []Numbered // what is not there is no error
	// ShownTo says that sessions were told of the messages below it as \Recent;
	// 0 if that is as it was.
	ShownTo engine.UID
}

// Added is a new message.
type Added struct {
	ID       mail.ID // names it, for ever
	UID      engine.UID
	Flags    engine.Flags
	Internal time.Time
	Size     int64  // of prefix and body together, with CRLF line ends
	Prefix   []byte // before the body
	Open     func() (mail.Body, error)
	// From is where the message is already, in the same format and account; nil if
	// it is not. With Move it is expunged there next.
	From    Box
	FromKey uint64
	Move    bool

	Key uint64 // set by Carry
}

// Flagged is a message with other flags.
type Flagged struct {
	Key           uint64
	UID           engine.UID
	Before, After engine.Flags
}

// Carried is a change that was carried out: one of both is called, when it is
// known whether the index follows. They may be nil.
type Carried struct {
	Undo func()
	Done func()
}
