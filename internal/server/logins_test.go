package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/sasl"

	"github.com/go-jose/go-jose/v4"
	"github.com/xdg-go/scram"
)

// doors are the services where people log in, each with TLS.
func loginDoors() []string { return []string{"submissions", "imaps", "pop3s", "sieve"} }

// wire is a client of any of them, as far as logging in goes.
type wire struct {
	t       *testing.T
	service string
	conn    *tls.Conn
	r       *bufio.Reader
}

func dialWire(t *testing.T, service, address string, certificate *tls.Certificate) *wire {
	t.Helper()
	return dialWireFrom(t, "127.0.0.1", service, address, certificate)
}

// dialWireFrom comes from an address of the loopback.
func dialWireFrom(t *testing.T, from, service, address string, certificate *tls.Certificate) *wire {
	t.Helper()
	c := &tls.Config{InsecureSkipVerify: true}
	if certificate != nil {
		c.Certificates = []tls.Certificate{*certificate}
	}
	conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	w := &wire{t: t, service: service}
	if service == "sieve" {
		w.r = bufio.NewReader(conn)
		w.skip("OK")
		fmt.Fprint(conn, "STARTTLS\r\n")
		w.skip("OK")
	}
	w.conn = tls.Client(conn, c)
	w.r = bufio.NewReader(w.conn)
	switch service {
	case "sieve":
		w.skip("OK")
	case "submissions":
		w.line()
		fmt.Fprint(w.conn, "EHLO me\r\n")
		w.skip("250 ")
	default:
		w.line()
	}
	return w
}

func (w *wire) line() string {
	w.t.Helper()
	line, err := w.r.ReadString('\n')
	if err != nil {
		w.t.Fatalf("%s: %v", w.service, err)
	}
	return strings.TrimRight(line, "\r\n")
}

func (w *wire) skip(until string) {
	for !strings.HasPrefix(w.line(), until) {
	}
}

func (w *wire) ask(line string) string {
	fmt.Fprintf(w.conn, "%s\r\n", line)
	return w.line()
}

// login goes through an exchange: the initial response, then an answer for each
// challenge, the last one again and again. It gives the server's last word and
// the challenges.
func (w *wire) login(mechanism, initial string, answers ...string) (ok bool, last string, challenges []string) {
	w.t.Helper()
	b64 := base64.StdEncoding.EncodeToString([]byte(initial))
	if b64 == "" {
		b64 = "="
	}
	verb, prefix := map[string]string{"submissions": "AUTH %s %s", "imaps": "a AUTHENTICATE %s %s", "pop3s": "AUTH %s %s", "sieve": `AUTHENTICATE "%s" "%s"`},
		map[string]string{"submissions": "334 ", "imaps": "+ ", "pop3s": "+ ", "sieve": `"`}
	if w.service == "sieve" {
		b64 = strings.Trim(b64, "=") + strings.Repeat("=", (4-len(strings.Trim(b64, "="))%4)%4)
	}
	last = w.ask(fmt.Sprintf(verb[w.service], mechanism, b64))
	for i := 0; ; i++ {
		text, more := strings.CutPrefix(last, prefix[w.service])
		literal := w.service == "sieve" && strings.HasPrefix(last, "{")
		if !more && !literal {
			break
		}
		if literal {
			text = w.line()
		}
		challenge, err := base64.StdEncoding.DecodeString(strings.Trim(text, `"`))
		if err != nil || len(answers) == 0 || i > 10 {
			w.t.Fatalf("%s %s: challenge %q, %v", w.service, mechanism, last, err)
		}
		challenges = append(challenges, string(challenge))
		answer := base64.StdEncoding.EncodeToString([]byte(answers[min(i, len(answers)-1)]))
		if w.service == "sieve" {
			answer = strconv.Quote(answer)
		}
		last = w.ask(answer)
	}
	for _, good := range []string{"235 ", "a OK", "+OK", "OK"} {
		ok = ok || strings.HasPrefix(last, good)
	}
	return ok, last, challenges
}

// tokenIssuer is an issuer on the loopback, and what makes its tokens.
func tokenIssuer(t *testing.T) (url, caFile string, token func(change map[string]any) string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var s *httptest.Server
	s = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			json.NewEncoder(w).Encode(map[string]string{"issuer": s.URL, "jwks_uri": s.URL + "/keys"})
		case "/keys":
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Use: "sig"}}})
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	caFile = filepath.Join(t.TempDir(), "issuer.pem")
	writePEM(t, caFile, s.Certificate().Raw)
	return s.URL, caFile, func(change map[string]any) string {
		claims := map[string]any{"iss": s.URL, "aud": "mail", "exp": time.Now().Add(time.Hour).Unix(), "scope": "mail", "email": "ann@here.test", "pad": strings.Repeat("x", 3000)}
		for k, v := range change {
			claims[k] = v
		}
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(claims)
		signed, err := signer.Sign(text)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := signed.CompactSerialize()
		return out
	}
}

