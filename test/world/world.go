// Package world is a little internet on loopback for tests from end to end: an
// authoritative DNS server, a certificate authority, and hosts that each have
// an address of their own with the well-known ports, so that names, MX records
// and certificates mean what they mean outside. Hosts are plic as it is built
// and served, real Postfix, Exim and OpenSMTPD, and scripted sinks that take
// mail as badly as a test wants.
//
//	w := world.New(t, binary, "127.80.1") // 127.80.1.1, .2… are its hosts
//	one := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
//	ann := one.Account(t, "ann")
//	peer := w.Postfix(t, "mx.peer.test", "peer.test", []string{"bob"}, "")
//	one.Submission(t, ann).Deliver(world.Letter{From: ann, To: []string{"bob@peer.test"}, Text: …})
//	peer.WaitMail(t, "bob", …)
//
// What a host needs of the DNS (A and MX) is added when the host is; w.DNS
// takes any other record. All of it ends with the test.
package world

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"plic/internal/dns/dnstest"
	"plic/internal/pki"
	"plic/internal/vfs"
	"plic/test/peers"
)

// Patience is how long anything in the world may take.
const Patience = 30 * time.Second

// World is one little internet. Its methods may be called by parallel tests.
type World struct {
	Dir      string // of its own, with a short name, removed at the end
	DNS      *dnstest.Server
	Resolver string // address of DNS; it answers on port 53
	CA       *pki.Authority
	CAFile   string

	binary  string
	network string // "127.80.1"
	mu      sync.Mutex
	hosts   int
}

// Main is the TestMain of a package that uses the world: it builds plic, names
// the binary, and runs the tests.
func Main(m *testing.M, binary *string) int {
	flag.Parse()
	dir, err := os.MkdirTemp("/tmp", "plic-build-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if !testing.Short() {
		*binary = filepath.Join(dir, "plic")
		build := exec.Command("go", "build", "-o", *binary, "plic/cmd/plic")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build plic: %v\n%s", err, out)
			return 1
		}
	}
	return m.Run()
}

// New starts a world on the /24 network whose first three numbers are given;
// no other test may use them. The test is skipped where the well-known ports
// cannot be had, and in the short run.
func New(tb testing.TB, binary, network string) *World {
	tb.Helper()
	if testing.Short() {
		tb.Skip("the short run has no little internet")
	}
	w := &World{binary: binary, network: network, Resolver: network + ".253"}
	var err error
	if w.DNS, err = dnstest.Start(w.Resolver + ":53"); errors.Is(err, syscall.EACCES) {
		Missing(tb, "the little internet needs root, for its ports below 1024")
	}
	fatal(tb, err)
	tb.Cleanup(w.DNS.Close)
	w.Dir, err = os.MkdirTemp("/tmp", "plic-world-") // control sockets need a short path
	fatal(tb, err)
	tb.Cleanup(func() { os.RemoveAll(w.Dir) })
	fatal(tb, os.Chmod(w.Dir, 0o755)) // for Postfix, which is many users
	w.CA, err = pki.Open(vfs.Disk(), filepath.Join(w.Dir, "ca"), time.Now())
	fatal(tb, err)
	w.CAFile = filepath.Join(w.Dir, "ca.pem")
	fatal(tb, os.WriteFile(w.CAFile, w.CA.PEM(), 0o644))
	return w
}

// Missing is peers.Missing.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	peers.Missing(tb, why)
}

func fatal(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// Address gives an address on the network that nobody else has.
func (w *World) Address() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts++
	if w.hosts > 250 {
		panic("a world has 250 addresses")
	}
	return fmt.Sprintf("%s.%d", w.network, w.hosts)
}

// Host gives a name an address of its own, and returns it. Nothing listens
// there yet.
func (w *World) Host(tb testing.TB, name string) string {
	tb.Helper()
	address := w.Address()
	w.Record(tb, name+". 60 IN A "+address)
	return address
}

// MX adds the record of an exchanger to a domain.
func (w *World) MX(tb testing.TB, domain string, preference int, host string) {
	tb.Helper()
	w.Record(tb, fmt.Sprintf("%s. 60 IN MX %d %s.", domain, preference, host))
}

// Record adds any record to the DNS.
func (w *World) Record(tb testing.TB, record string) {
	tb.Helper()
	fatal(tb, w.DNS.Add(record))
}

// Certificate makes a certificate of the CA for the hosts, names or addresses,
// as files.
func (w *World) Certificate(tb testing.TB, hosts ...string) (cert, key string) {
	tb.Helper()
	c, err := w.CA.Issue(hosts, time.Now())
	fatal(tb, err)
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	fatal(tb, err)
	cert, key = filepath.Join(w.Dir, hosts[0]+".pem"), filepath.Join(w.Dir, hosts[0]+".key")
	fatal(tb, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}), 0o644))
	fatal(tb, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	return cert, key
}

// ServerTLS is the configuration of a host that has a certificate of the CA.
func (w *World) ServerTLS(tb testing.TB, hosts ...string) *tls.Config {
	tb.Helper()
	c, err := w.CA.Issue(hosts, time.Now())
	fatal(tb, err)
	return &tls.Config{Certificates: []tls.Certificate{*c}, MinVersion: tls.VersionTLS12}
}

// ClientTLS is the configuration of a client that trusts the CA.
func (w *World) ClientTLS(host string) *tls.Config {
	return &tls.Config{RootCAs: w.CA.Pool(), ServerName: host, MinVersion: tls.VersionTLS12}
}

// Wait waits until something is so, and fails the test if it takes too long.
func Wait(tb testing.TB, what string, so func() bool) {
	tb.Helper()
	for end := time.Now().Add(Patience); !so(); {
		if time.Now().After(end) {
			tb.Fatalf("waited %v for %s", Patience, what)
		}
		select {
		case <-tb.Context().Done():
			tb.Fatalf("the test ended while it waited for %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listen opens a port of the world.
func listen(tb testing.TB, address string) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", address)
	fatal(tb, err)
	return l
}
