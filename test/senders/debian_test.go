package senders

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/arc"
	"plic/internal/check/milter"
	"plic/internal/dkim"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/test/peers"
	"plic/test/trial"
)

// TestOpenDKIM has OpenDKIM check our signatures, of both kinds of key, and plic those
// of OpenDKIM.
func TestOpenDKIM(t *testing.T) {
	t.Parallel()
	trial.Need(t, "opendkim")
	w := newWorld(t)
	w.write(t, "keys", "s._domainkey.example.org "+record(t, w.rsa)+"\ne._domainkey.example.org "+record(t, w.ed)+"\n")
	conf := w.write(t, "conf", "Mode v\nSyslog no\nTestPublicKeys "+filepath.Join(w.dir, "keys")+"\n")
	signing := w.write(t, "signing", fmt.Sprintf("Mode s\nSyslog no\nDomain example.org\nSelector s\nKeyFile %s\nInternalHosts %s\nRequireSafeKeys no\nCanonicalization relaxed/relaxed\n",
		filepath.Join(w.dir, "key.pem"), w.write(t, "hosts", "0.0.0.0/0\nlocalhost\n")))
	var files []string
	for i, letter := range letters() {
		for k, canon := range canons() {
			if i == 1 && canon[0] == dkim.Simple {
				continue // a milter, as which OpenDKIM reads files, does not see all white space after a colon
			}
			files = append(files,
				w.write(t, fmt.Sprintf("rsa%d%d", i, k), w.signed(t, "example.org", w.rsa, canon[0], canon[1], letter)),
				w.write(t, fmt.Sprintf("ed%d%d", i, k), w.signed(t, "example.org", w.ed, canon[0], canon[1], letter)))
		}
		letter = w.write(t, fmt.Sprintf("letter%d", i), letter)
		_, field, ok := strings.Cut(run(t, "", "opendkim", "-x", signing, "-t", letter, "-vvv"), "hname='DKIM-Signature' hvalue='")
		field, _, end := strings.Cut(field, "'")
		if !ok || !end {
			t.Fatal("OpenDKIM signs nothing")
		}
		w.verified(t, "of OpenDKIM", "DKIM-Signature: "+strings.ReplaceAll(field, "\n", "\r\n")+"\r\n"+letters()[i])
	}
	said := run(t, "", "opendkim", "-x", conf, "-t", strings.Join(files, ","))
	if n := strings.Count(said, " succeeded"); n != len(files) || strings.Contains(said, "failed") {
		t.Errorf("OpenDKIM verifies %d of %d:\n%s", n, len(files), said)
	}
	changed := w.write(t, "changed", strings.Replace(w.signed(t, "example.org", w.rsa, canons()[3][0], canons()[3][1], letters()[0]), "Words", "Swords", 1))
	if said := run(t, "", "opendkim", "-x", conf, "-t", changed); strings.Contains(said, "succeeded") {
		t.Errorf("a changed text: %s", said)
	}
}

// TestMailDKIM has Mail::DKIM check our signatures and chains, and plic those of
// Mail::DKIM; both seal one message by turns.
func TestMailDKIM(t *testing.T) {
	t.Parallel()
	trial.Need(t, "perl")
	w := newWorld(t)
	host, port, err := net.SplitHostPort(w.dns.Addr())
	if err != nil {
		t.Fatal(err)
	}
	perl := func(in, does string, args ...string) string {
		t.Helper()
		return run(t, in, "perl", append([]string{"testdata/dkim.pl", does, host, port}, args...)...)
	}
	var files []string
	for i, letter := range letters() {
		for k, canon := range canons() {
			files = append(files, w.write(t, fmt.Sprintf("%d%d", i, k), w.signed(t, "example.org", w.rsa, canon[0], canon[1], letter)))
			signed := perl(letter, "sign", "example.org", filepath.Join(w.dir, "key.pem"), canon[0].String()+"/"+canon[1].String()) + letter
			w.verified(t, "of Mail::DKIM", signed)
		}
	}
	if said := perl("", "check", files...); said != strings.Repeat("pass none\n", len(files)) {
		t.Errorf("Mail::DKIM says\n%s", said)
	}
	seal := func(domain, text string) string {
		results := "Authentication-Results: " + domain + "; arc=" + string(w.chain(t, text).Status) + "; dmarc=pass header.from=example.org\r\n"
		return perl(results+text, "seal", domain, filepath.Join(w.dir, "key.pem")) + text
	}
	for name, text := range map[string]string{
		"ours, theirs, ours":   w.sealed(t, "three.test", seal("two.test", w.sealed(t, "one.test", letters()[1]))),
		"theirs, ours, theirs": seal("three.test", w.sealed(t, "two.test", seal("one.test", letters()[1]))),
	} {
		if c := w.chain(t, text); c.Status != arc.Pass || len(c.Sets) != 3 || c.Intact != 1 {
			t.Errorf("%s: plic says %s of %d seals: %s", name, c.Status, len(c.Sets), c.Reason)
		}
		broken := strings.Replace(text, "A \t line", "Another line", 1)
		said := perl("", "check", w.write(t, "whole", text), w.write(t, "broken", broken))
		if said != " pass\n fail\n" || w.chain(t, broken).Status != arc.Fail {
			t.Errorf("%s: Mail::DKIM says %q, plic %s of the broken one", name, said, w.chain(t, broken).Status)
		}
	}
}

