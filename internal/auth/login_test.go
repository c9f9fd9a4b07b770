package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/sasl"
)

// events are what the journal has, as "kind account reason".
func (h *house) events(t testing.TB) (all []string) {
	t.Helper()
	for e, err := range h.journal.Find(t.Context(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, strings.TrimSpace(e.Kind+" "+e.Account+" "+e.Reason))
	}
	return all
}

func (h *house) last(t testing.TB) string {
	t.Helper()
	all := h.events(t)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

// change alters an account.
func (h *house) change(name string, change func(*directory.Account)) {
	h.users.mu.Lock()
	defer h.users.mu.Unlock()
	a := h.users.accounts[name]
	change(&a)
	h.users.accounts[name] = a
}

// app gives an account a password for a program, of the same salt.
func (h *house) app(t testing.TB, account, password string, p directory.AppPassword) {
	t.Helper()
	h.change(account, func(a *directory.Account) {
		var salt []byte
		if a.Secret.SCRAM != nil {
			salt = a.Secret.SCRAM.Salt
		}
		s, err := directory.Quick(password, cheap, salt)
		if err != nil {
			t.Fatal(err)
		}
		p.Secret = s
		a.Apps = append(a.Apps, p)
	})
}

func client(t testing.TB, mechanism, user, password string) sasl.Client {
	t.Helper()
	c, err := sasl.Choose([]string{mechanism}, sasl.Credentials{User: user, Password: password}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const ann = "alice@plic.test"

// Passwords of programs work by every mechanism, within their scope and time,
// and each failure has its reason in the journal.
func TestAppPasswords(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.app(t, ann, "phone-password", directory.AppPassword{Name: "phone"})
	h.app(t, ann, "old-password", directory.AppPassword{Name: "old", Expires: noon.Add(time.Hour)})
	h.app(t, ann, "reader-password", directory.AppPassword{Name: "reader", Protocols: []string{"imap"}, ReadOnly: true})
	h.app(t, ann, "printer-password", directory.AppPassword{Name: "printer", Protocols: []string{"smtp"}, ReadOnly: true})
	for _, tc := range []struct {
		service, password string
		want              error
		last              string
	}{
		{"imap", "secret", nil, "auth alice@plic.test"},
		{"imap", "phone-password", nil, "auth alice@plic.test app password phone"},
		{"submissions", "phone-password", nil, "auth alice@plic.test app password phone"},
		{"managesieve", "phone-password", nil, "auth alice@plic.test app password phone"},
		{"web", "phone-password", ErrBad, "auth-fail alice@plic.test the app password phone is not for web"},
		{"web", "secret", nil, "auth alice@plic.test"},
		{"pop3", "old-password", nil, "auth alice@plic.test app password old"},
		{"imap", "reader-password", nil, "auth alice@plic.test app password reader"},
		{"pop3", "reader-password", ErrBad, "auth-fail alice@plic.test the app password reader is not for pop3"},
		{"submission", "printer-password", ErrBad, "auth-fail alice@plic.test the app password printer is for reading only"},
		{"imap", "nobody's-password", ErrBad, "auth-fail alice@plic.test wrong secret"},
	} {
		for _, m := range []string{sasl.Plain, sasl.Login, sasl.SCRAM} {
			x, err := h.Begin(t.Context(), from(there, tc.service), m)
			if err != nil {
				t.Fatal(err)
			}
			login, err := run(x, client(t, m, ann, tc.password))
			if !errors.Is(err, tc.want) || (login.Account == ann) != (tc.want == nil) || h.last(t) != tc.last {
				t.Errorf("%s by %s with %s: %+v %v, %q", m, tc.service, tc.password, login, err, h.last(t))
			}
			if tc.want == nil && login.ReadOnly != (tc.password == "reader-password") {
				t.Errorf("%s: %+v", tc.password, login)
			}
		}
	}
	h.pass(2 * time.Hour)
	if _, err := h.Password(t.Context(), from(here, "pop3"), ann, "old-password"); !errors.Is(err, ErrBad) || !strings.HasSuffix(h.last(t), "the app password old has expired") {
		t.Errorf("expired: %v %s", err, h.last(t))
	}
	h.change(ann, func(a *directory.Account) { a.AppOnly = true })
	for service, want := range map[string]error{"imap": ErrBad, "web": nil} {
		if _, err := h.Password(t.Context(), from(here, service), ann, "secret"); !errors.Is(err, want) {
			t.Errorf("the password itself by %s: %v", service, err)
		}
	}
	if _, err := h.exchange(from(here, "imap"), client(t, sasl.SCRAM, ann, "secret")); !errors.Is(err, ErrBad) || !strings.HasSuffix(h.last(t), "only app passwords are good for imap") {
		t.Errorf("the password itself by SCRAM: %v %s", err, h.last(t))
	}
}

// run is an exchange with what came of it.
func run(x *Exchange, c sasl.Client) (Login, error) {
	response, err := c.Next(nil)
	for err == nil {
		challenge, done, err := x.Next(context.Background(), response)
		if err != nil || done {
			return x.Login(), err
		}
		if response, err = c.Next(challenge); err != nil {
			return Login{}, err
		}
	}
	return Login{}, err
}

func TestWhereAccountsMayLogIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.change(ann, func(a *directory.Account) {
		a.Allow = directory.Allow{Protocols: []string{"imap", "smtp"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
	})
	for _, tc := range []struct {
		service string
		from    netip.Addr
		last    string
	}{
		{"imap", here, "auth alice@plic.test"},
		{"imaps", here, "auth alice@plic.test"},
		{"submission", netip.MustParseAddr("::ffff:192.0.2.77"), "auth alice@plic.test"},
		{"pop3", here, "auth-fail alice@plic.test the account may not use pop3"},
		{"managesieve", here, "auth-fail alice@plic.test the account may not use sieve"},
		{"imap", there, "auth-fail alice@plic.test the account may not log in from here"},
	} {
		for _, m := range []string{sasl.Plain, sasl.SCRAM} {
			_, err := h.exchange(from(tc.from, tc.service), client(t, m, ann, "secret"))
			if (err == nil) != strings.HasPrefix(tc.last, "auth ") || err != nil && err.Error() != ErrBad.Error() || h.last(t) != tc.last {
				t.Errorf("%s %s from %s: %v, %q", m, tc.service, tc.from, err, h.last(t))
			}
		}
	}
}

// A master acts for others, by name or by authorization identity, and always on
// record; nobody else does, nor anybody for whom there is no account.
func TestMasterUsers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Masters, o.Separator = []string{"root@plic.test"}, "*" })
	h.users.set("root@plic.test", "master", false)
	h.app(t, "root@plic.test", "root-app", directory.AppPassword{Name: "app"})
	plain := func(authz, user, password string) (Login, error) {
		x, err := h.Begin(t.Context(), from(there, "imap"), sasl.Plain)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = x.Next(t.Context(), []byte(authz+"\x00"+user+"\x00"+password))
		return x.Login(), err
	}
	for _, tc := range []struct {
		authz, user, password string
		account, last         string
	}{
		{"", "alice@plic.test*root@plic.test", "master", ann, "auth alice@plic.test by the master user root@plic.test"},
		{"alice@plic.test", "root@plic.test", "master", ann, "auth alice@plic.test by the master user root@plic.test"},
		{"ALICE@plic.test*ROOT@plic.test", "Alice@plic.test*Root@plic.test", "master", ann, "auth alice@plic.test by the master user root@plic.test"},
		{"", "root@plic.test", "master", "root@plic.test", "auth root@plic.test"},
		{"gone@plic.test", "root@plic.test", "master", "gone@plic.test", "auth gone@plic.test by the master user root@plic.test"},
		{"carol@plic.test", "root@plic.test", "master", "", "auth-fail root@plic.test root@plic.test wants to act as carol@plic.test, who does not exist"},
		{"alice@plic.test", "root@plic.test", "root-app", "", "auth-fail root@plic.test root@plic.test wants to act as alice@plic.test"},
		{"", "alice@plic.test*root@plic.test", "secret", "", "auth-fail alice@plic.test*root@plic.test wrong secret"},
		{"", "root@plic.test*alice@plic.test", "secret", "", "auth-fail root@plic.test*alice@plic.test alice@plic.test wants to act as root@plic.test"},
		{"bob@plic.test", "alice@plic.test", "secret", "", "auth-fail alice@plic.test alice@plic.test wants to act as bob@plic.test"},
	} {
		login, err := plain(tc.authz, tc.user, tc.password)
		if login.Account != tc.account || (err == nil) != (tc.account != "") || err != nil && err.Error() != ErrBad.Error() || h.last(t) != tc.last {
			t.Errorf("%s as %s: %+v %v, %q", tc.user, tc.authz, login, err, h.last(t))
		}
		if by := map[bool]string{true: "root@plic.test"}[strings.Contains(tc.last, "by the master")]; login.By != by {
			t.Errorf("%s: by %q", tc.user, login.By)
		}
	}
	x, _ := h.Begin(t.Context(), from(there, "imap"), sasl.SCRAM)
	if login, err := run(x, client(t, sasl.SCRAM, "alice@plic.test*root@plic.test", "master")); err != nil || login.Account != ann || login.By != "root@plic.test" {
		t.Errorf("by SCRAM: %+v %v", login, err)
	}
	if _, err := h.Password(t.Context(), from(there, "pop3"), "alice@plic.test*root@plic.test", "master"); err != nil {
		t.Errorf("by USER and PASS: %v", err)
	}
	// Without masters the separator is a character like others.
	if _, err := newHouse(t, nil).Password(t.Context(), from(there, "imap"), "x*alice@plic.test", "secret"); !errors.Is(err, ErrBad) {
		t.Errorf("without masters: %v", err)
	}
}

// Mechanisms that are off unless asked for, from what Dovecot keeps for them.
func TestOldMechanisms(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) {
		o.Mechanisms, o.Host = []string{sasl.SCRAM, sasl.SCRAM1, sasl.CRAM, sasl.Plain}, "mx.plic.test"
	})
	cost := cheap
	cost.SHA1, cost.CRAM = true, true
	own, err := directory.NewSecret("secret", cost)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]directory.Secret{
		"own@plic.test":    own,
		"sha1@plic.test":   {Hash: "{SCRAM-SHA-1}4096,4oWJL334EL9HhPa1sG9HVQ==,BtPoR8S1881dDMv4DwRDhKh1VDE=,Hu6tTUNJyjuGO7iloznT8a+hf3M="}, // by doveadm pw
		"sha256@plic.test": {Hash: "{SCRAM-SHA-256}4096,r8+0ccozfw6bV6z+QwI7NA==,Tpr2QCexv5De/sBvwFeUqwKi3uZl1UOtuDNnEBclMAA=,jLpTaBxkZDDLRcKIdEzaceSiKC59kvXjo087I4jSfLI="},
		"cram@plic.test":   {Hash: "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"},
		"plain@plic.test":  {Hash: "{PLAIN}secret"},
		"crypt@plic.test":  {Hash: "{SHA256-CRYPT}$5$9S3g5eVLNFdhzXJz$nBgTRmWR89Uy6wMmMxSu9qZEg0y4O0QoagBK2lvOuy5"},
	} {
		h.users.accounts[name] = directory.Account{Name: name, Secret: s}
	}
	for _, tc := range []struct{ user, works string }{
		{"own@plic.test", "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN"},
		{"sha1@plic.test", "SCRAM-SHA-1 PLAIN"},
		{"sha256@plic.test", "SCRAM-SHA-256 PLAIN"},
		{"cram@plic.test", "CRAM-MD5 PLAIN"},
		{"plain@plic.test", "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN"},
		{"crypt@plic.test", "PLAIN"},
		{"nobody@plic.test", ""},
	} {
		for _, m := range []string{sasl.SCRAM, sasl.SCRAM1, sasl.CRAM, sasl.Plain} {
			for _, password := range []string{"secret", "guess"} {
				h.guard = newGuard(GuardOptions{}, h.o.Now)
				x, err := h.Begin(t.Context(), from(here, "imap"), m)
				if err != nil {
					t.Fatal(err)
				}
				login, err := run(x, oldClient(m, tc.user, password))
				if want := password == "secret" && slices.Contains(strings.Fields(tc.works), m); want != (err == nil) || want != (login.Account == tc.user) {
					t.Errorf("%s of %s with %q: %+v %v, %s", m, tc.user, password, login, err, h.last(t))
				}
			}
		}
	}
	if _, err := h.exchange(from(here, "imap"), client(t, sasl.SCRAM, "crypt@plic.test", "secret")); !errors.Is(err, ErrBad) ||
		!strings.Contains(h.last(t), "no verifier for SCRAM-SHA-256 of this account") {
		t.Errorf("%v %s", err, h.last(t))
	}
}

