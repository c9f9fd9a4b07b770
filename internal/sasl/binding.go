package sasl

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"slices"

	"github.com/xdg-go/scram"
)

// Binding is a channel binding: its type and what both ends know of the
// connection and nobody in the middle does.
type Binding struct {
	Type string
	Data []byte
}

// The types of channel binding.
const (
	TLSExporter       = "tls-exporter"         // RFC 9266
	TLSUnique         = "tls-unique"           // RFC 5929 section 3, never with TLS 1.3
	TLSServerEndPoint = "tls-server-end-point" // RFC 5929 section 4
)

// Bindings are the channel bindings of a connection, best first. The
// certificate is the server's, nil if it is not known. Without TLS there are
// none.
func Bindings(state *tls.ConnectionState, certificate *x509.Certificate) []Binding {
	if state == nil || !state.HandshakeComplete {
		return nil
	}
	var all []Binding
	// Refused by crypto/tls where it would be weak: TLS 1.2 without the
	// extended master secret, RFC 9266 section 4.2.
	if data, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32); err == nil {
		all = append(all, Binding{TLSExporter, data})
	}
	if state.Version < tls.VersionTLS13 && len(state.TLSUnique) > 0 {
		all = append(all, Binding{TLSUnique, state.TLSUnique})
	}
	if data := endPoint(certificate); data != nil {
		all = append(all, Binding{TLSServerEndPoint, data})
	}
	return all
}

// endPoint hashes a certificate with the hash of its signature, SHA-256 for
// MD5 and SHA-1; a signature without one such hash, like Ed25519, has no
// binding, RFC 5929 section 4.1.
func endPoint(c *x509.Certificate) []byte {
	if c == nil {
		return nil
	}
	switch c.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.DSAWithSHA1, x509.DSAWithSHA256,
		x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		sum := sha256.Sum256(c.Raw)
		return sum[:]
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		sum := sha512.Sum384(c.Raw)
		return sum[:]
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		sum := sha512.Sum512(c.Raw)
		return sum[:]
	}
	return nil
}

func find(all []Binding, kind string) (scram.ChannelBinding, bool) {
	i := slices.IndexFunc(all, func(b Binding) bool { return b.Type == kind })
	if i < 0 {
		return scram.ChannelBinding{}, false
	}
	return scram.ChannelBinding{Type: scram.ChannelBindingType(kind), Data: all[i].Data}, true
}