// confined runs OpenDMARC with a resolver of its own.
const confined = `mount --bind "$1" /etc/resolv.conf; shift; exec "$@" 2>&1`

// TestOpenDMARC compares what OpenDMARC says of messages with what plic says; OpenDMARC
// goes by the field in which plic tells of SPF and DKIM.
func TestOpenDMARC(t *testing.T) {
	t.Parallel()
	trial.Need(t, "opendmarc", "unshare")
	if os.Geteuid() != 0 {
		t.Skip("to give OpenDMARC a resolver takes root")
	}
	const address = "127.80.231.53"
	server, err := dnstest.Start(address + ":53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w := newWorld(t)
	w.dns = server
	records := w.records
	w.records = map[string][]string{}
	for name, texts := range records {
		w.text(t, name, texts[0])
	}
	filter := w.openDMARC(t, w.write(t, "resolv.conf", "nameserver "+address+"\n"))
	for name, x := range w.cases(t) {
		ours := w.examined(t, x.ip, x.from, x.text)
		// OpenDMARC aligns only a domain, where RFC 8601 section 2.7.2 lets an address stand.
		local, _, _ := strings.Cut(x.from, "@")
		field := strings.Replace(string(ours.Field()), "smtp.mailfrom="+local+"@", "smtp.mailfrom=", 1)
		change, err := filter.Message(t.Context(), envelope(x.ip, x.from), mail.Bytes([]byte(field+x.text)))
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := strings.Cut(string(change.Text), "\r\n\r\n")
		said, _, _ := strings.Cut(header, "\r\nFrom:")
		if want := "mx.test; dmarc=" + string(ours.DMARC.Result) + " "; !strings.Contains(said, want) || string(ours.DMARC.Result) != x.dmarc {
			t.Errorf("%s: plic says %s, want %s: %s\nOpenDMARC:\n%s", name, want, x.dmarc, ours.Summary(), said)
		}
	}
}

// openDMARC runs OpenDMARC as a milter.
func (w *world) openDMARC(t *testing.T, resolv string) *milter.Client {
	t.Helper()
	address := peers.Loopback() + ":8893"
	host, port, _ := net.SplitHostPort(address)
	conf := w.write(t, "conf", fmt.Sprintf("AuthservID mx.test\nTrustedAuthservIDs mx.test\nSyslog false\nPidFile %s\nPublicSuffixList /usr/share/publicsuffix/public_suffix_list.dat\n", filepath.Join(w.dir, "pid")))
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", confined, "sh", resolv, "opendmarc", "-c", conf, "-f", "-p", "inet:"+port+"@"+host)
	cmd.Stdout = &out
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
	defer cancel()
	if err := peers.WaitFor(ctx, address); err != nil {
		t.Fatalf("OpenDMARC: %v", err)
	}
	return milter.New(milter.Options{Host: "mx.test", Filters: []milter.Filter{{Name: "OpenDMARC", Network: "tcp", Address: address}}})
}
