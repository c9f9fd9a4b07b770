package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"plic/internal/dkim"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/test/peers"
)

const (
	client   = "192.0.2.1" // who brings the messages
	author   = "ann@there.test"
	reader   = "bob@here.test"
	octets   = 20 << 10
	lessons  = 120 // of each class, which the words are learnt from
	messages = 100 // of one turn
	turns    = 3
)

// judged is somebody whose processor time is measured.
type judged struct {
	name string
	pid  int
	part int // of all messages one in so many: who takes long
	send func(text []byte) error
}

// cost measures what a message of 20 KiB takes of the processor, in all processes of
// those who judge it: with a signature, SPF and DMARC of its author's domain, whose
// answers are known, and words that were learnt. Of plic it is the difference between
// two servers that accept it by SMTP, one of which judges; the others get it as their
// clients give it to them.
func cost(ctx context.Context) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	record, err := dkim.Record(key.Public())
	if err != nil {
		return err
	}
	zone, err := dnstest.Start("127.0.0.1:0")
	if err != nil {
		return err
	}
	defer zone.Close()
	if err := zone.Add("there.test 3600 IN MX 10 mx.there.test.", "mx.there.test 3600 IN A "+client, `there.test 3600 IN TXT "v=spf1 ip4:`+client+` -all"`,
		`mx.there.test 3600 IN TXT "v=spf1 a -all"`, `_dmarc.there.test 3600 IN TXT "v=DMARC1; p=reject"`, "1.2.0.192.in-addr.arpa 3600 IN PTR mx.there.test.",
		`s._domainkey.there.test 3600 IN TXT "`+record[:200]+`" "`+record[200:]+`"`); err != nil {
		return err
	}
	sign := &dkim.Signer{Domain: "there.test", Selector: "s", Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
	place, err := os.MkdirTemp("", "plic-cost")
	if err != nil {
		return err
	}
	defer os.RemoveAll(place)
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(place, "plic"), "./cmd/plic").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, out)
	}
	var all []judged
	defer func() {
		for _, j := range all {
			syscall.Kill(j.pid, syscall.SIGTERM)
		}
	}()
	for _, start := range []func() (judged, error){
		func() (judged, error) { return startPlic(ctx, place, zone.Addr(), false) },
		func() (judged, error) { return startPlic(ctx, place, zone.Addr(), true) },
		func() (judged, error) { return rspamdWith(ctx, zone.Addr()) },
		func() (judged, error) { return spamdWith(ctx) },
	} {
		j, err := start()
		if err != nil {
			return err
		}
		all = append(all, j)
	}
	took := make([][]float64, len(all))
	for turn := range turns + 1 { // the first is to get warm
		texts, err := letters(sign, turn)
		if err != nil {
			return err
		}
		for i, j := range all {
			before, err := processor(j.pid)
			if err != nil {
				return err
			}
			texts := texts[:messages/j.part]
			for _, text := range texts {
				if err := j.send(text); err != nil {
					return fmt.Errorf("%s: %w", j.name, err)
				}
			}
			after, err := processor(j.pid)
			if err != nil {
				return err
			}
			if turn > 0 {
				took[i] = append(took[i], float64(after-before)/float64(time.Millisecond)/float64(len(texts)))
			}
		}
	}
	fmt.Printf("%d messages of %d octets, the median of %d turns, and all of them\n\n| | processor for a message |\n|---|---:|\n", messages, octets, turns)
	for i, j := range all {
		fmt.Printf("| %s | %.2f ms %.2f |\n", j.name, median(took[i]), took[i])
	}
	fmt.Printf("| what plic's chain adds | %.2f ms |\n", median(took[1])-median(took[0]))
	return nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// letters are different messages for one turn.
func letters(sign *dkim.Signer, turn int) (texts [][]byte, err error) {
	for i := range messages {
		text := write(uint64(turn*messages+i), false)
		m, err := dkim.Read(bytes.NewReader(text), int64(len(text)))
		if err != nil {
			return nil, err
		}
		field, err := sign.Sign(m)
		if err != nil {
			return nil, err
		}
		texts = append(texts, append(field, text...))
	}
	return texts, nil
}

