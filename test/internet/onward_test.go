package internet

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/journal"
	"plic/test/peers"
	"plic/test/world"
)

// Mail of a domain that wants all refused that is not proven to be from it, and that
// signs nothing, goes on by one forwarder and by another behind it, and by a list that
// changes it. It arrives where DMARC is enforced: at plic, and at Postfix with OpenDKIM
// and OpenDMARC. Sent on as it is it does not.
func TestSentOn(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.160")
	site := func(host, domain string, more map[string]string) *world.Plic {
		settings := map[string]string{"senders.excepted_networks": "[]"}
		for k, v := range more {
			settings[k] = v
		}
		p := w.Plic(t, world.Site{Host: host, Domain: domain, Settings: settings})
		publish(t, p, domain)
		w.Record(t, "_dmarc."+domain+`. 60 IN TXT "v=DMARC1; p=reject"`)
		return p
	}
	one := site("mx.one.test", "one.test", map[string]string{"signing.dkim": "false"})
	w.Record(t, `one.test. 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"`) // where all of this world are
	two, three := site("mx.two.test", "two.test", nil), site("mx.three.test", "three.test", nil)
	rules := w.Dir + "/rules"
	if err := os.WriteFile(rules, []byte("/^Subject: (.*)/ replace Subject: [list] $1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list := site("mx.list.test", "list.test", map[string]string{"route.header_rules": `"regexp:` + rules + `"`})
	careless := site("mx.careless.test", "careless.test", map[string]string{"rewrite.dmarc": `"keep"`})
	strict := site("mx.strict.test", "strict.test", nil)
	dan := strict.Account(t, "dan")
	peer := enforcing(t, w, map[string]*world.Plic{"two.test": two, "three.test": three, "list.test": list})

	two.Alias(t, "dan@two.test", dan, "bob@peer.test", "dan@three.test", "list@list.test")
	three.Alias(t, "dan@three.test", dan, "bob@peer.test")
	list.Alias(t, "list@list.test", dan, "bob@peer.test")
	careless.Alias(t, "dan@careless.test", dan)

	send(t, one, one.Account(t, "ann"), "sent-on", "dan@two.test")
	// A message that comes three ways is the same three times but for who is named.
	world.Wait(t, "dan to get it three ways", func() bool { return len(strict.Inbox(t, dan)) == 3 })
	subjects := map[string]int{}
	for _, text := range strict.Inbox(t, dan) {
		has(t, "dan's", text, "Authentication-Results: mx.strict.test;", "dmarc=pass", "header.from=", "X-Original-From: ", "\nReply-To: ")
		for _, subject := range []string{"Subject: sent-on", "Subject: [list] sent-on"} {
			if strings.Contains(text, subject+"\r\n") {
				subjects[subject]++
			}
		}
		if strings.Contains(text, "\nFrom: ann@one.test") {
			t.Errorf("the author is that of one.test: %s", text)
		}
	}
	if subjects["Subject: sent-on"] != 2 || subjects["Subject: [list] sent-on"] != 1 {
		t.Errorf("the subjects are %v", subjects)
	}
	if peer != nil {
		world.Wait(t, "bob to get it three ways", func() bool { return len(peer.Mail(t, "bob")) == 3 })
		for _, text := range peer.Mail(t, "bob") {
			if !strings.Contains(text, "mx.peer.test; dmarc=pass") {
				t.Errorf("OpenDMARC does not say that it passes: %s", text)
			}
		}
	}
	// What is sent on as it is comes back.
	send(t, one, one.Account(t, "ben"), "kept-as-it-is", "dan@careless.test")
	e := careless.WaitJournal(t, "<kept-as-it-is@test>", journal.Bounce)
	has(t, "the answer", e.Status, "550 5.7.1 this is not from one.test")
	if peer == nil {
		return
	}
	careless.Alias(t, "bob@careless.test", "bob@peer.test")
	send(t, one, one.Account(t, "cora"), "kept-for-bob", "bob@careless.test")
	e = careless.WaitJournal(t, "<kept-for-bob@test>", journal.Bounce)
	has(t, "the answer of Postfix", e.Status, "550 5.7.1")
}

// enforcing is a Postfix that refuses by DMARC what OpenDKIM, which knows the keys of
// some sites, and OpenDMARC have looked at; nil where they cannot be had.
func enforcing(t *testing.T, w *world.World, signers map[string]*world.Plic) *world.MTA {
	t.Helper()
	for _, program := range []string{"opendkim", "opendmarc", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			world.Missing(t, program+" is not installed")
		}
	}
	if os.Geteuid() != 0 {
		t.Log("to give OpenDMARC a resolver takes root; Postfix is left out")
		return nil
	}
	dir := filepath.Join(w.Dir, "filters")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	host := w.Address()
	dkimAt, dmarcAt := host+":8891", host+":8893"
	var keys strings.Builder
	for domain, p := range signers {
		for line := range strings.Lines(p.Run(t, "dkim", "keys", domain, "--json")) {
			var r struct{ Name, Value string }
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatal(err)
			}
			keys.WriteString(r.Name + " " + r.Value + "\n")
		}
	}
	nobody := write("hosts", "192.0.2.99\n") // this host is one like any other here
	dkim := write("opendkim.conf", fmt.Sprintf("TestPublicKeys %s\nInternalHosts %s\nMode v\nSyslog no\nAuthservID mx.peer.test\nAlwaysAddARHeader yes\nPidFile %s/dkim.pid\n", write("keys", keys.String()), nobody, dir))
	dmarc := write("opendmarc.conf", fmt.Sprintf("IgnoreHosts %s\nAuthservID mx.peer.test\nTrustedAuthservIDs mx.peer.test\nSyslog false\nRejectFailures true\nSPFIgnoreResults true\nSPFSelfValidate true\nPidFile %s/dmarc.pid\nPublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\n", nobody, dir))
	resolv := write("resolv.conf", "nameserver "+w.Resolver+"\n")
	confine := `mount --bind "$1" /etc/resolv.conf; shift; exec "$@" 2>&1`
	for at, args := range map[string][]string{
		dkimAt:  {"opendkim", "-x", dkim, "-f", "-p", "inet:8891@" + host},
		dmarcAt: {"unshare", "--mount", "sh", "-ec", confine, "sh", resolv, "opendmarc", "-c", dmarc, "-f", "-p", "inet:8893@" + host},
	} {
		cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
			if t.Failed() {
				t.Log(out.String())
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := peers.WaitFor(ctx, at)
		cancel()
		if err != nil {
			t.Fatalf("%s: %v", args[0], err)
		}
	}
	return w.Postfix(t, "mx.peer.test", "peer.test", []string{"bob"}, "smtpd_milters = inet:"+dkimAt+", inet:"+dmarcAt+"\nmilter_protocol = 6\nmilter_default_action = tempfail")
}
