package server

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"time"

	"plic/internal/config"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// certificates is the certificate of the site: from the files that the
// configuration names, or made by the local authority in the data directory.
type certificates struct {
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
	if time.Now().After(id.leaf.NotAfter) {
		return errors.Join(fmt.Errorf("the certificate of this host ran out on %s", id.leaf.NotAfter.Format(time.DateOnly)))
	}
	k.now.Store(id)
	return nil
}

// hosts are the names that a made certificate speaks for: those by which
// clients may reach us.
func hosts(c *config.Config) []string {
	list := []string{c.Hostname.String(), "localhost"}
	seen := map[string]bool{}
	for _, x := range endpoints(c) {
		host, _, _ := net.SplitHostPort(x.Address)
		if ip := net.ParseIP(host); ip != nil && !ip.IsUnspecified() && !seen[host] {
			seen[host] = true
			list = append(list, host)
		}
	}
	if !seen["127.0.0.1"] {
		list = append(list, "127.0.0.1")
	}
	return append(list, "::1")
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
