package control

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"plic/internal/dmarcrpt"
	"plic/internal/embargo"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/moving"
	"plic/internal/queue"
	"plic/internal/tlsrpt"
)

// Operations are the parts of a site that the command line works on.
type Operations struct {
	Directory Directory
	Queue     Queue
	Holds     Holds
	Suppress  Suppression
	Journal   Journal
	Logins    Logins
	Sessions  Sessions
	Mailboxes Mailboxes
	Quotas    Quotas
	TLS       TLS
	DMARC     DMARC
	Route     Route
	Sources   Sources
	Spam      Spam
	Index     Index
	Discovery Discovery
	DKIM      DKIM
	Storage   Storage
	Moving    moving.Site
}

// Directory is who exists. Names are as people write them; the errors say what
// is wrong with one.
type Directory interface {
	Domains(ctx context.Context) iter.Seq2[Domain, error]
	AddDomain(ctx context.Context, name string) error
	// RemoveDomain refuses a domain that still has accounts or aliases.
	RemoveDomain(ctx context.Context, name string) error
	Accounts(ctx context.Context) iter.Seq2[Account, error]
	AddAccount(ctx context.Context, name, password string) error
	SetPassword(ctx context.Context, name, password string) error
	// RemoveAccount takes the login away; with purge, its mail too.
	RemoveAccount(ctx context.Context, name string, purge bool) error
	Aliases(ctx context.Context) iter.Seq2[Alias, error]
	// AddAlias adds targets to an alias, made if it is new.
	AddAlias(ctx context.Context, a Alias) error
	// RemoveAlias takes the targets from an alias, or all of it if none is named.
	RemoveAlias(ctx context.Context, a Alias) error
}

// Queue is the mail on its way to other servers. An ID is an item's.
type Queue interface {
	List(ctx context.Context, f queue.Filter) iter.Seq2[queue.Listed, error]
	// Shapes sums the queue up, by age.
	Shapes(ctx context.Context, f queue.Filter, by queue.By) iter.Seq2[queue.Shape, error]
	// Message reads an item's message, as it would go out.
	Message(ctx context.Context, id mail.ID) (io.ReadCloser, error)
	// Change does the same with every item that a filter chooses.
	Change(ctx context.Context, c Change) (queue.Result, error)
}

// Change is what is to be done with items of the queue.
type Change struct {
	Action Action       `json:"action"`
	Filter queue.Filter `json:"filter"`
	Why    string       `json:"why,omitempty"` // of Hold
	Hop    mail.Hop     `json:"hop,omitzero"`  // of Reroute
}

// Action is a word for a Change.
type Action string

// The actions.
const (
	Retry   Action = "retry"   // now, whatever its schedule
	Hold    Action = "hold"    // keep it without trying
	Release Action = "release" // end of Hold
	Remove  Action = "remove"  // without a report to the sender
	Bounce  Action = "bounce"  // with one
	Reroute Action = "reroute" // to another host
)

// Holds are the rules by which new mail is held in the queue.
type Holds interface {
	Rules(ctx context.Context) iter.Seq2[embargo.Rule, error]
	// AddRule makes a rule, and holds what is in the queue already and fits.
	AddRule(ctx context.Context, f queue.Filter, why string) (embargo.Rule, error)
	// RemoveRule ends a rule; with release, what it fits is let go.
	RemoveRule(ctx context.Context, id mail.ID, release bool) error
}

// Suppression is the list of addresses to which nothing is sent.
type Suppression interface {
	Suppressed(ctx context.Context) iter.Seq2[embargo.Suppressed, error]
	// Suppress adds an address, for a time or, if that is 0, for ever.
	Suppress(ctx context.Context, address string, d time.Duration, why string) error
	Unsuppress(ctx context.Context, address string) error
}

// Journal is the record of what happened.
type Journal interface {
	Find(ctx context.Context, q journal.Query) iter.Seq2[journal.Event, error]
}

