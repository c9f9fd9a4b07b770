package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"plic/test/peers"
)

const (
	domain   = "local.test"
	password = "benchmark-password"
	popUser  = "pop@" + domain
	users    = 50
)

func user(i int) string { return fmt.Sprintf("u%d@%s", i%users, domain) }

// site is one side of the comparison.
type site struct {
	name   string
	smtp   string // port 25 for local mail
	relay  string // where mail for the sink is handed in
	imap   string
	pop3   string
	sink   *sink
	watch  [users]*imapConn
	filled bool
	// multiAppend fills the large mailbox by RFC 3502, which spares the peer
	// its sync for each message: the filling is not measured.
	multiAppend bool
	program     []string // prefixes of the paths of its programs
	stop        func()
}

func (s *site) owns(exe string) bool {
	for _, prefix := range s.program {
		if strings.HasPrefix(exe, prefix) {
			return true
		}
	}
	return false
}

const plicConfig = `hostname = "mx.local.test"
data_dir = "%[1]s/data"

[listen]
smtp = ["127.78.0.1:25"]
lmtp = ["127.78.0.1:24"]
imap = ["127.78.0.1:143"]
pop3 = ["127.78.0.1:110"]
submission = []
submissions = []
imaps = []
pop3s = []
http = []

[smtp]
connections_per_host = 1000

[imap]
connections_per_login = 10000

[auth]
hash_memory = "8MiB"
hash_rounds = 1

[remote]
smart_host = "127.78.0.2"
tls = "off"

[log]
level = "warn"
`

// startPlic builds plic and runs it on 127.78.0.1. Mail for the sink comes in
// through an alias, as nobody may relay.
func startPlic(ctx context.Context, dir string) (*site, error) {
	s := &site{name: "plic", smtp: "127.78.0.1:25", relay: "127.78.0.1:25", imap: "127.78.0.1:143", pop3: "127.78.0.1:110",
		program: []string{dir}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	binary, config := dir+"/plic", dir+"/plic.toml"
	if err := os.WriteFile(config, fmt.Appendf(nil, plicConfig, dir), 0o644); err != nil {
		return nil, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/plic")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w: %s", err, out)
	}
	admin := func(args ...string) error {
		cmd := exec.CommandContext(ctx, binary, append(args, "--config", config)...)
		cmd.Stdin = strings.NewReader(password + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("plic %v: %w: %s", args, err, out)
		}
		return nil
	}
	var err error
	if s.sink, err = newSink("127.78.0.2:25"); err != nil {
		return nil, err
	}
	server := exec.Command(binary, "serve", "--config", config)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		return nil, err
	}
	s.stop = func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
		s.sink.Close()
	}
	if err := peers.WaitFor(ctx, s.imap); err != nil {
		s.stop()
		return nil, err
	}
	err = admin("domain", "add", domain)
	for i := range users {
		err = errors.Join(err, admin("account", "add", user(i), "--password-stdin"))
	}
	err = errors.Join(err, admin("account", "add", popUser, "--password-stdin"), admin("alias", "add", "relay@"+domain, "bob@sink.test"))
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// startPeers runs Postfix on 127.78.0.5, delivering by LMTP to Dovecot on
// 127.78.0.6 with its quickest local format.
func startPeers(ctx context.Context, dir string) (*site, error) {
	s := &site{name: "Postfix + Dovecot", smtp: "127.78.0.5:25", relay: "127.78.0.5:25", imap: "127.78.0.6:143", pop3: "127.78.0.6:110", multiAppend: true,
		program: []string{"/usr/lib/dovecot", "/usr/sbin/dovecot", "/usr/lib/postfix"}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	d := &peers.Dovecot{Dir: dir + "/d", Address: "127.78.0.6", Password: password, Format: "sdbox"}
	if err := d.Start(ctx); err != nil {
		return nil, err
	}
	p := &peers.Postfix{Dir: dir + "/p", Address: "127.78.0.5", Hostname: "mx.peer.test", Settings: `virtual_mailbox_domains = ` + domain + `
virtual_mailbox_maps = static:all
virtual_alias_maps = inline:{ {relay@` + domain + ` = bob@sink.test} }
virtual_transport = lmtp:inet:127.78.0.6:24
relayhost = [127.78.0.7]
smtpd_client_connection_count_limit = 1000
smtpd_client_connection_rate_limit = 0
maximal_backoff_time = 5s
minimal_backoff_time = 5s`}
	if err := p.Start(ctx); err != nil {
		d.Stop()
		return nil, err
	}
	s.stop = func() {
		p.Stop()
		d.Stop()
		s.sink.Close()
	}
	var err error
	if s.sink, err = newSink("127.78.0.7:25"); err != nil {
		s.stop()
	}
	return s, err
}
