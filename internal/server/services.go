package server

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"plic/internal/auth"
	"plic/internal/config"
	"plic/internal/imapd"
	"plic/internal/mail"
	"plic/internal/managesieved"
	"plic/internal/pop3d"
	"plic/internal/post"
	"plic/internal/proxy"
	"plic/internal/smtpd"
)

// services are the protocol servers of one configuration over one site.
type services struct {
	smtp    *smtpd.Server
	imap    *imapd.Server
	pop3    *pop3d.Server
	sieve   *managesieved.Server
	web     http.Handler // by HTTPS
	plain   http.Handler // by HTTP
	keys    *certificates
	proxies []netip.Prefix
	log     *slog.Logger
}

// intake lets smtpd hand mail to the office, without either knowing the other.
type intake struct{ *post.Office }

// Begin starts to take a message.
func (i intake) Begin(ctx context.Context, env *mail.Envelope) (smtpd.Draft, error) {
	d, err := i.Office.Begin(ctx, env)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// newServices makes the servers that a configuration asks for.
func newServices(c *config.Config, s *site, a *auth.Auth, keys *certificates) *services {
	limits := smtpd.Limits{
		Message: c.SMTP.MessageSize, Header: int(c.SMTP.HeaderSize), HeaderLines: c.SMTP.HeaderLines,
		Hops: c.SMTP.Hops, Recipients: c.SMTP.Recipients,
		SoftErrors: c.SMTP.ErrorsSoft, HardErrors: c.SMTP.ErrorsHard, ErrorDelay: orNone(c.SMTP.ErrorDelay), Junk: c.SMTP.JunkCommands,
		Command: c.SMTP.Timeout, Data: c.SMTP.DataTimeout, Rate: c.SMTP.MinRate, Progress: c.SMTP.ProgressTimeout,
		Connections: c.SMTP.Connections, PerAddress: c.SMTP.ConnectionsPerHost, Grace: orNone(c.StopGrace),
	}
	options := smtpd.Options{
		Host: c.Hostname.String(), Intake: intake{s.office}, Auth: smtpd.FromAuth(a), TLS: func() *tls.Config { return keys.people(c) },
		Journal: s.journal, Log: s.log, Sessions: &s.sessions, Reverse: s.reverse,
		Guard: s.door(c), XClient: c.Access.XClient,
		Normalise: normalised(c), AllowEarly: !c.SMTP.EarlyTalker, Limits: limits,
	}
	all := &services{smtp: smtpd.New(options), web: pages(c, s), plain: plainPages(c, s, keys.acme), keys: keys, log: s.log, proxies: c.Access.Proxies}
	all.imap = imapd.New(imapd.Options{
		Store: s.store, Index: s.index, Headers: s.headers, Filters: s.standing(c), Auth: a, Journal: s.journal, Log: s.log, Sessions: &s.sessions, TLS: keys.people(c), Version: Version(), Pace: s.pace,
		MaxMessage: c.SMTP.MessageSize, MaxConnections: c.IMAP.Connections, PerUserIP: c.IMAP.ConnectionsPerLogin,
		SaveLimit: c.IMAP.SaveLimit, MessageLimit: c.IMAP.MessageLimit,
		LoginTimeout: c.IMAP.LoginTimeout, IdleTimeout: c.IMAP.Timeout, Shared: sharedAccount(c.IMAP.SharedAccount),
		Admin: func(account string) bool { return slices.Contains(c.Quota.Administrators, account) }, Grace: orNone(c.StopGrace),
	})
	all.pop3 = pop3d.New(pop3d.Options{
		Store: s.store, Auth: a, Journal: s.journal, Log: s.log, Sessions: &s.sessions, Locks: &s.maildrops, TLS: keys.people(c),
		MaxConnections: c.POP3.Connections, PerHost: c.POP3.ConnectionsPerHost,
		LoginTimeout: c.POP3.LoginTimeout, IdleTimeout: c.POP3.Timeout, LoginDelay: c.POP3.LoginDelay, Grace: orNone(c.StopGrace),
	})
	all.sieve = managesieved.New(managesieved.Options{
		Store: s.store, Scripts: s.scripts, Auth: a, Journal: s.journal, Log: s.log, Sessions: &s.sessions, TLS: keys.people(c),
		LoginTimeout: c.IMAP.LoginTimeout, IdleTimeout: c.IMAP.Timeout, Grace: orNone(c.StopGrace),
	})
	return all
}

// serve runs the server of a service on a listener until ctx ends.
func (all *services) serve(ctx context.Context, service string, l net.Listener) error {
	if service != "https" && service != "plain_http" {
		l = proxy.Listen(ctx, l, proxy.Options{Trusted: all.proxies, Log: all.log})
	}
	switch service {
	case "smtp":
		return all.smtp.Serve(ctx, l, smtpd.MX)
	case "https":
		return serveWeb(ctx, l, all.web, all.keys.web(), all.log)
	case "plain_http":
		return serveWeb(ctx, l, all.plain, nil, all.log)
	case "lmtp":
		return all.smtp.Serve(ctx, l, smtpd.LMTP)
	case "submission":
		return all.smtp.Serve(ctx, l, smtpd.Submission)
	case "submissions":
		return all.smtp.Serve(ctx, l, smtpd.Submissions)
	case "imap", "imaps":
		return all.imap.Serve(ctx, l, service == "imaps")
	case "sieve":
		return all.sieve.Serve(ctx, l)
	default:
		return all.pop3.Serve(ctx, l, service == "pop3s")
	}
}

// sharedAccount gives the account of an account's domain that owns what is
// shared there.
func sharedAccount(local string) func(string) string {
	return func(account string) string {
		if _, domain, ok := strings.Cut(account, "@"); ok && local != "" {
			return local + "@" + domain
		}
		return ""
	}
}

// normalised are the networks whose bare newlines are mended.
func normalised(c *config.Config) []netip.Prefix {
	if c.SMTP.BareNewline == config.NormaliseBare {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	return c.SMTP.TrustedNetworks
}

// reverse is the name of a client that also leads back to its address, RFC
// 8601 section 2.7.3; "" if none does. Of this host no name server is asked: it
// could not know, RFC 6761 section 6.3, and a try must not wait for it.
func (s *site) reverse(ctx context.Context, addr netip.Addr) string {
	if addr = addr.Unmap(); addr == netip.AddrFrom4([4]byte{127, 0, 0, 1}) || addr == netip.IPv6Loopback() {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // a client waits to be greeted
	defer cancel()
	names, _, err := s.resolver.PTR(ctx, addr)
	if err != nil {
		return ""
	}
	for _, name := range names[:min(len(names), 3)] {
		back, _, err := s.resolver.Addrs(ctx, name)
		if err != nil {
			continue
		}
		for _, b := range back {
			if b.Unmap() == addr.Unmap() {
				return name
			}
		}
	}
	return ""
}
