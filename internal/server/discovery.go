package server

import (
	"context"
	"iter"
	"net"
	"net/netip"
	"strconv"

	"plic/internal/autoconf"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
)

// The ports where programs look for HTTPS, and for HTTP.
const (
	webPort      = 443
	plainWebPort = 80
)

// discovery is what mail programs are told of this host.
func (s *site) discovery(c *config.Config) autoconf.Options {
	o := autoconf.Options{Host: c.Hostname.String(), Local: s.local}
	for _, x := range []struct {
		autoconf.Service
		addresses []string
	}{
		{autoconf.Service{Protocol: autoconf.IMAP, TLS: true}, c.Listen.IMAPS}, {autoconf.Service{Protocol: autoconf.IMAP}, c.Listen.IMAP},
		{autoconf.Service{Protocol: autoconf.POP3, TLS: true}, c.Listen.POP3S}, {autoconf.Service{Protocol: autoconf.POP3}, c.Listen.POP3},
		{autoconf.Service{Protocol: autoconf.Submission, TLS: true}, c.Listen.Submissions},
		{autoconf.Service{Protocol: autoconf.Submission}, c.Listen.Submission},
	} {
		if port, ok := publicPort(x.addresses); ok {
			x.Port = port
			o.Services = append(o.Services, x.Service)
		}
	}
	port, ok := publicPort(c.Listen.HTTPS)
	o.Web = ok && port == webPort
	port, ok = publicPort(c.Listen.PlainHTTP)
	o.PlainWeb = ok && port == plainWebPort
	return o
}

// publicPort is the port of the first address that is not of this host alone.
func publicPort(addresses []string) (int, bool) {
	for _, address := range addresses {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			continue
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() || host == "localhost" {
			continue
		}
		if n, err := strconv.Atoi(port); err == nil {
			return n, true
		}
	}
	return 0, false
}

// programHosts are the names at which mail programs look for a domain.
func programHosts(domain string) []string {
	return []string{"autoconfig." + domain, "autodiscover." + domain}
}

// clients is control.Discovery.
type clients struct{ s *site }

// mailRecords are the records by which mail comes to a domain, and by which others know
// that mail is from it.
func mailRecords(c *config.Config, d mail.Domain) []control.Record {
	domain := d.String()
	ours := mail.Address{Local: "postmaster", Domain: d}
	reports, tls := c.Senders.ReceiveReports, c.TLSRPT.Receive
	if reports.IsNull() {
		reports = ours
	}
	if tls.IsNull() {
		tls = ours
	}
	list := []control.Record{
		{Name: domain, Type: "MX", Value: "10 " + c.Hostname.String() + ".", Why: "mail for the domain comes here"},
		{Name: domain, Type: "TXT", Value: "v=spf1 mx -all", Why: "who may send in its name (SPF); name others who do before -all"},
		{Name: "_dmarc." + domain, Type: "TXT", Value: "v=DMARC1; p=reject; rua=mailto:" + reports.String(), Why: "what others do with mail that is not from it (DMARC); p=none while you look"},
		{Name: "_smtp._tls." + domain, Type: "TXT", Value: "v=TLSRPTv1; rua=mailto:" + tls.String(), Why: "where others report trouble with TLS"},
	}
	if host := c.Hostname.String(); host != domain {
		list = append(list, control.Record{Name: host, Type: "TXT", Value: "v=spf1 a -all", Why: "reports and forwarded mail have senders at this host"})
	}
	if place := reports.Domain.String(); place != domain { // RFC 9990 section 4
		list = append(list, control.Record{Name: domain + "._report._dmarc." + place, Type: "TXT", Value: "v=DMARC1", Why: "reports about the domain may go there"})
	}
	return list
}

// Records tells what the DNS should say of a domain: to those who send it mail or
// get mail from it, to its mail programs, and of the keys that sign for it.
func (x clients) Records(ctx context.Context, domain string) iter.Seq2[control.Record, error] {
	return func(yield func(control.Record, error) bool) {
		d, err := x.s.domain(ctx, domain)
		if err != nil {
			yield(control.Record{}, err)
			return
		}
		c := x.s.config
		if x.s.settings != nil {
			c = x.s.settings()
		}
		for _, r := range mailRecords(c, d) {
			if !yield(r, nil) {
				return
			}
		}
		o := x.s.discovery(c)
		for _, r := range o.Records(d) {
			if !yield(control.Record{Name: r.Name, Type: r.Type, Value: r.Value, Why: r.Why}, nil) {
				return
			}
		}
		if !c.Signing.DKIM {
			return
		}
		keys, err := x.s.signer.Keys(ctx, d)
		if err != nil {
			yield(control.Record{}, err)
			return
		}
		for i := range keys {
			if !yield(keyRecord(&keys[i], d), nil) {
				return
			}
		}
	}
}
