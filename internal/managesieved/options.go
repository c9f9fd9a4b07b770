// Package managesieved serves ManageSieve: people put their filter scripts on
// the server, have them checked, and say which one is active. A session is one
// goroutine that reads a command, does it, and answers.
//
// RFC 5804 (ManageSieve).
package managesieved

import (
	"crypto/tls"
	"log/slog"
	"time"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/scripts"
	"plic/internal/serve"
	"plic/internal/store"
)

// Options is what a Server needs and may be told; zero values are good
// defaults.
type Options struct {
	Store    *store.Store
	Scripts  *scripts.Keeper
	Auth     *auth.Auth
	Journal  *journal.Journal // nil for none
	Log      *slog.Logger
	TLS      *tls.Config // nil for none: then there is no STARTTLS
	Sessions *serve.Roll // that those of ours are in; nil for none
	Now      func() time.Time

	MaxScript      int64         // octets of a script: 256 KiB
	MaxConnections int           // of one Serve: 1000
	PerHost        int           // connections from one address: 30
	LoginTimeout   time.Duration // to log in: 3 min
	IdleTimeout    time.Duration // between commands: 30 min, RFC 5804 section 1.2
	WriteTimeout   time.Duration // for a client to take an answer: 1 min
	Grace          time.Duration // for commands to end when the server stops: 5 s, negative for none
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxScript <= 0 {
		o.MaxScript = 256 << 10
	}
	if o.MaxConnections <= 0 {
		o.MaxConnections = 1000
	}
	if o.PerHost <= 0 {
		o.PerHost = 30
	}
	for _, x := range []struct {
		at    *time.Duration
		value time.Duration
	}{{&o.LoginTimeout, 3 * time.Minute}, {&o.IdleTimeout, 30 * time.Minute}, {&o.WriteTimeout, time.Minute}} {
		if *x.at <= 0 {
			*x.at = x.value
		}
	}
	if o.Grace == 0 {
		o.Grace = 5 * time.Second
	}
	if o.TLS != nil && len(o.TLS.NextProtos) == 0 {
		o.TLS = o.TLS.Clone()
		o.TLS.NextProtos = []string{"managesieve"} // RFC 7301: a client of another protocol is refused
	}
	return o
}
