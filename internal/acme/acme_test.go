package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/acme/acmetest"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/pki"
	"plic/internal/vfs"
)

// authority is a real one for tests, Pebble, that looks for proofs at our ports.
type authority struct {
	url, manage string
	roots       *x509.CertPool
	page, cert  net.Listener
	dns         *dnstest.Server
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func free(t *testing.T) string {
	t.Helper()
	l := listen(t)
	l.Close()
	return l.Addr().String()
}

func start(t *testing.T, life time.Duration) *authority {
	t.Helper()
	ca, err := pki.Open(vfs.NewMemory(), "ca", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	own, err := ca.Issue([]string{"127.0.0.1"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{roots: ca.Pool(), page: listen(t), cert: listen(t), dns: dnstest.New(t, "mx.example.test 60 IN A 127.0.0.1", "mta-sts.example.test 60 IN A 127.0.0.1")}
	a.manage = free(t)
	a.url = acmetest.Start(t, acmetest.Options{
		Address: free(t), Cert: own, DNS: a.dns.Addr(), Life: life, Manage: a.manage,
		PagePort: a.page.Addr().(*net.TCPAddr).Port, CertPort: a.cert.Addr().(*net.TCPAddr).Port,
	})
	return a
}

// manager opens a Manager that serves its proofs where the authority looks.
func (a *authority) manager(t *testing.T, fs vfs.FS, proof Proof, now func() time.Time, names ...string) *Manager {
	t.Helper()
	secret := []byte("0123456789abcdef")
	a.dns.AllowUpdates("example.test", "key.test", secret)
	m, err := Open(Options{
		FS: fs, Dir: "tls", Directory: a.url, Roots: a.roots, Contact: "postmaster@example.test", Proof: proof, Now: now,
		Names:    func() []string { return names },
		Update:   dns.Update{Server: a.dns.Addr(), Zone: "example.test", Key: dns.TSIG{Name: "key.test", Secret: secret}},
		Resolver: dns.New(dns.Options{Servers: []string{a.dns.Addr()}, CacheBytes: -1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each proof gets a certificate for two names from a real authority, by itself:
// the others cannot have helped.
func TestProofs(t *testing.T) {
	t.Parallel()
	a := start(t, 90*24*time.Hour)
	names := []string{"mx.example.test", "mta-sts.example.test"}
	for _, proof := range []Proof{TLSALPN, HTTP, DNS} {
		fs := vfs.NewMemory()
		m := a.manager(t, fs, proof, nil, names...)
		stop := func() {}
		switch proof {
		case HTTP:
			s := &http.Server{Handler: m}
			go s.Serve(a.page)
			stop = func() { s.Close() }
		case TLSALPN:
			l := tls.NewListener(a.cert, &tls.Config{NextProtos: []string{Protocol}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { return m.Answer(h), nil }})
			go func() {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					c.(*tls.Conn).Handshake()
					c.Close()
				}
			}()
		}
		if !m.Due() {
			t.Errorf("%s: no certificate, and none wanted", proof)
		}
		err := m.Obtain(t.Context())
		stop()
		if err != nil || m.Due() || m.Err() != nil {
			t.Fatalf("%s: %v, due %v", proof, err, m.Due())
		}
		cert := m.Certificate()
		if got := slices.Sorted(slices.Values(cert.Leaf.DNSNames)); !slices.Equal(got, slices.Sorted(slices.Values(names))) || len(cert.Certificate) < 2 {
			t.Errorf("%s: a certificate for %v with a chain of %d", proof, got, len(cert.Certificate))
		}
		again := a.manager(t, fs, proof, nil, names...)
		if again.Certificate() == nil || again.Due() {
			t.Errorf("%s: the certificate is not kept", proof)
		}
		if len(m.answer.certs)+len(m.answer.pages) != 0 {
			t.Errorf("%s: proofs are left", proof)
		}
	}
	texts, _, err := dns.New(dns.Options{Servers: []string{a.dns.Addr()}}).TXT(t.Context(), "_acme-challenge.mx.example.test")
	if !dns.IsNotFound(err) {
		t.Errorf("records are left: %v, %v", texts, err)
	}
}

// A renewal keeps the key and comes in time; a rotation takes the one that was
// next; what fails keeps what there is.
func TestRenewal(t *testing.T) {
	t.Parallel()
	a := start(t, 90*24*time.Hour)
	fs := vfs.NewMemory()
	at := time.Now()
	now := func() time.Time { return at }
	m := a.manager(t, fs, DNS, now, "mx.example.test")
	obtain := func(what string, f func(context.Context) error) *tls.Certificate {
		t.Helper()
		if err := f(t.Context()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return m.Certificate()
	}
	next, err := pki.Next(fs, "tls")
	if err != nil {
		t.Fatal(err)
	}
	key := func(c *tls.Certificate) string { return string(c.Leaf.RawSubjectPublicKeyInfo) }
	first := obtain("the first", m.Obtain)
	if spki, _ := x509.MarshalPKIXPublicKey(next.Public()); string(spki) != key(first) {
		t.Error("the first key is not the one that was published as next")
	}
	at = at.Add(50 * 24 * time.Hour)
	if m.Due() {
		t.Error("due with 40 of 90 days left")
	}
	at = at.Add(11 * 24 * time.Hour)
	if !m.Due() {
		t.Error("not due with 29 of 90 days left")
	}
	renewed := obtain("a renewal", m.Obtain)
	if key(renewed) != key(first) || renewed.Leaf.SerialNumber.Cmp(first.Leaf.SerialNumber) == 0 {
		t.Error("a renewal did not keep the key, or is the same")
	}
	if next, err = pki.Next(fs, "tls"); err != nil {
		t.Fatal(err)
	}
	rotated := obtain("a rotation", m.Rotate)
	if spki, _ := x509.MarshalPKIXPublicKey(next.Public()); string(spki) != key(rotated) || key(rotated) == key(first) {
		t.Error("a rotation did not take the next key")
	}
	at = time.Now() // the certificate is new in truth, too
	names := []string{"mx.example.test", "other.test"}
	m.o.Names = func() []string { return names }
	if !m.Due() {
		t.Error("a new name, and no certificate wanted")
	}
	// A name that cannot be proved costs nothing but itself, and is not asked for
	// again and again.
	if err := m.Obtain(t.Context()); err != nil || m.Certificate() != rotated || m.Due() {
		t.Errorf("a name outside our zone: %v, due %v", err, m.Due())
	}
	names = append(names, "mta-sts.example.test")
	if !m.Due() {
		t.Error("another new name, and no certificate wanted")
	}
	more := obtain("a good name beside a bad one", m.Obtain)
	if more.Leaf.VerifyHostname("mta-sts.example.test") != nil || more.Leaf.VerifyHostname("other.test") == nil || m.Due() {
		t.Errorf("the certificate is for %v", more.Leaf.DNSNames)
	}
	at = at.Add(25 * time.Hour)
	if !m.Due() {
		t.Error("the bad name is not tried again after a day")
	}
	names = []string{"other.test", "mx.example.test"}
	m.bad = map[string]time.Time{}
	if err := m.Obtain(t.Context()); err == nil || m.Err() == nil || m.Certificate() != more {
		t.Errorf("the first name cannot be proved: %v", err)
	}
}

// tries counts what the log tells.
type tries struct {
	slog.Handler
	n atomic.Int64
}

func (h *tries) Enabled(context.Context, slog.Level) bool { return true }
func (h *tries) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "cannot get a certificate" {
		h.n.Add(1)
	}
	return nil
}

// Run tries again ever more slowly, and at once when it is woken.
func TestRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		count := &tries{Handler: slog.DiscardHandler}
		m, err := Open(Options{FS: vfs.NewMemory(), Dir: "tls", Directory: "http://[::1]:0/dir", Names: func() []string { return []string{"a.test"} }, Log: slog.New(count)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.Run(ctx, func() { t.Error("a certificate out of nothing") }) }()
		for _, c := range []struct {
			after time.Duration
			want  int64
		}{{time.Second, 1}, {time.Hour, 2}, {time.Hour, 2}, {time.Hour, 3}, {4 * time.Hour, 4}, {8 * time.Hour, 5}} {
			time.Sleep(c.after)
			synctest.Wait()
			if count.n.Load() != c.want || m.Err() == nil {
				t.Errorf("%v later: %d tries, want %d; %v", c.after, count.n.Load(), c.want, m.Err())
			}
		}
		m.Wake()
		synctest.Wait()
		time.Sleep(time.Second)
		if count.n.Load() != 6 {
			t.Errorf("%d tries after it was woken", count.n.Load())
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
