package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"plic/test/peers"
)

const (
	domain   = "local.test"
	password = "benchmark-password"
	popUser  = "pop@" + domain
	largeBox = "Archive"
	users    = 50
	// plicDense is how many sessions of plic are measured for one of the peers',
	// which take as much memory as that.
	plicDense = 3
)

func user(i int) string { return fmt.Sprintf("u%d@%s", i%users, domain) }

// site is one side of the comparison.
type site struct {
	name    string
	smtp    string // port 25 for local mail
	relay   string // where mail for the sink is handed in
	imap    string
	imaps   string
	pop3    string
	sink    *sink
	many    int // where its many hosts are
	dense   int // sessions for each that is asked for, when their memory is measured
	letters *letters
	program []string // prefixes of the paths of its programs
	mail    string   // the directory that holds it
	start   func(context.Context) error
	stop    func()                               // of what holds the mail; start begins it again
	last    func()                               // ends the rest
	hurry   func(bool)                           // from the next start on without syncs, for what is not measured; nil if there is no need
	settle  func(context.Context) error          // waits for what is done in the background; nil if nothing is
	plain   func(context.Context) (*site, error) // starts the same without compression; nil if it has none

	watch       [users]*imapConn
	raw         int64 // octets of the messages in the large mailbox
	onDisk      int64 // what they take there
	named       int   // how many of them are from the rare name
	popFilled   bool
	otherFilled bool
}

func (s *site) owns(exe string) bool {
	for _, prefix := range s.program {
		if strings.HasPrefix(exe, prefix) {
			return true
		}
	}
	return false
}

// end stops everything.
func (s *site) end() {
	s.stop()
	s.last()
}

// freshness is what a server that was started anew may know from before.
type freshness int

const (
	known freshness = iota // its indexes, which are in memory
	ever                   // they have no envelopes yet: the peer's cache of them is taken away
	cold                   // likewise, and nothing is in memory: all comes from the disk
)