func writePEM(t *testing.T, file string, der []byte) {
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// clientCA is an authority for people and the file with it.
func clientCA(t *testing.T) (file string, issue func(email string) *tls.Certificate) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "people"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	sign := func(c *x509.Certificate, public any) []byte {
		der, err := x509.CreateCertificate(rand.Reader, c, ca, public, key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	file = filepath.Join(t.TempDir(), "people.pem")
	writePEM(t, file, sign(ca, &key.PublicKey))
	return file, func(email string) *tls.Certificate {
		mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
			EmailAddresses: []string{email}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		return &tls.Certificate{Certificate: [][]byte{sign(leaf, &mine.PublicKey)}, PrivateKey: mine}
	}
}

// TestLogins logs in by every mechanism at every service of a running server.
func TestLogins(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	here := []string{"127.0.0.1:0"}
	c.Listen = config.Listen{Submissions: here, IMAPS: here, POP3S: here, Sieve: here}
	issuer, ca, token := tokenIssuer(t)
	c.OAuth.Issuer, c.OAuth.CA, c.OAuth.Audiences, c.OAuth.Scopes = issuer, ca, []string{"mail"}, []string{"mail"}
	var issue func(string) *tls.Certificate
	c.TLS.ClientCA, issue = clientCA(t)
	c.Auth.Mechanisms = append(c.Auth.Mechanisms, "ANONYMOUS", "CRAM-MD5", "SCRAM-SHA-1")
	c.Auth.Masters, c.Auth.Anonymous = []mail.Address{mail.MustAddress("Root@here.test")}, mail.MustAddress("public@here.test")
	c.Auth.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // so that no failure delays others
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	s, at, _ := start(t, c)
	o := s.Operations()
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	try(o.Directory.AddDomain(t.Context(), "here.test"))
	for _, who := range append([]string{"bob", "root", "public"}, loginDoors()...) {
		try(o.Directory.AddAccount(t.Context(), who+"@here.test", "password of "+who))
	}
	app, err := o.Logins.AddApp(t.Context(), "imaps@here.test", control.App{Name: "reader", ReadOnly: true})
	try(err)
	for _, service := range loginDoors() {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			me := service + "@here.test"
			app, err := o.Logins.AddApp(t.Context(), me, control.App{Name: "for reading", ReadOnly: true})
			try(err)
			everyMechanism(t, service, at[service], me, app.Password, token, issue)
		})
	}
	t.Run("old mechanisms", func(t *testing.T) {
		t.Parallel()
		w := dialWire(t, "imaps", at["imaps"], nil) // a password that was set while it is on
		challenge := strings.TrimPrefix(w.ask("a AUTHENTICATE CRAM-MD5"), "+ ")
		raw, err := base64.StdEncoding.DecodeString(challenge)
		try(err)
		digest, err := sasl.NewCRAMKey("password of bob").Digest(raw)
		try(err)
		if got := w.ask(base64.StdEncoding.EncodeToString([]byte("bob@here.test " + digest))); !strings.HasPrefix(got, "a OK") {
			t.Errorf("CRAM-MD5 with %q: %s", raw, got)
		}
		sha1 := dialWire(t, "imaps", at["imaps"], nil)
		conv, err := scram.SHA1.NewClient("bob@here.test", "password of bob", "")
		try(err)
		talk := conv.NewConversation()
		first, err := talk.Step("")
		try(err)
		server := strings.TrimPrefix(sha1.ask("a AUTHENTICATE SCRAM-SHA-1 "+base64.StdEncoding.EncodeToString([]byte(first))), "+ ")
		raw, err = base64.StdEncoding.DecodeString(server)
		try(err)
		final, err := talk.Step(string(raw))
		try(err)
		sha1.ask(base64.StdEncoding.EncodeToString([]byte(final)))
		if got := sha1.ask(""); !strings.HasPrefix(got, "a OK") {
			t.Errorf("SCRAM-SHA-1: %s", got)
		}
	})
	t.Run("read only", func(t *testing.T) {
		t.Parallel()
		readOnly(t, at, "imaps@here.test", app.Password)
	})
}

