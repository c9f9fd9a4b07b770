// Package oauth decides on bearer tokens of OAuth 2.0 (RFC 6750): a JSON Web
// Token (RFC 7519) that its issuer has signed with a key that it publishes (RFC
// 7517), or any token, by asking the issuer (RFC 7662). Where to find keys and
// answers is in the issuer's metadata (RFC 8414, OpenID Connect Discovery).
//
// Nothing in a token is believed before its signature: neither the key that it
// brings along nor the address of one, and of its algorithm only that it is one
// of those with a public key that the site allows.
package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// ErrRefused is a token that is good for nothing here. Any other error is
// trouble with the issuer, and says nothing of the token.
var ErrRefused = errors.New("token refused")

// errScope is a token that is good, but not for this.
var errScope = fmt.Errorf("%w: its scope is too small", ErrRefused)

// Options say whom to believe, and what.
type Options struct {
	Issuer    string   // its URL, as tokens name it
	Audiences []string // of which a token must name one: it was made for us
	Scopes    []string // all of which a token must have
	Claim     string   // that names the account; "email" if empty
	Domain    string   // of accounts that the claim names without one
	// Algorithms are those of signatures; nil is all with public keys that are
	// any good.
	Algorithms []string
	// Introspect asks the issuer about each token, instead of reading it. It
	// wants to know who asks.
	Introspect       bool
	ClientID, Secret string

	Roots *x509.CertPool // nil for the system's
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
	Now   func() time.Time
}

// The bounds of what is taken from others, in octets, and of what is kept.
const (
	maxToken  = 8192
	maxAnswer = 256 << 10
	maxKeys   = 100
	maxCached = 10_000
)

// The ages of what is kept.
const (
	freshFor   = time.Hour       // metadata and keys
	staleFor   = 24 * time.Hour  // while the issuer does not answer
	againAfter = time.Minute     // for a key that is not among those known
	rest       = 5 * time.Second // for an issuer that does not answer
	askedFor   = time.Minute     // answers about tokens
	leeway     = time.Minute     // of clocks
	timeout    = 10 * time.Second
)

// algorithms are those that use public keys; an HMAC with a published key, or no
// signature, are not among them.
func algorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// Algorithms are the names of signatures that can be allowed.
func Algorithms() []string { return algorithms() }

// Token is what is known of a token that is good.
type Token struct {
	Login   string // whose it is
	Expires time.Time
}

// Verifier decides on tokens. Its methods may be called at the same time.
type Verifier struct {
	o          Options
	algorithms []jose.SignatureAlgorithm
	web        *http.Client

	fetching sync.Mutex // one asks for metadata and keys at a time
	mu       sync.Mutex // of what follows
	known    known
	answers  map[[sha256.Size]byte]answer
}

// answer is what the issuer said of a token.
type answer struct {
	token Token
	until time.Time
}

// New makes a Verifier. It asks nobody before there is a token.
func New(o Options) *Verifier {
	if o.Claim == "" {
		o.Claim = "email"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	v := &Verifier{o: o, answers: map[[sha256.Size]byte]answer{}}
	for _, name := range algorithms() {
		if o.Algorithms == nil || slices.Contains(o.Algorithms, name) {
			v.algorithms = append(v.algorithms, jose.SignatureAlgorithm(name))
		}
	}
	v.web = client(o)
	return v
}

// Check says whose token it is; ErrRefused if it is of no use.
func (v *Verifier) Check(ctx context.Context, token string) (Token, error) {
	switch {
	case token == "":
		return Token{}, fmt.Errorf("%w: there is none", ErrRefused)
	case len(token) > maxToken:
		return Token{}, fmt.Errorf("%w: it is too long", ErrRefused)
	case v.o.Introspect:
		return v.introspect(ctx, token)
	}
	return v.read(ctx, token)
}

// read checks a JSON Web Token by itself.
func (v *Verifier) read(ctx context.Context, text string) (Token, error) {
	refuse := func(why string) (Token, error) { return Token{}, fmt.Errorf("%w: %s", ErrRefused, why) }
	token, err := jwt.ParseSigned(text, v.algorithms)
	if err != nil || len(token.Headers) != 1 {
		return refuse("it is no JWT that is signed in a way that is allowed")
	}
	header := token.Headers[0]
	if !typeFits(header.ExtraHeaders[jose.HeaderType]) {
		return refuse("its type is not that of an access token")
	}
	keys, err := v.keys(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return Token{}, err
	}
	for _, key := range keys {
		var c claims
		if token.Claims(key.Key, &c, &c.all) == nil {
			return v.claimed(c)
		}
	}
	return refuse("none of its issuer's keys has signed it")
}

// typeFits: RFC 9068 section 2.1, and what issuers wrote before it.
func typeFits(kind any) bool {
	if kind == nil {
		return true
	}
	text, ok := kind.(string)
	text = strings.TrimPrefix(strings.ToLower(text), "application/")
	return ok && (text == "jwt" || text == "at+jwt")
}

// claims are what a token says; all has them by name.
type claims struct {
	jwt.Claims
	all map[string]any
}

// claimed looks at what a token says, now that it is genuine.
func (v *Verifier) claimed(c claims) (Token, error) {
	if c.Expiry == nil {
		return Token{}, fmt.Errorf("%w: it never expires", ErrRefused)
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: v.o.Issuer, AnyAudience: jwt.Audience(v.o.Audiences), Time: v.o.Now()}, leeway)
	if err != nil {
		return Token{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return v.owner(c.all, c.Expiry.Time())
}

// owner finds out whose the token is, and whether it is for mail.
func (v *Verifier) owner(all map[string]any, expires time.Time) (Token, error) {
	scopes := append(words(all["scope"]), words(all["scp"])...)
	for _, s := range v.o.Scopes {
		if !slices.Contains(scopes, s) {
			return Token{}, fmt.Errorf("%w: %s is missing", errScope, s)
		}
	}
	login, _ := all[v.o.Claim].(string)
	switch {
	case login == "":
		return Token{}, fmt.Errorf("%w: it has no %s", ErrRefused, v.o.Claim)
	case v.o.Claim == "email" && all["email_verified"] == false:
		return Token{}, fmt.Errorf("%w: the issuer has not verified the address", ErrRefused)
	case !strings.Contains(login, "@") && v.o.Domain != "":
		login += "@" + v.o.Domain
	}
	return Token{Login: login, Expires: expires}, nil
}

// words are a list, or text with spaces.
func words(v any) (all []string) {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		for _, x := range v {
			if s, ok := x.(string); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// Refusal is what a client is told of a token that was refused, in the form of
// RFC 7628 section 3.2.2, or in that of XOAUTH2.
func (v *Verifier) Refusal(old bool, err error) []byte {
	out := map[string]string{"scope": strings.Join(v.o.Scopes, " ")}
	switch {
	case old:
		out["status"], out["schemes"] = "401", "bearer"
	case errors.Is(err, errScope):
		out["status"] = "insufficient_scope"
	default:
		out["status"] = "invalid_token"
	}
	if !old {
		out["openid-configuration"] = strings.TrimSuffix(v.o.Issuer, "/") + wellKnown
	}
	if out["scope"] == "" {
		delete(out, "scope")
	}
	text, _ := json.Marshal(out) // a map of text
	return text
}