// restart stops what holds the mail and starts it again.
func (s *site) restart(ctx context.Context, as freshness) error {
	for i, c := range s.watch {
		if c != nil {
			c.close()
			s.watch[i] = nil
		}
	}
	s.stop()
	if as >= ever {
		err := filepath.WalkDir(s.mail, func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasPrefix(d.Name(), "dovecot.index.cache") {
				err = os.Remove(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	if as == cold {
		syscall.Sync() // what is not written yet stays in memory
		if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
			return err
		}
	}
	if err := s.start(ctx); err != nil {
		return err
	}
	time.Sleep(time.Second) // what is done once after a start is not measured
	return nil
}

// used is how many octets of the disk the mail takes. Plic's ballast is kept
// back for a full disk, and holds no mail.
func (s *site) used() int64 {
	var total int64
	filepath.WalkDir(s.mail, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "ballast" {
			return nil
		}
		if i, err := d.Info(); err == nil {
			total += i.Sys().(*syscall.Stat_t).Blocks * 512
		}
		return nil
	})
	return total
}

const plicConfig = `hostname = "mx.local.test"
data_dir = "%[1]s/data"

[listen]
smtp = ["%[2]s.1:25"]
lmtp = ["%[2]s.1:24"]
imap = ["%[2]s.1:143"]
imaps = ["%[2]s.1:993"]
pop3 = ["%[2]s.1:110"]
submission = []
submissions = []
pop3s = []
sieve = []
http = []

[smtp]
connections_per_host = 1000

[imap]
connections_per_login = 10000

[auth]
hash_memory = "8MiB"
hash_rounds = 1

[route]
aliases = "file:%[1]s/crowds"
transports = "file:%[1]s/transports"

[remote]
smart_host = "%[2]s.2"
tls = "off"

[store]
compress = %[3]t

[log]
level = "warn"
`

// startPlic builds plic and runs it on the first address of a network. Mail for
// the sink, on the second, comes in through an alias, as nobody may relay.
func startPlic(ctx context.Context, dir, network string, compress bool) (*site, error) {
	at := func(port string) string { return network + ".1:" + port }
	s := &site{name: "plic", smtp: at("25"), relay: at("25"), imap: at("143"), imaps: at("993"), pop3: at("110"),
		program: []string{dir + "/"}, many: 1, dense: plicDense, mail: dir + "/data", letters: newLetters()}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := s.writeCrowds(dir); err != nil {
		return nil, err
	}
	p, err := build(ctx, dir, fmt.Appendf(nil, plicConfig, dir, network, compress), s.imap)
	if err != nil {
		return nil, err
	}
	if s.sink, err = newSink(network + ".2:25"); err != nil {
		return nil, err
	}
	s.last = func() { s.sink.Close() }
	s.start, s.stop = p.start, p.stop
	s.settle = func(ctx context.Context) error { return p.run(ctx, "index", "rebuild", user(0)) }
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := addAccounts(ctx, p); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

func addAccounts(ctx context.Context, p *program) error {
	err := p.run(ctx, "domain", "add", domain)
	for i := range users {
		err = errors.Join(err, p.run(ctx, "account", "add", user(i), "--password-stdin"))
	}
	return errors.Join(err, p.run(ctx, "account", "add", popUser, "--password-stdin"), p.run(ctx, "alias", "add", "relay@"+domain, "bob@sink.test"))
}

const postfixSettings = `virtual_mailbox_domains = ` + domain + `
virtual_mailbox_maps = static:all
virtual_alias_maps = inline:{ {relay@` + domain + ` = bob@sink.test} }, texthash:%[1]s/crowds
transport_maps = texthash:%[1]s/transports
virtual_transport = lmtp:inet:127.78.0.6:24
relayhost = [127.78.0.7]
smtpd_client_connection_count_limit = 1000
smtpd_client_connection_rate_limit = 0
maximal_backoff_time = 5s
minimal_backoff_time = 5s`

const dovecotSettings = `ssl = yes
ssl_cert = <%[1]s/cert.pem
ssl_key = <%[1]s/key.pem
service imap-login {
  inet_listener imaps {
    address = 127.78.0.6
    port = 993
    ssl = yes
  }
}
`

// startPeers runs Postfix on 127.78.0.5, delivering by LMTP to Dovecot on
// 127.78.0.6 with its quickest local format.
func startPeers(ctx context.Context, dir string) (*site, error) {
	s := &site{name: "Postfix + Dovecot", smtp: "127.78.0.5:25", relay: "127.78.0.5:25", imap: "127.78.0.6:143", imaps: "127.78.0.6:993", pop3: "127.78.0.6:110",
		program: []string{"/usr/lib/dovecot", "/usr/sbin/dovecot", "/usr/lib/postfix"}, many: 2, dense: 1, mail: dir + "/d/mail", letters: newLetters()}
	if err := os.MkdirAll(dir+"/d", 0o755); err != nil {
		return nil, err
	}
	if err := s.writeCrowds(dir); err != nil {
		return nil, err
	}
	if err := makeCertificate(dir + "/d"); err != nil {
		return nil, err
	}
	d := &peers.Dovecot{Dir: dir + "/d", Address: "127.78.0.6", Password: password, Format: "sdbox", Settings: fmt.Sprintf(dovecotSettings, dir+"/d")}
	p := &peers.Postfix{Dir: dir + "/p", Address: "127.78.0.5", Hostname: "mx.peer.test", Settings: fmt.Sprintf(postfixSettings, dir)}
	s.start, s.stop = d.Start, func() { stopDovecot(d) }
	settings := d.Settings
	s.hurry = func(on bool) {
		if d.Settings = settings; on {
			d.Settings += "mail_fsync = never\n"
		}
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := p.Start(ctx); err != nil {
		s.stop()
		return nil, err
	}
	s.last = func() {
		p.Stop()
		s.sink.Close()
	}
	var err error
	if s.sink, err = newSink("127.78.0.7:25"); err != nil {
		p.Stop()
		s.stop()
	}
	return s, err
}

// stopDovecot returns when its sessions have ended, too.
func stopDovecot(d *peers.Dovecot) {
	d.Stop()
	for range 200 {
		if text, err := os.ReadFile(d.Dir + "/run/master.pid"); err != nil || len(text) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}