// TLS is what holds for TLS with other servers.
type TLS interface {
	// Policy says what the hosts of a domain must prove to get its mail, and why.
	Policy(ctx context.Context, domain string) iter.Seq2[TLSPolicy, error]
	// Forget drops what is remembered of a domain.
	Forget(ctx context.Context, domain string) error
	// Records are what the DNS should say of our own TLS.
	Records(ctx context.Context) iter.Seq2[Record, error]
	// Rotate goes over to the next key; forced, whatever the DNS says.
	Rotate(ctx context.Context, force bool) error
	// Reports are what others have told of TLS with us, of the last days.
	Reports(ctx context.Context, days int) iter.Seq2[TLSReport, error]
	// Certificate is the one that we show.
	Certificate(ctx context.Context) (Certificate, error)
}

// Certificate is the one that this host shows.
type Certificate struct {
	Names   []string  `json:"names"`
	Issuer  string    `json:"issuer"`
	Serial  string    `json:"serial"` // in hex
	Source  string    `json:"source"` // whence we have it
	From    time.Time `json:"from"`
	Until   time.Time `json:"until"`
	Renewal time.Time `json:"renewal,omitzero"` // if that is ours to do
	Why     string    `json:"why,omitempty"`    // it is renewed then
	Page    string    `json:"page,omitempty"`   // where the authority explains that
	Trouble string    `json:"trouble,omitempty"`
}

// TLSReport is a report of somebody else, as it came by mail.
type TLSReport struct {
	At     time.Time     `json:"at"`
	From   string        `json:"from"`
	Signed []string      `json:"signed,omitempty"` // domains that vouch for the mail by DKIM
	Report tlsrpt.Report `json:"report"`
}

// DMARC is what others tell of mail in our name.
type DMARC interface {
	// Reports are those that came within the last days.
	Reports(ctx context.Context, days int) iter.Seq2[DMARCReport, error]
}

// DMARCReport is a report of somebody else, as it came by mail.
type DMARCReport struct {
	At     time.Time       `json:"at"`
	From   string          `json:"from"`
	Signed []string        `json:"signed,omitempty"` // domains that vouch for the mail by DKIM
	Report dmarcrpt.Report `json:"report"`
	Lost   int64           `json:"lost,omitempty"` // messages of records that are not kept
}

// DKIM is the keys that sign for our domains.
type DKIM interface {
	// Keys are the records of a domain's keys: those that sign, then those to come.
	Keys(ctx context.Context, domain string) iter.Seq2[Record, error]
	// Prepare makes the next keys, unless they are there, and gives their records.
	Prepare(ctx context.Context, domain string) iter.Seq2[Record, error]
	// Rotate has the next keys sign; forced, whatever the DNS says.
	Rotate(ctx context.Context, domain string, force bool) error
	// Import has a key sign that others made, in PEM.
	Import(ctx context.Context, domain, selector, key string) error
}

// Record is a record for the DNS.
type Record struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	Value     string `json:"value"`
	Why       string `json:"why"`
	Published bool   `json:"published"`       // the DNS has it
	Later     bool   `json:"later,omitempty"` // it is of use only later
}

// TLSPolicy is what one host must prove.
type TLSPolicy struct {
	Domain    string   `json:"domain"`
	Host      string   `json:"host"`
	Addresses []string `json:"addresses,omitempty"`
	Policy    string   `json:"policy"`            // and why, in a few words
	Needs     string   `json:"needs"`             // "clear", "may", "encrypt", "verify", "dane"…
	Refused   string   `json:"refused,omitempty"` // the answer that mail gets
	Evidence  []string `json:"evidence,omitempty"`
}

// Route is where mail would go.
type Route interface {
	Explain(ctx context.Context, q RouteQuery) (Way, error)
}

// RouteQuery asks for the way of mail from a sender, "" for none, to a recipient.
type RouteQuery struct {
	From string `json:"from,omitempty"`
	To   string `json:"to"`
}

// Way is the way of a recipient: every question asked, and where it ends.
type Way struct {
	From         string        `json:"from"` // as it goes on
	To           string        `json:"to"`
	Steps        []RouteStep   `json:"steps"`
	Destinations []Destination `json:"destinations,omitempty"`
	Copies       []string      `json:"copies,omitempty"`  // who gets one as well
	Refused      string        `json:"refused,omitempty"` // what the sender would be told
	Reason       string        `json:"reason,omitempty"`  // what only we know of it
}

