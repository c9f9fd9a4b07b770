// Package dane holds the certificate that a mail host shows against the TLSA
// records of the host. It asks nobody: records and certificates come in, the
// record that matched goes out, or why none did.
//
// RFC 6698 (TLSA), RFC 7671 (how DANE is to be done), RFC 7672 (DANE for SMTP).
package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// The usages of RFC 7218 section 2.1.
const (
	PKIXTA uint8 = iota
	PKIXEE
	TA // the trust anchor of the host's certificate
	EE // the host's certificate itself
)

// The selectors.
const (
	FullCert uint8 = iota
	PublicKey
)

// The matching types.
const (
	Full uint8 = iota
	SHA256
	SHA512
)

// Record is a TLSA record, RFC 6698 section 2.1.
type Record struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// String is the record as a zone file has it.
func (r Record) String() string {
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, hex.EncodeToString(r.Data))
}

// short is a record for people: the beginning of long data is enough.
func (r Record) short() string {
	data := hex.EncodeToString(r.Data[:min(len(r.Data), 8)])
	if len(r.Data) > 8 {
		data += "…"
	}
	return fmt.Sprintf("%d %d %d %s", r.Usage, r.Selector, r.Matching, data)
}

// New makes the record of a certificate.
func New(cert *x509.Certificate, usage, selector, matching uint8) Record {
	return Record{usage, selector, matching, digest(selected(cert, selector), matching)}
}

func selected(cert *x509.Certificate, selector uint8) []byte {
	if selector == PublicKey {
		return cert.RawSubjectPublicKeyInfo
	}
	return cert.Raw
}

func digest(data []byte, matching uint8) []byte {
	switch matching {
	case SHA256:
		sum := sha256.Sum256(data)
		return sum[:]
	case SHA512:
		sum := sha512.Sum512(data)
		return sum[:]
	}
	return data
}

// Usable says whether a record can authenticate a mail host. Those with a PKIX
// usage cannot, RFC 7672 section 3.1.3, nor those with what nobody knows yet.
func (r Record) Usable() bool {
	if r.Usage != TA && r.Usage != EE || r.Selector > PublicKey {
		return false
	}
	switch r.Matching {
	case SHA256:
		return len(r.Data) == sha256.Size
	case SHA512:
		return len(r.Data) == sha512.Size
	case Full:
		if r.Selector == FullCert {
			_, err := x509.ParseCertificate(r.Data)
			return err == nil
		}
		_, err := x509.ParsePKIXPublicKey(r.Data)
		return err == nil
	}
	return false
}

// Usable gives the records that can authenticate a mail host.
func Usable(records []Record) []Record {
	var usable []Record
	for _, r := range records {
		if r.Usable() {
			usable = append(usable, r)
		}
	}
	return usable
}

// matches says whether the record is of the certificate.
func (r Record) matches(cert *x509.Certificate) bool {
	return bytes.Equal(r.Data, digest(selected(cert, r.Selector), r.Matching))
}

// strongest leaves out digests beside which a stronger one of the same usage
// and selector is published, RFC 7671 section 9. Full data is always tried.
func strongest(records []Record) []Record {
	has512 := map[[2]uint8]bool{}
	for _, r := range records {
		if r.Matching == SHA512 {
			has512[[2]uint8{r.Usage, r.Selector}] = true
		}
	}
	var list []Record
	for _, r := range records {
		if r.Matching != SHA256 || !has512[[2]uint8{r.Usage, r.Selector}] {
			list = append(list, r)
		}
	}
	return list
}

// ErrNoMatch says that no record is of what the host showed.
var ErrNoMatch = errors.New("no TLSA record matches the certificate of the host")

// Verify gives the record by which the chain, the host's own certificate first,
// is authentic. names are the reference identifiers of RFC 7672 section 3.2.3;
// they and the time count for trust anchors only, section 3.1.1. Records that
// are not usable are passed over.
func Verify(records []Record, chain []*x509.Certificate, names []string, now time.Time) (Record, error) {
	if len(chain) == 0 {
		return Record{}, errors.New("the host showed no certificate")
	}
	var problem error
	for _, r := range strongest(Usable(records)) {
		if r.Usage == EE {
			if r.matches(chain[0]) {
				return r, nil
			}
			continue
		}
		anchors := r.anchors(chain)
		if len(anchors) == 0 {
			continue
		}
		err := verifyChain(chain, anchors, names, now)
		if err == nil {
			return r, nil
		}
		problem = fmt.Errorf("TLSA record %s: %w", r.short(), err)
	}
	if problem == nil {
		problem = ErrNoMatch
	}
	return Record{}, problem
}

// anchors are the certificates that a DANE-TA record makes trusted: those of
// the chain that it matches, or the one that it holds itself, RFC 7671 section
// 5.2. A host's own certificate is an anchor only if it signed itself.
func (r Record) anchors(chain []*x509.Certificate) []*x509.Certificate {
	var list []*x509.Certificate
	for i, cert := range chain {
		if (i > 0 || signedItself(cert)) && r.matches(cert) {
			list = append(list, cert)
		}
	}
	if len(list) == 0 && r.Matching == Full && r.Selector == FullCert {
		if cert, err := x509.ParseCertificate(r.Data); err == nil {
			list = append(list, cert)
		}
	}
	return list
}

func verifyChain(chain, anchors []*x509.Certificate, names []string, now time.Time) error {
	o := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, cert := range anchors {
		o.Roots.AddCert(cert)
	}
	for _, cert := range chain[1:] {
		o.Intermediates.AddCert(cert)
	}
	if _, err := chain[0].Verify(o); err != nil {
		return err
	}
	var problem error
	for _, name := range names {
		if problem = chain[0].VerifyHostname(name); problem == nil {
			return nil
		}
	}
	return problem
}

func signedItself(cert *x509.Certificate) bool {
	return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}
