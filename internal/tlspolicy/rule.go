package tlspolicy

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// Kind is a kind of policy, by the name that settings and the journal have for
// it.
type Kind string

// The kinds.
const (
	Auto        Kind = "auto"        // what the domain asks for, and no less than before
	None        Kind = "none"        // no TLS
	May         Kind = "may"         // TLS if it can be had, whatever the domain asks for
	Encrypt     Kind = "encrypt"     // TLS with whoever it is
	Verify      Kind = "verify"      // TLS with a certificate for the host's name
	DANE        Kind = "dane"        // DANE if the domain has it, else as may
	DANEOnly    Kind = "dane-only"   // DANE, or no mail
	Fingerprint Kind = "fingerprint" // TLS with one of the certificates or keys given
	STS         Kind = "mta-sts"     // not to be set: found by auto
	Remembered  Kind = "remembered"  // likewise
)

// Rule is a policy as a site sets it for a domain.
type Rule struct {
	Kind         Kind
	Fingerprints [][]byte // digests of the certificate or of its public key
	Why          string
}

// ParseRule reads "verify", or "fingerprint sha256:AB:CD…" with one or more
// digests of a host's certificate or its public key.
func ParseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return Rule{}, errors.New("no TLS policy is named")
	}
	rule := Rule{Kind: Kind(words[0])}
	switch rule.Kind {
	case Auto, None, May, Encrypt, Verify, DANE, DANEOnly:
		if len(words) > 1 {
			return Rule{}, fmt.Errorf("%q: the TLS policy %s stands alone", text, rule.Kind)
		}
		return rule, nil
	case Fingerprint:
	default:
		return Rule{}, fmt.Errorf("%q is no TLS policy: it may be auto, none, may, encrypt, verify, dane, dane-only, or fingerprint with digests", words[0])
	}
	for _, word := range words[1:] {
		name, digits, _ := strings.Cut(strings.ToLower(word), ":")
		digest, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
		if err != nil || name != "sha256" && name != "sha512" || name == "sha256" && len(digest) != sha256.Size || name == "sha512" && len(digest) != sha512.Size {
			return Rule{}, fmt.Errorf("%q is no fingerprint: write sha256: or sha512: and the digest in hexadecimal", word)
		}
		rule.Fingerprints = append(rule.Fingerprints, digest)
	}
	if len(rule.Fingerprints) == 0 {
		return Rule{}, errors.New("the TLS policy fingerprint needs one or more, as sha256:0123…")
	}
	return rule, nil
}

// verify says whether a host showed one of the certificates or keys.
func (r Rule) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return failed(untrusted, errors.New("the host showed no certificate"))
	}
	cert := state.PeerCertificates[0]
	for _, data := range [][]byte{cert.Raw, cert.RawSubjectPublicKeyInfo} {
		short, long := sha256.Sum256(data), sha512.Sum512(data)
		for _, f := range r.Fingerprints {
			if bytes.Equal(f, short[:]) || bytes.Equal(f, long[:]) {
				return nil
			}
		}
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	return failed(untrusted, fmt.Errorf("none of the fingerprints is of its certificate, whose key has sha256:%x", sum))
}