// A8: certificates of clients: who is named by one that an authority of ours has
// made may come in without a password, and nobody else.
func TestExternal(t *testing.T) {
	t.Parallel()
	ca, others := newAuthority(t), newAuthority(t)
	h := newHouse(t, func(o *Options) {
		o.Now, o.ClientCAs, o.Mechanisms = time.Now, ca.pool, []string{sasl.External, sasl.Plain}
	})
	for _, tc := range []struct {
		name    string
		by      *authority
		change  func(*x509.Certificate)
		authz   string
		account string
	}{
		{"by address", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{"Alice@plic.test"} }, "", ann},
		{"as itself", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{ann} }, ann, ann},
		{"one of several", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{"x@elsewhere.test", ann, "bob@plic.test"} }, "bob@plic.test", "bob@plic.test"},
		{"the first that exists", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{"x@elsewhere.test", ann} }, "", ann},
		{"by common name", ca, func(c *x509.Certificate) { c.Subject.CommonName = ann }, "", ann},
		{"the common name beside an address", ca, func(c *x509.Certificate) {
			c.Subject.CommonName, c.EmailAddresses = "bob@plic.test", []string{ann}
		}, "bob@plic.test", ""},
		{"as another", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{ann} }, "bob@plic.test", ""},
		{"A8: no user", ca, func(c *x509.Certificate) { c.Subject.CommonName = "" }, "", ""},
		{"A8: no user, but asked for", ca, func(c *x509.Certificate) { c.Subject.CommonName = "" }, ann, ""},
		{"unknown", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{"carol@plic.test"} }, "", ""},
		{"disabled", ca, func(c *x509.Certificate) { c.EmailAddresses = []string{"gone@plic.test"} }, "", ""},
		{"of another authority", others, func(c *x509.Certificate) { c.EmailAddresses = []string{ann} }, "", ""},
		{"ran out", ca, func(c *x509.Certificate) {
			c.EmailAddresses, c.NotAfter = []string{ann}, time.Now().Add(-time.Minute)
		}, "", ""},
		{"for servers", ca, func(c *x509.Certificate) {
			c.EmailAddresses, c.ExtKeyUsage = []string{ann}, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}, "", ""},
	} {
		p := Peer{Service: "imap", Remote: here, TLS: &tls.ConnectionState{
			HandshakeComplete: true, Version: tls.VersionTLS13, PeerCertificates: []*x509.Certificate{tc.by.issue(t, tc.change)},
		}}
		var login Login
		x, err := h.Begin(t.Context(), p, sasl.External)
		if err == nil {
			_, _, err = x.Next(t.Context(), []byte(tc.authz))
			login = x.Login()
		}
		if login.Account != tc.account || (err == nil) != (tc.account != "") || err != nil && !errors.Is(err, ErrBad) && !errors.Is(err, ErrNoMechanism) {
			t.Errorf("%s: %+v %v", tc.name, login, err)
		}
	}
	if _, err := h.Begin(t.Context(), from(here, "imap"), sasl.External); !errors.Is(err, ErrNeedTLS) {
		t.Errorf("without TLS: %v", err)
	}
	if got := h.Mechanisms(Peer{Remote: here, TLS: &tls.ConnectionState{HandshakeComplete: true}}); slices.Contains(got, sasl.External) {
		t.Errorf("offered without a certificate: %v", got)
	}
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "people"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert = a.sign(t, c, c, key)
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(t *testing.T, c, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) *x509.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		Subject: pkix.Name{CommonName: "somebody"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	change(c)
	return a.sign(t, c, a.cert, key)
}

