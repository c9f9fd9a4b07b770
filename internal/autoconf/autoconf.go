// Package autoconf tells mail programs how to reach us, so that their users need
// to know no more than their address and password: Thunderbird's autoconfig,
// Outlook's Autodiscover, Apple's configuration profiles, and the SRV records of
// RFC 6186 and RFC 8314. What is told is what is listened on.
//
// Who asks is told the same for every address of a domain, whether there is
// such a user or not.
package autoconf

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"slices"
	"strings"

	"plic/internal/mail"
)

// Protocol is what a service speaks.
type Protocol string

// The protocols that mail programs speak.
const (
	IMAP       Protocol = "imap"
	POP3       Protocol = "pop3"
	Submission Protocol = "smtp"
)

// Service is one way to reach us.
type Service struct {
	Protocol Protocol
	Port     int
	TLS      bool // from the first byte; else by STARTTLS
}

// Options is what is told.
type Options struct {
	Host     string // by which we are reached; the certificate is for it
	Services []Service
	Web      bool                                    // this is served by HTTPS on port 443
	PlainWeb bool                                    // and by HTTP on port 80
	Local    func(context.Context, mail.Domain) bool // whether a domain is ours
}

// Handler answers mail programs.
type Handler struct {
	o   Options
	mux *http.ServeMux
}

// The paths that programs know. Outlook does not care for the case of its own.
const (
	thunderbirdPath = "/mail/config-v1.1.xml"
	wellKnownPath   = "/.well-known/autoconfig" + thunderbirdPath
	outlookPath     = "/autodiscover/autodiscover.xml"
	outlookJSONPath = "/autodiscover/autodiscover.json"
	applePath       = "/email.mobileconfig"
)

// New makes a handler.
func New(o Options) *Handler {
	o.Services = preferred(o.Services)
	h := &Handler{o: o, mux: http.NewServeMux()}
	h.mux.HandleFunc("GET "+thunderbirdPath, h.thunderbird)
	h.mux.HandleFunc("GET "+wellKnownPath, h.thunderbird)
	h.mux.HandleFunc("POST "+outlookPath, h.outlook)
	h.mux.HandleFunc("GET "+outlookJSONPath, h.outlookJSON)
	h.mux.HandleFunc("GET "+outlookJSONPath+"/v1.0/{address}", h.outlookJSON)
	h.mux.HandleFunc("GET "+applePath, h.apple)
	return h
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if strings.HasPrefix(strings.ToLower(r.URL.Path), "/autodiscover/") {
		r.URL.Path = strings.ToLower(r.URL.Path)
	}
	h.mux.ServeHTTP(w, r)
}

// Plain answers those that come by HTTP, since a host often has no certificate for the
// names of all its domains: Thunderbird, Evolution and others, which try HTTP when there
// is no HTTPS, and Outlook, which asks there for the way to HTTPS and for nothing else.
// There is no way for them where we are not reached by HTTPS.
func (h *Handler) Plain() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET "+thunderbirdPath, h.thunderbird)
	m.HandleFunc("GET "+wellKnownPath, h.thunderbird)
	if h.o.Web {
		m.HandleFunc("GET "+outlookPath, h.toHTTPS)
		m.HandleFunc("GET "+applePath, h.toHTTPS)
	}
	return &Handler{h.o, m}
}

func (h *Handler) toHTTPS(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "https://"+h.o.Host+r.URL.RequestURI(), http.StatusFound)
}

// preferred puts services into the order in which programs shall try them:
// IMAP before POP3, TLS from the first byte before STARTTLS (RFC 8314 section 3).
func preferred(all []Service) []Service {
	rank := func(s Service) int {
		n := 2 * slices.Index([]Protocol{IMAP, POP3, Submission}, s.Protocol)
		if !s.TLS {
			n++
		}
		return n
	}
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Service) int { return cmp.Compare(rank(a), rank(b)) })
	return all
}

// find gives the best service of a protocol.
func (o *Options) find(p Protocol) (Service, bool) {
	i := slices.IndexFunc(o.Services, func(s Service) bool { return s.Protocol == p })
	if i < 0 {
		return Service{}, false
	}
	return o.Services[i], true
}

// address reads an address of one of our domains.
func (h *Handler) address(ctx context.Context, text string) (mail.Address, bool) {
	a, err := mail.ParseAddress(strings.TrimSpace(text))
	return a, err == nil && !a.IsNull() && h.o.Local(ctx, a.Domain)
}

// domain is the domain that is asked for: that of the address if there is one,
// else that of the host, without the name that programs put before it.
func (h *Handler) domain(r *http.Request, address string) (mail.Domain, bool) {
	if address != "" {
		a, ok := h.address(r.Context(), address)
		return a.Domain, ok
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, name := range []string{host, strings.TrimPrefix(host, "autoconfig."), strings.TrimPrefix(host, "autodiscover.")} {
		if d, err := mail.ParseDomain(name); err == nil && h.o.Local(r.Context(), d) {
			return d, true
		}
	}
	return mail.Domain{}, false
}
