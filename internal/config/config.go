package config

import (
	"net/netip"
	"time"

	"plic/internal/mail"
)

// Config is everything that a site may set. Default gives the values that hold
// where a file says nothing.
type Config struct {
	Hostname  mail.Domain
	DataDir   string
	StopGrace time.Duration

	Listen     Listen
	TLS        TLS
	ACME       ACME
	MTASTS     MTASTS
	Autoconfig Autoconfig
	SMTP       SMTP
	Access     Access
	Senders    Senders
	Spam       Spam
	Signing    Signing
	Submission Submission
	Auth       Auth
	OAuth      OAuth
	Directory  Directory
	Sources    []*Source
	Route      Route
	Rewrite    Rewrite
	Queue      Queue
	Remote     Remote
	TLSRPT     TLSRPT
	DNS        DNS
	Store      Store
	Mailboxes  Mailboxes
	Quota      Quota
	IMAP       IMAP
	POP3       POP3
	Sieve      Sieve
	Journal    Journal
	Log        Log
}

// Listen says at which addresses each service answers; none switches it off.
type Listen struct {
	SMTP        []string
	Submission  []string
	Submissions []string
	LMTP        []string
	IMAP        []string
	IMAPS       []string
	POP3        []string
	POP3S       []string
	Sieve       []string
	Auth        []string
	HTTP        []string
	HTTPS       []string
	PlainHTTP   []string
}

// Sieve is how scripts filter mail.
type Sieve struct {
	Before  []string // files with scripts of the site
	After   []string
	Include string   // the directory of scripts that others may include
	Lists   []string // tables that scripts may ask, by name
	// Programs are those that scripts may run: tables, as those of commands.
	Programs       []string
	ProgramTimeout time.Duration
}

// TLS is the site's certificate.
type TLS struct {
	Cert       string
	Key        string
	MinVersion TLSVersion
	ClientCA   string
}

// ACME is how a certificate is got from an authority.
type ACME struct {
	Directory   string
	Contact     mail.Address
	AccountFile string
	Proof       ACMEProof
	Names       []string
	DNSServer   string
	DNSKeyFile  string
}

// ACMEProof is how we show an authority that a name is ours.
type ACMEProof string

// The proofs of RFC 8555 and 8737.
const (
	ProofTLS  ACMEProof = "tls-alpn-01"
	ProofHTTP ACMEProof = "http-01"
	ProofDNS  ACMEProof = "dns-01"
)

// Autoconfig is what mail programs are told.
type Autoconfig struct {
	Names bool
}

// MTASTS is the policy that other servers find of our domains.
type MTASTS struct {
	Mode   STSMode
	MX     []string
	MaxAge time.Duration
}

// STSMode is what a policy asks of those who send to us.
type STSMode string

// The modes.
const (
	STSOff     STSMode = "off"
	STSTesting STSMode = "testing"
	STSEnforce STSMode = "enforce"
	STSNone    STSMode = "none"
)

// TLSVersion is a version of TLS as people write it.
type TLSVersion string

// The versions of TLS that may be asked for, RFC 8996 having buried the rest.
const (
	TLS12 TLSVersion = "1.2"
	TLS13 TLSVersion = "1.3"
)

// SMTP is what all services that take mail hold to.
type SMTP struct {
	MessageSize        int64
	HeaderSize         int64
	HeaderLines        int
	Recipients         int
	Hops               int
	BareNewline        BareNewline
	TrustedNetworks    []netip.Prefix
	EarlyTalker        bool
	Timeout            time.Duration
	DataTimeout        time.Duration
	MinRate            int64
	ProgressTimeout    time.Duration
	ErrorsSoft         int
	ErrorsHard         int
	ErrorDelay         time.Duration
	JunkCommands       int
	Connections        int
	ConnectionsPerHost int
	Milters            []string
}

// Access are the rules of the door.
type Access struct {
	Clients, Helos, Senders, Recipients []string
	UnknownSenders, StrictHelo          bool
	Connections                         int
	NetworkMessages, NetworkRecipients  int
	AccountMessages, AccountRecipients  int
	Policy                              string
	PolicyTimeout                       time.Duration
	PolicyOpen                          bool
	XClient, Proxies                    []netip.Prefix
}

// BareNewline says what becomes of a CR or LF that stands alone.
type BareNewline string

// What to do with a bare newline.
const (
	RefuseBare    BareNewline = "refuse"
	NormaliseBare BareNewline = "normalise"
)

// Signing is how we vouch for mail that leaves.
type Signing struct {
	DKIM bool
	ARC  bool
}

// Submission is what holds for the mail of our own users.
type Submission struct {
	CheckSender bool
	Maildrop    string
	Origin      mail.Domain
}

