package sasl

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"
)

func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, want string }{
		{"pencil", "pencil"},
		{"I\u00adX", "IX"}, // RFC 4013 section 3
		{"\u00aa", "a"},
		{"\u2168", "IX"},
		{"a\u0301", "á"},
		{"one\u00a0two", "one two"},
		{"pass😀word", "pass😀word"}, // newer than Unicode 3.2
	} {
		if got, err := Prepare(tc.in); err != nil || got != tc.want {
			t.Errorf("%q: %q %v, want %q", tc.in, got, err, tc.want)
		}
	}
	for _, bad := range []string{"", "a\x00b", "a\nb", "\xff", strings.Repeat("x", MaxPassword+1), "\u00ad"} {
		if got, err := Prepare(bad); err == nil {
			t.Errorf("%q: %q, want an error", bad, got)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: the error shows it: %v", bad, err)
		}
	}
}

// one answers a credential check and remembers what was asked.
type one struct{ user, password string }

func (o *one) check(user, password string) error {
	if user != o.user || password != o.password {
		return ErrFailed
	}
	return nil
}

func TestPlainAndLogin(t *testing.T) {
	t.Parallel()
	o := &one{"tim", "tanstaaftanstaaf"}
	long := strings.Repeat("x", MaxResponse+1)
	for _, tc := range []struct {
		name      string
		server    Server
		responses []string // "-" is none
		authz     string
		want      error
	}{
		{"plain initial", NewPlain(o.check), []string{"\x00tim\x00tanstaaftanstaaf"}, "", nil},
		{"plain asked", NewPlain(o.check), []string{"-", "Ursel\x00tim\x00tanstaaftanstaaf"}, "Ursel", nil},
		{"plain wrong", NewPlain(o.check), []string{"\x00tim\x00x"}, "", ErrFailed},
		{"plain empty initial", NewPlain(o.check), []string{""}, "", ErrMalformed},
		{"plain nothing twice", NewPlain(o.check), []string{"-", "-"}, "", ErrMalformed},
		{"plain one field", NewPlain(o.check), []string{"tim"}, "", ErrMalformed},
		{"plain four fields", NewPlain(o.check), []string{"\x00tim\x00a\x00b"}, "", ErrMalformed},
		{"plain no password", NewPlain(o.check), []string{"\x00tim\x00"}, "", ErrMalformed},
		{"plain no user", NewPlain(o.check), []string{"\x00\x00x"}, "", ErrMalformed},
		{"plain not UTF-8", NewPlain(o.check), []string{"\x00tim\x00\xff"}, "", ErrMalformed},
		{"plain long", NewPlain(o.check), []string{long}, "", ErrTooLong},
		{"plain long name", NewPlain(o.check), []string{"\x00" + long[:2000] + "\x00x"}, "", ErrMalformed},
		{"login asked", NewLogin(o.check), []string{"-", "tim", "tanstaaftanstaaf"}, "", nil},
		{"login initial", NewLogin(o.check), []string{"tim", "tanstaaftanstaaf"}, "", nil},
		{"login wrong", NewLogin(o.check), []string{"-", "tim", "no"}, "", ErrFailed},
		{"login empty", NewLogin(o.check), []string{"-", "", ""}, "", ErrMalformed},
		{"login NUL", NewLogin(o.check), []string{"-", "tim", "a\x00b"}, "", ErrMalformed},
		{"login long", NewLogin(o.check), []string{"-", long}, "", ErrTooLong},
	} {
		var done bool
		var err error
		for i, r := range tc.responses {
			response := []byte(r)
			if r == "-" {
				response = nil
			}
			if _, done, err = tc.server.Next(response); err != nil {
				break
			}
			if done != (i == len(tc.responses)-1) {
				t.Errorf("%s: done after %d responses", tc.name, i+1)
			}
		}
		if !errors.Is(err, tc.want) || err == nil && !done {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if authz, user := tc.server.Identity(); err == nil && (authz != tc.authz || user != "tim") {
			t.Errorf("%s: identity %q %q", tc.name, authz, user)
		}
	}
}

// The example of RFC 7677 section 3.
func TestVerifierOfRFC7677(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := DeriveVerifier(SCRAM, "pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	message := "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	sign := func(key []byte) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(message))
		return mac.Sum(nil)
	}
	key, _ := base64.StdEncoding.DecodeString("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	subtle.XORBytes(key, key, sign(v.StoredKey))
	if sum := sha256.Sum256(key); !bytes.Equal(sum[:], v.StoredKey) {
		t.Error("the proof does not fit")
	}
	if got := base64.StdEncoding.EncodeToString(sign(v.ServerKey)); got != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("server signature %s", got)
	}
	text, _ := v.MarshalText()
	var back Verifier
	if err := back.UnmarshalText(text); err != nil || fmt.Sprint(back) != fmt.Sprint(*v) {
		t.Errorf("%s read back as %v, %v", text, back, err)
	}
	for _, bad := range []string{"", "x", "SCRAM-SHA-256$1:a$b:c", strings.Replace(string(text), "4096", "1", 1), string(text) + ":x", string(text[:len(text)-8])} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is no verifier", bad)
		}
	}
}

