package oauth

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const wellKnown = "/.well-known/openid-configuration"

// known is what the issuer has published.
type known struct {
	metadata metadata
	keys     []jose.JSONWebKey
	got      time.Time // when all this was fetched
	tried    time.Time // when it was last tried
	trouble  error     // of that, if nothing is known
}

// metadata is of RFC 8414 section 2 what we need.
type metadata struct {
	Issuer     string `json:"issuer"`
	JWKS       string `json:"jwks_uri"`
	Introspect string `json:"introspection_endpoint"`
}

// client asks web servers, without proxies, redirects and cookies.
func client(o Options) *http.Client {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return &http.Client{
		Timeout:       timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 10, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: timeout,
		},
	}
}

// keys are those that may have made a signature: by the name that it bears,
// which is compared and nothing else, or all that fit its algorithm.
func (v *Verifier) keys(ctx context.Context, id, algorithm string) ([]jose.JSONWebKey, error) {
	fitting := func(k known) (list []jose.JSONWebKey) {
		for _, key := range k.keys {
			if (id == "" || key.KeyID == id) && fits(key, algorithm) {
				list = append(list, key)
			}
		}
		return list
	}
	k, err := v.published(ctx, func(k known) bool { return len(fitting(k)) > 0 })
	if err != nil {
		return nil, err
	}
	return fitting(k), nil
}

// fits says whether a key may be used with an algorithm, RFC 7518 section 3.1.
func fits(key jose.JSONWebKey, algorithm string) bool {
	if !key.Valid() || key.Use != "" && key.Use != "sig" || key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return (strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")) && k.N.BitLen() >= 2048 && k.N.BitLen() <= 8192
	case *ecdsa.PublicKey:
		return algorithm == map[string]string{"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}[k.Curve.Params().Name]
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false // a symmetric key has no place among public ones
}

// published gives what the issuer has published, fetched anew when it is old, or
// when it does not hold what is looked for; that not more often than every
// minute, whatever strangers make up. Who finds there what it needs does not
// wait for those who fetch.
func (v *Verifier) published(ctx context.Context, enough func(known) bool) (known, error) {
	if k, err, ok := v.cached(enough); ok {
		return k, err
	}
	v.fetching.Lock()
	defer v.fetching.Unlock()
	k, err, ok := v.cached(enough) // somebody may have fetched it just now
	if ok {
		return k, err
	}
	k.tried = v.o.Now()
	next, err := v.fetch(context.WithoutCancel(ctx)) // also for those who wait; it has a timeout of its own
	switch {
	case err == nil:
		next.got, next.tried = k.tried, k.tried
		k = next
	case k.usable(k.tried):
		err = nil
	default:
		err = fmt.Errorf("issuer %s: %w", v.o.Issuer, err)
	}
	k.trouble = err
	v.mu.Lock()
	v.known = k
	v.mu.Unlock()
	return k, err
}

// cached is what is known, and whether that has to do.
func (v *Verifier) cached(enough func(known) bool) (k known, err error, ok bool) {
	v.mu.Lock()
	k = v.known
	v.mu.Unlock()
	now := v.o.Now()
	since := now.Sub(k.tried)
	switch {
	case k.tried.IsZero() || since < 0:
		return k, nil, false
	case k.trouble != nil:
		return k, k.trouble, since < rest
	case k.usable(now) && since < againAfter:
		return k, nil, true
	}
	return k, nil, !k.got.IsZero() && now.Sub(k.got) < freshFor && enough(k)
}

func (k known) usable(now time.Time) bool { return !k.got.IsZero() && now.Sub(k.got) < staleFor }

// fetch gets metadata and keys.
func (v *Verifier) fetch(ctx context.Context) (k known, err error) {
	if k.metadata, err = v.discover(ctx); err != nil || v.o.Introspect {
		return k, err
	}
	var set struct{ Keys []json.RawMessage }
	if err := v.get(ctx, k.metadata.JWKS, &set); err != nil {
		return k, fmt.Errorf("keys: %w", err)
	}
	for _, text := range set.Keys[:min(len(set.Keys), maxKeys)] {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil { // one of a kind to come is none of ours, RFC 7517 section 5
			k.keys = append(k.keys, key)
		}
	}
	return k, nil
}

// discover finds the metadata: where OpenID Connect has it, else where RFC 8414
// section 3.1 does.
func (v *Verifier) discover(ctx context.Context) (m metadata, err error) {
	issuer, err := url.Parse(v.o.Issuer)
	if err != nil {
		return m, err
	}
	path := strings.TrimSuffix(issuer.Path, "/")
	for _, where := range []string{path + wellKnown, "/.well-known/oauth-authorization-server" + path} {
		at := url.URL{Scheme: issuer.Scheme, Host: issuer.Host, Path: where}
		if err = v.get(ctx, at.String(), &m); err == nil {
			break
		}
	}
	if err != nil {
		return m, fmt.Errorf("metadata: %w", err)
	}
	if m.Issuer != v.o.Issuer { // RFC 8414 section 3.3
		return m, fmt.Errorf("metadata: they are those of %.200q", m.Issuer)
	}
	return m, nil
}

func (v *Verifier) get(ctx context.Context, at string, into any) error {
	return v.ask(ctx, http.MethodGet, at, nil, into)
}

// ask makes one request for JSON, by HTTPS only.
func (v *Verifier) ask(ctx context.Context, method, at string, form url.Values, into any) error {
	if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%.200q is no address by https", at)
	}
	r, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(url.QueryEscape(v.o.ClientID), url.QueryEscape(v.o.Secret)) // RFC 6749 section 2.3.1
	}
	answer, err := v.web.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", at, answer.Status)
	case len(text) > maxAnswer:
		return fmt.Errorf("%s answers too much", at)
	}
	return json.NewDecoder(bytes.NewReader(text)).Decode(into)
}

