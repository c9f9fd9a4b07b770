package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/vfs"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var now = time.Now()

func ensure(t testing.TB, fs vfs.FS, hosts []string, now time.Time) (*tls.Certificate, []byte) {
	t.Helper()
	cert, ca, err := Ensure(fs, "data/tls", hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	return cert, ca
}

func TestEnsure(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	hosts := []string{"mx.plic.test", "127.0.0.1", "::1", "localhost"}
	first, ca := ensure(t, fs, hosts, now)
	same := func(a, b *tls.Certificate) bool { return bytes.Equal(a.Leaf.Raw, b.Leaf.Raw) }
	for _, tc := range []struct {
		name     string
		hosts    []string
		now      time.Time
		same, ca bool
	}{
		{"again", hosts, now, true, true},
		{"fewer hosts", hosts[:1], now, true, true},
		{"when two thirds are left", hosts, now.Add(hostLife * 59 / 90), true, true},
		{"before it runs out", hosts, now.Add(hostLife * 61 / 90), false, true},
		{"another host", append([]string{"imap.plic.test"}, hosts...), now, false, true},
		{"clock behind its beginning", hosts, now.Add(-72 * time.Hour), false, true},
		{"authority runs out", hosts, now.Add(authorityLife - hostLife/2), false, false},
	} {
		fs := fs.CrashClone(vfs.CrashConfig{}) // all of it was durable
		cert, pem := ensure(t, fs, tc.hosts, tc.now)
		if same(cert, first) != tc.same || bytes.Equal(pem, ca) != tc.ca {
			t.Errorf("%s: same certificate %v, same authority %v", tc.name, same(cert, first), bytes.Equal(pem, ca))
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		for _, host := range tc.hosts {
			if _, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool, CurrentTime: tc.now}); err != nil {
				t.Errorf("%s: %s: %v", tc.name, host, err)
			}
		}
		if public, err := read(fs, "data/tls/"+PublicFile); err != nil || !bytes.Equal(public, pem) || bytes.Contains(public, []byte("PRIVATE")) {
			t.Errorf("%s: %s holds %s %v", tc.name, PublicFile, public, err)
		}
	}
}

// TLSA records of a key stay true over renewals; the next key is there before
// it is needed, and is the one that comes.
func TestKeysAndRenewal(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	key := func(c *tls.Certificate) string { return string(c.Leaf.RawSubjectPublicKeyInfo) }
	first, _ := ensure(t, fs, []string{"mx.plic.test"}, now)
	renewed, _ := ensure(t, fs, []string{"mx.plic.test"}, now.Add(hostLife*3/4))
	if bytes.Equal(renewed.Leaf.Raw, first.Leaf.Raw) || key(renewed) != key(first) {
		t.Error("a renewal did not keep the key")
	}
	next, err := Next(fs, "data/tls")
	if err != nil {
		t.Fatal(err)
	}
	rotated, err := Rotate(fs, "data/tls", []string{"mx.plic.test"}, now)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(next.Public())
	if err != nil || key(rotated) != string(spki) || key(rotated) == key(first) {
		t.Errorf("the key after the rotation is not the one that was next: %v", err)
	}
	after, _ := ensure(t, fs.CrashClone(vfs.CrashConfig{}), []string{"mx.plic.test"}, now)
	if key(after) != key(rotated) {
		t.Error("the rotation did not last")
	}
	if again, err := Next(fs, "data/tls"); err != nil || next.(*ecdsa.PrivateKey).Equal(again) {
		t.Errorf("the next key is still the one in use: %v", err)
	}
	if err := write(fs, "data/tls", NextFile, []byte("rubbish"), true); err != nil {
		t.Fatal(err)
	}
	if _, err := Next(fs, "data/tls"); !errors.Is(err, ErrDamaged) {
		t.Errorf("a damaged next key: %v", err)
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	cert, _ := ensure(t, fs, []string{"mx.plic.test"}, now)
	ca, err := Open(fs, "data/tls", now)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	for name, ok := range map[string]bool{"mx.plic.test": true, "other.test": false} {
		c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: name, RootCAs: ca.Pool()})
		if (err == nil) != ok {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			c.Close()
		}
	}
	if _, err := ca.Issue(nil, now); err == nil {
		t.Error("a certificate for nobody")
	}
	if c, err := ca.Issue([]string{strings.Repeat("a", 60) + ".plic.test"}, now); err != nil || len(c.Leaf.Subject.CommonName) > 64 {
		t.Errorf("a long name: %v", err)
	}
}

func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tls")
	if _, _, err := Ensure(vfs.Disk(), dir, []string{"a.test"}, now); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{AuthorityFile, HostFile} {
		if i, err := os.Stat(filepath.Join(dir, name)); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, i.Mode(), err)
		}
	}
	if i, err := os.Stat(dir); err != nil || i.Mode().Perm()&0o077 != 0 {
		t.Errorf("directory: %v %v", i.Mode(), err)
	}
}

func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	first, ca := ensure(t, fs, []string{"a.test"}, now)
	if err := write(fs, "data/tls", HostFile, []byte("rubbish"), true); err != nil {
		t.Fatal(err)
	}
	again, pem := ensure(t, fs, []string{"a.test"}, now)
	if bytes.Equal(again.Leaf.Raw, first.Leaf.Raw) || !bytes.Equal(pem, ca) {
		t.Error("not a new certificate of the same authority")
	}
	if err := write(fs, "data/tls", AuthorityFile, []byte("rubbish"), true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Ensure(fs, "data/tls", []string{"a.test"}, now); err == nil || !strings.Contains(err.Error(), AuthorityFile) {
		t.Errorf("a damaged authority: %v", err)
	}
}

// An error at each write: the next try succeeds with what is there.
func TestFaults(t *testing.T) {
	t.Parallel()
	for k := range int64(40) {
		var count atomic.Int64
		injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose && count.Add(1) == k+1 {
				return errorfs.ErrInjected
			}
			return nil
		})
		under := vfs.NewMemory()
		_, _, err := Ensure(errorfs.Wrap(under, injector), "data/tls", []string{"a.test"}, now)
		if (err != nil) != (count.Load() >= k+1) || err != nil && !errors.Is(err, errorfs.ErrInjected) {
			t.Errorf("fault %d: %v", k, err)
		}
		ensure(t, under.CrashClone(vfs.CrashConfig{}), []string{"a.test"}, now)
	}
}
