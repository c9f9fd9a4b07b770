package tlspolicy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"plic/internal/tlsrpt"
)

// The kinds of failure, by the names that reports have for them.
const (
	notOffered    = tlsrpt.NoSTARTTLS
	untrusted     = tlsrpt.NotTrusted
	invalid       = tlsrpt.ValidationFailure
	dnssecInvalid = tlsrpt.DNSSECInvalid
	daneRequired  = tlsrpt.DANERequired
	fetchError    = tlsrpt.STSFetchError
	policyInvalid = tlsrpt.STSPolicyInvalid
	webPKIInvalid = tlsrpt.STSWebPKIInvalid
)

// failure is an error of a kind.
type failure struct {
	kind string
	err  error
}

// failed makes an error of a kind.
func failed(kind string, err error) error { return &failure{kind, err} }

func (f *failure) Error() string {
	if f.err == nil {
		return f.kind
	}
	return f.err.Error()
}

func (f *failure) Unwrap() error { return f.err }

// kindOf is the kind of failure that an error is in a report.
func kindOf(err error) string {
	var f *failure
	var name x509.HostnameError
	var cert x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var other *tls.CertificateVerificationError
	switch {
	case errors.As(err, &f):
		return f.kind
	case errors.As(err, &name):
		return tlsrpt.HostMismatch
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return tlsrpt.Expired
	case errors.As(err, &unknown), errors.As(err, &cert), errors.As(err, &other):
		return untrusted
	}
	return invalid
}

// pkix says whether a host's certificate is good for its name by the roots that
// we trust.
func (p *Policies) pkix(state tls.ConnectionState, host string) error {
	if len(state.PeerCertificates) == 0 {
		return failed(untrusted, errors.New("the host showed no certificate"))
	}
	o := x509.VerifyOptions{DNSName: host, Roots: p.o.Roots, Intermediates: x509.NewCertPool(), CurrentTime: p.o.Now()}
	for _, cert := range state.PeerCertificates[1:] {
		o.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(o)
	return err
}

// The kinds of policy found, as reports know them.
type foundKind int

const (
	foundNothing foundKind = iota
	foundDANE
	foundSTS
)

// policy is what was found of a domain, for its report.
type policy struct {
	kind    foundKind
	domain  string // where it stands
	text    []string
	mx      []string
	problem string // why it could not be had
}

// done takes what came of a session into the memory and the reports.
func (d *decider) done(o Outcome) {
	if d.Kind == None {
		return
	}
	d.learn(o)
	var kind string
	err := o.Err
	switch {
	case o.TLS == nil && !o.Offered:
		kind = notOffered
	case o.TLS == nil || o.Err != nil:
		kind = kindOf(o.Err)
	case d.soft != nil:
		err, kind = d.soft, kindOf(d.soft)
	case d.found.problem != "":
		kind = d.found.problem
	}
	d.count(o, kind, err)
}

// refused counts a session that did not even begin.
func (d *decider) refused() {
	if !d.want.RequireTLS { // which may be the only reason
		d.count(Outcome{}, kindOf(d.Refuse), d.Refuse)
	}
}
