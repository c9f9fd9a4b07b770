package engine

import (
	"context"
	"encoding/binary"

	"plic/internal/mail"
)

// Files is what an engine has besides if it keeps the mail of some accounts in
// files that other programs use too, as Maildir and mbox are. Bodies, flags and
// which messages there are is then as the files say; UIDs, MODSEQs, summaries
// and notes are the engine's records as ever, and follow. The store asks what
// differs, and makes it a change of its own, marked as Found.
type Files interface {
	// Kept says that an account is so kept; it was asked for, or made, before.
	Kept(a AccountID) bool
	// Hold keeps other programs from giving UIDs in a mailbox until release. It
	// says whether they have given some that the index does not know: then Look
	// comes first.
	Hold(ctx context.Context, a AccountID, m MailboxID) (release func(), stale bool, err error)
	// Look compares the files of a mailbox with its record and index, and gives
	// at most so many new messages; nil if nothing differs.
	Look(ctx context.Context, a AccountID, rec *Mailbox, most int) (*Difference, error)
	// LookTree says which mailboxes came and went, and what is subscribed; nil if
	// nothing differs.
	LookTree(ctx context.Context, a AccountID) (*TreeDifference, error)
	// Notify is told of the accounts and mailboxes whose files have changed, in
	// no goroutine of the caller's; mailbox 0 stands for which mailboxes there
	// are. Only those are told of that Look or LookTree, or Attend, has seen.
	Notify(changed func(account string, m MailboxID))
	// Attend begins to tell of a mailbox, or with 0 of an account.
	Attend(ctx context.Context, a AccountID, m MailboxID)
}

// Difference is how the files of a mailbox differ from its index.
type Difference struct {
	UIDValidity uint32 // if it is another: the mailbox begins anew; else 0
	UIDNext     UID    // at least; 0 if nothing is known
	Add         []FoundMessage
	Update      []FoundFlags // by rising UID
	Gone        []UID        // rising
	More        bool         // there are more new messages
}

// FoundMessage is a message in the files that the index does not have.
type FoundMessage struct {
	UID      UID // given already, 0 if not; those that are rise and come first
	System   Flags
	Keywords []string
	Size     int64
	Internal Date
	Body     mail.ID // to be opened by OpenBody
}

// FoundFlags are the flags that files give a message now.
type FoundFlags struct {
	UID      UID
	System   Flags
	Keywords []string
}

// TreeDifference is how the folders of an account differ from its mailboxes.
type TreeDifference struct {
	New         []FoundMailbox // by name, so that each comes before those below it
	Renew       []FoundMailbox // that begin anew, with another UIDVALIDITY
	Gone        []string
	Subscribe   []string
	Unsubscribe []string
}

// FoundMailbox is a folder that is no mailbox yet, or another than before.
type FoundMailbox struct {
	Name        string
	UIDValidity uint32 // 0 if none was given
}

// elsewhere marks the IDs of bodies in files: no clock reaches that bit before
// the year 6429.
const elsewhere = 0x80

// Elsewhere says that a body is in a file of another format, and none of the
// bodies that an engine keeps by itself, counts the owners of, and reclaims.
func Elsewhere(body mail.ID) bool { return body[0]&elsewhere != 0 }

// ElsewhereID is the ID of a body in files: the number of a place, of which 63
// bits count, and the key of the message there.
func ElsewhereID(place, key uint64) (id mail.ID) {
	binary.BigEndian.PutUint64(id[:8], place)
	binary.BigEndian.PutUint64(id[8:], key)
	id[0] |= elsewhere
	return id
}

// SplitElsewhere takes such an ID apart.
func SplitElsewhere(id mail.ID) (place, key uint64) {
	return binary.BigEndian.Uint64(id[:8]) | elsewhere<<56, binary.BigEndian.Uint64(id[8:])
}