// introspect asks the issuer about a token, RFC 7662.
func (v *Verifier) introspect(ctx context.Context, token string) (Token, error) {
	id, now := sha256.Sum256([]byte(token)), v.o.Now()
	v.mu.Lock()
	a, ok := v.answers[id]
	v.mu.Unlock()
	if ok && now.Before(a.until) && a.until.Sub(now) <= askedFor {
		return a.token, nil
	}
	k, err := v.published(ctx, func(k known) bool { return k.metadata.Introspect != "" })
	if err != nil {
		return Token{}, err
	}
	var c claims
	if err := v.ask(ctx, http.MethodPost, k.metadata.Introspect, url.Values{"token": {token}, "token_type_hint": {"access_token"}}, &c.all); err != nil {
		return Token{}, fmt.Errorf("introspection: %w", err)
	}
	t, err := v.active(c.all, now)
	if err != nil {
		return Token{}, err
	}
	v.remember(id, answer{t, earlier(t.Expires, now.Add(askedFor))})
	return t, nil
}

func earlier(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}

// active reads the answer of RFC 7662 section 2.2.
func (v *Verifier) active(all map[string]any, now time.Time) (Token, error) {
	refuse := func(err error) (Token, error) { return Token{}, fmt.Errorf("%w: %w", ErrRefused, err) }
	if all["active"] != true {
		return refuse(errors.New("it is not active"))
	}
	if iss, ok := all["iss"]; ok && iss != v.o.Issuer {
		return refuse(jwt.ErrInvalidIssuer)
	}
	audience := words(all["aud"])
	if _, named := all["aud"]; !named {
		audience = words(all["client_id"])
	}
	if len(v.o.Audiences) > 0 && !slices.ContainsFunc(audience, func(a string) bool { return slices.Contains(v.o.Audiences, a) }) {
		return refuse(jwt.ErrInvalidAudience)
	}
	var expires time.Time
	if exp, ok := all["exp"].(float64); ok {
		if expires = time.Unix(int64(exp), 0); !now.Before(expires.Add(leeway)) {
			return refuse(jwt.ErrExpired)
		}
	}
	if nbf, ok := all["nbf"].(float64); ok && now.Add(leeway).Before(time.Unix(int64(nbf), 0)) {
		return refuse(jwt.ErrNotValidYet)
	}
	return v.owner(all, expires)
}

func (v *Verifier) remember(id [sha256.Size]byte, a answer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.answers) >= maxCached {
		for other := range v.answers { // any one
			delete(v.answers, other)
			break
		}
	}
	v.answers[id] = a
}
