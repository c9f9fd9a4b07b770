package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// rspamd is Rspamd as Debian ships it, without the modules that ask the network or
// Redis, and with its words in SQLite.
type rspamd struct {
	dir            string
	daemon         *exec.Cmd
	check, control string
	client         http.Client
}

func newRspamd(ctx context.Context) (filter, error) { return startRspamd(ctx, "") }

// startRspamd starts it; with a resolver it also asks who has sent a message.
func startRspamd(ctx context.Context, resolver string) (_ *rspamd, err error) {
	r := &rspamd{}
	if r.dir, err = os.MkdirTemp("", "plic-rspamd"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(r.dir, "local.d"), 0o755); err != nil {
		return nil, err
	}
	for _, at := range []*string{&r.check, &r.control} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		*at = l.Addr().String()
		l.Close()
	}
	for name, text := range r.settings(resolver) {
		if err := os.WriteFile(filepath.Join(r.dir, "local.d", name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	r.daemon = exec.CommandContext(ctx, "rspamd", "-f", "-i", "-c", "/etc/rspamd/rspamd.conf",
		"--var", "LOCAL_CONFDIR="+r.dir, "--var", "DBDIR="+r.dir, "--var", "RUNDIR="+r.dir, "--var", "LOGDIR="+r.dir)
	r.daemon.Cancel = func() error { return r.daemon.Process.Signal(os.Interrupt) } // it ends its workers
	var complaint bytes.Buffer
	r.daemon.Stderr, r.daemon.Stdout = &complaint, &complaint
	if err := r.daemon.Start(); err != nil {
		return nil, err
	}
	until, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for tick := time.NewTicker(200 * time.Millisecond); ; {
		if answer, err := r.ask(until, "http://"+r.check+"/ping", nil, nil); err == nil && strings.HasPrefix(string(answer), "pong") {
			return r, nil
		}
		select {
		case <-tick.C:
		case <-until.Done():
			r.close()
			return nil, fmt.Errorf("it does not start: %s", complaint.String())
		}
	}
}

// settings are its files, by name; with a resolver it asks who has sent a message.
func (r *rspamd) settings(resolver string) map[string]string {
	files := map[string]string{
		"worker-normal.inc":     fmt.Sprintf("bind_socket = %q;\ncount = 1;\n", r.check),
		"worker-controller.inc": fmt.Sprintf("bind_socket = %q;\nsecure_ip = \"127.0.0.1\";\n", r.control),
		"worker-proxy.inc":      "enabled = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
		"options.inc":           "dns { timeout = 0.1s; retransmits = 1; nameserver = [\"127.0.0.1:1\"]; }\nlocal_addrs = [\"192.168.0.0/16\"];\n",
		"classifier-bayes.conf": fmt.Sprintf("backend = \"sqlite3\";\ncache { path = \"%[1]s/cache.sqlite\"; }\nmin_learns = 10;\nautolearn = false;\nstatfile { symbol = \"BAYES_HAM\"; path = \"%[1]s/ham.sqlite\"; size = 50M; }\nstatfile { symbol = \"BAYES_SPAM\"; path = \"%[1]s/spam.sqlite\"; size = 50M; }\n", r.dir),
		// The corpus is old: what its dates say beside today's is no sign of anything.
		"headers_group.conf": "symbols { DATE_IN_PAST { weight = 0.0; } }\n",
		"logging.inc":        fmt.Sprintf("type = \"file\";\nfilename = \"%s/log\";\nlevel = \"warning\";\n", r.dir),
	}
	for _, module := range []string{"rbl", "surbl", "dkim", "spf", "dmarc", "arc", "fuzzy_check", "greylist", "neural", "asn", "dkim_signing", "mx_check", "phishing", "hfilter", "ratelimit", "replies", "reputation", "url_redirector", "antivirus", "history_redis"} {
		files[module+".conf"] = "enabled = false;\n"
	}
	if host, port, ok := strings.Cut(resolver, ":"); ok {
		for _, module := range []string{"dkim", "spf", "dmarc", "arc", "phishing", "hfilter"} {
			delete(files, module+".conf")
		}
		files["options.inc"] = fmt.Sprintf("dns { timeout = 1s; retransmits = 2; nameserver = [\"%s:%s:10\"]; }\nlocal_addrs = [\"192.168.0.0/16\"];\n", host, port)
	}
	return files
}

func (*rspamd) name() string   { return "Rspamd" }
func (*rspamd) limit() float64 { return 6 }

func (r *rspamd) close() {
	if r.daemon != nil && r.daemon.Process != nil {
		r.daemon.Process.Signal(os.Interrupt)
		r.daemon.Wait()
	}
	os.RemoveAll(r.dir)
}

func (r *rspamd) ask(ctx context.Context, url string, body []byte, head map[string]string) ([]byte, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range head {
		q.Header.Set(name, value)
	}
	a, err := r.client.Do(q)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err == nil && a.StatusCode >= 300 {
		err = fmt.Errorf("%s: %.200s", a.Status, text)
	}
	return text, err
}

func (r *rspamd) learn(ctx context.Context, all []*letter) error {
	failed, last := 0, error(nil)
	for _, l := range all {
		url := "http://" + r.control + "/learnham"
		if l.spam {
			url = "http://" + r.control + "/learnspam"
		}
		if _, err := r.ask(ctx, url, l.text, nil); err != nil {
			failed++ // such as one with too few words
			last = err
		}
	}
	if failed > len(all)/5 {
		return fmt.Errorf("%d of %d messages are not learnt: %w", failed, len(all), last)
	}
	return nil
}

func (r *rspamd) judge(ctx context.Context, all []*letter) (out []verdict, err error) {
	for _, l := range all {
		o := l.env.Origin
		text, err := r.ask(ctx, "http://"+r.check+"/checkv2", l.text, map[string]string{
			"IP": o.Remote.Addr().String(), "Helo": o.Helo, "Hostname": o.Name, "From": l.env.From.String(), "Rcpt": "ann@here.test",
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.file, err)
		}
		var v struct {
			Score   float64
			Symbols map[string]struct{ Score float64 }
		}
		if err := json.Unmarshal(text, &v); err != nil {
			return nil, err
		}
		var why []string
		for _, s := range slices.Sorted(maps.Keys(v.Symbols)) {
			if v.Symbols[s].Score != 0 {
				why = append(why, fmt.Sprintf("%s %.1f", s, v.Symbols[s].Score))
			}
		}
		out = append(out, verdict{v.Score, strings.Join(why, "; ")})
	}
	return out, nil
}