// Auth says how users log in, and slows the guessing of passwords, for all
// protocols together.
type Auth struct {
	Mechanisms      []string
	TrustedNetworks []netip.Prefix
	Masters         []mail.Address
	MasterSeparator string
	Anonymous       mail.Address
	RefuseAfter     int
	HalfLife        time.Duration
	Remember        time.Duration
	Upgrade         bool
	Hashes          int
	HashMemory      int64
	HashRounds      int
	HashThreads     int
}

// OAuth is whose tokens let people log in.
type OAuth struct {
	Issuer     string
	Audiences  []string
	Scopes     []string
	Claim      string
	Domain     mail.Domain
	Algorithms []string
	Introspect bool
	ClientID   string
	SecretFile string
	CA         string
}

// Directory says who is asked who exists, and how addresses are read. Our own
// records are in the data directory and changed with `plic domain`, `plic
// account` and `plic alias`.
type Directory struct {
	Sources       []string
	PlusSeparator string
	Postmaster    mail.Address
}

// Route says where mail goes, beside what the directory knows. Its tables are
// specs of package table.
type Route struct {
	LocalDomains     []string
	RelayDomains     []string
	RelayRecipients  []string
	Aliases          []string
	Transports       []string
	SenderTransports []string
	SmartHosts       []string
	Logins           []string
	Sources          []string
	Commands         []string
	CommandUser      string
	CommandTimeout   time.Duration
	HeaderRules      []string
	AlwaysBcc        []mail.Address
	SenderBcc        []string
	RecipientBcc     []string
}

// Rewrite says under which addresses mail goes on.
type Rewrite struct {
	Canonical          []string
	SenderCanonical    []string
	RecipientCanonical []string
	Masquerade         []mail.Domain
	MasqueradeExcept   []string
	DMARC              OnwardDMARC
	SRS                bool
	SRSDomain          mail.Domain
	SRSSecrets         string
	SRSMaxAge          time.Duration
}

// Queue is the patience of the queue.
type Queue struct {
	BackoffMin       time.Duration
	BackoffMax       time.Duration
	WarnAfter        time.Duration
	ExpireAfter      time.Duration
	Active           int
	ConcurrencyStart int
	ConcurrencyMax   int
	SuppressAfter    int
	SuppressFor      time.Duration
}

// Remote is how mail goes out to other servers.
type Remote struct {
	SmartHost             string
	SmartHostUser         string
	SmartHostPasswordFile string
	TLS                   RemoteTLS
	TLSPolicies           []string
	TLSMemory             time.Duration
	TLSHold               time.Duration
	Port                  int
	Family                Family
	Recipients            int
	ConnectTimeout        time.Duration
	CommandTimeout        time.Duration
	DataTimeout           time.Duration
}

// RemoteTLS says when outgoing mail is encrypted.
type RemoteTLS string

// The choices of TLS towards other servers.
const (
	TLSOpportunistic RemoteTLS = "opportunistic"
	TLSRequire       RemoteTLS = "require"
	TLSOff           RemoteTLS = "off"
)

// Family says over which versions of IP mail goes out.
type Family string

// The address families.
const (
	AnyFamily Family = "any"
	IPv4      Family = "ipv4"
	IPv6      Family = "ipv6"
)

// TLSRPT is how other domains are told of TLS with them, and how they tell us.
type TLSRPT struct {
	Send    bool
	Contact mail.Address
	Receive mail.Address
}

// DNS is who answers our questions about names.
type DNS struct {
	Servers []string
	Timeout time.Duration
	Trusted bool
}

// Store is how mail is kept.
type Store struct {
	Cache    int64
	Index    int64
	Reserve  int64
	Compress bool
	Grace    time.Duration
}

// Mailboxes is where accounts have their mail.
type Mailboxes struct {
	Place       string
	Of          []string
	Home        string
	SystemUsers bool
}

// Quota is what an account may have that has no limits of its own; 0 for none.
type Quota struct {
	Storage        int64
	Messages       int
	Mailboxes      int
	Administrators []string
}

// IMAP is what an IMAP session may use.
type IMAP struct {
	Timeout             time.Duration
	LoginTimeout        time.Duration
	Connections         int
	ConnectionsPerLogin int
	SharedAccount       string
	SaveLimit           int
	MessageLimit        int
}

// POP3 is what a POP3 session may use.
type POP3 struct {
	LoginDelay         time.Duration
	Timeout            time.Duration
	LoginTimeout       time.Duration
	Connections        int
	ConnectionsPerHost int
}

// Journal is the record of what happened.
type Journal struct {
	Keep time.Duration
}