func TestVerifierRefuses(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, MinIterations - 1, MaxIterations + 1, -1} {
		if _, err := NewVerifier("pencil", n); err == nil {
			t.Errorf("%d iterations", n)
		}
	}
	if _, err := NewVerifier("", 0); err == nil {
		t.Error("an empty password")
	}
}

func TestFakeVerifier(t *testing.T) {
	t.Parallel()
	a, b, c, d := FakeVerifier(SCRAM, []byte("k"), "a", 0), FakeVerifier(SCRAM, []byte("k"), "a", 0), FakeVerifier(SCRAM, []byte("k"), "b", 0), FakeVerifier(SCRAM, []byte("l"), "a", 0)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Error("not stable")
	}
	if bytes.Equal(a.Salt, c.Salt) || bytes.Equal(a.Salt, d.Salt) || bytes.Equal(a.StoredKey, a.ServerKey) {
		t.Error("not different")
	}
	if e := FakeVerifier(SCRAM, []byte("k"), "a", 5000); e.Iterations != 5000 || !bytes.Equal(e.Salt, a.Salt) {
		t.Error("iterations")
	}
	if a.Iterations != DefaultIterations || len(a.Salt) != saltSize {
		t.Error("does not look like a verifier")
	}
}

var bindings = []Binding{{TLSExporter, []byte("exported")}, {TLSServerEndPoint, []byte("certificate")}}

// converse runs both sides to the end.
func converse(c Client, s Server) (err error) {
	response, err := c.Next(nil)
	for err == nil {
		var challenge []byte
		var done bool
		if challenge, done, err = s.Next(response); err != nil || done {
			break
		}
		response, err = c.Next(challenge)
	}
	return errors.Join(err, c.Finish())
}

