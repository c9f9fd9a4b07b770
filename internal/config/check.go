package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"plic/internal/table"
)

// Check looks at what the settings say together. It serves a Config that was
// made in code; Load and Parse have done it.
func (c *Config) Check() error {
	if problems := c.check("configuration", nil); len(problems) > 0 {
		return problems
	}
	return nil
}

// rule is a fault of a setting that shows only beside another one.
type rule struct {
	bad     bool
	setting string
	text    string
}

func (c *Config) check(file string, at positions) Problems {
	var problems Problems
	for _, r := range slices.Concat(c.rules(), c.loginRules(), c.sourceRules()) {
		if r.bad {
			problems = append(problems, at.problem(file, r.setting, r.text))
		}
	}
	return append(problems, c.checkListen(file, at)...)
}

func (c *Config) rules() []rule {
	q, r := c.Queue, c.Remote
	order := func(low time.Duration, name string, high time.Duration) string {
		return fmt.Sprintf("%s is longer than %s, which is %s: make it shorter, or %s longer", FormatDuration(low), name, FormatDuration(high), name)
	}
	return append(c.Spam.rules(), []rule{
		{c.Hostname.IsZero(), "hostname", `is missing: name this host, such as hostname = "mail.example.org"`},
		{c.DataDir == "", "data_dir", `is empty: name a directory, such as "/var/lib/plic"`},
		{c.Directory.PlusSeparator == "", "directory.plus_separator", `is empty: write "+" or "-"`},
		{c.TLS.Cert != "" && c.TLS.Key == "", "tls.cert", "has no key: set tls.key too"},
		{c.TLS.Key != "" && c.TLS.Cert == "", "tls.key", "has no certificate: set tls.cert too"},
		{c.ACME.Directory != "" && c.TLS.Cert != "", "acme.directory", "is set beside tls.cert: a certificate comes from one of them"},
		{c.ACME.Directory != "" && c.ACME.Proof == ProofTLS && len(c.Listen.HTTPS) == 0, "acme.proof", `is "tls-alpn-01", which needs listen.https`},
		{c.ACME.Directory != "" && c.ACME.Proof == ProofHTTP && len(c.Listen.PlainHTTP) == 0, "acme.proof", `is "http-01", which needs listen.plain_http`},
		{c.ACME.Directory != "" && c.ACME.Proof == ProofDNS && c.ACME.DNSServer == "", "acme.proof", `is "dns-01", which needs acme.dns_server`},
		{c.MTASTS.Mode != STSOff && len(c.Listen.HTTPS) == 0, "mta_sts.mode", "needs listen.https, by which the policy is served"},
		{c.SMTP.ErrorsSoft > c.SMTP.ErrorsHard, "smtp.errors_soft", fmt.Sprintf("%d is more than smtp.errors_hard, which is %d: the session would be closed first", c.SMTP.ErrorsSoft, c.SMTP.ErrorsHard)},
		{c.SMTP.HeaderSize > c.SMTP.MessageSize, "smtp.header_size", "is more than smtp.message_size: a header is part of its message"},
		{c.SMTP.ConnectionsPerHost > c.SMTP.Connections, "smtp.connections_per_host", "is more than smtp.connections: one host could take them all"},
		{c.IMAP.MessageLimit > 0 && c.IMAP.MessageLimit < 1000, "imap.message_limit", "is below 1000: clients would need too many commands; write 0 for no limit"},
		{q.BackoffMin > q.BackoffMax, "queue.backoff_min", order(q.BackoffMin, "queue.backoff_max", q.BackoffMax)},
		{q.BackoffMax > q.ExpireAfter, "queue.backoff_max", order(q.BackoffMax, "queue.expire_after", q.ExpireAfter)},
		{q.WarnAfter > q.ExpireAfter, "queue.warn_after", order(q.WarnAfter, "queue.expire_after", q.ExpireAfter)},
		{q.ConcurrencyStart > q.ConcurrencyMax, "queue.concurrency_start", "is more than queue.concurrency_max"},
		{c.Rewrite.SRSSecrets != "" && !c.Rewrite.SRS, "rewrite.srs_secrets", "is of no use without rewrite.srs"},
		{r.SmartHostUser != "" && r.SmartHost == "", "remote.smart_host_user", "has no smart host: set remote.smart_host too"},
		{r.SmartHostUser != "" && r.SmartHostPasswordFile == "", "remote.smart_host_user", "has no password: set remote.smart_host_password_file too"},
		{r.SmartHostPasswordFile != "" && r.SmartHostUser == "", "remote.smart_host_password_file", "has no user: set remote.smart_host_user too"},
		{r.SmartHostUser != "" && r.TLS == TLSOff, "remote.tls", `is "off", and the smart host's password never goes out without TLS`},
	}...)
}