// Log is what the process says on standard error.
type Log struct {
	Level  LogLevel
	Format LogFormat
}

// LogLevel is the least important level that is logged.
type LogLevel string

// The levels of the log.
const (
	LogDebug LogLevel = "debug"
	LogInfo  LogLevel = "info"
	LogWarn  LogLevel = "warn"
	LogError LogLevel = "error"
)

// LogFormat is the form of a log line.
type LogFormat string

// The forms of the log.
const (
	LogText LogFormat = "text"
	LogJSON LogFormat = "json"
)

const (
	day = 24 * time.Hour
	kib = int64(1) << 10
	mib = int64(1) << 20
	gib = int64(1) << 30
)

// Default is a working server but for its host name.
func Default() *Config {
	return &Config{
		DataDir:   "plic-data",
		StopGrace: 30 * time.Second,
		Listen: Listen{
			SMTP: []string{":25"}, Submission: []string{":587"}, Submissions: []string{":465"},
			IMAP: []string{":143"}, IMAPS: []string{":993"},
			POP3: []string{":110"}, POP3S: []string{":995"}, Sieve: []string{":4190"},
			HTTP: []string{"127.0.0.1:8025"},
		},
		TLS:    TLS{MinVersion: TLS12},
		ACME:   ACME{Proof: ProofTLS},
		MTASTS: MTASTS{Mode: STSOff, MaxAge: 7 * day},
		SMTP: SMTP{
			MessageSize: 50 * mib, HeaderSize: mib, HeaderLines: 5000,
			Recipients: 1000, Hops: 50,
			BareNewline: RefuseBare, EarlyTalker: true,
			Timeout: 5 * time.Minute, DataTimeout: 5 * time.Minute, MinRate: 100, ProgressTimeout: time.Hour,
			ErrorsSoft: 10, ErrorsHard: 20, ErrorDelay: time.Second, JunkCommands: 100,
			Connections: 1000, ConnectionsPerHost: 30,
		},
		Access: Access{Connections: 300, PolicyTimeout: 10 * time.Second},
		Senders: Senders{
			Check: true, DMARC: EnforceDMARC, Timeout: 20 * time.Second, FailureRedact: true, FailureDaily: 5,
			ExceptedNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")},
		},
		Mailboxes:  Mailboxes{Place: "native"},
		Spam:       defaultSpam(),
		Signing:    Signing{DKIM: true, ARC: true},
		Submission: Submission{CheckSender: true},
		Auth: Auth{
			Mechanisms:      []string{"SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2", "EXTERNAL"},
			MasterSeparator: "*",
			RefuseAfter:     20, HalfLife: time.Hour, Remember: 5 * time.Minute, Upgrade: true,
			Hashes: 2, HashMemory: 19 * mib, HashRounds: 2, HashThreads: 1,
		},
		OAuth:     OAuth{Claim: "email", Algorithms: signatures()},
		Directory: Directory{Sources: []string{Native}, PlusSeparator: "+"},
		Sieve:     Sieve{ProgramTimeout: 10 * time.Second},
		Route:     Route{CommandUser: "nobody", CommandTimeout: 15 * time.Minute},
		Rewrite:   Rewrite{DMARC: ReplaceAuthor, SRS: true, SRSMaxAge: 21 * day},
		Queue: Queue{
			BackoffMin: 5 * time.Minute, BackoffMax: time.Hour, WarnAfter: 4 * time.Hour, ExpireAfter: 5 * day,
			Active: 500, ConcurrencyStart: 5, ConcurrencyMax: 20,
			SuppressAfter: 3, SuppressFor: 30 * 24 * time.Hour,
		},
		Remote: Remote{
			TLS: TLSOpportunistic, TLSMemory: 90 * day, TLSHold: 2 * day, Port: 25, Family: AnyFamily, Recipients: 50,
			ConnectTimeout: 30 * time.Second, CommandTimeout: 5 * time.Minute, DataTimeout: 10 * time.Minute,
		},
		DNS:   DNS{Timeout: 5 * time.Second},
		Store: Store{Cache: 64 * mib, Index: 256 * mib, Reserve: 256 * mib, Compress: true, Grace: 10 * time.Minute},
		IMAP: IMAP{
			Timeout: 30 * time.Minute, LoginTimeout: 3 * time.Minute,
			Connections: 20000, ConnectionsPerLogin: 20, SaveLimit: 100000,
		},
		POP3: POP3{
			Timeout: 10 * time.Minute, LoginTimeout: 3 * time.Minute,
			Connections: 1000, ConnectionsPerHost: 20,
		},
		Journal: Journal{Keep: 14 * day},
		Log:     Log{Level: LogInfo, Format: LogText},
	}
}