// Anybody may read what is public, if that is set, and only read, and not send.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Mechanisms, o.Anonymous = []string{sasl.Anonymous}, "gone@plic.test" })
	for service, want := range map[string]error{"imap": nil, "pop3": nil, "submission": ErrNoMechanism, "managesieve": ErrNoMechanism} {
		var login Login
		x, err := h.Begin(t.Context(), Peer{Service: service, Remote: here}, sasl.Anonymous)
		if err == nil {
			_, _, err = x.Next(t.Context(), []byte("sirhc"))
			login = x.Login()
		}
		if !errors.Is(err, want) || want == nil && (!reflect.DeepEqual(login, Login{Account: "gone@plic.test", ReadOnly: true})) {
			t.Errorf("%s: %+v %v", service, login, err)
		}
	}
	if got := h.last(t); got != "auth gone@plic.test anonymous: sirhc" {
		t.Error(got)
	}
	off := newHouse(t, func(o *Options) { o.Mechanisms = []string{sasl.Anonymous} })
	if _, err := off.Begin(t.Context(), from(here, "imap"), sasl.Anonymous); !errors.Is(err, ErrNoMechanism) {
		t.Errorf("without an account: %v", err)
	}
}

// asks is a directory that checks passwords itself.
type asks struct {
	*users
	answer error
	asked  []string
}

