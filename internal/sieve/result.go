package sieve

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

// Input is a message with what a script may ask about it.
type Input struct {
	Message *message.Message
	Body    io.ReaderAt // the octets of Message
	Now     time.Time

	From        string            // the reverse-path, "" for the null one
	To          string            // the address that it was delivered by
	Envelope    map[string]string // of envelope-dsn and envelope-deliverby, by the name of the part; "auth"
	Separator   string            // between user and detail, "+" by default
	Addresses   []string          // of the owner, in any case To
	Remote      netip.Addr
	Environment map[string]string // what environment gives, RFC 5183

	Flags       []string // of a message that is in a mailbox already
	Spam, Virus *Score   // nil if it was not tested
	Mailboxes   Mailboxes
	Lists       Lists
	// Seen says that a key is remembered: of duplicate and vacation.
	Seen func(key string) bool
	// Execute runs a program of the site; nil has none.
	Execute func(kind, program string, args []string, input []byte) (output []byte, ok bool, err error)
	// Pause is called again and again while the script takes long; an error ends it.
	// Nil for nothing.
	Pause func() error
	// Trace is told what happens, line by line; nil for nobody.
	Trace func(line int, text string)
}

// Score is the result of spamtest or virustest: how bad, from 0 to 100.
type Score struct{ Percent int }

// Mailboxes answers questions about the owner's mailboxes.
type Mailboxes interface {
	Exists(name string) bool
	ByID(id string) (name string, ok bool)
	BySpecialUse(use string) (name string, ok bool)
	HasSpecialUse(name, use string) bool
	// Metadata gives an annotation of a mailbox, of the server if mailbox is "".
	Metadata(mailbox, annotation string) (value string, ok bool)
}

// Lists are lists of the site or the user, RFC 6134.
type Lists interface {
	Known(list string) bool
	Contains(list, value string) (bool, error)
}

// Result says what to do with the message.
type Result struct {
	Keep      bool     // file it as it would be without a script
	KeepFlags []string // with these flags
	Actions   []Action // in order
	Edits     []Edit   // how the message is changed before that, in order
	Remember  []Memory // what to remember if the actions are carried out

	explicitKeep bool
}

// Memory is a key to remember for a time.
type Memory struct {
	Key string
	For time.Duration
}

// Edit replaces the octets [From, To) of the message as it came.
type Edit struct {
	From, To int64
	Text     []byte
}

// Apply gives a message as edits change it. One within another is passed over.
func Apply(body io.ReaderAt, size int64, edits []Edit) ([]byte, error) {
	edits = slices.Clone(edits)
	slices.SortStableFunc(edits, func(a, b Edit) int { return cmp.Compare(a.From, b.From) })
	var out []byte
	at := int64(0)
	keep := func(to int64) error {
		n := len(out)
		out = append(out, make([]byte, to-at)...)
		if _, err := body.ReadAt(out[n:], at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the message: %w", err)
		}
		return nil
	}
	for _, e := range edits {
		if e.From < at {
			continue
		}
		if err := keep(e.From); err != nil {
			return nil, err
		}
		out, at = append(out, e.Text...), e.To
	}
	if err := keep(size); err != nil {
		return nil, err
	}
	return out, nil
}

// Action is a *FileInto, *Redirect, *Reject, *Vacation, *Notify or *Pipe.
type Action interface{ action() }

// FileInto puts the message into a mailbox.
type FileInto struct {
	At         Pos
	Mailbox    string
	MailboxID  string // taken if there is one, RFC 9042
	SpecialUse string // likewise, RFC 8579
	Create     bool
	Flags      []string
}

// Redirect sends the message on.
type Redirect struct {
	At     Pos
	To     string // an address, or a list if List
	List   bool
	Notify string // of redirect-dsn, as NOTIFY has it
	Ret    string
	// By is the time of redirect-deliverby; zero for none.
	By      time.Time
	ByMode  string // "notify" or "return"
	ByTrace bool
}

// Reject refuses the message.
type Reject struct {
	At        Pos
	Reason    string
	InSession bool // ereject: rather in the SMTP session than by a report
}

// Copy says where a copy of what a script sends is filed, RFC 8580.
type Copy struct{ FileInto }

// Vacation answers the sender.
type Vacation struct {
	At      Pos
	To      string
	From    string // "" for To of the Input
	Subject string // "" for one made of the message's
	Reason  string
	MIME    bool // Reason is a MIME entity
	Key     string
	For     time.Duration
	Copy    *Copy
}

// Notify tells somebody of the message by mail, RFC 5436.
type Notify struct {
	At          Pos
	To, Cc, Bcc []string
	From        string
	Importance  string // "1", "2" or "3"
	Message     string
	Subject     string
	Body        string // of the URI
	Header      []message.Field
	Copy        *Copy
}

// Pipe gives the message to a program of the site.
type Pipe struct {
	At      Pos
	Program string
	Args    []string
	Try     bool // go on if it cannot be run
}

func (*FileInto) action() {}
func (*Redirect) action() {}
func (*Reject) action()   {}
func (*Vacation) action() {}
func (*Notify) action()   {}
func (*Pipe) action()     {}

// address reads an address as a script writes it: with a name or without.
func address(text string) (mail.Address, bool) {
	list := message.ParseAddressList(text)
	if len(list) != 1 || list[0].Group || list[0].Host == "" {
		return mail.Address{}, false
	}
	a, err := mail.ParseAddress(list[0].Address())
	return a, err == nil
}
