package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// assassin is SpamAssassin with its rules as Debian ships them, without network.
type assassin struct{ dir string }

func newAssassin(context.Context) (filter, error) {
	dir, err := os.MkdirTemp("", "plic-spamassassin")
	if err != nil {
		return nil, err
	}
	const prefs = "use_bayes 1\nbayes_auto_learn 0\nuse_auto_welcomelist 0\nuse_auto_whitelist 0\nskip_rbl_checks 1\ndns_available no\nreport_safe 0\n"
	return &assassin{dir}, os.WriteFile(filepath.Join(dir, "prefs"), []byte(prefs), 0o600)
}

func (*assassin) name() string   { return "SpamAssassin" }
func (*assassin) limit() float64 { return 5 }
func (a *assassin) close()       { os.RemoveAll(a.dir) }

// mailbox writes messages as an mbox.
func (a *assassin) mailbox(name string, all []*letter, take func(*letter) bool) (string, error) {
	var b bytes.Buffer
	for i, l := range all {
		if !take(l) {
			continue
		}
		// It judges them in an order of its own.
		fmt.Fprintf(&b, "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\nX-Number: %d\n", i)
		for line := range bytes.SplitAfterSeq(bytes.ReplaceAll(l.text, []byte("\r\n"), []byte("\n")), []byte("\n")) {
			if bytes.HasPrefix(line, []byte("From ")) {
				b.WriteByte('>')
			}
			b.Write(line)
		}
		b.WriteString("\n\n")
	}
	file := filepath.Join(a.dir, name)
	return file, os.WriteFile(file, b.Bytes(), 0o600)
}

func (a *assassin) run(ctx context.Context, program string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "HOME="+a.dir)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %.500s", program, err, complaint.String())
	}
	return out, nil
}

func (a *assassin) learn(ctx context.Context, all []*letter) error {
	for _, spam := range []bool{true, false} {
		class := "--ham"
		if spam {
			class = "--spam"
		}
		file, err := a.mailbox("teach", all, func(l *letter) bool { return l.spam == spam })
		if err != nil {
			return err
		}
		if _, err := a.run(ctx, "sa-learn", class, "--mbox", "-L", "-p", filepath.Join(a.dir, "prefs"), file); err != nil {
			return err
		}
	}
	return nil
}

var number = regexp.MustCompile(`(?m)^X-Number: (\d+)$`)

var status = regexp.MustCompile(`(?m)^X-Spam-Status: \w+, (?:score|hits)=(-?[0-9.]+) [^\n]*(?:\n\s[^\n]*)*`)

func (a *assassin) judge(ctx context.Context, all []*letter) ([]verdict, error) {
	file, err := a.mailbox("judge", all, func(*letter) bool { return true })
	if err != nil {
		return nil, err
	}
	text, err := a.run(ctx, "spamassassin", "--mbox", "-L", "-p", filepath.Join(a.dir, "prefs"), file)
	if err != nil {
		return nil, err
	}
	return verdicts(text, len(all))
}

// verdicts are those in what SpamAssassin makes of an mbox with n messages.
func verdicts(text []byte, n int) ([]verdict, error) {
	out, seen := make([]verdict, n), make(map[int]bool, n)
	for one := range bytes.SplitSeq(text, []byte("\nFrom MAILER-DAEMON ")) {
		m, at := status.FindSubmatch(one), number.FindSubmatch(one)
		if m == nil || at == nil {
			return nil, fmt.Errorf("a message has no verdict: %.300s", one)
		}
		score, err := strconv.ParseFloat(string(m[1]), 64)
		if err != nil {
			return nil, err
		}
		i, err := strconv.Atoi(string(at[1]))
		if err != nil || i >= n || seen[i] {
			return nil, fmt.Errorf("message %s is not ours, or has two verdicts", at[1])
		}
		out[i], seen[i] = verdict{score, string(m[0])}, true
	}
	if len(seen) != n {
		return nil, fmt.Errorf("%d verdicts for %d messages", len(seen), n)
	}
	return out, nil
}
