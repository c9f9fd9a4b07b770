package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/dns"
)

// Algorithm is a signature algorithm as a= spells it.
type Algorithm string

// The algorithms that count, RFC 8301 and RFC 8463.
const (
	RSASHA256     Algorithm = "rsa-sha256"
	Ed25519SHA256 Algorithm = "ed25519-sha256"
)

// Key is a domain's public key.
type Key struct {
	Public  crypto.PublicKey
	Bits    int
	Testing bool // t=y: the domain only tries
	Strict  bool // t=s: i= must be the domain itself
}

// verdict is why a signature or its key does not count, with the result that it
// comes to.
type verdict struct {
	status Status
	reason string
}

// Error says why.
func (e *verdict) Error() string { return e.reason }

func refuse(status Status, format string, args ...any) error {
	return &verdict{status, fmt.Sprintf(format, args...)}
}

// LookupKey finds a key in DNS, RFC 6376 section 3.6.2. StatusOf tells what its
// error comes to.
func LookupKey(ctx context.Context, r dns.Resolver, domain, selector string) (Key, error) {
	name := selector + "._domainkey." + domain
	txts, _, err := r.TXT(ctx, name)
	switch {
	case dns.IsTemporary(err):
		return Key{}, refuse(TempError, "the key %s could not be asked for: %v", name, err)
	case err != nil:
		return Key{}, refuse(PermError, "there is no key at %s", name)
	}
	var problem error
	for _, txt := range txts {
		key, err := ParseKey(txt)
		if err == nil {
			return key, nil
		}
		if problem == nil {
			problem = err
		}
	}
	return Key{}, refuse(StatusOf(problem), "the key at %s: %v", name, problem)
}

// IsVerdict says that an error is about a signature, not about reading.
func IsVerdict(err error) bool {
	_, ok := errors.AsType[*verdict](err)
	return ok
}

// StatusOf is the result that an error of LookupKey or ParseKey comes to.
func StatusOf(err error) Status {
	if e, ok := errors.AsType[*verdict](err); ok {
		return e.status
	}
	return PermError
}

// ParseKey reads a key record, RFC 6376 section 3.6.1.
func ParseKey(txt string) (Key, error) {
	tags, err := ParseTags(txt)
	if err != nil {
		return Key{}, refuse(PermError, "%v", err)
	}
	if v, ok := tags["v"]; ok && v != "DKIM1" {
		return Key{}, refuse(PermError, "version %q", v)
	}
	if s := tags.List("s"); s != nil && !slices.Contains(s, "*") && !slices.Contains(s, "email") {
		return Key{}, refuse(PermError, "it is not for e-mail")
	}
	if h := tags.List("h"); h != nil && !slices.Contains(h, "sha256") {
		return Key{}, refuse(PermError, "it does not allow SHA-256")
	}
	key := Key{Testing: slices.Contains(tags.List("t"), "y"), Strict: slices.Contains(tags.List("t"), "s")}
	data, ok := tags["p"]
	if !ok {
		return Key{}, refuse(PermError, "it has no p=")
	}
	if data == "" {
		return Key{}, refuse(PermError, "it was revoked")
	}
	raw, err := base64.StdEncoding.DecodeString(withoutSpace(data))
	if err != nil {
		return Key{}, refuse(PermError, "p= is not base64")
	}
	switch k := tags["k"]; k {
	case "", "rsa":
		return key.rsa(raw)
	case "ed25519":
		if len(raw) != ed25519.PublicKeySize {
			return Key{}, refuse(PermError, "an Ed25519 key has 32 octets, this one %d", len(raw))
		}
		key.Public, key.Bits = ed25519.PublicKey(raw), 256
		return key, nil
	default:
		return Key{}, refuse(PermError, "its kind %q is unknown", k)
	}
}

// rsa reads an RSA key, with or without the frame that RFC 6376 errata 3017
// asks for.
func (k Key) rsa(raw []byte) (Key, error) {
	var public *rsa.PublicKey
	if any, err := x509.ParsePKIXPublicKey(raw); err == nil {
		public, _ = any.(*rsa.PublicKey)
	} else if public, err = x509.ParsePKCS1PublicKey(raw); err != nil {
		public = nil
	}
	if public == nil {
		return Key{}, refuse(PermError, "p= holds no RSA key")
	}
	k.Public, k.Bits = public, public.N.BitLen()
	if k.Bits < 1024 { // RFC 8301 section 3.2
		return Key{}, refuse(Policy, "an RSA key of %d bits is too weak", k.Bits)
	}
	if k.Bits > 8192 {
		return Key{}, refuse(Policy, "an RSA key of %d bits is too costly", k.Bits)
	}
	return k, nil
}

// Verify checks a signature over a SHA-256 hash.
func (k Key) Verify(a Algorithm, hash, signature []byte) error {
	switch public := k.Public.(type) {
	case *rsa.PublicKey:
		if a != RSASHA256 {
			return refuse(PermError, "the key is for rsa, the signature %s", a)
		}
		if rsa.VerifyPKCS1v15(public, crypto.SHA256, hash, signature) != nil {
			return refuse(Fail, "the signature does not fit the header")
		}
		return nil
	case ed25519.PublicKey:
		if a != Ed25519SHA256 {
			return refuse(PermError, "the key is for ed25519, the signature %s", a)
		}
		if !ed25519.Verify(public, hash, signature) {
			return refuse(Fail, "the signature does not fit the header")
		}
		return nil
	}
	return refuse(PermError, "there is no key")
}

// Record is the TXT record that publishes a public key.
func Record(public crypto.PublicKey) (string, error) {
	switch key := public.(type) {
	case *rsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			return "", fmt.Errorf("write the key: %w", err)
		}
		return "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(der), nil
	case ed25519.PublicKey:
		return "v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(key), nil
	}
	return "", fmt.Errorf("keys of type %T are not for DKIM", public)
}

// isBelow says that a name is a domain or below it.
func isBelow(name, domain string) bool {
	return name == domain || strings.HasSuffix(name, "."+domain)
}
