package store

import (
	"errors"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// UID is an IMAP unique identifier, RFC 9051 section 2.3.1.1.
type UID = engine.UID

// ModSeq is a modification sequence, RFC 7162.
type ModSeq = engine.ModSeq

// Entry is a message in a mailbox's index. Its flags are bits: the system flags
// below, and above them keyword n of Snapshot.Keywords as KeywordBit(n).
type Entry = engine.Entry

// MaxModSeq is the UNCHANGEDSINCE that every message passes.
const MaxModSeq ModSeq = 1<<63 - 1

// The system flags, RFC 9051 section 2.3.2.
const (
	Seen engine.Flags = 1 << iota
	Answered
	Flagged
	Deleted
	DraftFlag // \Draft; the type Draft is a message on its way in

	SystemFlags = Seen | Answered | Flagged | Deleted | DraftFlag
)

// keywordShift is where keywords begin in engine.Flags.
const keywordShift = 8

// MaxKeywords is how many keywords a mailbox can have at a time.
const MaxKeywords = 64 - keywordShift

// KeywordBit is the flag bit of keyword n of a mailbox.
func KeywordBit(n int) engine.Flags { return 1 << (keywordShift + n) }

// Flags are flags by name, as protocols speak of them: system flags as bits,
// keywords as text. Keywords are compared without regard to case, RFC 9051
// section 2.3.2, and keep the case they were first seen in.
type Flags struct {
	System   engine.Flags
	Keywords []string
}

// FlagOp says what SetFlags does with the flags it is given.
type FlagOp int

// The three forms of STORE, RFC 9051 section 6.4.6.
const (
	FlagsSet FlagOp = iota
	FlagsAdd
	FlagsRemove
)

// Incoming is one message to put into a mailbox: a Draft, or a body that the
// engine has already.
type Incoming struct {
	Draft    *Draft
	Body     mail.ID // if there is no Draft
	Prefix   []byte  // header lines put before the body, each with its CRLF
	Flags    Flags
	Internal time.Time // INTERNALDATE, RFC 9051 section 2.3.3; zero is now
	UID      UID       // that it has elsewhere, if its mailbox was adopted; else 0
}

// Placed says where a message came to be, as APPENDUID and COPYUID tell it.
type Placed struct {
	Mailbox     string
	UIDValidity uint32
	UID         UID
}

// Info is what is known of a mailbox without its index: LIST and STATUS.
type Info struct {
	Name        string
	SpecialUse  string // "\\Sent" and so on, RFC 6154; "" for none
	Subscribed  bool
	NoSelect    bool // there is no mailbox of this name, only children of it
	NonExistent bool // NoSelect and no children either: only a subscription is left
	HasChildren bool
	ACL         ACL
	ObjectID    string // the mailbox's own under any name, RFC 8474; "" for none

	Messages      uint32
	Unseen        uint32
	Deleted       uint32
	UIDNext       UID
	UIDValidity   uint32
	HighestModSeq ModSeq
	Bytes         int64
}

// Errors of the store; test with errors.Is. Errors of the engine (ErrFull,
// ErrFailed, ErrDamaged, ErrNotFound) come through wrapped.
var (
	ErrNoAccount       = errors.New("no such account")
	ErrNoMailbox       = errors.New("no such mailbox")
	ErrNoSelect        = errors.New("the name has mailboxes below it but is none itself")
	ErrExists          = errors.New("a mailbox of that name exists")
	ErrBadName         = engine.ErrBadName
	ErrHasChildren     = errors.New("the mailbox has others below it")
	ErrInbox           = errors.New("INBOX cannot be deleted")
	ErrSpecialUse      = errors.New("the special use is unknown or has a mailbox already")
	ErrLimit           = errors.New("the account has too many mailboxes")
	ErrTooManyKeywords = errors.New("the mailbox has too many keywords")
	ErrBadKeyword      = errors.New("not a keyword")
	ErrMoved           = errors.New("the account's mail was put elsewhere meanwhile, open it again") // see Store.Convert
	ErrGone            = errors.New("the mailbox was removed meanwhile")
)
