package imapd

import (
	"crypto/tls"
	"log/slog"
	"runtime"
	"time"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/pace"
	"plic/internal/serve"
	"plic/internal/store"
	"plic/internal/store/headers"
	"plic/internal/store/search"
)

// Options is what a Server needs and may be told; zero values are good
// defaults.
type Options struct {
	Store    *store.Store
	Index    *search.Index   // of what messages hold; nil for none
	Filters  Filters         // scripts over what is in mailboxes; nil for none
	Headers  *headers.Keeper // of what mailboxes are listed by; nil for none
	Auth     *auth.Auth
	Journal  *journal.Journal // nil for none
	Log      *slog.Logger
	TLS      *tls.Config // nil for none: then there is no STARTTLS
	Sessions *serve.Roll // that those of ours are in; nil for none
	Pace     *pace.Pace  // of all work in the process; nil for one of its own
	Now      func() time.Time
	Version  string // told by ID
	// Admin says whether an account may set quotas; nil for none.
	Admin func(account string) bool
	// Shared names the account whose mailboxes are those that an account shares
	// with others of the site; "" or nil for none.
	Shared func(account string) string

	MaxMessage     int64         // octets of a message to APPEND: 50 MiB
	MaxConnections int           // of one Serve: 20000
	SaveLimit      int           // messages of one COPY, or APPEND: 100000
	MessageLimit   int           // messages of any one command: 0 for no limit
	PerUserIP      int           // sessions of one user from one address: 20
	PerIP          int           // connections of one address that have not logged in: 100
	LoginTimeout   time.Duration // to log in: 3 min
	IdleTimeout    time.Duration // between commands, and of IDLE: 30 min, RFC 9051 section 5.4
	WriteTimeout   time.Duration // for a client to take what it asked for: 5 min
	NoticeEvery    time.Duration // a sign of life in IDLE: 4 min
	ProgressEvery  time.Duration // how often a long search says how far it is: 10 s, RFC 9585
	Grace          time.Duration // for commands to end when the server stops: 5 s, negative for none
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Pace == nil {
		o.Pace = pace.New(runtime.GOMAXPROCS(0))
	}
	if o.Version == "" {
		o.Version = "devel"
	}
	number := func(n *int, value int) {
		if *n <= 0 {
			*n = value
		}
	}
	if o.MaxMessage <= 0 {
		o.MaxMessage = 50 << 20
	}
	number(&o.MaxConnections, 20000)
	number(&o.SaveLimit, 100000)
	if o.MessageLimit = max(o.MessageLimit, 0); o.MessageLimit > 0 {
		o.SaveLimit = o.MessageLimit // a client is told one number, RFC 9738 section 3
	}
	number(&o.PerUserIP, 20)
	number(&o.PerIP, 100)
	span := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	span(&o.LoginTimeout, 3*time.Minute)
	span(&o.IdleTimeout, 30*time.Minute)
	span(&o.WriteTimeout, 5*time.Minute)
	span(&o.NoticeEvery, 4*time.Minute)
	span(&o.ProgressEvery, 10*time.Second)
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.TLS != nil && len(o.TLS.NextProtos) == 0 {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"imap"} // so that a client of another protocol is refused, RFC 7301
	}
	return o
}