func (a *asks) Check(ctx context.Context, login, password string) (directory.Account, error) {
	a.asked = append(a.asked, password)
	if a.answer != nil {
		return directory.Account{}, a.answer
	}
	return a.Account(ctx, login)
}

// A7: a source is asked with no empty password.
func TestSourceChecks(t *testing.T) {
	t.Parallel()
	var source *asks
	h := newHouse(t, func(o *Options) {
		source = &asks{users: o.Directory.(*users)}
		o.Directory = source
	})
	h.users.accounts["ext@plic.test"] = directory.Account{Name: "ext@plic.test", External: true}
	for _, tc := range []struct {
		password string
		answer   error
		want     error
	}{
		{"right", nil, nil},
		{"wrong", directory.ErrPassword, ErrBad},
		{"gone meanwhile", directory.ErrNotFound, ErrBad},
		{"down", errors.New("the database password is hunter2"), ErrTemporary},
		{"right", nil, nil},
	} {
		source.answer = tc.answer
		if _, err := h.Password(t.Context(), from(here, "imap"), "ext@plic.test", tc.password); !errors.Is(err, tc.want) || tc.want != nil && err.Error() != tc.want.Error() {
			t.Errorf("%s: %v", tc.password, err)
		}
	}
	source.answer, source.asked = nil, nil // A7: an empty password would be an anonymous bind
	for _, password := range []string{"", "\x00", "\xff"} {
		if _, err := h.Password(t.Context(), from(there, "imap"), "ext@plic.test", password); !errors.Is(err, ErrBad) || len(source.asked) != 0 {
			t.Errorf("%q: %v, asked for %q", password, err, source.asked)
		}
	}
}