// everyMechanism logs in as an account whose password is that "of" its service,
// first in ways that work.
func everyMechanism(t *testing.T, service, address, me, app string, token func(map[string]any) string, issue func(string) *tls.Certificate) {
	reading := service == "imaps" || service == "pop3s"
	good := token(map[string]any{"email": me})
	bearer := func(user, token string) string {
		return "n,a=" + user + ",\x01host=mx.here.test\x01auth=Bearer " + token + "\x01\x01"
	}
	for _, tc := range []struct {
		name, mechanism, initial string
		certificate              *tls.Certificate
		answers                  []string
		want                     bool
		challenge                string
	}{
		{"password", "PLAIN", "\x00" + me + "\x00password of " + service, nil, nil, true, ""},
		{"master", "PLAIN", me + "\x00root@here.test\x00password of root", nil, nil, true, ""},
		{"master by name", "PLAIN", "\x00" + me + "*root@here.test\x00password of root", nil, nil, true, ""},
		{"token", "OAUTHBEARER", bearer(me, good), nil, nil, true, ""},
		{"token by XOAUTH2", "XOAUTH2", "user=" + me + "\x01auth=Bearer " + good + "\x01\x01", nil, nil, true, ""},
		{"certificate", "EXTERNAL", "", issue(me), nil, true, ""},
		{"certificate as itself", "EXTERNAL", me, issue(me), nil, true, ""},
		{"nobody", "ANONYMOUS", "me", nil, nil, reading, ""},
		{"app password for reading", "PLAIN", "\x00" + me + "\x00" + app, nil, nil, reading, ""},
		{"as another", "PLAIN", "bob@here.test\x00" + me + "\x00password of " + service, nil, nil, false, ""},
		{"token of another", "OAUTHBEARER", bearer("bob@here.test", good), nil, nil, false, ""},
		{"certificate as another", "EXTERNAL", "bob@here.test", issue(me), nil, false, ""},
		{"no certificate", "EXTERNAL", "", nil, nil, false, ""},
		{"token that ran out", "OAUTHBEARER", bearer(service+"-1", token(map[string]any{"exp": 1})), nil, []string{"\x01"}, false, `"status":"invalid_token"`},
		{"token with little scope", "OAUTHBEARER", bearer(service+"-2", token(map[string]any{"scope": "web"})), nil, []string{"\x01"}, false, `"status":"insufficient_scope"`},
		{"rubbish by XOAUTH2", "XOAUTH2", "user=" + service + "-3\x01auth=Bearer x.y.z\x01\x01", nil, []string{""}, false, `"status":"401"`},
		{"wrong password", "PLAIN", "\x00" + me + "\x00password of bob", nil, nil, false, ""},
	} {
		w := dialWire(t, service, address, tc.certificate)
		ok, last, challenges := w.login(tc.mechanism, tc.initial, tc.answers...)
		if ok != tc.want || tc.challenge != "" && (len(challenges) != 1 || !strings.Contains(challenges[0], tc.challenge)) {
			t.Errorf("%s: %s, challenges %q", tc.name, last, challenges)
		}
		w.ask(map[string]string{"imaps": "q LOGOUT"}[service] + map[bool]string{true: "QUIT"}[service != "imaps"])
		w.conn.Close()
	}
}

// readOnly holds a login for reading to it.
func readOnly(t *testing.T, at map[string]string, me, password string) {
	login := "\x00" + me + "\x00"
	w := dialWire(t, "imaps", at["imaps"], nil)
	w.login("PLAIN", login+"password of imaps")
	fmt.Fprint(w.conn, "b APPEND INBOX {24+}\r\nSubject: hello\r\n\r\nthere\r\n\r\n")
	w.skip("b OK")
	w.conn.Close()
	w = dialWire(t, "imaps", at["imaps"], nil)
	w.login("PLAIN", login+password)
	fmt.Fprint(w.conn, "b SELECT INBOX\r\n")
	w.skip("b OK [READ-ONLY]")
	for _, line := range []string{
		"STORE 1 FLAGS (\\Deleted)", "UID STORE 1 FLAGS (\\Seen)", "EXPUNGE", "COPY 1 INBOX", "MOVE 1 Trash", "CREATE x", "DELETE INBOX", "RENAME INBOX x",
		"SUBSCRIBE INBOX", "SETACL INBOX bob@here.test lr", "SETMETADATA INBOX (/private/comment \"x\")", "RESETKEY", "APPEND INBOX {1+}\r\nx",
	} {
		if got := w.ask("c " + line); !strings.HasPrefix(got, "c NO [NOPERM]") {
			t.Errorf("%s: %s", line, got)
		}
	}
	fmt.Fprint(w.conn, "d FETCH 1 (BODY[])\r\n")
	w.skip("d OK")
	if got := w.ask("e FETCH 1 (FLAGS)"); strings.Contains(got, "Seen") {
		t.Errorf("reading left a trace: %s", got)
	}
	w.conn.Close()
	w = dialWire(t, "pop3s", at["pop3s"], nil)
	w.login("PLAIN", login+password)
	second := dialWire(t, "pop3s", at["pop3s"], nil) // who deletes nothing keeps nobody out
	if ok, last, _ := second.login("PLAIN", login+password); !ok {
		t.Error(last)
	}
	if got := w.ask("DELE 1"); !strings.HasPrefix(got, "-ERR [SYS/PERM]") {
		t.Errorf("DELE: %s", got)
	}
	fmt.Fprint(w.conn, "RETR 1\r\n")
	w.skip(".")
	if got := w.ask("QUIT"); !strings.HasPrefix(got, "+OK") {
		t.Errorf("QUIT: %s", got)
	}
	w = dialWire(t, "imaps", at["imaps"], nil)
	w.login("PLAIN", login+password)
	if got := w.ask("f STATUS INBOX (UNSEEN)"); !strings.Contains(got, "UNSEEN 1") {
		t.Errorf("reading by POP3 left a trace: %s", got)
	}
}
