package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plic/internal/auth"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/oauth"
	"plic/internal/sasl"
)

// newAuth makes what decides on logins.
func (s *Server) newAuth(c *config.Config) (*auth.Auth, error) {
	o := auth.Options{
		Directory: s.site.people, Journal: s.site.journal, Secret: s.site.directory.Secret(),
		Mechanisms: offered(c), Host: c.Hostname.String(), Certificate: s.keys.leaf,
		Cost: cost(c), Parallel: c.Auth.Hashes, Remember: orNone(c.Auth.Remember),
		Codes: s.site.directory, Separator: c.Auth.MasterSeparator, Anonymous: c.Auth.Anonymous.String(),
		Observe: s.tries.observe,
		Guard:   auth.GuardOptions{Refuse: c.Auth.RefuseAfter, HalfLife: c.Auth.HalfLife, Trusted: c.Auth.TrustedNetworks},
	}
	for _, m := range c.Auth.Masters {
		o.Masters = append(o.Masters, strings.ToLower(m.String()))
	}
	if c.Auth.Anonymous.IsNull() {
		o.Anonymous = ""
	}
	if c.Auth.Upgrade {
		o.Upgrade = func(ctx context.Context, account, hash, password string) error {
			if _, err := s.site.directory.Account(ctx, account); err != nil {
				return nil // of a source, which keeps its own
			}
			return s.site.directory.Upgrade(ctx, account, hash, password)
		}
	}
	var err error
	if o.ClientCAs, err = pool(c.TLS.ClientCA); err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	}
	if o.Tokens, err = tokens(c); err != nil {
		return nil, err
	}
	return auth.New(o), nil
}

// offered are the mechanisms that all people can use: a source that only checks
// passwords itself has no verifiers, and a client that chose SCRAM could not log
// in.
func offered(c *config.Config) []string {
	checks := slices.ContainsFunc(c.Sources, func(x *config.Source) bool {
		itself := x.Driver == config.DovecotUsers || x.Driver == config.SystemDriver && x.Helper != "" || x.Driver == config.LDAP && (x.Bind || x.Compare)
		return itself && slices.Contains(c.Directory.Sources, x.Name)
	})
	if !checks {
		return c.Auth.Mechanisms
	}
	return slices.DeleteFunc(slices.Clone(c.Auth.Mechanisms), func(m string) bool {
		return strings.HasPrefix(m, "SCRAM-") || m == sasl.CRAM
	})
}

// listenAuth opens the sockets for servers that have us decide on logins.
func listenAuth(ctx context.Context, addresses []string) (all []net.Listener, err error) {
	for _, a := range addresses {
		var l net.Listener
		if path, ok := strings.CutPrefix(a, "unix:"); ok {
			l, err = control.ListenAs(filepath.Dir(path), filepath.Base(path), 0o666)
		} else {
			l, err = new(net.ListenConfig).Listen(ctx, "tcp", a)
		}
		if err != nil {
			return all, err
		}
		all = append(all, l)
	}
	return all, nil
}

// pool reads certificates of authorities; nil without a file.
func pool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := x509.NewCertPool()
	if !all.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return all, nil
}

// tokens decides on those of an issuer; nil without one.
func tokens(c *config.Config) (*oauth.Verifier, error) {
	if c.OAuth.Issuer == "" {
		return nil, nil
	}
	o := oauth.Options{
		Issuer: c.OAuth.Issuer, Audiences: c.OAuth.Audiences, Scopes: c.OAuth.Scopes, Claim: c.OAuth.Claim,
		Domain: c.OAuth.Domain.String(), Algorithms: c.OAuth.Algorithms, Introspect: c.OAuth.Introspect, ClientID: c.OAuth.ClientID,
	}
	var err error
	if o.Roots, err = pool(c.OAuth.CA); err != nil {
		return nil, fmt.Errorf("oauth.ca: %w", err)
	}
	if secret := firstLine(c.OAuth.SecretFile); secret != nil {
		if o.Secret, err = secret(); err != nil {
			return nil, fmt.Errorf("oauth.client_secret_file: %w", err)
		}
	}
	return oauth.New(o), nil
}

// people is the TLS of services where people log in: clients may show a
// certificate, and auth decides what it is worth.
func (k *certificates) people(c *config.Config) *tls.Config {
	t := k.config()
	if c.TLS.ClientCA != "" && slices.Contains(c.Auth.Mechanisms, sasl.External) {
		t.ClientAuth = tls.RequestClientCert
	}
	return t
}