// RouteStep is one question and its answer.
type RouteStep struct {
	Address string `json:"address,omitempty"` // whose way it is
	Step    string `json:"step"`
	Table   string `json:"table,omitempty"`
	Key     string `json:"key,omitempty"`
	Found   bool   `json:"found"`
	Answer  string `json:"answer,omitempty"`
	Trouble string `json:"trouble,omitempty"`
}

// Destination is where a way ends: in an account, at a hop, or in nothing.
type Destination struct {
	Address string    `json:"address"`
	From    string    `json:"from"`
	Account string    `json:"account,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	Hop     *mail.Hop `json:"hop,omitempty"`
	Hosts   []string  `json:"hosts,omitempty"` // of the hop, in the order of trying
	Trouble string    `json:"trouble,omitempty"`
	Hold    bool      `json:"hold,omitempty"`
	Discard bool      `json:"discard,omitempty"`
	Onward  string    `json:"onward,omitempty"` // what becomes of the author of mail that is sent on
}

// Discovery is how others and mail programs find us.
type Discovery interface {
	// Records are what the DNS should say of a domain, beside those of our TLS;
	// whether it does is not asked.
	Records(ctx context.Context, domain string) iter.Seq2[Record, error]
}

// Index is the search indexes of mailboxes. An account named "" is every account.
type Index interface {
	Status(ctx context.Context, account string) iter.Seq2[IndexStatus, error]
	// Rebuild makes indexes anew and says of each when it is done.
	Rebuild(ctx context.Context, account string) iter.Seq2[IndexStatus, error]
}

// IndexStatus is how far the search index of a mailbox is.
type IndexStatus struct {
	Account  string `json:"account"`
	Mailbox  string `json:"mailbox"`
	Messages uint32 `json:"messages"`
	Indexed  int    `json:"indexed"`
	Segments int    `json:"segments"`
	Words    int    `json:"words"`
	Bytes    int64  `json:"bytes"`
	Mail     int64  `json:"mail"` // octets of the messages
}

// Domain is a mail domain of ours.
type Domain struct {
	Name string `json:"domain"`
}

// Account is somebody with a mailbox.
type Account struct {
	Name     string `json:"account"`
	Disabled bool   `json:"disabled,omitempty"`
}

// Alias is an address whose mail goes to others. "@domain" is a catch-all.
type Alias struct {
	Address string   `json:"alias"`
	Targets []string `json:"targets,omitempty"`
}

// ErrNotFound says that there is no such thing; test with errors.Is.
var ErrNotFound = errors.New("not found")

// ErrNotRunning says that no server answers in the data directory.
var ErrNotRunning = errors.New("no server is running here")

// Error is what the server said to an operation, in words for people.
type Error struct {
	Text    string `json:"text"`
	Missing bool   `json:"missing,omitempty"`
	Refused bool   `json:"refused,omitempty"` // a letter that will never be taken
}

// Error gives the server's words.
func (e *Error) Error() string { return e.Text }

// Is makes a missing thing known as ErrNotFound.
func (e *Error) Is(target error) bool { return e.Missing && target == ErrNotFound }

// asError makes an error fit for the wire.
func asError(err error) *Error {
	return &Error{Text: err.Error(), Missing: errors.Is(err, ErrNotFound)}
}

// line is one line of an answer. The last one has Done or Error.
type line[T any] struct {
	Value *T     `json:"value,omitempty"`
	Error *Error `json:"error,omitempty"`
	Done  bool   `json:"done,omitempty"`
}

// What operations are told, beside mail.ID and journal.Query.
type (
	name    struct{ Name string }
	login   struct{ Name, Password string }
	account struct {
		Name  string
		Purge bool
	}
	shaping struct {
		Filter queue.Filter
		By     queue.By
	}
	holding struct {
		Filter queue.Filter
		Why    string
	}
	ending struct {
		ID      mail.ID
		Release bool
	}
	suppressing struct {
		Address string
		For     time.Duration
		Why     string
	}
	nothing  struct{}
	fragment struct{ Bytes []byte }
)