// write makes up a message of words that have the lengths and the frequencies of
// words; those of spam are partly others.
func write(seed uint64, spam bool) []byte {
	r := mathrand.New(mathrand.NewPCG(seed, 7))
	word := func() string {
		n := int(float64(4000) * r.Float64() * r.Float64() * r.Float64())
		if spam {
			n += 1500
		}
		w := mathrand.New(mathrand.NewPCG(uint64(n), 1))
		text := make([]byte, 2+w.IntN(8))
		for i := range text {
			text[i] = "etaoinshrdlucmfwypvbgkqjxz"[int(26*w.Float64()*w.Float64())]
		}
		return string(text)
	}
	var plain, html strings.Builder
	for plain.Len() < octets/3 {
		for range 11 {
			w := word()
			plain.WriteString(w + " ")
			html.WriteString(w + " ")
		}
		plain.WriteString("\r\n")
		html.WriteString("<br><a href=\"https://www.there.test/" + word() + "\">" + word() + "</a>\r\n")
	}
	head := fmt.Sprintf("From: Ann Smith <%s>\r\nTo: Bob <%s>\r\nSubject: %s %s %s\r\nDate: %s\r\nMessage-ID: <%d.%d@there.test>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n",
		author, reader, word(), word(), word(), time.Now().Format(time.RFC1123Z), seed, time.Now().UnixNano())
	text := head + "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + plain.String() + "\r\n--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>" + html.String()
	for len(text) < octets-100 {
		text += word() + "<br>\r\n"
	}
	return []byte(text + "</body></html>\r\n--b--\r\n")
}

// processor is the time that a process and all below it have taken, with those that
// have ended.
func processor(pid int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	type process struct {
		parent int
		ticks  int64
	}
	all := map[int]process{}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended meanwhile
		}
		id, _ := strconv.Atoi(strings.Split(name, "/")[2])
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 15 {
			continue
		}
		var p process
		p.parent, _ = strconv.Atoi(f[1])
		for _, x := range f[11:15] { // utime, stime, and those of children that were waited for
			n, _ := strconv.ParseInt(x, 10, 64)
			p.ticks += n
		}
		all[id] = p
	}
	if _, ok := all[pid]; !ok {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	var total int64
	for id, p := range all {
		for at := id; at > 1; at = all[at].parent {
			if at == pid {
				total += p.ticks
				break
			}
		}
	}
	return time.Duration(total) * 10 * time.Millisecond, nil
}

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
	settings := fmt.Sprintf("hostname = \"mx.here.test\"\ndata_dir = \"%s/data\"\n[listen]\nsmtp = [%q]\nlmtp = []\nimap = []\nimaps = []\npop3 = []\npop3s = []\nsubmission = []\nsubmissions = []\nsieve = []\nhttp = []\n[dns]\nservers = [%q]\n[access]\nconnections = 0\nxclient = [\"127.0.0.1/32\"]\n[senders]\nexcepted_networks = []\ncheck = %[4]t\n[spam]\ncheck = %[4]t\nlearn = %[4]t\ngreylist = 0\njunk = 0\nrefuse = 0\n[log]\nlevel = \"error\"\n[auth]\nhash_memory = \"8MiB\"\n",
		dir, at, resolver, judges)
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
		for _, class := range []string{"ham", "spam"} {
			folder := filepath.Join(dir, class)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return j, err
			}
			var files []string
			for i := range lessons {
				files = append(files, filepath.Join(folder, fmt.Sprint(i)))
				if err := os.WriteFile(files[i], write(uint64(1<<40+i), class == "spam"), 0o600); err != nil {
					return j, err
				}
			}
			if err := run(append([]string{"spam", "train", class}, files...)...); err != nil {
				return j, err
			}
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
			if err != nil || line[0] > '3' {
				return errors.Join(err, fmt.Errorf("it is answered %q", line))
			}
			if line[3] == ' ' {
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
