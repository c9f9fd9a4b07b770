package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

func TestEmptyFileAndHostnameIsAServer(t *testing.T) {
	t.Parallel()
	c, err := Parse("plic.toml", []byte(`hostname = "mail.example.org"`))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Hostname = mail.MustDomain("mail.example.org")
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant the defaults", c)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	t.Parallel()
	text := `
hostname = "mail.example.org"
data_dir = "/var/lib/plic"
[listen]
smtp = ["192.0.2.1:25", "[2001:db8::1]:25", "localhost:2525"]
lmtp = []
[tls]
min_version = "1.3"
[smtp]
message_size = "10MiB"
recipients = 200
bare_newline = "normalise"
trusted_networks = ["10.0.0.0/8", "::1"]
early_talker = false
timeout = "1m30s"
[queue]
expire_after = "1d12h"
[directory]
postmaster = "root@example.org"
[dns]
servers = ["127.0.0.1", "[::1]:5353"]
[log]
level = "debug"
`
	c, err := Parse("plic.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ got, want any }{
		{c.DataDir, "/var/lib/plic"},
		{c.Listen.SMTP, []string{"192.0.2.1:25", "[2001:db8::1]:25", "localhost:2525"}},
		{c.Listen.LMTP, []string{}},
		{c.TLS.MinVersion, TLS13},
		{c.SMTP.MessageSize, 10 * mib},
		{c.SMTP.Recipients, 200},
		{c.SMTP.BareNewline, NormaliseBare},
		{len(c.SMTP.TrustedNetworks), 2},
		{c.SMTP.TrustedNetworks[1].String(), "::1/128"},
		{c.SMTP.EarlyTalker, false},
		{c.SMTP.Timeout, 90 * time.Second},
		{c.Queue.ExpireAfter, 36 * time.Hour},
		{c.Directory.Postmaster, mail.MustAddress("root@example.org")},
		{c.DNS.Servers, []string{"127.0.0.1:53", "[::1]:5353"}},
		{c.Log.Level, LogDebug},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("got %v, want %v", x.got, x.want)
		}
	}
}

