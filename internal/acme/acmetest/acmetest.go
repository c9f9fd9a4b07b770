// Package acmetest runs a real authority for tests: Pebble, which is what those
// who run the largest one test their clients with. It is built from the module
// of our tools.
package acmetest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// Options are what an authority works with.
type Options struct {
	Address  string           // where it listens
	Cert     *tls.Certificate // of its own web server
	DNS      string           // whom it asks, address:port
	PagePort int              // where it looks for http-01
	CertPort int              // where it looks for tls-alpn-01
	Life     time.Duration    // of certificates; 0: 90 days
	Manage   string           // where it takes what it shall say of a renewal, "" for nowhere
}

// Start runs an authority until the test ends, and gives the URL of its
// directory. The short run has none.
func Start(tb testing.TB, o Options) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("the short run has no authority")
	}
	dir := tb.TempDir()
	_, here, _, _ := runtime.Caller(0)
	binary := filepath.Join(dir, "pebble")
	build := exec.Command("go", "build", "-modfile=tools/go.mod", "-o", binary, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	build.Dir = filepath.Join(filepath.Dir(here), "../../..")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build the authority: %v\n%s", err, out)
	}
	der, err := x509.MarshalPKCS8PrivateKey(o.Cert.PrivateKey)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Life == 0 {
		o.Life = 90 * 24 * time.Hour
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": o.Address, "managementListenAddress": o.Manage, "certificate": dir + "/cert.pem", "privateKey": dir + "/key.pem",
		"httpPort": o.PagePort, "tlsPort": o.CertPort,
		"retryAfter": map[string]int{"authz": 1, "order": 1}, "keyAlgorithm": "ecdsa",
		"profiles": map[string]any{"default": map[string]any{"description": "x", "validityPeriod": int(o.Life / time.Second)}},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"cert.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Cert.Certificate[0]}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), "config.json": config,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	run := exec.Command(binary, "-config", dir+"/config.json", "-dnsserver", o.DNS)
	run.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := run.Start(); err != nil {
		tb.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	tb.Cleanup(func() { run.Process.Kill() })
	for {
		select {
		case err := <-ended:
			tb.Fatalf("the authority does not run: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if conn, err := net.Dial("tcp", o.Address); err == nil {
			conn.Close()
			return "https://" + o.Address + "/dir"
		}
	}
}
