package oauth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// issuer is one on the loopback, by HTTPS, with a clock that tests move.
type issuer struct {
	*httptest.Server
	t testing.TB

	mu      sync.Mutex
	now     time.Time
	keys    []any // of the key set
	asked   map[string]int
	active  map[string]any // answers to introspection, by token
	down    bool
	oldHome bool // metadata only where RFC 8414 has them
	claims  string
}

func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{t: t, now: noon, asked: map[string]int{}, active: map[string]any{}}
	i.Server = httptest.NewTLSServer(http.HandlerFunc(i.serve))
	i.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(i.Close)
	i.claims = i.URL + "/realm"
	return i
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[r.URL.Path]++
	if i.down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	var out any
	switch r.URL.Path {
	case "/realm/.well-known/openid-configuration":
		if i.oldHome {
			http.NotFound(w, r)
			return
		}
		out = i.metadata()
	case "/.well-known/oauth-authorization-server/realm":
		out = i.metadata()
	case "/keys":
		out = map[string]any{"keys": i.keys}
	case "/introspect":
		if id, secret, _ := r.BasicAuth(); id != "plic" || secret != "s%26cret" || r.Method != http.MethodPost {
			http.Error(w, "who?", http.StatusUnauthorized)
			return
		}
		out = i.active[r.PostFormValue("token")]
		if out == nil {
			out = map[string]any{"active": false}
		}
	default:
		http.NotFound(w, r)
		return
	}
	json.NewEncoder(w).Encode(out)
}

func (i *issuer) metadata() any {
	return map[string]any{"issuer": i.claims, "jwks_uri": i.URL + "/keys", "introspection_endpoint": i.URL + "/introspect"}
}

func (i *issuer) set(change func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change()
}

func (i *issuer) count(path string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.asked[path]
}

func (i *issuer) verifier(change func(*Options)) *Verifier {
	roots := x509.NewCertPool()
	roots.AddCert(i.Certificate())
	o := Options{
		Issuer: i.URL + "/realm", Audiences: []string{"mail"}, Scopes: []string{"imap", "smtp"}, Roots: roots,
		ClientID: "plic", Secret: "s&cret",
		Now: func() time.Time { i.mu.Lock(); defer i.mu.Unlock(); return i.now },
	}
	if change != nil {
		change(&o)
	}
	return New(o)
}

// good are claims that pass.
func (i *issuer) good() map[string]any {
	return map[string]any{
		"iss": i.URL + "/realm", "aud": "mail", "exp": noon.Add(time.Hour).Unix(), "nbf": noon.Unix(), "iat": noon.Unix(),
		"scope": "openid imap smtp", "email": "ann@plic.test",
	}
}

func (i *issuer) with(name string, value any) map[string]any {
	c := i.good()
	if c[name] = value; value == nil {
		delete(c, name)
	}
	return c
}

// sign makes a token as an issuer does.
func sign(t testing.TB, key any, alg jose.SignatureAlgorithm, kid string, extra map[string]any, claims any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType("at+jwt")
	for k, v := range extra {
		o = o.WithHeader(jose.HeaderKey(k), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(claims)
	signed, err := signer.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// forged is a token put together by hand.
func forged(header string, claims any, signature []byte) string {
	text, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(header)) + "." + b64(text) + "." + b64(signature)
}

type keyring struct {
	rsa, other *rsa.PrivateKey
	ec         *ecdsa.PrivateKey
	ed         ed25519.PrivateKey
}

func newKeyring(t testing.TB) (k keyring) {
	t.Helper()
	var errs [4]error
	k.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.other, errs[1] = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, errs[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, errs[3] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	return k
}

func public(key crypto.PublicKey, kid, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: alg, Use: "sig"}
}

func (k keyring) published() []any {
	return []any{
		public(&k.rsa.PublicKey, "rsa", "RS256"), public(&k.ec.PublicKey, "ec", ""), public(k.ed.Public(), "ed", "EdDSA"),
		map[string]any{"kty": "AKP", "kid": "future", "alg": "ML-DSA-44"},                                                                 // a kind to come
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("not so secret", 4)))}, // published by mistake
	}
}

