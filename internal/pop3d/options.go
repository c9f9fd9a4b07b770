// Package pop3d serves POP3: RFC 1939 without APOP, with the extensions CAPA,
// PIPELINING, RESP-CODES, EXPIRE, LOGIN-DELAY and IMPLEMENTATION (RFC 2449), AUTH-RESP-CODE (RFC 3206), STLS (RFC
// 2595), SASL (RFC 5034), UTF8 and LANG (RFC 6856), TOP and UIDL.
//
// A session sees the inbox as it was at login. Messages marked with DELE go at
// QUIT, all in one durable change before it is answered, and never otherwise.
package pop3d

import (
	"crypto/tls"
	"log/slog"
	"time"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/serve"
	"plic/internal/store"
)

// Options is what a Server needs and may be told; zero values are good
// defaults.
type Options struct {
	Store    *store.Store
	Auth     *auth.Auth
	Journal  *journal.Journal // nil for none
	Log      *slog.Logger
	TLS      *tls.Config // nil for none: then there is no STLS
	Sessions *serve.Roll // that those of ours are in; nil for none
	Locks    *Locks      // of maildrops; nil for some of its own
	Now      func() time.Time

	LoginDelay     time.Duration // between two logins of an account, RFC 2449 section 6.5; 0 for none
	MaxConnections int           // of one Serve: 10000
	PerHost        int           // connections from one address: 100
	LoginTimeout   time.Duration // to log in: 3 min
	IdleTimeout    time.Duration // between commands: 10 min, RFC 1939 section 3
	WriteTimeout   time.Duration // for a client to take some of what it asked for: 5 min
	Grace          time.Duration // for commands to end when the server stops: 5 s, negative for none
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Locks == nil {
		o.Locks = new(Locks)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 10000
	}
	if o.PerHost <= 0 {
		o.PerHost = 100
	}
	span := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	span(&o.LoginTimeout, 3*time.Minute)
	span(&o.IdleTimeout, 10*time.Minute)
	span(&o.WriteTimeout, 5*time.Minute)
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.TLS != nil && len(o.TLS.NextProtos) == 0 {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"pop3"} // so that a client of another protocol is refused, RFC 7301
	}
	return o
}