// checkListen finds services that want the same address.
func (c *Config) checkListen(file string, at positions) Problems {
	var problems Problems
	taken := map[string]string{}
	for _, s := range c.Sections()[1].Settings {
		name := "listen." + s.Name
		for _, a := range *s.value.(list[string]).p {
			if by, ok := taken[a]; ok {
				problems = append(problems, at.problem(file, name, fmt.Sprintf("%s is taken by %s already", a, by)))
			} else if _, port := splitPort(a); port != "0" { // port 0 is any free one
				taken[a] = name
			}
		}
	}
	return problems
}

// namedFile is a setting that names a file.
type namedFile struct {
	setting string
	path    *string
}

// paths are the settings that name files, which must be there.
func (c *Config) paths() []namedFile {
	all := []namedFile{
		{"tls.cert", &c.TLS.Cert},
		{"tls.key", &c.TLS.Key},
		{"tls.client_ca", &c.TLS.ClientCA},
		{"oauth.client_secret_file", &c.OAuth.SecretFile},
		{"oauth.ca", &c.OAuth.CA},
		{"acme.account_file", &c.ACME.AccountFile},
		{"acme.dns_key_file", &c.ACME.DNSKeyFile},
		{"remote.smart_host_password_file", &c.Remote.SmartHostPasswordFile},
		{"rewrite.srs_secrets", &c.Rewrite.SRSSecrets},
	}
	for i := range c.Sieve.Before {
		all = append(all, namedFile{"sieve.before", &c.Sieve.Before[i]})
	}
	for i := range c.Sieve.After {
		all = append(all, namedFile{"sieve.after", &c.Sieve.After[i]})
	}
	all = append(all, namedFile{"sieve.include", &c.Sieve.Include})
	for _, x := range c.Sources {
		name := "source." + x.Name + "."
		all = append(all, namedFile{name + "password_file", &x.Password}, namedFile{name + "file", &x.File},
			namedFile{name + "tls_ca", &x.CA}, namedFile{name + "helper", &x.Helper})
	}
	return all
}

// resolve lets relative paths start at the directory of the file.
func (c *Config) resolve(dir string) {
	join := func(path *string) {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	join(&c.DataDir)
	join(&c.Submission.Maildrop)
	c.eachTable(func(_ string, spec *string) { resolveTable(spec, dir) })
	for _, p := range c.paths() {
		join(p.path)
	}
}

// checkFiles looks for the files that settings name.
func (c *Config) checkFiles(file string, at positions) Problems {
	var problems Problems
	c.eachTable(func(setting string, spec *string) {
		if _, err := table.Open(*spec, table.Options{}); err != nil && table.Path(*spec) != "" {
			problems = append(problems, at.problem(file, setting, err.Error()))
		}
	})
	for _, p := range c.paths() {
		if *p.path == "" {
			continue
		}
		f, err := os.Open(*p.path)
		if err == nil {
			f.Close()
			continue
		}
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		problems = append(problems, at.problem(file, p.setting, fmt.Sprintf("cannot read %s: %v", *p.path, err)))
	}
	return problems
}