// A8, A6: keys by path, algorithms confused, keys that a token brings along.
func TestTokens(t *testing.T) {
	t.Parallel()
	i, k := newIssuer(t), newKeyring(t)
	i.keys = k.published()
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Log("no weak key can be made:", err)
	} else {
		i.keys = append(i.keys, public(&weak.PublicKey, "weak", ""))
	}
	der, _ := x509.MarshalPKIXPublicKey(&k.rsa.PublicKey)
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := sign(t, k.rsa, jose.RS256, "rsa", nil, i.good())
	parts := strings.Split(good, ".")
	for _, tc := range []struct {
		name, token string
		want        error
	}{
		{"RS256", good, nil},
		{"ES256", sign(t, k.ec, jose.ES256, "ec", nil, i.good()), nil},
		{"EdDSA", sign(t, k.ed, jose.EdDSA, "ed", nil, i.good()), nil},
		{"no kid", sign(t, k.ec, jose.ES256, "", nil, i.good()), nil},
		{"several audiences", sign(t, k.ec, jose.ES256, "ec", nil, i.with("aud", []string{"web", "mail"})), nil},
		{"scp", sign(t, k.ec, jose.ES256, "ec", nil, i.with("scp", []string{"imap", "smtp"})), nil},
		{"a minute late", sign(t, k.ec, jose.ES256, "ec", nil, i.with("exp", noon.Add(-30*time.Second).Unix())), nil},

		{"alg none", forged(`{"alg":"none"}`, i.good(), nil), ErrRefused},
		{"alg None", forged(`{"alg":"None","kid":"rsa"}`, i.good(), []byte("x")), ErrRefused},
		{"HMAC with the public key", sign(t, pemKey, jose.HS256, "rsa", nil, i.good()), ErrRefused},
		{"HMAC with the DER", sign(t, der, jose.HS256, "", nil, i.good()), ErrRefused},
		{"HMAC with the key that was published", sign(t, []byte(strings.Repeat("not so secret", 4)), jose.HS256, "oct", nil, i.good()), ErrRefused},
		{"another's key", sign(t, k.other, jose.RS256, "rsa", nil, i.good()), ErrRefused},
		{"another's key, no kid", sign(t, k.other, jose.RS256, "", nil, i.good()), ErrRefused},
		{"another's key that comes along", sign(t, k.other, jose.RS256, "x", map[string]any{"jwk": public(&k.other.PublicKey, "x", "RS256")}, i.good()), ErrRefused},
		{"a key elsewhere", sign(t, k.other, jose.RS256, "rsa", map[string]any{"jku": "https://evil.test/keys"}, i.good()), ErrRefused},
		{"algorithm not of the key", sign(t, k.rsa, jose.PS256, "rsa", nil, i.good()), ErrRefused},
		{"kid of another key", sign(t, k.rsa, jose.RS256, "ec", nil, i.good()), ErrRefused},
		{"A8: kid as a path", sign(t, k.rsa, jose.RS256, "../../../../dev/null", nil, i.good()), ErrRefused},
		{"kid as SQL", sign(t, k.rsa, jose.RS256, "' UNION SELECT 'x", nil, i.good()), ErrRefused},
		{"crit", sign(t, k.rsa, jose.RS256, "rsa", map[string]any{"crit": []string{"exp"}, "exp": 1}, i.good()), ErrRefused},
		{"a token of another kind", forged(`{"alg":"RS256","kid":"rsa","typ":"logout+jwt"}`, i.good(), []byte("x")), ErrRefused},
		{"changed claims", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"email":"bob@plic.test"}`)) + "." + parts[2], ErrRefused},
		{"no signature", parts[0] + "." + parts[1] + ".", ErrRefused},
		{"encrypted", good + "." + parts[1] + "." + parts[2], ErrRefused},
		{"expired", sign(t, k.ec, jose.ES256, "ec", nil, i.with("exp", noon.Add(-2*time.Minute).Unix())), ErrRefused},
		{"without end", sign(t, k.ec, jose.ES256, "ec", nil, i.with("exp", nil)), ErrRefused},
		{"end as text", sign(t, k.ec, jose.ES256, "ec", nil, i.with("exp", "never")), ErrRefused},
		{"not yet", sign(t, k.ec, jose.ES256, "ec", nil, i.with("nbf", noon.Add(time.Hour).Unix())), ErrRefused},
		{"another issuer", sign(t, k.ec, jose.ES256, "ec", nil, i.with("iss", i.URL)), ErrRefused},
		{"no issuer", sign(t, k.ec, jose.ES256, "ec", nil, i.with("iss", nil)), ErrRefused},
		{"for others", sign(t, k.ec, jose.ES256, "ec", nil, i.with("aud", "web")), ErrRefused},
		{"for nobody", sign(t, k.ec, jose.ES256, "ec", nil, i.with("aud", nil)), ErrRefused},
		{"scope too small", sign(t, k.ec, jose.ES256, "ec", nil, i.with("scope", "imap smtp2")), ErrRefused},
		{"no address", sign(t, k.ec, jose.ES256, "ec", nil, i.with("email", nil)), ErrRefused},
		{"an address as a list", sign(t, k.ec, jose.ES256, "ec", nil, i.with("email", []string{"ann@plic.test"})), ErrRefused},
		{"address not verified", sign(t, k.ec, jose.ES256, "ec", nil, i.with("email_verified", false)), ErrRefused},
		{"nothing", "", ErrRefused},
		{"rubbish", "a.b.c", ErrRefused},
		{"endless", strings.Repeat("a", maxToken+1), ErrRefused},
	} {
		token, err := i.verifier(nil).Check(t.Context(), tc.token)
		if !errors.Is(err, tc.want) || tc.want == nil && err != nil || (token.Login == "ann@plic.test") != (tc.want == nil) {
			t.Errorf("%s: %+v %v", tc.name, token, err)
		}
	}
	if weak != nil {
		if token, err := i.verifier(nil).Check(t.Context(), forged(`{"alg":"RS256","kid":"weak"}`, i.good(), []byte("x"))); err == nil {
			t.Errorf("a key of 1024 bits: %+v", token)
		}
	}
	only := i.verifier(func(o *Options) { o.Algorithms = []string{"ES256"} })
	if _, err := only.Check(t.Context(), good); !errors.Is(err, ErrRefused) {
		t.Errorf("an algorithm that is not allowed: %v", err)
	}
	named := i.verifier(func(o *Options) { o.Claim, o.Domain = "preferred_username", "plic.test" })
	if token, err := named.Check(t.Context(), sign(t, k.ec, jose.ES256, "ec", nil, i.with("preferred_username", "ann"))); err != nil || token.Login != "ann@plic.test" {
		t.Errorf("by another claim: %+v %v", token, err)
	}
}

// Keys are fetched once, again when they are old or when one is missing, and not
// for each token that a stranger makes up; and last a day without the issuer.
func TestKeyRotation(t *testing.T) {
	t.Parallel()
	i, k := newIssuer(t), newKeyring(t)
	i.keys = []any{public(&k.rsa.PublicKey, "one", "")}
	i.oldHome = true // RFC 8414 section 3.1
	v := i.verifier(nil)
	check := func(key *rsa.PrivateKey, kid string, want bool, fetched int) {
		t.Helper()
		c := i.good()
		c["exp"] = i.now.Add(time.Hour).Unix()
		_, err := v.Check(t.Context(), sign(t, key, jose.RS256, kid, nil, c))
		if (err == nil) != want || i.count("/keys") != fetched {
			t.Errorf("%s: %v, fetched %d times, want %d", kid, err, i.count("/keys"), fetched)
		}
	}
	pass := func(d time.Duration) { i.set(func() { i.now = i.now.Add(d) }) }
	check(k.rsa, "one", true, 1)
	check(k.rsa, "one", true, 1)
	for n := range 20 {
		check(k.other, fmt.Sprint("made up ", n), false, 1)
	}
	pass(2 * time.Minute)
	check(k.rsa, "one", true, 1)
	check(k.other, "made up", false, 2)
	i.set(func() { i.keys = []any{public(&k.rsa.PublicKey, "one", ""), public(&k.other.PublicKey, "two", "")} })
	pass(2 * time.Minute)
	check(k.other, "two", true, 3)
	i.set(func() { i.keys = i.keys[1:] })
	pass(2 * time.Hour)
	check(k.other, "two", true, 4)
	check(k.rsa, "one", false, 4) // withdrawn
	i.set(func() { i.down = true })
	pass(2 * time.Hour)
	check(k.other, "two", true, 4)
	pass(25 * time.Hour)
	c := i.good()
	c["exp"] = i.now.Add(time.Hour).Unix()
	if _, err := v.Check(t.Context(), sign(t, k.other, jose.RS256, "two", nil, c)); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("with keys of the day before yesterday: %v", err)
	}
}

// Whoever is not the issuer cannot give its metadata; what fails is temporary.
func TestIssuerTrouble(t *testing.T) {
	t.Parallel()
	i, k := newIssuer(t), newKeyring(t)
	i.keys = k.published()
	good := sign(t, k.ec, jose.ES256, "ec", nil, i.good())
	for name, change := range map[string]func(*Options){
		"unknown authority": func(o *Options) { o.Roots = x509.NewCertPool() },
		"no TLS":            func(o *Options) { o.Issuer = strings.Replace(o.Issuer, "https", "http", 1) },
		"nobody there":      func(o *Options) { o.Issuer = "https://127.0.0.1:1/realm" },
	} {
		if _, err := i.verifier(change).Check(t.Context(), good); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	i.set(func() { i.claims = "https://another.test" })
	v := i.verifier(nil)
	for range 3 {
		if _, err := v.Check(t.Context(), good); err == nil || errors.Is(err, ErrRefused) {
			t.Errorf("metadata of another: %v", err)
		}
	}
	if n := i.count("/realm/.well-known/openid-configuration"); n != 1 {
		t.Errorf("asked %d times in one moment", n)
	}
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	yes := func(change func(map[string]any)) map[string]any {
		c := i.good()
		c["active"] = true
		change(c)
		return c
	}
	i.active = map[string]any{
		"good":      yes(func(map[string]any) {}),
		"client":    yes(func(c map[string]any) { delete(c, "aud"); c["client_id"] = "mail" }),
		"for-other": yes(func(c map[string]any) { c["aud"] = "web" }),
		"for-none":  yes(func(c map[string]any) { delete(c, "aud") }),
		"expired":   yes(func(c map[string]any) { c["exp"] = noon.Add(-time.Hour).Unix() }),
		"early":     yes(func(c map[string]any) { c["nbf"] = noon.Add(time.Hour).Unix() }),
		"issuer":    yes(func(c map[string]any) { c["iss"] = "https://another.test" }),
		"scope":     yes(func(c map[string]any) { c["scope"] = "openid" }),
		"text":      yes(func(c map[string]any) { c["active"] = "true" }),
	}
	v := i.verifier(func(o *Options) { o.Introspect = true })
	for token, want := range map[string]bool{
		"good": true, "client": true, "for-other": false, "for-none": false, "expired": false, "early": false,
		"issuer": false, "scope": false, "text": false, "unknown": false,
	} {
		got, err := v.Check(t.Context(), token)
		if (err == nil) != want || err != nil && !errors.Is(err, ErrRefused) || want && got.Login != "ann@plic.test" {
			t.Errorf("%s: %+v %v", token, got, err)
		}
	}
	before := i.count("/introspect")
	if _, err := v.Check(t.Context(), "good"); err != nil || i.count("/introspect") != before {
		t.Errorf("asked again in one moment: %v", err)
	}
	i.set(func() { delete(i.active, "good"); i.now = i.now.Add(2 * time.Minute) }) // revoked
	if _, err := v.Check(t.Context(), "good"); !errors.Is(err, ErrRefused) {
		t.Errorf("revoked: %v", err)
	}
	i.set(func() { i.down = true })
	if _, err := v.Check(t.Context(), "client"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("nobody answers: %v", err)
	}
	i.set(func() { i.down = false })
	stranger := i.verifier(func(o *Options) { o.Introspect, o.Secret = true, "wrong" })
	if _, err := stranger.Check(t.Context(), "client"); err == nil || errors.Is(err, ErrRefused) {
		t.Errorf("our secret is wrong: %v", err)
	}
}

func TestRefusal(t *testing.T) {
	t.Parallel()
	v := New(Options{Issuer: "https://id.plic.test/", Scopes: []string{"imap"}})
	for _, tc := range []struct {
		old  bool
		err  error
		want string
	}{
		{false, ErrRefused, `{"openid-configuration":"https://id.plic.test/.well-known/openid-configuration","scope":"imap","status":"invalid_token"}`},
		{false, errScope, `{"openid-configuration":"https://id.plic.test/.well-known/openid-configuration","scope":"imap","status":"insufficient_scope"}`},
		{true, ErrRefused, `{"schemes":"bearer","scope":"imap","status":"401"}`},
	} {
		if got := string(v.Refusal(tc.old, tc.err)); got != tc.want {
			t.Errorf("%s, want %s", got, tc.want)
		}
	}
}

func FuzzToken(f *testing.F) {
	i, k := newIssuer(f), newKeyring(f)
	i.keys = k.published()
	v := i.verifier(nil)
	good := sign(f, k.ec, jose.ES256, "ec", nil, i.good())
	f.Add(strings.Split(good, ".")[0], strings.Split(good, ".")[1], "AAAA")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if token, err := v.Check(t.Context(), a+"."+b+"."+c); err == nil {
			t.Errorf("%s.%s.%s is of %s", a, b, c, token.Login)
		}
	})
}