// Every message is golden: it is what an administrator reads.
func TestProblems(t *testing.T) {
	t.Parallel()
	const host = "hostname = \"mail.example.org\"\n"
	for _, x := range []struct {
		name, text string
		want       []string
	}{
		{"no host name", "", []string{`plic.toml: hostname: is missing: name this host, such as hostname = "mail.example.org"`}},
		{"all at once", host + "[smtp]\nmesage_size = \"1MiB\"\nhops = \"50\"\ntimeout = 300\n[qeue]\nactive = 1\n", []string{
			`plic.toml:3:1: smtp.mesage_size: no such setting; did you mean message_size?`,
			`plic.toml:4:1: smtp.hops: want a number such as 50, not the text "50"`,
			`plic.toml:5:1: smtp.timeout: want a duration in quotes, such as "5m", not the number 300`,
			`plic.toml:6:2: qeue: no such section; did you mean [queue]?`,
		}},
		{"wrong place", host + "[imap]\nexpire_after = \"5d\"\ndata_dir = \"x\"\n", []string{
			`plic.toml:3:1: imap.expire_after: no such setting here; it belongs in [queue]`,
			`plic.toml:4:1: imap.data_dir: no such setting here; it belongs at the top, before the first section`,
		}},
		{"misspelt in the wrong place", host + "[imap]\nexpire_afer = \"5d\"\n", []string{
			`plic.toml:3:1: imap.expire_afer: no such setting; did you mean queue.expire_after?`,
		}},
		{"nothing near", host + "frobnicate = true\n[relaying]\nx = 1\n", []string{
			"plic.toml:2:1: frobnicate: no such setting; `plic config reference` lists them all",
			`plic.toml:3:2: relaying: no such section; there are [listen], [tls], [acme], [mta_sts], [autoconfig], [smtp], [access], [senders], [spam], [signing], [submission], [auth], [oauth], [route], [rewrite], [directory], [queue], [remote], [tlsrpt], [dns], [store], [mailboxes], [quota], [imap], [pop3], [sieve], [journal], [log]`,
		}},
		{"values", host + "[smtp]\nmessage_size = \"50MB\"\nhops = 5\nbare_newline = \"refuze\"\ntimeout = \"5min\"\ntrusted_networks = [\"10.0.0.1/8\", \"home\", 3]\nearly_talker = \"yes\"\n", []string{
			`plic.toml:3:1: smtp.message_size: "50MB" is not a size: write a number with B, KiB, MiB, GiB or TiB, such as "50MiB"`,
			`plic.toml:4:1: smtp.hops: 5 is out of bounds: it may be 10 to 1000`,
			`plic.toml:5:1: smtp.bare_newline: "refuze" is not a choice; did you mean "refuse"?`,
			`plic.toml:6:1: smtp.timeout: "5min" is not a duration: write a number with d, h, m, s or ms, such as "5m" or "1h30m"`,
			`plic.toml:7:1: smtp.trusted_networks: "10.0.0.1/8" has bits behind its prefix: write "10.0.0.0/8"`,
			`plic.toml:7:1: smtp.trusted_networks: "home" is not a network: write "192.0.2.0/24" or "2001:db8::/32"`,
			`plic.toml:7:1: smtp.trusted_networks: want a list of networks, such as ["192.0.2.0/24"], not the number 3`,
			`plic.toml:8:1: smtp.early_talker: want true or false, not the text "yes"`,
		}},
		{"addresses", host + "[listen]\nsmtp = [\"25\"]\nimap = \"127.0.0.1:143\"\npop3 = [\"127.0.0.1:99999\"]\nhttp = [\"bad_host:80\"]\n[dns]\nservers = [\"ns.example.org\"]\n", []string{
			`plic.toml:3:1: listen.smtp: "25" is not an address to listen at: write "host:port", ":port" for every host, or "[::1]:port"`,
			`plic.toml:4:1: listen.imap: want a list of addresses host:port, such as ["127.0.0.1:25"], not the text "127.0.0.1:143"`,
			`plic.toml:5:1: listen.pop3: "127.0.0.1:99999": "99999" is not a port: it may be 0 to 65535`,
			`plic.toml:6:1: listen.http: domain "bad_host": the character '_' may not be in it`,
			`plic.toml:8:1: dns.servers: "ns.example.org" is not the address of a name server: write "127.0.0.1:53"`,
		}},
		{"host name", "hostname = \"192.0.2.1\"\n", []string{
			`plic.toml:1:1: hostname: 192.0.2.1 is an address: write the name of the host, such as "mail.example.org"`,
		}},
		{"together", host + "[tls]\ncert = \"a.pem\"\n[queue]\nwarn_after = \"6d\"\n[listen]\nimap = [\":25\"]\n[remote]\nsmart_host_user = \"u\"\n", []string{
			`plic.toml:3:1: tls.cert: has no key: set tls.key too`,
			`plic.toml:5:1: queue.warn_after: 6d is longer than queue.expire_after, which is 5d: make it shorter, or queue.expire_after longer`,
			`plic.toml:7:1: listen.imap: :25 is taken by listen.smtp already`,
			`plic.toml:9:1: remote.smart_host_user: has no smart host: set remote.smart_host too`,
			`plic.toml:9:1: remote.smart_host_user: has no password: set remote.smart_host_password_file too`,
		}},
		{"not TOML", host + "[smtp]\ntimeout = 5m\nhops = 5\n[queue]\nactive = 20\nactive = 30\n", []string{
			`plic.toml:3:12: text, durations and sizes stand in quotes: name = "value"`,
			`plic.toml:4:1: smtp.hops: 5 is out of bounds: it may be 10 to 1000`,
			`plic.toml:7:1: active is set twice: keep one of them`,
		}},
		{"broken head", host + "[smtp]\nhops = 5\n[queue\nactive = 1\n", []string{
			`plic.toml:3:1: smtp.hops: 5 is out of bounds: it may be 10 to 1000`,
			`plic.toml:4:7: expected ']' to close table name`,
		}},
		{"section twice", host + "[smtp]\nhops = 50\n[smtp]\nhops = 50\n", []string{
			`plic.toml:4:2: section [smtp] begins twice: put its settings together`,
		}},
		{"list without end", host + "[listen]\nsmtp = [\":25\",\nimap = [\":143\"]\npop3 = [\":110\"]\n", []string{
			`plic.toml:4:1: a value is wanted here: text in quotes, a number, true, false, or a list that ends with "]"`,
		}},
		{"a section as a list", host + "[[smtp]]\nhops = 50\n", []string{
			`plic.toml:2:3: smtp: is a section: write [smtp] on a line of its own, once`,
		}},
		{"a value for a section", host + "smtp = 25\n", []string{
			`plic.toml:2:1: smtp: is a section: write [smtp] on a line of its own, once`,
		}},
		{"inline and dotted", host + "pop3 = { timeout = 1 }\nimap.timeout = 2\n", []string{
			`plic.toml:2:10: pop3.timeout: want a duration in quotes, such as "10m", not the number 1`,
			`plic.toml:3:6: imap.timeout: want a duration in quotes, such as "30m", not the number 2`,
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("plic.toml", []byte(x.text))
			if err == nil {
				t.Fatal("no error")
			}
			if got := err.Error(); got != strings.Join(x.want, "\n") {
				t.Errorf("got\n%s\nwant\n%s", got, strings.Join(x.want, "\n"))
			}
		})
	}
}

func TestLoadResolvesAndFindsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "plic.toml")
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("plic.toml", "hostname = \"mail.example.org\"\n[tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n")
	write("cert.pem", "")
	_, err := Load(path)
	want := path + ":4:1: tls.key: cannot read " + filepath.Join(dir, "key.pem") + ": no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
	write("key.pem", "")
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if c.DataDir != filepath.Join(dir, "plic-data") || c.TLS.Cert != filepath.Join(dir, "cert.pem") {
		t.Errorf("data_dir %q, cert %q", c.DataDir, c.TLS.Cert)
	}
	if _, err := Load(filepath.Join(dir, "none.toml")); err == nil || !strings.Contains(err.Error(), "none.toml") {
		t.Errorf("missing file: %v", err)
	}
}

// fields walks all leaves of a Config.
func fields(v reflect.Value, visit func(name string, leaf reflect.Value)) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		if f.Kind() == reflect.Struct && f.Type().PkgPath() == v.Type().PkgPath() {
			fields(f, func(inner string, leaf reflect.Value) { visit(name+"."+inner, leaf) })
			continue
		}
		visit(name, f)
	}
}

// A field without a setting could never be set.
func TestEveryFieldHasItsSetting(t *testing.T) {
	t.Parallel()
	c := Default().oneSource()
	bound := map[uintptr]bool{}
	count := 0
	for _, s := range c.Sections() {
		if s.Doc == "" {
			t.Errorf("[%s] is not documented", s.Name)
		}
		for _, x := range s.Settings {
			p := reflect.ValueOf(x.value).FieldByName("p").Pointer()
			if bound[p] {
				t.Errorf("%s shares a field with another setting", s.full(x.Name))
			}
			bound[p] = true
			if !strings.HasSuffix(x.Doc, ".") || strings.Contains(x.Doc, "|") {
				t.Errorf("%s: documentation %q is no sentence for a table", s.full(x.Name), x.Doc)
			}
			count++
		}
	}
	leaves := 0
	source := reflect.ValueOf(c.Sources[0]).Elem()
	for i := range source.NumField() {
		if name := source.Type().Field(i).Name; name != "Name" {
			leaves++
			if !bound[source.Field(i).Addr().Pointer()] {
				t.Errorf("field %s of a source has no setting", name)
			}
		}
	}
	fields(reflect.ValueOf(c).Elem(), func(name string, leaf reflect.Value) {
		if name == "Sources" {
			return
		}
		leaves++
		if !bound[leaf.Addr().Pointer()] {
			t.Errorf("field %s has no setting", name)
		}
	})
	if leaves != count || count >= 250 {
		t.Errorf("%d settings for %d fields; fewer than 250 are wanted", count, leaves)
	}
}