// A right password that is kept in an old way is handed on to be kept better.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	var got []string
	fail := false
	h := newHouse(t, func(o *Options) {
		o.Upgrade = func(_ context.Context, account, hash, password string) error {
			got = append(got, fmt.Sprintf("%s %.8s %s", account, hash, password))
			if fail {
				return errors.New("the disk is full")
			}
			return nil
		}
	})
	h.users.accounts["old@plic.test"] = directory.Account{Name: "old@plic.test", Secret: directory.Secret{Hash: "{SSHA256}NwGgKEOVp83xzN+ml/gn+vczxw0pHH39DsyIq6FHBRhkXlve"}}
	for _, tc := range []struct {
		user, password string
		fail           bool
		want           string
	}{
		{"alice@plic.test", "secret", false, ""},
		{"old@plic.test", "wrong", false, ""},
		{"old@plic.test", "secret", true, "old@plic.test {SSHA256 secret"},
	} {
		got, fail = nil, tc.fail
		_, err := h.Password(t.Context(), from(here, "imap"), tc.user, tc.password)
		if (err == nil) != (tc.password == "secret") || strings.Join(got, ",") != tc.want {
			t.Errorf("%s: %v, %q", tc.user, err, got)
		}
	}
}

// One who guesses through a webmail hurts neither it nor the others in it.
func TestTrustedNetworks(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Guard.Trusted = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	var refused int
	for i := range 50 {
		if _, err := h.Password(t.Context(), from(here, "imap"), ann, fmt.Sprint("guess", i)); errors.Is(err, ErrThrottled) {
			refused++
		}
	}
	if refused != 30 {
		t.Errorf("%d of 50 guesses at one account refused", refused)
	}
	h.waits = nil
	if _, err := h.Password(t.Context(), from(here, "imap"), "bob@plic.test", "päss wörd"); err != nil || len(h.waits) > 0 {
		t.Errorf("somebody else: %v after %v", err, h.waits)
	}
	if _, err := h.Password(t.Context(), from(there, "imap"), ann, "secret"); err != nil {
		t.Errorf("the owner from elsewhere: %v", err)
	}
}

