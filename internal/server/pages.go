package server

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"plic/internal/acme"
	"plic/internal/autoconf"
	"plic/internal/config"
	"plic/internal/mail"
	"plic/internal/mtasts"
	"plic/internal/serve"
)

// stsHost stands before a domain in the name of its policy's host.
const stsHost = "mta-sts."

// pages are what the world may ask of us by HTTPS, by host and path.
func pages(c *config.Config, s *site) *http.ServeMux {
	m := http.NewServeMux()
	if p, on := stsPolicy(c); on {
		m.HandleFunc("GET /.well-known/mta-sts.txt", func(w http.ResponseWriter, r *http.Request) {
			servePolicy(w, r, s, p)
		})
	}
	m.Handle("/", autoconf.New(s.discovery(c)))
	return m
}

// stsPolicy is the MTA-STS policy of all our domains, if one is published.
func stsPolicy(c *config.Config) (mtasts.Policy, bool) {
	p := mtasts.Policy{Mode: mtasts.Mode(c.MTASTS.Mode), MX: c.MTASTS.MX, MaxAge: c.MTASTS.MaxAge}
	if len(p.MX) == 0 {
		p.MX = []string{c.Hostname.String()}
	}
	return p, c.MTASTS.Mode != config.STSOff
}

// stsID names a policy in the TXT record: another policy has another one.
func stsID(p mtasts.Policy) string {
	sum := sha256.Sum256(p.Text())
	return hex.EncodeToString(sum[:10])
}

// servePolicy answers at the policy host of each of our domains, RFC 8461
// section 3.3.
func servePolicy(w http.ResponseWriter, r *http.Request, s *site, p mtasts.Policy) {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	name, ok := strings.CutPrefix(strings.ToLower(host), stsHost)
	d, err := mail.ParseDomain(name)
	if !ok || err != nil || !s.local(r.Context(), d) {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Write(p.Text())
}

// local says whether a domain is ours.
func (s *site) local(ctx context.Context, d mail.Domain) bool {
	_, err := s.people.Domain(ctx, d)
	return err == nil
}

// webHosts are the names of hosts at which our domains are asked for: for their
// policy, and by mail programs.
func (s *site) webHosts(c *config.Config) []string {
	var names []string
	for _, d := range s.domains() {
		if c.MTASTS.Mode != config.STSOff {
			names = append(names, stsHost+d.Name.String())
		}
		if c.Autoconfig.Names {
			names = append(names, programHosts(d.Name.String())...)
		}
	}
	return names
}

// The connections that strangers may have to the web server, all together and from
// one address: it must not take the file descriptors that mail needs.
const (
	webConnections = 1000
	webPerHost     = 50
)

// serveWeb serves pages until ctx ends; with TLS if there is one.
func serveWeb(ctx context.Context, l net.Listener, h http.Handler, t *tls.Config, log *slog.Logger) error {
	server := &http.Server{
		Handler: h, TLSConfig: t, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second,
		WriteTimeout: time.Minute, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of what strangers do
	}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	l = serve.Limit(l, webConnections, webPerHost)
	run := server.Serve
	if t != nil {
		run = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	if err := run(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// plainPages are what the world may ask of us by HTTP: an authority for its proofs, and
// mail programs.
func plainPages(c *config.Config, s *site, proofs *acme.Manager) http.Handler {
	m := http.NewServeMux()
	m.Handle("/", autoconf.New(s.discovery(c)).Plain())
	if proofs != nil {
		m.Handle("/.well-known/acme-challenge/", proofs)
	}
	return m
}
