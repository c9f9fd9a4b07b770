package mail

import (
	"io"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Body is the immutable content of a message as it was received: header and
// body with CRLF line ends, without what we prepend.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// InMemory is a Body that is whole in memory. Its octets are not to be changed.
type InMemory interface {
	Body
	Bytes() []byte
}

// Notify is the NOTIFY parameter of RFC 3461 section 4.1; zero means that none
// was given, which is as FAILURE and DELAY.
type Notify uint8

// What a sender may want to be told of.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// Wants says whether a report of the kind is wanted, RFC 3461 section 4.1.
func (n Notify) Wants(kind Notify) bool {
	if n == 0 {
		return kind&(NotifyFailure|NotifyDelay) != 0
	}
	return n&kind != 0
}

type notifyWord struct {
	word string
	kind Notify
}

func notifyWords() []notifyWord {
	return []notifyWord{{"NEVER", NotifyNever}, {"SUCCESS", NotifySuccess}, {"FAILURE", NotifyFailure}, {"DELAY", NotifyDelay}}
}

// NotifyWord is what a word of NOTIFY stands for, in any case; zero for no such word.
func NotifyWord(word string) Notify {
	for _, w := range notifyWords() {
		if strings.EqualFold(w.word, word) {
			return w.kind
		}
	}
	return 0
}

// Words are those of NOTIFY, with commas between; "" for none.
func (n Notify) Words() string {
	var words []string
	for _, w := range notifyWords() {
		if n&w.kind != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ",")
}

// Recipient is one forward-path with its DSN parameters.
type Recipient struct {
	Address  Address `json:"address"`
	Notify   Notify  `json:"notify,omitempty"`
	Original string  `json:"original,omitempty"` // ORCPT decoded: "rfc822;bob@example.org"
}

// BodyKind is the BODY parameter of MAIL, RFC 6152 and 3030.
type BodyKind string

// The kinds of body; "" is as 7BIT.
const (
	Body7Bit   BodyKind = "7BIT"
	Body8Bit   BodyKind = "8BITMIME"
	BodyBinary BodyKind = "BINARYMIME"
)

// Envelope is what one transaction hands over beside the message.
type Envelope struct {
	ID         ID          `json:"id"` // the message's identity
	From       Address     `json:"from"`
	To         []Recipient `json:"to"`
	Kind       BodyKind    `json:"kind,omitempty"`
	UTF8       bool        `json:"utf8,omitempty"` // SMTPUTF8 was given
	Ret        string      `json:"ret,omitempty"`  // RET: "FULL", "HDRS" or ""
	EnvelopeID string      `json:"envid,omitempty"`
	Size       int64       `json:"size,omitempty"` // SIZE declared, 0 for none
	// RequireTLS says that the message may only go over TLS that proves who the
	// host is, and to hosts that keep to it; TLSOptional that it shall arrive
	// even where that cannot be had. RFC 8689.
	RequireTLS  bool `json:"requiretls,omitempty"`
	TLSOptional bool `json:"tlsoptional,omitempty"`

	Priority int8      `json:"priority,omitempty"` // MT-PRIORITY, RFC 6710: -9 to 9
	Release  time.Time `json:"release,omitzero"`   // not to go on before, RFC 4865
	By       DeliverBy `json:"by,omitzero"`        // RFC 2852

	Received time.Time `json:"received"`
	Origin   Origin    `json:"origin"`
}

// DeliverBy is the time by which a sender wants a message delivered, RFC 2852.
// The zero value is none.
type DeliverBy struct {
	At     time.Time `json:"at"`
	Return bool      `json:"return,omitempty"` // after it the message goes back; else a delay is reported
	Trace  bool      `json:"trace,omitempty"`  // each relay reports
}

// Origin says who handed a message over, and how.
type Origin struct {
	Conn     ID             `json:"conn,omitzero"`
	Service  string         `json:"service,omitempty"`  // "smtp", "submission", "lmtp", "local"
	Protocol string         `json:"protocol,omitempty"` // "ESMTPSA"…, RFC 3848
	Remote   netip.AddrPort `json:"remote,omitzero"`
	Local    netip.AddrPort `json:"local,omitzero"`
	Name     string         `json:"name,omitempty"` // confirmed reverse name, "" if none
	Helo     string         `json:"helo,omitempty"`
	TLS      string         `json:"tls,omitempty"`     // "" for none, else version and cipher
	Account  string         `json:"account,omitempty"` // who authenticated, "" if nobody
}

// Stranger says that a message came from another host, which did not log in and is
// in none of the excepted networks.
func (o *Origin) Stranger(excepted []netip.Prefix) bool {
	return o.Service == "smtp" && o.Account == "" && o.Remote.Addr().IsValid() && !Within(excepted, o.Remote.Addr())
}

// Within says that an address is in one of the networks, also if it is written as
// one of IPv6 that stands for one of IPv4.
func Within(networks []netip.Prefix, addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// HopKind is a way out of the queue; each has one transport.
type HopKind string

// The kinds of hop.
const (
	HopRemote HopKind = "smtp" // to the MX of Host, or to Host itself if Exact
	HopLMTP   HopKind = "lmtp" // to Host itself, or to the socket if Host is "unix:/path"
	HopPipe   HopKind = "pipe" // to the command named Host, ForScripts before one of theirs, or written there behind "|", or to the file there
	HopPost   HopKind = "post" // back into the sorting room, see package post
)

// ForScripts stands before the name of a program that filter scripts may run, in
// the Host of a HopPipe.
const ForScripts = "sieve:"

// Hop is the next place of a recipient that is not on this host.
type Hop struct {
	Kind  HopKind `json:"kind"`
	Host  string  `json:"host"`            // A-label domain or host name, or address literal
	Port  uint16  `json:"port,omitempty"`  // 0 is the kind's own
	Exact bool    `json:"exact,omitempty"` // no MX look-up: a relay or smart host
	Login string  `json:"login,omitempty"` // name of the credentials to use there
	Args  string  `json:"args,omitempty"`  // more arguments of a command, one on a line
	// Source are the addresses of ours to reach it from, apart by spaces: one of
	// IPv4, one of IPv6, or both; "" leaves the choice to the system.
	Source string `json:"source,omitempty"`
}

// Item is one message on its way to one hop: the unit of the queue. A message
// for recipients at several hops has one item for each, over the same body.
type Item struct {
	ID       ID         `json:"id"`
	Envelope Envelope   `json:"envelope"` // without recipients: To is below
	Body     ID         `json:"body"`
	Prefix   []byte     `json:"prefix,omitempty"` // header lines that we put before the body
	Size     int64      `json:"size"`             // of prefix and body together
	Hop      Hop        `json:"hop"`
	To       []ItemRcpt `json:"to"`

	Attempts int       `json:"attempts"`
	Due      time.Time `json:"due"`
	Expires  time.Time `json:"expires"`
	Hold     bool      `json:"hold,omitempty"`
	Warned   bool      `json:"warned,omitempty"` // the delay was reported
	Report   bool      `json:"report,omitempty"` // this is a DSN
	Why      string    `json:"why,omitempty"`    // of Hold
	Junk     string    `json:"junk,omitempty"`   // why the message belongs into Junk, if it comes back to us
	Parts    int       `json:"parts,omitempty"`  // items that the message was in at first, if more than one

	Tries []Try  `json:"tries,omitempty"` // the first and the last of them
	Fates []Fate `json:"fates,omitempty"` // that are still to be reported to the sender
}

// maxTries is how many tries an item remembers.
const maxTries = 32

// Tried adds a try to what the item remembers: the first, and the last ones.
func (i *Item) Tried(t Try) {
	kept := i.Tries
	if len(kept) >= maxTries {
		kept = append(append([]Try(nil), kept[0]), kept[len(kept)-maxTries+2:]...)
	}
	i.Tries = append(kept[:len(kept):len(kept)], t)
}

// Try is one try to deliver an item, as it ended for some of its recipients.
type Try struct {
	At     time.Time     `json:"at"`
	Took   time.Duration `json:"took,omitempty"` // nanoseconds
	Number int           `json:"number"`         // of the try
	To     int           `json:"to"`             // recipients for whom it ended so
	Host   string        `json:"host,omitempty"` // who said it
	Remote string        `json:"remote,omitempty"`
	TLS    string        `json:"tls,omitempty"`
	Status Status        `json:"status"`
	Fault  Fault         `json:"fault,omitempty"`
	Reason string        `json:"reason,omitempty"` // what only we know
}

// Fate is what became of a recipient, of a kind that its sender wants to know.
type Fate struct {
	Kind Notify `json:"kind"`
	// Expanded says that the address was replaced by those behind it, RFC 3461
	// section 5.2.7.3.
	Expanded bool `json:"expanded,omitempty"`
	// Untimed says that a host took the message that keeps to no time, of which its
	// sender wants to know, RFC 2852 section 4.1.4.2.
	Untimed bool `json:"untimed,omitempty"`
	ItemRcpt
}

// ItemRcpt is a recipient of an Item and what became of it so far.
type ItemRcpt struct {
	Recipient
	Last   Status    `json:"last,omitzero"` // of the last try
	Host   string    `json:"host,omitempty"`
	Fault  Fault     `json:"fault,omitempty"`
	Reason string    `json:"reason,omitempty"` // what only we know, for the journal
	At     time.Time `json:"at,omitzero"`
}

// Wanted says whether the sender wants to know a fate: by NOTIFY, RFC 3461
// section 4.1, or because each relay is to report, or one that keeps to no time,
// RFC 2852 section 4.1.4.
func (f *Fate) Wanted(env *Envelope) bool {
	return f.Notify.Wants(f.Kind) || f.Kind == NotifySuccess && (env.By.Trace || f.Untimed) && f.Notify != NotifyNever
}