func scramPair(t testing.TB, plus bool, serverSide, clientSide []Binding, password string) (Client, Server) {
	v, err := NewVerifier("päss,=w", MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	mechanism := SCRAM
	if plus {
		mechanism = SCRAMPlus
	}
	s := NewSCRAM(SCRAMOptions{Mechanism: mechanism, Bindings: serverSide, Lookup: func(user string) ([]*Verifier, error) {
		if user == "a,b=c" {
			return []*Verifier{v}, nil
		}
		return []*Verifier{FakeVerifier(SCRAM, []byte("key"), user, 0)}, nil
	}})
	c, err := NewSCRAMClient(Credentials{"a,b=c", password}, plus, clientSide)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func TestSCRAM(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name           string
		plus           bool
		server, client []Binding
		password       string
		want           error
	}{
		{"without binding", false, nil, nil, "päss,=w", nil},
		{"other form of the password", false, nil, nil, "pa\u0308ss,=w", nil},
		{"wrong password", false, nil, nil, "x", ErrFailed},
		{"plus", true, bindings, bindings, "päss,=w", nil},
		{"plus, second binding", true, bindings, bindings[1:], "päss,=w", nil},
		{"plus, type unknown here", true, bindings[1:], bindings, "päss,=w", ErrFailed},
		{"plus, man in the middle", true, bindings, []Binding{{TLSExporter, []byte("another")}}, "päss,=w", ErrFailed},
		{"plus, wrong password", true, bindings, bindings, "x", ErrFailed},
		{"client cannot bind", false, bindings, nil, "päss,=w", nil},
		{"server cannot bind", false, nil, bindings, "päss,=w", nil},
		{"offer of plus was hidden", false, bindings, bindings, "päss,=w", ErrFailed},
	} {
		c, s := scramPair(t, tc.plus, tc.server, tc.client, tc.password)
		if err := converse(c, s); !errors.Is(err, tc.want) || tc.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
		if _, user := s.Identity(); tc.want == nil && user != "a,b=c" {
			t.Errorf("%s: user %q", tc.name, user)
		}
	}
}

// A4: downgrades, other bindings, and nonces of another exchange.
func TestSCRAMServerRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, first string
		plus        bool
		want        error
	}{
		{"binding without plus", "p=tls-exporter,,n=u,r=abc", false, ErrFailed},
		{"plus without binding", "n,,n=u,r=abc", true, ErrFailed},
		{"plus with y", "y,,n=u,r=abc", true, ErrFailed},
		{"extension", "n,,m=x,n=u,r=abc", false, ErrMalformed},
		{"bad escape", "n,,n=u=2,r=abc", false, ErrMalformed},
		{"no user", "n,,n=,r=abc", false, ErrMalformed},
		{"not UTF-8", "n,,n=\xff,r=abc", false, ErrMalformed},
		{"NUL", "n,,n=a\x00,r=abc", false, ErrMalformed},
		{"long", "n,,n=" + strings.Repeat("x", MaxResponse), false, ErrTooLong},
		{"long user", "n,,n=" + strings.Repeat("x", MaxName+1) + ",r=abc", false, ErrMalformed},
		{"nothing", "", false, ErrMalformed},
	} {
		_, s := scramPair(t, tc.plus, bindings, bindings, "x")
		if _, _, err := s.Next([]byte(tc.first)); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	// A final message of an earlier exchange is of no use: another nonce.
	c, s := scramPair(t, false, nil, nil, "päss,=w")
	first, _ := c.Next(nil)
	challenge, _, _ := s.Next(first)
	final, _ := c.Next(challenge)
	_, other := scramPair(t, false, nil, nil, "päss,=w")
	if _, _, err := other.Next(first); err != nil {
		t.Fatal(err)
	}
	if _, _, err := other.Next(final); err == nil {
		t.Error("replayed")
	}
	// An error of the look-up is what the caller sees.
	trouble := errors.New("trouble")
	s = NewSCRAM(SCRAMOptions{Mechanism: SCRAM, Lookup: func(string) ([]*Verifier, error) { return nil, trouble }})
	if _, _, err := s.Next(first); !errors.Is(err, trouble) {
		t.Errorf("look-up error became %v", err)
	}
	// No way back after an error, no end without the client's last word.
	if _, done, err := s.Next(nil); done || err == nil {
		t.Error("goes on after an error")
	}
	if _, _, err := other.Next(nil); err == nil {
		t.Error("done without a proof")
	}
}

func TestSCRAMClientDistrustsServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, first string }{
		{"too few iterations", "r=%sx,s=c2FsdA==,i=1"},
		{"too many iterations", "r=%sx,s=c2FsdA==,i=2000000000"},
		{"another nonce", "r=x%s,s=c2FsdA==,i=4096"},
		{"nonsense", "%s"},
	} {
		c, err := NewSCRAMClient(Credentials{"u", "p"}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := c.Next(nil)
		_, nonce, _ := strings.Cut(string(first), ",r=")
		if _, err := c.Next(fmt.Appendf(nil, tc.first, nonce)); err == nil {
			t.Errorf("%s: no error", tc.name)
		}
		if c.Finish() == nil {
			t.Errorf("%s: finished", tc.name)
		}
	}
	c, _ := scramPair(t, false, nil, nil, "päss,=w")
	if _, err := c.Next(nil); err != nil || c.Finish() == nil {
		t.Error("a server that says OK at once is trusted")
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		offered string
		secure  bool
		bind    []Binding
		want    string
	}{
		{"PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, bindings, SCRAMPlus},
		{"PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS", true, nil, SCRAM},
		{"plain scram-sha-256", false, nil, SCRAM},
		{"LOGIN PLAIN", true, bindings, Plain},
		{"LOGIN", true, nil, Login},
		{"PLAIN LOGIN", false, nil, ""},
		{"GSSAPI", true, nil, ""},
		{"", true, nil, ""},
	} {
		c, err := Choose(strings.Fields(tc.offered), Credentials{"u", "p"}, tc.secure, tc.bind)
		if (err != nil) != (tc.want == "") || err == nil && c.Mechanism() != tc.want {
			t.Errorf("%s: %v %v, want %q", tc.offered, c, err, tc.want)
		}
	}
	o := &one{"u", "p"}
	for _, s := range []Server{NewPlain(o.check), NewLogin(o.check)} {
		offer := Plain
		if _, ok := s.(*loginServer); ok {
			offer = Login
		}
		c, err := Choose([]string{offer}, Credentials{"u", "p"}, true, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := converse(c, s); err != nil {
			t.Errorf("%s: %v", offer, err)
		}
	}
}

// Both ends of a real connection find the same bindings, of the right types.
func TestBindings(t *testing.T) {
	t.Parallel()
	ecKey, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	for _, tc := range []struct {
		version uint16
		key     any
		want    string
	}{
		{tls.VersionTLS13, ecKey, "tls-exporter tls-server-end-point"},
		{tls.VersionTLS12, ecKey, "tls-exporter tls-unique tls-server-end-point"},
		{tls.VersionTLS13, edKey, "tls-exporter"},
	} {
		server, client, leaf := handshake(t, tc.version, tc.key)
		a, b := Bindings(&server, leaf), Bindings(&client, client.PeerCertificates[0])
		var names []string
		for i := range a {
			names = append(names, a[i].Type)
		}
		if fmt.Sprint(a) != fmt.Sprint(b) || strings.Join(names, " ") != tc.want {
			t.Errorf("%s: %v and %v, want %s", tls.VersionName(tc.version), a, b, tc.want)
		}
	}
	if Bindings(nil, nil) != nil {
		t.Error("a binding without TLS")
	}
}

func handshake(t *testing.T, version uint16, key any) (server, client tls.ConnectionState, leaf *x509.Certificate) {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"mx.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.(crypto.Signer).Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if leaf, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, SessionTicketsDisabled: true})
	c := tls.Client(b, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	t.Cleanup(func() { a.Close(); b.Close() })
	failed := make(chan error)
	go func() { failed <- s.Handshake() }()
	if err := errors.Join(c.Handshake(), <-failed); err != nil {
		t.Fatal(err)
	}
	return s.ConnectionState(), c.ConnectionState(), leaf
}

func FuzzSASLServer(f *testing.F) {
	f.Add(uint8(0), []byte("\x00tim\x00pw"), []byte(""), []byte(""))
	f.Add(uint8(1), []byte("tim"), []byte("pw"), []byte(""))
	f.Add(uint8(2), []byte("n,,n=user,r=abc"), []byte("c=biws,r=abc,p=AAAA"), []byte(""))
	f.Add(uint8(3), []byte("p=tls-exporter,,n=user,r=abc"), []byte("c=biws,r=abc,p=AAAA"), []byte(""))
	f.Add(uint8(4), []byte("n,,n=user,r=abc"), []byte("c=biws,r=abc,p=AAAA"), []byte(""))
	f.Add(uint8(5), []byte("tim b913a602c7eda7a495b4e6e7334d3890"), []byte("tim b913a602c7eda7a495b4e6e7334d3890"), []byte(""))
	f.Add(uint8(6), []byte("tim"), []byte(""), []byte(""))
	f.Add(uint8(7), []byte("sirhc"), []byte(""), []byte(""))
	f.Add(uint8(8), []byte("n,a=user,\x01auth=Bearer abc\x01\x01"), []byte("\x01"), []byte(""))
	f.Add(uint8(9), []byte("user=tim\x01auth=Bearer abc\x01\x01"), []byte(""), []byte(""))
	f.Fuzz(func(t *testing.T, which uint8, a, b, c []byte) {
		lookup := func(mechanism string) func(string) ([]*Verifier, error) {
			return func(user string) ([]*Verifier, error) {
				v := FakeVerifier(mechanism, []byte("k"), user, 0)
				return []*Verifier{v, v}, nil
			}
		}
		never := func(string, string) error { return ErrFailed }
		refuse := func(string, string) ([]byte, error) { return []byte("{}"), ErrFailed }
		s := []Server{
			NewPlain(never), NewLogin(never),
			NewSCRAM(SCRAMOptions{Mechanism: SCRAM, Lookup: lookup(SCRAM), Bindings: bindings}),
			NewSCRAM(SCRAMOptions{Mechanism: SCRAMPlus, Lookup: lookup(SCRAM), Bindings: bindings}),
			NewSCRAM(SCRAMOptions{Mechanism: SCRAM1, Lookup: lookup(SCRAM1), Bindings: bindings}),
			NewCRAM("<1@plic.test>", func(string) ([]CRAMKey, error) { return []CRAMKey{{}}, nil }),
			NewExternal(func(string) error { return ErrFailed }),
			NewAnonymous(func(string) error { return ErrFailed }),
			NewBearer(refuse), NewXBearer(refuse),
		}[which%10]
		for _, r := range [][]byte{a, b, c, nil} {
			challenge, done, err := s.Next(r)
			if done {
				t.Fatalf("in, without a password: %q %q %q", a, b, c)
			}
			if len(challenge) > 2*MaxResponse {
				t.Fatalf("a challenge of %d octets", len(challenge))
			}
			s.Identity()
			if err != nil {
				break
			}
		}
	})
}

func FuzzSASLClient(f *testing.F) {
	f.Add([]byte("r=%,s=c2FsdA==,i=4096"), []byte("v=AAAA"))
	f.Add([]byte(",,,"), []byte("e=other-error"))
	f.Fuzz(func(t *testing.T, first, final []byte) {
		c, err := NewSCRAMClient(Credentials{"u", "p"}, true, bindings)
		if err != nil {
			t.Fatal(err)
		}
		hello, _ := c.Next(nil)
		_, nonce, _ := strings.Cut(string(hello), ",r=")
		first = bytes.Replace(first, []byte("%"), []byte(nonce), 1)
		if bytes.Contains(first, []byte("i=")) && len(first) > 200 {
			return // a high count is allowed and slow
		}
		if _, err := c.Next(first); err == nil {
			c.Next(final)
		}
		if c.Finish() == nil {
			t.Fatal("a server without the verifier has proved itself")
		}
	})
}

func FuzzSASLVerifier(f *testing.F) {
	f.Add([]byte("SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA"))
	f.Add([]byte("SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE="))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v, again Verifier
		if v.UnmarshalText(text) != nil {
			return
		}
		out, _ := v.MarshalText()
		if err := again.UnmarshalText(out); err != nil || fmt.Sprint(v) != fmt.Sprint(again) {
			t.Fatalf("%s becomes %s: %v", text, out, err)
		}
	})
}
