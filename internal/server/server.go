// Package server is the one place that knows everyone: it turns a configuration
// into the parts of a mail server, in the order that a message meets them, and
// runs them until it is told to stop.
//
// It stops in two stages: nothing new is accepted, transactions and deliveries
// have a time of grace to end, and what is left then is cut off.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"plic/internal/auth"
	"plic/internal/authd"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/maildrop"
	"plic/internal/pace"
)

// Options are what a Server is made of.
type Options struct {
	Config *config.Config
	Log    *slog.Logger
	// Up is called by Run once every service listens.
	Up func(*Server)
}

// Server is a mail server. Make it with New, run it once with Run.
type Server struct {
	o        Options
	started  time.Time
	site     *site
	auth     *auth.Auth
	tries    *tries
	keys     *certificates
	doors    []*door
	http     []*door
	control  net.Listener
	letters  net.Listener   // of programs of this host
	judges   []net.Listener // of servers that have us decide on logins
	maildrop *maildrop.Taker

	mu       sync.Mutex
	config   *config.Config // that runs
	services *services      // the newest
	launch   func(*services)
}

// Endpoint is an address where a service listens.
type Endpoint struct{ Service, Address string }

// New opens the data directory and every socket, and gets all ready to run. An
// error leaves nothing behind.
func New(ctx context.Context, o Options) (*Server, error) {
	s := &Server{o: o, config: o.Config, started: time.Now(), tries: newTries()}
	err := s.open(ctx)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *Server) open(ctx context.Context) (err error) {
	c := s.o.Config
	if s.site, err = openSite(ctx, c, s.o.Log); err != nil {
		return err
	}
	if s.keys, err = newCertificates(c, s.site.resolver.Fresh(), s.site.webHosts, s.o.Log); err != nil {
		return err
	}
	s.site.keys, s.site.settings = s.keys, s.settings
	if end := s.keys.leaf("").NotAfter; s.started.After(end) {
		s.o.Log.Error("the certificate of this host ran out, clients will refuse it: renew it and reload", "on", end.Format(time.DateOnly))
	}
	if s.auth, err = s.newAuth(c); err != nil {
		return err
	}
	s.services = newServices(c, s.site, s.auth, s.keys)
	if s.control, err = control.Listen(c.DataDir); err != nil {
		return err
	}
	if err := s.openMaildrop(); err != nil {
		return err
	}
	if s.judges, err = listenAuth(ctx, c.Listen.Auth); err != nil {
		return fmt.Errorf("listen.auth: %w", err)
	}
	places := newPlaces()
	for _, x := range endpoints(c) {
		d, err := openDoor(ctx, x.Service, x.Address, places)
		if err != nil {
			return fmt.Errorf("listen.%s: %w", x.Service, err)
		}
		if x.Service == "http" {
			s.http = append(s.http, d)
		} else {
			s.doors = append(s.doors, d)
		}
	}
	return nil
}

// endpoints are the addresses that a configuration opens, as a message meets
// them.
func endpoints(c *config.Config) []Endpoint {
	var all []Endpoint
	for _, x := range []struct {
		service   string
		addresses []string
	}{
		{"smtp", c.Listen.SMTP}, {"submission", c.Listen.Submission}, {"submissions", c.Listen.Submissions},
		{"lmtp", c.Listen.LMTP}, {"imap", c.Listen.IMAP}, {"imaps", c.Listen.IMAPS},
		{"pop3", c.Listen.POP3}, {"pop3s", c.Listen.POP3S}, {"sieve", c.Listen.Sieve},
		{"http", c.Listen.HTTP}, {"https", c.Listen.HTTPS}, {"plain_http", c.Listen.PlainHTTP},
	} {
		for _, address := range x.addresses {
			all = append(all, Endpoint{x.service, address})
		}
	}
	return all
}

// Run serves until ctx ends or the store has failed, then stops in two stages
// and closes everything.
func (s *Server) Run(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var g errgroup.Group
	run := func(what string, f func(context.Context) error) {
		g.Go(func() error {
			err := f(ctx)
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("%s: %w", what, err)
				stop(err)
				return err
			}
			return nil
		})
	}
	run("queue", s.site.queue.Run)
	run("TLS policies", s.site.policies.Run)
	if s.site.feedback != nil {
		run("DMARC reports", s.site.feedback.Run)
	}
	run("search index", func(ctx context.Context) error {
		s.site.index.Run(pace.With(ctx, s.site.pace.Lane().Step))
		return nil
	})
	run("what is learnt", s.site.remember)
	run("control socket", func(ctx context.Context) error {
		return control.Serve(ctx, s.control, s.Operations(), s.o.Log)
	})
	run("maildrop", func(ctx context.Context) error { return s.maildrop.Serve(ctx, s.letters) })
	run("maildrop", s.maildrop.Run)
	run("maildrop", s.forget)
	for _, l := range s.judges {
		run("auth", func(ctx context.Context) error {
			return authd.New(authd.Options{Auth: s.auth, Log: s.o.Log}).Serve(ctx, l)
		})
	}
	for _, d := range s.http {
		run("http", func(ctx context.Context) error { return serveHTTP(ctx, d.socket, s.web()) })
	}
	s.mu.Lock()
	s.launch = func(all *services) {
		for _, d := range s.doors {
			l := d.next()
			run(d.service, func(ctx context.Context) error { return all.serve(ctx, d.service, l) })
		}
	}
	s.launch(s.services)
	s.mu.Unlock()
	for _, d := range s.doors {
		context.AfterFunc(ctx, func() { d.socket.Close() })
		run(d.service, func(ctx context.Context) error { d.admit(ctx, s.o.Log); return nil })
	}
	run("certificate", func(ctx context.Context) error {
		return s.keys.keep(ctx, s.settings, s.o.Log)
	})
	run("store", func(ctx context.Context) error {
		select {
		case err := <-s.site.failed:
			return fmt.Errorf("stopped after a write error, so that nothing is lost; look at the disk, then start again: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	if s.o.Up != nil {
		s.o.Up(s)
	}
	err := g.Wait()
	return errors.Join(err, s.close())
}

// close closes what open has opened.
func (s *Server) close() error {
	for _, d := range append(s.doors, s.http...) {
		d.socket.Close()
	}
	for _, l := range append(s.judges, s.control, s.letters) {
		if l != nil {
			l.Close()
		}
	}
	if s.site != nil {
		return s.site.close()
	}
	return nil
}

// Reload puts the live settings of a checked configuration to use: new
// connections get them, those there are keep what they have. On an error all
// stays as it was.
func (s *Server) Reload(c *config.Config) error {
	if err := s.keys.reload(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.config = c
	s.services = newServices(c, s.site, s.auth, s.keys)
	if s.launch != nil {
		s.launch(s.services)
	}
	return nil
}

// settings are those that hold now.
func (s *Server) settings() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.config
}

// Endpoints are the addresses where the server listens.
func (s *Server) Endpoints() []Endpoint {
	var all []Endpoint
	for _, d := range append(append([]*door(nil), s.doors...), s.http...) {
		all = append(all, Endpoint{d.service, d.socket.Addr().String()})
	}
	for _, l := range s.judges {
		all = append(all, Endpoint{"auth", l.Addr().String()})
	}
	return all
}

// serveHTTP serves until ctx ends.
func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// CA is the file with the certificate of the local authority, to give to
// clients; "" if the site has a certificate of its own.
func (s *Server) CA() string { return s.keys.now.Load().ca }
