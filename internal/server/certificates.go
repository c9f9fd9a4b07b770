package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/acme"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dns"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// certificates is the certificate of the site: from the files that the
// configuration names, from an authority by ACME, or made by the local
// authority in the data directory.
type certificates struct {
	dir  string
	acme *acme.Manager // nil without
	more func(*config.Config) []string

	mu       sync.Mutex                    // held by reload
	settings atomic.Pointer[config.Config] // of the last one
	now      atomic.Pointer[identity]
}

// identity is what runs at one moment.
type identity struct {
	cert *tls.Certificate
	leaf *x509.Certificate
	min  uint16
	ca   string // file of the local authority, "" if it is not used
}

// newCertificates finds the certificate of a site. more gives the names that
// it is for beside those in the configuration.
func newCertificates(c *config.Config, resolver dns.Resolver, more func(*config.Config) []string, log *slog.Logger) (*certificates, error) {
	k := &certificates{dir: filepath.Join(c.DataDir, "tls"), more: more}
	if c.ACME.Directory != "" {
		o, err := authority(c, k.dir, resolver, log)
		if err != nil {
			return k, err
		}
		k.settings.Store(c)
		o.Names = func() []string { return k.names(k.settings.Load()) }
		if k.acme, err = acme.Open(o); err != nil {
			return k, err
		}
	}
	return k, k.reload(c)
}

// authority is how the configuration reaches an authority.
func authority(c *config.Config, dir string, resolver dns.Resolver, log *slog.Logger) (acme.Options, error) {
	o := acme.Options{
		FS: vfs.Disk(), Dir: dir, Directory: c.ACME.Directory, Proof: acme.Proof(c.ACME.Proof), Resolver: resolver, Log: log,
		Agent: "plic/" + Version(), Update: dns.Update{Server: c.ACME.DNSServer},
	}
	if !c.ACME.Contact.IsNull() {
		o.Contact = c.ACME.Contact.String()
	}
	if c.ACME.AccountFile != "" {
		text, err := os.ReadFile(c.ACME.AccountFile)
		if err != nil {
			return o, fmt.Errorf("acme.account_file: %w", err)
		}
		words := strings.Fields(string(text))
		if len(words) != 2 {
			return o, fmt.Errorf("acme.account_file: %s: write the account's name and its key", c.ACME.AccountFile)
		}
		if o.KeyID = words[0]; o.KeyID != "" {
			o.KeyMAC, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(words[1], "="))
		}
		if err != nil {
			return o, fmt.Errorf("acme.account_file: %w", err)
		}
	}
	if c.ACME.DNSKeyFile != "" {
		text, err := os.ReadFile(c.ACME.DNSKeyFile)
		if err == nil {
			o.Update.Key, err = dns.ParseTSIG(string(text))
		}
		if err != nil {
			return o, fmt.Errorf("acme.dns_key_file: %w", err)
		}
	}
	return o, nil
}

// reload reads or makes the certificate; on an error the old one stays.
func (k *certificates) reload(c *config.Config) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.settings.Store(c)
	id := &identity{min: tls.VersionTLS12}
	if c.TLS.MinVersion == config.TLS13 {
		id.min = tls.VersionTLS13
	}
	if k.acme != nil {
		k.acme.Wake()
		id.cert = k.fromAuthority()
	}
	switch {
	case id.cert != nil:
	case c.TLS.Cert != "":
		cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		id.cert = &cert
	default:
		cert, _, err := pki.Ensure(vfs.Disk(), k.dir, k.hosts(c), time.Now())
		if err != nil {
			return fmt.Errorf("make a certificate in %s: %w", k.dir, err)
		}
		id.cert, id.ca = cert, filepath.Join(k.dir, pki.PublicFile)
	}
	var err error
	if id.leaf, err = x509.ParseCertificate(id.cert.Certificate[0]); err != nil {
		return fmt.Errorf("the certificate of this host: %w", err)
	}
	// One that runs is not replaced by one that ran out. A start goes on with
	// it, since mail without a good certificate is better than no mail.
	if k.now.Load() != nil && time.Now().After(id.leaf.NotAfter) {
		return fmt.Errorf("the certificate of this host ran out on %s", id.leaf.NotAfter.Format(time.DateOnly))
	}
	k.now.Store(id)
	return nil
}

// fromAuthority is the certificate that we have by ACME, if it is still good.
func (k *certificates) fromAuthority() *tls.Certificate {
	if cert := k.acme.Certificate(); cert != nil && time.Now().Before(cert.Leaf.NotAfter) {
		return cert
	}
	return nil
}

// keep renews the certificate in time, while a server runs for months.
func (k *certificates) keep(ctx context.Context, now func() *config.Config, log *slog.Logger) error {
	again := func() {
		if err := k.reload(now()); err != nil {
			log.Error("cannot renew the certificate", "error", err)
		}
	}
	if k.acme != nil {
		return k.acme.Run(ctx, again)
	}
	day := time.NewTicker(24 * time.Hour)
	defer day.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-day.C:
		}
		if k.now.Load().ca != "" { // else whoever made it renews it
			again()
		}
	}
}

// describe tells of the certificate that is shown.
func (k *certificates) describe() control.Certificate {
	id, c := k.now.Load(), k.settings.Load()
	d := control.Certificate{
		Names: id.leaf.DNSNames, Issuer: id.leaf.Issuer.String(), Serial: id.leaf.SerialNumber.Text(16),
		Source: "the file of tls.cert, " + c.TLS.Cert, From: id.leaf.NotBefore, Until: id.leaf.NotAfter,
		Why: "whoever made it renews it",
	}
	for _, ip := range id.leaf.IPAddresses {
		d.Names = append(d.Names, ip.String())
	}
	if id.ca != "" {
		d.Source, d.Renewal, d.Why = "the authority of this host, "+id.ca, pki.Renewal(id.leaf), "a third of its life is left then"
	}
	if k.acme == nil {
		return d
	}
	r := k.acme.Renewal()
	if d.Renewal, d.Why, d.Page = r.At, r.Why, r.Page; id.ca == "" {
		d.Source = "the authority " + c.ACME.Directory
	} else if d.Renewal.IsZero() {
		d.Why += " of the authority " + c.ACME.Directory
	}
	if err := k.acme.Err(); err != nil {
		d.Trouble = "not renewed: " + err.Error()
	}
	return d
}

// names are the host names that the certificate is for.
func (k *certificates) names(c *config.Config) []string {
	list := append([]string{c.Hostname.String()}, c.ACME.Names...)
	for _, name := range k.more(c) {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// hosts are what a certificate of the local authority speaks for: all by which
// clients may reach us.
func (k *certificates) hosts(c *config.Config) []string {
	list := append(k.names(c), "localhost", "127.0.0.1", "::1")
	for _, x := range endpoints(c) {
		host, _, _ := net.SplitHostPort(x.Address)
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !slices.Contains(list, ip.String()) {
			list = append(list, ip.String())
		}
	}
	return list
}

// config is the TLS of a service. What it says follows a reload.
func (k *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion: k.now.Load().min,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return k.now.Load().cert, nil
		},
	}
}

// web is the TLS of the web server, where an authority may ask for a proof.
func (k *certificates) web() *tls.Config {
	t := k.config()
	if k.acme == nil {
		return t
	}
	t.NextProtos = []string{"h2", "http/1.1", acme.Protocol}
	t.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert := k.acme.Answer(hello); cert != nil {
			return cert, nil
		}
		return k.now.Load().cert, nil
	}
	return t
}

// leaf is our certificate, whatever name a client asked for.
func (k *certificates) leaf(string) *x509.Certificate { return k.now.Load().leaf }
