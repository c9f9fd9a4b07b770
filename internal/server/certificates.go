package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/config"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// certificates is the certificate of the site: from the files that the
// configuration names, or made by the local authority in the data directory.
type certificates struct {
	mu  sync.Mutex // held by reload
	now atomic.Pointer[identity]
}

// identity is what runs at one moment.
type identity struct {
	cert *tls.Certificate
	leaf *x509.Certificate
	min  uint16
	ca   string // file of the local authority, "" if it is not used
}

func newCertificates(c *config.Config) (*certificates, error) {
	k := &certificates{}
	return k, k.reload(c)
}

// reload reads or makes the certificate; on an error the old one stays.
func (k *certificates) reload(c *config.Config) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	id := &identity{min: tls.VersionTLS12}
	if c.TLS.MinVersion == config.TLS13 {
		id.min = tls.VersionTLS13
	}
	if c.TLS.Cert != "" {
		cert, err := tls.LoadX509KeyPair(c.TLS.Cert, c.TLS.Key)
		if err != nil {
			return fmt.Errorf("tls.cert and tls.key: %w", err)
		}
		id.cert = &cert
	} else {
		dir := filepath.Join(c.DataDir, "tls")
		cert, _, err := pki.Ensure(vfs.Disk(), dir, hosts(c), time.Now())
		if err != nil {
			return fmt.Errorf("make a certificate in %s: %w", dir, err)
		}
		id.cert, id.ca = cert, filepath.Join(dir, pki.PublicFile)
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

// keep renews the certificate of the local authority in time, while a server
// runs for months.
func (k *certificates) keep(ctx context.Context, now func() *config.Config, log *slog.Logger) error {
	day := time.NewTicker(24 * time.Hour)
	defer day.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-day.C:
		}
		if k.now.Load().ca == "" {
			continue // whoever made it renews it
		}
		if err := k.reload(now()); err != nil {
			log.Error("cannot renew the certificate", "error", err)
		}
	}
}

// hosts are the names that a made certificate speaks for: those by which
// clients may reach us.
func hosts(c *config.Config) []string {
	list := []string{c.Hostname.String(), "localhost", "127.0.0.1", "::1"}
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

// leaf is our certificate, whatever name a client asked for.
func (k *certificates) leaf(string) *x509.Certificate { return k.now.Load().leaf }
