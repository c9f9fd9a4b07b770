package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plic/internal/dkim"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/test/peers"
)

// authorZone is the DNS of the author's domain.
func authorZone(key *rsa.PrivateKey) (*dnstest.Server, error) {
	record, err := dkim.Record(key.Public())
	if err != nil {
		return nil, err
	}
	zone, err := dnstest.Start("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := zone.Add("there.test 3600 IN MX 10 mx.there.test.", "mx.there.test 3600 IN A "+client, `there.test 3600 IN TXT "v=spf1 ip4:`+client+` -all"`,
		`mx.there.test 3600 IN TXT "v=spf1 a -all"`, `_dmarc.there.test 3600 IN TXT "v=DMARC1; p=reject"`, "1.2.0.192.in-addr.arpa 3600 IN PTR mx.there.test.",
		`s._domainkey.there.test 3600 IN TXT "`+record[:200]+`" "`+record[200:]+`"`); err != nil {
		zone.Close()
		return nil, err
	}
	return zone, nil
}

const costConfig = `hostname = "mx.here.test"
data_dir = "%s/data"
[listen]
smtp = [%q]
lmtp = []
imap = []
imaps = []
pop3 = []
pop3s = []
submission = []
submissions = []
sieve = []
http = []
[dns]
servers = [%q]
[access]
connections = 0
xclient = ["127.0.0.1/32"]
[senders]
excepted_networks = []
check = %[4]t
[spam]
check = %[4]t
learn = %[4]t
greylist = 0
junk = 0
refuse = 0
[log]
level = "error"
[auth]
hash_memory = "8MiB"
`

// startPlic runs a server that takes mail, and judges it or does not.
func startPlic(ctx context.Context, place, resolver string, judges bool) (j judged, err error) {
	dir, err := os.MkdirTemp(place, "site")
	if err != nil {
		return j, err
	}
	at, err := free()
	if err != nil {
		return j, err
	}
	program, conf := filepath.Join(place, "plic"), filepath.Join(dir, "plic.toml")
	settings := fmt.Sprintf(costConfig, dir, at, resolver, judges)
	if err := os.WriteFile(conf, []byte(settings), 0o600); err != nil {
		return j, err
	}
	run := func(args ...string) error {
		cmd := exec.CommandContext(ctx, program, append(args, "--config", conf)...)
		cmd.Stdin = strings.NewReader("benchmark-password\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("plic %v: %w: %s", args, err, out)
		}
		return nil
	}
	if err := errors.Join(run("domain", "add", "here.test"), run("account", "add", reader, "--password-stdin")); err != nil {
		return j, err
	}
	if judges {
		if err := train(dir, run); err != nil {
			return j, err
		}
	}
	server := exec.CommandContext(ctx, program, "serve", "--config", conf)
	server.Stderr = os.Stderr
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	if err := server.Start(); err != nil {
		return j, err
	}
	within, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := peers.WaitFor(within, at); err != nil {
		return j, err
	}
	j = judged{name: "plic, which only accepts it", pid: server.Process.Pid, part: 1, send: func(text []byte) error { return bring(at, text) }}
	if judges {
		j.name = "plic, with the whole chain"
	}
	return j, nil
}

// train has plic learn the lessons, from files in a directory.
func train(dir string, run func(args ...string) error) error {
	for _, class := range []string{"ham", "spam"} {
		folder := filepath.Join(dir, class)
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
		var files []string
		for i := range lessons {
			files = append(files, filepath.Join(folder, fmt.Sprint(i)))
			if err := os.WriteFile(files[i], write(uint64(1<<40+i), class == "spam"), 0o600); err != nil {
				return err
			}
		}
		if err := run(append([]string{"spam", "train", class}, files...)...); err != nil {
			return err
		}
	}
	return nil
}

// free is an address that nobody listens at.
func free() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// bring hands a message in by SMTP, in a session of its own.
func bring(at string, text []byte) error {
	conn, err := net.Dial("tcp", at)
	if err != nil {
		return err
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	expect := func() error {
		for {
			line, err := r.ReadString('\n')
			if err != nil || len(line) < 5 || line[0] > '3' {
				return errors.Join(err, fmt.Errorf("it is answered %q", line))
			}
			if line[3] != '-' {
				return nil
			}
		}
	}
	if err := expect(); err != nil {
		return err
	}
	body := bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n.."))
	for _, line := range []string{"EHLO proxy", "XCLIENT ADDR=" + client, "EHLO mx.there.test", "MAIL FROM:<" + author + ">", "RCPT TO:<" + reader + ">", "DATA", string(body) + ".", "QUIT"} {
		if _, err := conn.Write([]byte(line + "\r\n")); err != nil {
			return err
		}
		if err := expect(); err != nil {
			return fmt.Errorf("%.60s: %w", line, err)
		}
	}
	return nil
}

// rspamdWith is Rspamd with its words learnt, and its checks of the sender.
func rspamdWith(ctx context.Context, resolver string) (judged, error) {
	f, err := startRspamd(ctx, resolver)
	if err != nil {
		return judged{}, err
	}
	var teach []*letter
	for i := range lessons {
		for _, spam := range []bool{false, true} {
			teach = append(teach, &letter{spam: spam, text: write(uint64(1<<40+i), spam)})
		}
	}
	if err := f.learn(ctx, teach); err != nil {
		return judged{}, err
	}
	l := letter{}
	l.env.From = mail.MustAddress(author)
	l.env.Origin = mail.Origin{Remote: netip.MustParseAddrPort(client + ":25"), Helo: "mx.there.test", Name: "mx.there.test"}
	told := false
	return judged{"Rspamd", f.daemon.Process.Pid, 1, func(text []byte) error {
		one := l
		one.text = text
		v, err := f.judge(ctx, []*letter{&one})
		if err == nil && !told {
			told = true
			fmt.Fprintln(os.Stderr, "Rspamd finds", v[0].why)
		}
		return err
	}}, nil
}

// spamdWith is SpamAssassin's daemon, which asks nobody, with words learnt.
func spamdWith(ctx context.Context) (judged, error) {
	f, err := newAssassin(ctx)
	if err != nil {
		return judged{}, err
	}
	a := f.(*assassin)
	var teach []*letter
	for i := range lessons {
		for _, spam := range []bool{false, true} {
			teach = append(teach, &letter{spam: spam, text: write(uint64(1<<40+i), spam)})
		}
	}
	if err := a.learn(ctx, teach); err != nil {
		return judged{}, err
	}
	at, err := free()
	if err != nil {
		return judged{}, err
	}
	host, port, _ := net.SplitHostPort(at)
	daemon := exec.CommandContext(ctx, "spamd", "-L", "-x", "-i", host, "-p", port, "-m", "1", "--min-children=1", "-s", "null", "-u", "root", "-C", "/usr/share/spamassassin", "--siteconfigpath=/etc/spamassassin", "--cf=bayes_path "+filepath.Join(a.dir, ".spamassassin/bayes"))
	daemon.Env = append(os.Environ(), "HOME="+a.dir)
	if err := daemon.Start(); err != nil {
		return judged{}, err
	}
	within, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := peers.WaitFor(within, at); err != nil {
		return judged{}, err
	}
	return judged{"SpamAssassin (spamd), without network", daemon.Process.Pid, 20, func(text []byte) error {
		conn, err := net.Dial("tcp", at)
		if err != nil {
			return err
		}
		defer conn.Close()
		fmt.Fprintf(conn, "CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n%s", len(text), text)
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && !strings.Contains(line, "EX_OK") {
			err = fmt.Errorf("it is answered %q", line)
		}
		return err
	}}, nil
}