func TestDefaultsObeyTheirOwnBounds(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Hostname = mail.MustDomain("mail.example.org")
	got, err := Parse("show", []byte(c.Show()))
	if err != nil {
		t.Fatal(err)
	}
	if got.Show() != c.Show() {
		t.Errorf("show, read and shown again differs:\n%s\n%s", c.Show(), got.Show())
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	sample := Sample("mail.example.org")
	if _, err := Parse("sample", []byte(sample)); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder // the defaults uncommented must be read as well
	for line := range strings.Lines(sample) {
		if strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "# ") {
			line = line[1:]
		}
		b.WriteString(line)
	}
	c, err := Parse("sample", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Hostname = mail.MustDomain("mail.example.org")
	if c.Show() != want.Show() {
		t.Errorf("the sample's defaults are\n%s", c.Show())
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	a, b := Default(), Default()
	b.SMTP.Hops = 60
	b.DataDir = "elsewhere"
	got := Changes(a, b)
	want := []Change{
		{"data_dir", `"plic-data"`, `"elsewhere"`, false},
		{"smtp.hops", "50", "60", true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}

// Files of filters start where the file of settings is, and must be there.
func TestFiltersAreFiles(t *testing.T) {
	t.Parallel()
	c, err := Parse("x", []byte("hostname = \"mail.example.org\"\n[sieve]\nbefore = [\"a.sieve\", \"/b.sieve\"]\nafter = [\"c.sieve\"]\ninclude = \"more\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	c.resolve("/etc/plic-is-not-here")
	if s := c.Sieve; s.Before[0] != "/etc/plic-is-not-here/a.sieve" || s.Before[1] != "/b.sieve" || s.After[0] != "/etc/plic-is-not-here/c.sieve" || s.Include != "/etc/plic-is-not-here/more" {
		t.Errorf("%+v", s)
	}
	if problems := c.checkFiles("x", positions{}); len(problems) != 4 || !strings.Contains(problems.Error(), "sieve.include") {
		t.Errorf("%v", problems)
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	const text = `hostname = "mail.example.org"
[directory]
sources = ["native", "company", "people"]
[source.company]
driver = "pgsql"
hosts = ["db1", "db2:5433"]
domains = ["Example.ORG"]
password_file = "db.secret"
account_query = """
SELECT * FROM account
WHERE name = :login"""
cache = "5m"
[source.people]
driver = "ldap"
hosts = ["ldap.example.org"]
base = "dc=example,dc=org"
attributes = {quota_rule = "mailQuota", account = "mail"}
`
	c, err := Parse("x", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.resolve("/etc/plic")
	db, people := c.Sources[0], c.Sources[1]
	if db.Name != "company" || db.Driver != PostgreSQL || len(db.Hosts) != 2 || db.Domains[0].String() != "example.org" || db.Password != "/etc/plic/db.secret" ||
		!strings.Contains(db.AccountQuery, "\nWHERE") || db.Keep != 5*time.Minute || db.KeepMissing != 10*time.Second {
		t.Errorf("%+v", db)
	}
	if people.Attributes["quota_rule"] != "mailQuota" || !people.Bind {
		t.Errorf("%+v", people)
	}
	again, err := Parse("show", []byte(c.Show()))
	if err != nil || again.Show() != c.Show() {
		t.Errorf("shown and read again: %v\n%s", err, c.Show())
	}
	_, err = Parse("x", []byte(strings.Replace(strings.Replace(text, "cache = \"5m\"", "cache = \"6m\"", 1), "[source.people]", "[source.others]", 1)+"[source.more]\ndriver = \"sqlite\"\nfile = \"x\"\n"))
	if err == nil || !strings.Contains(err.Error(), `names "people"`) {
		t.Errorf("a source that is not there: %v", err)
	}
	other, err := Parse("x", []byte(strings.Replace(text, "cache = \"5m\"", "cache = \"6m\"", 1)+"[source.more]\ndriver = \"sqlite\"\nfile = \"x\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	other.resolve("/etc/plic")
	merged, changes, err := Merge(c, other)
	if err != nil || len(merged.Sources) != 2 || merged.Sources[0].Keep != 5*time.Minute || len(changes) != 2 {
		t.Errorf("merged: %+v, %v", changes, err)
	}
	for bad, want := range map[string]string{
		"[source.a]\n": "has no driver", "[source.native]\ndriver = \"ldap\"": "is no name for a source", "[source.A]\n": "is no name for a source",
		"[source.a]\ndriver = \"oracle\"": "is not a choice", "[source.a]\ndriver = \"pgsql\"": "name a server", "[source.a]\ndriver = \"sqlite\"": "name a file",
		"[source.a]\ndriver = \"system\"": "have none", "[source.a]\nquery = \"x\"": "no such setting", "source = 1": "group of sections",
		"[source.a]\ndriver = \"ldap\"\nhosts = [\"x\"]\nattributes = {a = 1}": "text in quotes", "[source.a]\ndriver = \"pgsql\"\nhosts = [\"x\"]\ntls = \"starttls\"": "only LDAP has",
		"[directory]\nsources = []": "is empty",
	} {
		if _, err := Parse("x", []byte("hostname = \"mail.example.org\"\n"+bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", bad, err, want)
		}
	}
}

func TestTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"aliases": "root: ann\n", "rules": "/x/ hold\n", "bad": "a 1\na 2\n",
		"plic.toml": `hostname = "mx.example.org"
[route]
aliases = ["aliases:aliases", {"x" = "y, z"}]
transports = {"example.org" = "smtp:[a]:25"}
header_rules = "regexp:` + dir + `/rules"
relay_domains = []
[route.smart_hosts]
"@a.example" = "[smart]"
`,
		"bad.toml": `hostname = "mx.example.org"
[route]
aliases = "aliases:none"
transports = ["nonsense"]
logins = 5
sender_bcc = {a = 1}
local_domains = "file:bad"
[rewrite]
srs_secrets = "none"
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(filepath.Join(dir, "plic.toml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ got, want any }{
		{c.Route.Aliases, []string{"aliases:" + dir + "/aliases", `inline:{"x"="y, z"}`}},
		{c.Route.Transports, []string{`inline:{"example.org"="smtp:[a]:25"}`}},
		{c.Route.HeaderRules, []string{"regexp:" + dir + "/rules"}},
		{c.Route.SmartHosts, []string{`inline:{"@a.example"="[smart]"}`}},
		{len(c.Route.RelayDomains), 0},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("got %v, want %v", x.got, x.want)
		}
	}
	again, err := Parse("again", []byte(c.Show()))
	if err != nil || !reflect.DeepEqual(again.Route.Aliases, c.Route.Aliases) || !reflect.DeepEqual(again.Route.Transports, c.Route.Transports) {
		t.Errorf("written and read again: %v\n%s", err, c.Show())
	}
	_, err = Load(filepath.Join(dir, "bad.toml"))
	for _, want := range []string{`bad.toml:4:1: route.transports: "nonsense" names no table`, "bad.toml:5:1: route.logins: want a table", `bad.toml:6:1: route.sender_bcc: "a": want text in quotes`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in\n%v", want, err)
		}
	}
	for _, want := range []string{"bad.toml:3:1: route.aliases: table aliases:" + dir + "/none", `line 2: "a" is there twice`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no fault %q in\n%v", want, err)
		}
	}
}

func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := Default(), Default()
	a.Hostname, b.Hostname = mail.MustDomain("a.example"), mail.MustDomain("b.example")
	a.SMTP.Hops, b.SMTP.Hops = 40, 60
	b.Queue.Active = 99
	got, changes, err := Merge(a, b)
	if err != nil {
		t.Fatal(err)
	}
	want := *a
	want.SMTP.Hops = 60
	if got.Show() != want.Show() {
		t.Errorf("merged:\n%s", got.Show())
	}
	if len(changes) != 3 {
		t.Errorf("changes %+v", changes)
	}
}

func TestReferenceIsCurrent(t *testing.T) {
	t.Parallel()
	got, err := os.ReadFile("../../docs/config.md")
	if err != nil || string(got) != Reference() {
		t.Errorf("docs/config.md is not what the settings say (%v): run `go run ./cmd/plic config reference > docs/config.md`", err)
	}
}

// Every example that people may copy must be right.
func TestExamplesInDocumentsLoad(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```toml\n") {
			if i == 0 {
				continue
			}
			examples++
			block, _, ended := strings.Cut(block, "```")
			if !ended {
				t.Errorf("%s: example %d does not end", page, i)
			}
			if !strings.Contains(block, "hostname") {
				block = "hostname = \"mail.example.org\"\n" + block
			}
			if _, err := Parse(page, []byte(block)); err != nil {
				t.Errorf("%s: example %d:\n%v", page, i, err)
			}
		}
	}
	if examples == 0 {
		t.Error("no example found in docs/ or README.md")
	}
}

func TestUnits(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"5m", 5 * time.Minute, true}, {"5d", 120 * time.Hour, true}, {"1h30m", 90 * time.Minute, true},
		{"0s", 0, true}, {"250ms", 250 * time.Millisecond, true}, {"1d2h3m4s5ms", 26*time.Hour + 3*time.Minute + 4*time.Second + 5*time.Millisecond, true},
		{"", 0, false}, {"5", 0, false}, {"m", 0, false}, {"-5m", 0, false}, {"5m1h", 0, false}, {"5m5m", 0, false},
		{"5 m", 0, false}, {"1.5h", 0, false}, {"5M", 0, false}, {"999999999d", 0, false}, {"106751d24h", 0, false},
	} {
		got, err := ParseDuration(x.text)
		if (err == nil) != x.ok || got != x.want {
			t.Errorf("ParseDuration(%q) = %v, %v", x.text, got, err)
		}
		if x.ok && FormatDuration(got) != x.text {
			t.Errorf("FormatDuration(%v) = %q, want %q", got, FormatDuration(got), x.text)
		}
	}
	for _, x := range []struct {
		text string
		want int64
		ok   bool
	}{
		{"0B", 0, true}, {"512B", 512, true}, {"64KiB", 65536, true}, {"50MiB", 50 << 20, true}, {"3TiB", 3 << 40, true},
		{"", 0, false}, {"5", 0, false}, {"5M", 0, false}, {"-1B", 0, false}, {"1.5GiB", 0, false}, {"9999999TiB", 0, false},
	} {
		got, err := ParseSize(x.text)
		if (err == nil) != x.ok || got != x.want {
			t.Errorf("ParseSize(%q) = %v, %v", x.text, got, err)
		}
		if x.ok && FormatSize(got) != x.text {
			t.Errorf("FormatSize(%v) = %q, want %q", got, FormatSize(got), x.text)
		}
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"hops", "hops", 0}, {"hpos", "hops", 1}, {"hop", "hops", 1}, {"kitten", "sitting", 3}} {
		if got := distance(x.a, x.b); got != x.want || distance(x.b, x.a) != x.want {
			t.Errorf("distance(%q, %q) = %d, want %d", x.a, x.b, got, x.want)
		}
	}
	if got := nearest("zzz", []string{"hops", "timeout"}); got != "" {
		t.Errorf("nearest to nothing is %q", got)
	}
}

// Any text gives a Config or Problems, each with a place inside the text.
func FuzzParse(f *testing.F) {
	f.Add([]byte(Sample("mail.example.org")))
	f.Add([]byte("hostname = \"a.b\"\n[smtp]\nhops = 5m\n[queue\n"))
	f.Add([]byte("[[a]]\nb = [1, {c = 2}]\n'' = 1\n"))
	f.Add([]byte("a.b.c = 1979-05-27\n\"q\" = '''\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse("f", text)
		if err == nil {
			if _, err := Parse("f", []byte(c.Show())); err != nil {
				t.Errorf("shown, it is not read again: %v", err)
			}
			return
		}
		problems, ok := err.(Problems)
		if !ok || len(problems) == 0 {
			t.Fatalf("not problems: %v", err)
		}
		lines := strings.Count(string(text), "\n") + 1
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines || p.Text == "" {
				t.Errorf("problem %+v of a text of %d lines", p, lines)
			}
		}
	})
}