// codes are one-time codes: one code is right, once.
type codes struct{ right string }

func (c *codes) CheckCode(_ context.Context, account, code string) (bool, error) {
	switch {
	case account != ann:
		return false, directory.ErrNotFound
	case code != c.right:
		return false, nil
	}
	c.right = ""
	return true, nil
}

// A8, A1: a code is good once, and guesses at codes of an account are counted
// from wherever they come.
func TestCodes(t *testing.T) {
	t.Parallel()
	book := &codes{right: "123456"}
	h := newHouse(t, func(o *Options) { o.Codes = book })
	p := from(there, "web")
	for _, tc := range []struct {
		account, code string
		want          error
		last          string
	}{
		{ann, "654321", ErrBad, "auth-fail alice@plic.test wrong code, or used already"},
		{ann, "123456", nil, "auth alice@plic.test"},
		{ann, "123456", ErrBad, "auth-fail alice@plic.test wrong code, or used already"},
		{"bob@plic.test", "123456", ErrBad, "auth-fail bob@plic.test the account has no second factor"},
	} {
		if err := h.Code(t.Context(), p, tc.account, tc.code); !errors.Is(err, tc.want) || h.last(t) != tc.last {
			t.Errorf("%s %s: %v, %q", tc.account, tc.code, err, h.last(t))
		}
	}
	var refused int
	for i := range 50 { // each from another network
		addr := netip.AddrFrom4([4]byte{10, byte(i), 0, 1})
		if err := h.Code(t.Context(), from(addr, "web"), ann, fmt.Sprint(i)); errors.Is(err, ErrThrottled) {
			refused++
		}
	}
	if refused < 25 {
		t.Errorf("%d of 50 guesses at codes refused", refused)
	}
	book.right = "222222"
	if err := h.Code(t.Context(), from(netip.MustParseAddr("203.0.113.9"), "web"), ann, "222222"); !errors.Is(err, ErrThrottled) {
		t.Errorf("a right code after the guesses: %v", err)
	}
	if _, err := h.Password(t.Context(), from(there, "imap"), ann, "secret"); err != nil {
		t.Errorf("the password after guesses at codes: %v", err)
	}
}

// remembers is a directory that keeps an old answer until it is told not to.
type remembers struct {
	*users
	old   directory.Account
	asked int
}

func (r *remembers) Account(ctx context.Context, login string) (directory.Account, error) {
	if r.asked++; !directory.Fresh(ctx) && login == r.old.Name {
		return r.old, nil
	}
	return r.users.Account(ctx, login)
}

// A password that was changed elsewhere works at once, although the directory
// remembers the old one for a while.
func TestRememberedSecret(t *testing.T) {
	t.Parallel()
	var d *remembers
	h := newHouse(t, func(o *Options) {
		d = &remembers{users: o.Directory.(*users)}
		d.old = d.users.accounts[ann]
		o.Directory = d
	})
	h.users.set(ann, "new secret", false)
	if _, err := h.Password(t.Context(), from(here, "imap"), ann, "new secret"); err != nil || d.asked != 2 {
		t.Errorf("the new password: %v after %d questions", err, d.asked)
	}
	if _, err := h.Password(t.Context(), from(here, "imap"), ann, "wrong"); !errors.Is(err, ErrBad) {
		t.Errorf("a wrong one: %v", err)
	}
}

// A2: two hundred exchanges that go nowhere do not hold up a login.
func TestPendingExchanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Parallel = 1 })
	for i := range 200 {
		for _, m := range []string{sasl.Plain, sasl.Login, sasl.SCRAM} {
			x, err := h.Begin(t.Context(), from(here, "imap"), m)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case i%2 == 0:
				x.Next(t.Context(), nil)
			case m == sasl.SCRAM:
				x.Next(t.Context(), []byte("n,,n=alice@plic.test,r=abc"))
			default:
				x.Next(t.Context(), []byte("garbled"))
			}
		}
	}
	if _, err := h.Password(t.Context(), from(here, "imap"), ann, "secret"); err != nil || len(h.waits) > 0 || len(h.slots) > 0 {
		t.Errorf("a login beside them: %v after %v", err, h.waits)
	}
}
