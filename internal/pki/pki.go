// Package pki makes certificates where nobody has given any: a local authority
// and, signed by it, a certificate for this host (RFC 5280, ECDSA P-256). It is
// for trying plic out and for tests; on the Internet, nobody trusts it.
package pki

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"time"

	"plic/internal/vfs"
)

// The files in the directory. All but the last hold private keys.
const (
	AuthorityFile = "ca-key.pem"   // the authority's certificate and key
	HostFile      = "host-key.pem" // the host's
	NextFile      = "next-key.pem" // the key that comes after the host's, for TLSA records
	PublicFile    = "ca.pem"       // the authority's certificate, to give to clients
)

// How long certificates last. A host's is renewed when a third is left, the
// authority's when it would not outlive a host's.
const (
	hostLife      = 90 * 24 * time.Hour
	authorityLife = 10 * 365 * 24 * time.Hour
	backdate      = 48 * time.Hour // for clients whose clock is behind
)

// Authority signs certificates of hosts.
type Authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// Ensure gives the host's certificate and its authority's in PEM, from the
// directory or made anew: when there is none, when it lacks one of the hosts
// (names or addresses), and before it runs out.
func Ensure(fs vfs.FS, dir string, hosts []string, now time.Time) (*tls.Certificate, []byte, error) {
	ca, err := Open(fs, dir, now)
	if err != nil {
		return nil, nil, err
	}
	old, err := Load(fs, dir, HostFile)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, nil, fmt.Errorf("host certificate: %w", err)
	}
	if old != nil && ca.serves(old.Leaf, hosts, now) {
		return old, ca.PEM(), nil
	}
	var key crypto.Signer
	if old != nil {
		key, _ = old.PrivateKey.(crypto.Signer) // stays, so that TLSA records stay true
	}
	cert, err := ca.renew(fs, dir, hosts, key, now)
	return cert, ca.PEM(), err
}

// Rotate makes a host's certificate with the key of NextFile, whose TLSA record
// should have stood beside the old one's for a while, and a new next key.
func Rotate(fs vfs.FS, dir string, hosts []string, now time.Time) (*tls.Certificate, error) {
	ca, err := Open(fs, dir, now)
	if err != nil {
		return nil, err
	}
	key, err := Next(fs, dir)
	if err != nil {
		return nil, err
	}
	cert, err := ca.renew(fs, dir, hosts, key, now)
	if err != nil {
		return nil, err
	}
	return cert, Forget(fs, dir)
}

// renew issues and keeps a host's certificate, with a new key if there is none.
func (a *Authority) renew(fs vfs.FS, dir string, hosts []string, key crypto.Signer, now time.Time) (*tls.Certificate, error) {
	cert, err := a.issue(hosts, key, now)
	if err != nil {
		return nil, err
	}
	if err := Save(fs, dir, HostFile, cert); err != nil {
		return nil, fmt.Errorf("host certificate: %w", err)
	}
	return cert, nil
}

// Open gives the authority of the directory, made anew if there is none or it
// runs out. One that cannot be read is an error: clients may trust it already.
func Open(fs vfs.FS, dir string, now time.Time) (*Authority, error) {
	if err := vfs.MakeDir(fs, dir); err != nil {
		return nil, fmt.Errorf("certificate directory: %w", err)
	}
	path := fs.PathJoin(dir, AuthorityFile)
	text, err := read(fs, path)
	if err != nil {
		return nil, fmt.Errorf("local authority: %w", err)
	}
	var ca *Authority
	if text != nil {
		pair, err := tls.X509KeyPair(text, text)
		if err != nil {
			return nil, fmt.Errorf("local authority: %s: %w: remove the file to have a new one made", path, err)
		}
		ca = &Authority{pair.Leaf, pair.PrivateKey.(crypto.Signer)}
	}
	if ca == nil || now.Add(hostLife).After(ca.cert.NotAfter) {
		if ca, err = newAuthority(now); err != nil {
			return nil, err
		}
		if text, err = encode([][]byte{ca.cert.Raw}, ca.key); err != nil {
			return nil, err
		}
		if err := write(fs, dir, AuthorityFile, text, true); err != nil {
			return nil, fmt.Errorf("local authority: %w", err)
		}
	}
	public, err := read(fs, fs.PathJoin(dir, PublicFile))
	if err == nil && !bytes.Equal(public, ca.PEM()) {
		err = write(fs, dir, PublicFile, ca.PEM(), false)
	}
	if err != nil {
		return nil, fmt.Errorf("local authority: %w", err)
	}
	return ca, nil
}

func newAuthority(now time.Time) (*Authority, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	template := template("plic local authority", now, authorityLife)
	template.NotBefore = now.Add(-authorityLife / 10) // so that no clock set back needs another one
	template.IsCA, template.MaxPathLenZero = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	cert, err := sign(template, template, key.Public(), key)
	return &Authority{cert, key}, err
}

// Issue makes a certificate for the hosts, names or addresses, with a new key.
func (a *Authority) Issue(hosts []string, now time.Time) (*tls.Certificate, error) {
	return a.issue(hosts, nil, now)
}

func (a *Authority) issue(hosts []string, key crypto.Signer, now time.Time) (*tls.Certificate, error) {
	if len(hosts) == 0 {
		return nil, errors.New("certificate: no host to make it for")
	}
	if key == nil {
		var err error
		if key, err = NewKey(); err != nil {
			return nil, err
		}
	}
	template := template(hosts[0], now, hostLife)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	cert, err := sign(template, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pool is the authority as a client has it that trusts it.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// serves says whether the certificate is good for all hosts and for a while.
func (a *Authority) serves(c *x509.Certificate, hosts []string, now time.Time) bool {
	return c.CheckSignatureFrom(a.cert) == nil && now.After(c.NotBefore) && now.Before(Renewal(c)) &&
		!slices.ContainsFunc(hosts, func(h string) bool { return c.VerifyHostname(h) != nil })
}

// Renewal is when a host's certificate of ours is made anew.
func Renewal(c *x509.Certificate) time.Time { return c.NotAfter.Add(-hostLife / 3) }

func template(name string, now time.Time, life time.Duration) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // never fails since Go 1.24
	if len(name) > 64 {                                                      // ub-common-name, RFC 5280 appendix A.1
		name = name[:64]
	}
	return &x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)), Subject: pkix.Name{CommonName: name, Organization: []string{"plic"}},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(life), BasicConstraintsValid: true,
	}
}

func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}
