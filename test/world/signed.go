package world

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"plic/internal/dns/dnstest"
)

// Zone is a signed zone of the world.
type Zone struct {
	Name    string
	Records []string
	// Forge changes the text of the zone after it was signed.
	Forge func(text string) string
}

// Validate starts Unbound as a resolver that validates the zones given, and
// knows all else from w.DNS without validation. It gives its address. The names
// in the zones are answered from there, not from w.DNS.
func (w *World) Validate(tb testing.TB, zones ...Zone) string {
	tb.Helper()
	binary, err := exec.LookPath("unbound")
	if err != nil {
		binary = "/usr/sbin/unbound"
	}
	if _, err := os.Stat(binary); err != nil {
		Missing(tb, "Unbound is not installed")
	}
	w.Record(tb, ". 60 IN NS ns.world.test.") // w.DNS is the root and all below it
	w.Record(tb, "ns.world.test. 60 IN A "+w.Resolver)
	address := w.Address()
	dir := filepath.Join(w.Dir, "unbound-"+address)
	fatal(tb, os.MkdirAll(dir, 0o755))
	var config strings.Builder
	fmt.Fprintf(&config, `server:
	directory: "%[1]s"
	username: ""
	chroot: ""
	pidfile: ""
	use-syslog: no
	logfile: "%[1]s/log"
	verbosity: 2
	interface: %[2]s
	access-control: 127.0.0.0/8 allow
	do-ip6: no
	do-not-query-localhost: no
	qname-minimisation: no
	aggressive-nsec: no
	module-config: "validator iterator"
	local-zone: "test." nodefault
	num-threads: 1
	cache-max-negative-ttl: 0
`, dir, address)
	for _, z := range zones {
		text, anchor, err := dnstest.Sign(z.Name, z.Records...)
		fatal(tb, err)
		if z.Forge != nil {
			text = z.Forge(text)
		}
		fatal(tb, os.WriteFile(filepath.Join(dir, z.Name), []byte(text), 0o644))
		fmt.Fprintf(&config, "\ttrust-anchor: \"%s\"\n", strings.Join(strings.Fields(anchor), " "))
	}
	for _, z := range zones {
		fmt.Fprintf(&config, "auth-zone:\n\tname: \"%s\"\n\tzonefile: \"%s/%s\"\n\tfor-downstream: no\n\tfor-upstream: yes\n\tfallback-enabled: no\n", z.Name, dir, z.Name)
	}
	fmt.Fprintf(&config, "stub-zone:\n\tname: \".\"\n\tstub-addr: %s\nremote-control:\n\tcontrol-enable: no\n", w.Resolver)
	fatal(tb, os.WriteFile(dir+"/unbound.conf", []byte(config.String()), 0o644))
	run := exec.Command(binary, "-d", "-p", "-c", dir+"/unbound.conf")
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := os.Create(dir + "/out")
	fatal(tb, err)
	defer out.Close()
	run.Stdout, run.Stderr = out, out
	fatal(tb, run.Start())
	tb.Cleanup(func() {
		run.Process.Kill()
		run.Wait()
		if tb.Failed() {
			log, _ := os.ReadFile(dir + "/log")
			tb.Logf("log of Unbound:\n%s", tail(string(log), 6<<10))
		}
	})
	Wait(tb, "Unbound to start", func() bool {
		log, _ := os.ReadFile(dir + "/log")
		said, _ := os.ReadFile(dir + "/out")
		if strings.Contains(string(said), "fatal error") || strings.Contains(string(log), "fatal error") {
			tb.Fatalf("Unbound does not start:\n%s%s", said, log)
		}
		return strings.Contains(string(log), "start of service")
	})
	return address
}
