package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/journal"
	"plic/internal/mail"
)

// binary is the real program, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "plic-cli")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "plic")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// result is what a run of the program left behind.
type result struct {
	code     int
	out, err string
}

// plic runs the program in dir, where nothing but dir can be found.
func plic(t *testing.T, dir, stdin string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = dir, strings.NewReader(stdin), &out, &errs
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TZ=UTC"}
	err := c.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{c.ProcessState.ExitCode(), out.String(), errs.String()}
}

// serve answers for a site in dir/plic-data and gives dir.
func serve(t *testing.T, site *controltest.Site) string {
	t.Helper()
	dir := t.TempDir()
	data := filepath.Join(dir, "plic-data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := control.Listen(data)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.Serve(ctx, l, site.Operations(), nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dir
}

// step is one run of a script: its arguments, what it must give, and what its
// output must hold. "" wants no output at all, "*" does not care.
type step struct {
	args  string
	stdin string
	code  int
	out   string
	err   string
}

func (s step) check(t *testing.T, got result) {
	t.Helper()
	if got.code != s.code {
		t.Errorf("plic %s: exit code %d, want %d; %s", s.args, got.code, s.code, got.err)
	}
	for _, x := range []struct{ name, got, want string }{{"output", got.out, s.out}, {"errors", got.err, s.err}} {
		if x.want == "" && x.got != "" || x.want != "*" && !strings.Contains(x.got, x.want) {
			t.Errorf("plic %s: %s\n%q\nwant\n%q", s.args, x.name, x.got, x.want)
		}
	}
}

func TestSessionCommands(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	site := &controltest.Site{Open: []control.Session{
		{Service: "imap", Account: "ann@example.org", Remote: netip.MustParseAddrPort("192.0.2.1:4000"), Since: since},
		{Service: "smtp", Remote: netip.MustParseAddrPort("[2001:db8::1]:25"), Since: since},
		{Service: "pop3", Account: "bob@example.org", Remote: netip.MustParseAddrPort("192.0.2.2:4000"), Since: since},
	}}
	dir := serve(t, site)
	for _, s := range []step{
		{"session list --service smtp", "", 0, "smtp     -        [2001:db8::1]:25\n", ""},
		{"session list --account ann@example.org --json", "", 0, `{"service":"imap","account":"ann@example.org","remote":"192.0.2.1:4000","since":"2026-01-02T03:04:05Z"}`, ""},
		{"session list --network 198.51.100.0/24", "", 0, "", "There are no such sessions."},
		{"session end", "", 2, "", "which sessions?"},
		{"session end --network nonsense", "", 2, "", "write an address, or a network"},
		{"session end --network 192.0.2.2", "", 0, "sessions that end: 1\n", ""},
		{"session end --network 192.0.2.0/24", "", 0, "sessions that end: 1\n", ""},
		{"session list --service imap", "", 0, "", "There are no such sessions."},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
}

func TestDirectoryCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	for _, s := range []step{
		{"domain list", "", 0, "", "There are no domains yet: plic domain add DOMAIN"},
		{"domain list --json", "", 0, "", ""},
		{"domain add example.org example.net", "", 0, "", "added the domain example.org\nadded the domain example.net\n"},
		{"domain add example.org", "", 1, "", "plic: domain example.org exists already\n"},
		{"domain list", "", 0, "DOMAIN\nexample.org\nexample.net\n", ""},
		{"domain list --json", "", 0, "{\"domain\":\"example.org\"}\n{\"domain\":\"example.net\"}\n", ""},
		{"account add ann@example.org --password-stdin", "secret\r\nmore\n", 0, "", "added ann@example.org\n"},
		{"account add bob@example.org", "", 2, "", "use --password-stdin or --generate"},
		{"account add bob@example.org --password-stdin", "\n", 1, "", "the password is empty"},
		{"account add bob@example.org --password-stdin --generate", "x\n", 2, "", "exclude each other"},
		{"account add bob@example.org --generate", "", 0, "-", "added bob@example.org\n"},
		{"account add bob@example.com --generate", "", 1, "", "plic: domain example.com: not found\n"},
		{"account passwd ann@example.org --password-stdin", "better", 0, "", "set the password of ann@example.org"},
		{"account passwd nobody@example.org --generate", "", 1, "", "account nobody@example.org: not found"},
		{"account list", "", 0, "ACCOUNT          LOGIN\nann@example.org  yes\nbob@example.org  yes\n", ""},
		{"account list --json", "", 0, "{\"account\":\"ann@example.org\"}\n", ""},
		{"account quota ann@example.org", "", 0, "RESOURCE   USED  LIMIT\nstorage    0 B   none\nmessages   0     none\nmailboxes  0     none\n", ""},
		{"account quota ann@example.org --storage 1GiB --messages 1000", "", 0, "storage    0 B   1.0 GiB\nmessages   0     1000\n", ""},
		{"account quota ann@example.org --messages none --json", "", 0, `"limit":{"bytes":1073741824},"own":{"bytes":1073741824,"messages":-1}`, ""},
		{"account quota ann@example.org --storage much", "", 2, "", "write a number above 0, none or default"},
		{"account quota nobody@example.org", "", 1, "", "nobody@example.org: not found"},
		{"domain quota example.org --mailboxes 10", "", 0, "mailboxes  0     10\n", ""},
		{"alias add @example.org ann@example.org", "", 0, "", "@example.org goes to ann@example.org\n"},
		{"alias add sales@example.org ann@example.org x@else.example", "", 0, "", "sales@example.org goes to ann@example.org, x@else.example"},
		{"alias list", "", 0, "ALIAS              GOES TO\n@example.org       ann@example.org\nsales@example.org  ann@example.org, x@else.example\n", ""},
		{"alias list --json", "", 0, `{"alias":"sales@example.org","targets":["ann@example.org","x@else.example"]}`, ""},
		{"alias remove sales@example.org ann@example.org", "", 0, "", "removed sales@example.org ann@example.org"},
		{"alias remove nothing@example.org", "", 1, "", "alias nothing@example.org: not found"},
		{"domain remove example.org", "", 1, "", "still has the account ann@example.org: remove it first"},
		{"account remove bob@example.org --purge", "", 0, "", "removed the account bob@example.org\n"},
		{"domain remove example.net", "", 0, "", "removed the domain example.net\n"},
		{"domain add", "", 2, "", "plic: the domain is missing\nTry: plic domain add --help\n"},
		{"alias add a@example.org", "", 2, "", "is missing"},
		{"domain list more", "", 2, "", `plic: "more" is one argument too many`},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
	if got := site.Password("ann@example.org"); got != "better" {
		t.Errorf("ann's password is %q", got)
	}
	if got := site.Purged(); !slices.Equal(got, []string{"bob@example.org"}) {
		t.Errorf("purged %v", got)
	}
}

func queued(now time.Time) []mail.Item {
	item := func(n byte, from, to string) mail.Item {
		a := mail.MustAddress(to)
		return mail.Item{
			ID: mail.ID{1, n}, Size: 2048, Attempts: 3, Due: now.Add(5*time.Minute + 30*time.Second), Expires: now.Add(4 * 24 * time.Hour),
			Envelope: mail.Envelope{ID: mail.ID{2, n}, From: mail.MustAddress(from), Received: now.Add(-26 * time.Hour)},
			Hop:      mail.Hop{Kind: mail.HopRemote, Host: a.Domain.String()},
			To: []mail.ItemRcpt{{
				Recipient: mail.Recipient{Address: a}, Last: mail.Reply(451, "4.7.1", "greylisted \x1b[31m, come back"),
				Host: "mx." + a.Domain.String(), At: now.Add(-10 * time.Minute), Fault: mail.FaultGreylist,
			}},
			Tries: []mail.Try{{
				At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Took: 2 * time.Second, Number: 2, To: 3, Host: "mx." + a.Domain.String(),
				Remote: "192.0.2.1:25", TLS: "TLS 1.3", Status: mail.Reply(451, "4.7.1", "no"), Fault: mail.FaultGreylist,
			}},
		}
	}
	items := []mail.Item{item(1, "ann@example.org", "x@a.example"), item(2, "bob@example.org", "y@b.example"), item(3, "ann@example.org", "z@b.example")}
	items[2].Hold = true
	items[2].To = append(items[2].To, mail.ItemRcpt{Recipient: mail.Recipient{Address: mail.MustAddress("zz@b.example")}})
	return items
}

func TestQueueCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{Items: queued(time.Now())}
	a, b, c := site.Items[0].ID.String(), site.Items[1].ID.String(), site.Items[2].ID.String()
	message := "Subject: x\r\n\r\nbody\r\n"
	site.Messages = map[mail.ID]string{site.Items[0].ID: message}
	dir := serve(t, site)
	for _, s := range []step{
		{"queue list", "", 0, "ID                          AGE  SIZE     FROM               TO                      NEXT TRY  TRIES  REASON    LAST ANSWER\n" +
			a + "  26h  2.0 KiB  <ann@example.org>  x@a.example             in 5m     3      greylist  451 4.7.1 greylisted \\u001b[31m, come back\n" +
			b + "  26h  2.0 KiB  <bob@example.org>  y@b.example             in 5m     3      greylist  451 4.7.1 greylisted \\u001b[31m, come back\n" +
			c + "  26h  2.0 KiB  <ann@example.org>  z@b.example and 1 more  held      3      greylist  451 4.7.1 greylisted \\u001b[31m, come back\n", ""},
		{"queue list --to @c.example", "", 0, "", "The queue is empty."},
		{"queue list --older 27h", "", 0, "", "The queue is empty."},
		{"queue list --reason full", "", 0, "", "The queue is empty."},
		{"queue list --reason bad", "", 2, "", "--reason bad is none of mailbox, full"},
		{"queue list --older soon", "", 2, "", `--older: "soon" is no length of time`},
		{"queue list --newer 2d --held", "", 0, c, ""},
		{"queue summary --by reason --from ann@example.org", "", 0, "REASON  TOTAL  HELD  5  10  20  40  80  160  320  640  1280  MORE  SIZE\nfault   3      0     0  0   0   3   0", ""},
		{"queue summary --by colour", "", 2, "", "--by colour is none of"},
		{"queue show " + a, "", 0, "mx.a.example said 451 4.7.1", ""},
		{"queue show " + a, "", 0, "try 2      2026-01-02 03:04:05, took 2s: mx.a.example said 451 4.7.1 no (for 3 recipients, greylist, at 192.0.2.1:25, TLS 1.3)", ""},
		{"queue show " + site.Items[0].Envelope.ID.String(), "", 0, "item       " + a, ""},
		{"queue show " + a + " --message", "", 0, message, ""},
		{"queue show nonsense", "", 2, "", `"nonsense" is not an id`},
		{"queue show " + mail.ID{9}.String(), "", 1, "", "no such item in the queue"},
		{"queue retry", "", 2, "", "which items?"},
		{"queue retry " + a + " " + b, "", 0, "", "2 items will be tried now\n"},
		{"queue hold --to @B.example --from bob@example.org --why because", "", 0, "", "1 item is held\n"},
		{"queue release --host b.example --json", "", 0, `{"found":2,"changed":1}`, ""},
		{"queue retry " + c, "", 1, "", "plic: nothing was changed: held items are not: release them\n"},
		{"queue hold " + c, "", 1, "", "plic: nothing was changed: held already\n"},
		{"queue bounce " + mail.ID{9}.String(), "", 1, "", "no such item in the queue"},
		{"queue bounce " + a, "", 0, "", "1 item is given back\n"},
		{"queue reroute --all", "", 2, "", "--via is missing"},
		{"queue reroute --all --via relay.test:0", "", 2, "", `"0" is no port`},
		{"queue reroute --all --via bad..name", "", 2, "", "--via"},
		{"queue reroute --all --via Relay.test:2525", "", 0, "", "2 items are rerouted\n"},
		{"queue remove --all", "", 0, "", "3 items are removed\n"},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
	want := []string{"retry 2 of 2", "hold 1 of 1 because", "release 1 of 2", "retry 0 of 1", "hold 0 of 1", "bounce 0 of 0", "bounce 1 of 1", "reroute 2 of 3  relay.test", "remove 3 of 3"}
	if got := site.Called(); !slices.Equal(got, want) {
		t.Errorf("called %q\nwant %q", got, want)
	}
	for _, args := range [][]string{{"queue", "list", "--json", "--from", "bob@example.org"}, {"queue", "show", b, "--json"}} {
		var item mail.Item
		if r := plic(t, dir, "", args...); json.Unmarshal([]byte(r.out), &item) != nil || item.ID != site.Items[1].ID {
			t.Errorf("plic %v: %q", args, r.out)
		}
	}
}

func TestEmbargoCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	rule := mail.ID{1}.String()
	for _, s := range []step{
		{"hold list", "", 0, "", "There are no hold rules."},
		{"hold add", "", 2, "", "what is to be held?"},
		{"hold add --to @a.example --account ann --why because", "", 0, "", "hold rule " + rule + ": to @a.example, account ann\n"},
		{"hold list", "", 0, "to @a.example, account ann  because\n", ""},
		{"hold list --json", "", 0, `"filter":{"to":"@a.example","account":"ann"},"why":"because"`, ""},
		{"hold remove nonsense", "", 2, "", "is not an id"},
		{"hold remove " + rule + " --release", "", 0, "", "ended the hold rule " + rule},
		{"hold remove " + rule, "", 1, "", "not found"},
		{"suppression list", "", 0, "", "No address is suppressed."},
		{"suppression add x@a.example y@a.example --for 30d --why because", "", 0, "", "suppressed x@a.example\nsuppressed y@a.example\n"},
		{"suppression add x@a.example --for ever", "", 2, "", "--for"},
		{"suppression add nonsense", "", 1, "", "nonsense"},
		{"suppression list", "", 0, "because\n", ""},
		{"suppression list --json", "", 0, `"address":"y@a.example","byhand":true`, ""},
		{"suppression remove x@a.example", "", 0, "", "removed from the list x@a.example"},
		{"suppression remove x@a.example", "", 1, "", "not found"},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
	if got := site.Called(); !slices.Equal(got, []string{"unhold " + rule + " true"}) {
		t.Errorf("called %q", got)
	}
}

func TestJournalCommand(t *testing.T) {
	t.Parallel()
	id := mail.ID{7}
	site := &controltest.Site{Events: []journal.Event{
		{Time: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC), Kind: journal.Accept, Service: "smtp", Message: id, From: "a@x.example", To: []string{"b@y.example", "c@y.example"}, Size: 100, Status: "250 2.0.0 ok"},
		{Time: time.Date(2026, 11, 23, 10, 0, 1, 0, time.UTC), Kind: journal.Deliver, Service: "smtp", Message: id, Account: "b@y.example", Mailbox: "INBOX", UID: 7, Took: 12 * time.Millisecond},
	}}
	dir := serve(t, site)
	for _, x := range []struct {
		step
		want journal.Query
	}{
		{step{"journal " + id.String(), "", 0, "TIME                 MESSAGE                     SERVICE  EVENT    WHAT\n" +
			"2026-11-23 10:00:00  " + id.String() + "  smtp     accept   from <a@x.example>, to <b@y.example>, <c@y.example>, answer \"250 2.0.0 ok\", 100 B\n" +
			"2026-11-23 10:00:01  " + id.String() + "  smtp     deliver  account b@y.example, in INBOX, uid 7, took 12ms\n", ""}, journal.Query{Message: id}},
		{step{"journal <1.2@x.example> --limit 5", "", 0, "*", ""}, journal.Query{MessageID: "<1.2@x.example>", Limit: 5}},
		{step{"journal --from a@x.example --to @y.example --since 2026-11-23 --until 2026-11-24T12:00 --json", "", 0, `"kind":"deliver"`, ""},
			journal.Query{From: "a@x.example", To: "@y.example", Since: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)}},
		{step{"journal --event auth-fail --account ann@y.example --client 192.0.2.1", "", 0, "*", ""}, journal.Query{Kind: "auth-fail", Account: "ann@y.example", Remote: "192.0.2.1"}},
		{step{"journal", "", 2, "", "what are you looking for?"}, journal.Query{}},
		{step{"journal --since yesterday", "", 2, "", `"yesterday" is not an instant`}, journal.Query{}},
	} {
		x.check(t, plic(t, dir, "", strings.Fields(x.args)...))
		if x.code != 0 {
			continue
		}
		got := site.Asked()
		if got.Since, got.Until = got.Since.UTC(), got.Until.UTC(); got != x.want {
			t.Errorf("plic %s asked %+v, want %+v", x.args, got, x.want)
		}
	}
	plic(t, dir, "", "journal", "--since", "2h")
	if ago := time.Since(site.Asked().Since); ago < 2*time.Hour || ago > 3*time.Hour {
		t.Errorf("2h is %v ago", ago)
	}
	empty := serve(t, &controltest.Site{})
	step{"journal x", "", 1, "", "the journal knows nothing of that"}.check(t, plic(t, empty, "", "journal", "x"))
}

func TestDomainRecords(t *testing.T) {
	t.Parallel()
	dir := serve(t, &controltest.Site{Records: []control.Record{
		{Name: "_imaps._tcp.example.org", Type: "SRV", Value: "0 1 993 mail.example.org.", Why: "IMAP"},
	}})
	for _, s := range []step{
		{args: "domain records example.org", out: "_imaps._tcp.example.org.  SRV   0 1 993 mail.example.org.  IMAP"},
		{args: "domain records example.org --json", out: `"value":"0 1 993 mail.example.org."`},
		{args: "domain records example.net", err: "There are no records to publish."},
		{args: "domain records", code: exitUsage, err: "*"},
	} {
		s.check(t, plic(t, dir, "", strings.Fields(s.args)...))
	}
}

func TestIndexCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{Indexes: []control.IndexStatus{
		{Account: "ann@example.org", Mailbox: "INBOX", Messages: 7, Indexed: 5, Words: 99, Bytes: 2000, Mail: 40000},
		{Account: "bob@example.org", Mailbox: "INBOX"},
	}}
	dir := serve(t, site)
	for _, s := range []step{
		{args: "index status", out: "ann@example.org  INBOX    7         5        99     2.0 KiB  5.0 %"},
		{args: "index status bob@example.org --json", out: `"account":"bob@example.org"`},
		{args: "index status nobody", err: "There are no mailboxes."},
		{args: "index rebuild ann@example.org", out: "INBOX"},
		{args: "index rebuild one two", code: exitUsage, err: "*"},
	} {
		s.check(t, plic(t, dir, "", strings.Fields(s.args)...))
	}
	if got := site.Called(); !slices.Equal(got, []string{"rebuild ann@example.org"}) {
		t.Errorf("the site was asked for %q", got)
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(steps ...step) {
		t.Helper()
		for _, s := range steps {
			s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
		}
	}
	run(step{"config check", "", 1, "", "there is no plic.toml here and no /etc/plic/plic.toml; name one with --config"})
	write("plic.toml", "hostname = \"mail.example.org\"\n[smtp]\nhops = 60\n")
	write("bad.toml", "hostnam = \"mail.example.org\"\n[smtp]\nhops = 1\n")
	run(
		step{"config check", "", 0, "plic.toml is good\n", ""},
		step{"config check bad.toml", "", 1, "", "plic: bad.toml has 2 faults:\n" +
			"bad.toml:1:1: hostnam: no such setting; did you mean hostname?\nbad.toml:3:1: smtp.hops: 1 is out of bounds"},
		step{"config check none.toml", "", 1, "", "none.toml: no such file"},
		step{"config check plic.toml --config bad.toml", "", 2, "", "name the file once"},
		step{"config show", "", 0, "[smtp]\nmessage_size = \"50MiB\"\n", ""},
		step{"config show --changed", "", 0, "hostname = \"mail.example.org\"\nsmtp.hops = 60\n", ""},
		step{"config reference", "", 0, "| `message_size` | `\"50MiB\"` |", ""},
		step{"config reference --sample", "", 0, "#message_size = \"50MiB\"\n", ""},
		step{"config frob", "", 2, "", `unknown command "frob"`},
		step{"serve --config bad.toml", "", 1, "", "did you mean hostname?"},
		step{"domain list --config bad.toml", "", 1, "", "did you mean hostname?"},
	)
	r := plic(t, dir, "", "config", "reference", "--sample")
	write("sample.toml", r.out)
	run(step{"config check sample.toml", "", 0, "sample.toml is good\n", ""})
}

func TestUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := errors.Join(os.Mkdir(other, 0o755), os.WriteFile(filepath.Join(other, "photo"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, s := range []step{
		{"", "", 0, "Available Commands:", ""},
		{"frob", "", 2, "", `plic: unknown command "frob"`},
		{"queue lis", "", 2, "", "did you mean list?"},
		{"domain list --frob", "", 2, "", "unknown flag: --frob"},
		{"help queue list", "", 0, "plic queue list --to @example.net", ""},
		{"help frob", "", 2, "", `unknown command "frob"`},
		{"version", "", 0, "plic ", ""},
		{"version --json", "", 0, `"platform":"linux/`, ""},
		{"queue list", "", 1, "", "no data directory: there is no plic.toml and no plic-data here"},
		{"queue list --dir nowhere", "", 1, "", "there is no data directory nowhere: `plic quickstart --dir nowhere` makes one"},
		{"queue list --dir other", "", 1, "", "other is no data directory of plic: it holds other things"},
		{"quickstart --domain a..b", "", 2, "", "--domain: domain"},
		{"quickstart --listen host.example", "", 2, "", "--listen"},
		{"quickstart --port-base 65000", "", 2, "", "--port-base 65000 is out of bounds"},
		{"quickstart --account ann@plic.test", "", 2, "", "is not user@domain:password"},
	} {
		s.check(t, plic(t, dir, s.stdin, strings.Fields(s.args)...))
	}
}

// Every command says what it does and shows how.
func TestEveryCommandHasHelpAndExamples(t *testing.T) {
	t.Parallel()
	root := (&app{env: func(string) string { return "" }}).root()
	var names []string
	commands := root.Commands()
	for len(commands) > 0 {
		c := commands[0]
		commands = append(commands[1:], c.Commands()...)
		names = append(names, c.CommandPath())
		if strings.HasPrefix(c.CommandPath(), "plic completion") {
			continue // cobra's own
		}
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		lists := strings.Contains(c.Short, "List") || c.Name() == "show" && c.Parent().Name() == "queue" || c.Name() == "journal"
		if lists && c.Flags().Lookup("json") == nil {
			t.Errorf("%s lists, but not as --json", c.CommandPath())
		}
	}
	for _, name := range []string{
		"serve", "quickstart", "config check", "config show", "config reference", "domain add", "domain list", "domain remove",
		"account add", "account list", "account passwd", "account quota", "account remove", "domain quota", "alias add", "alias list", "alias remove",
		"queue list", "queue summary", "queue show", "queue retry", "queue hold", "queue release", "queue remove", "queue bounce", "queue reroute",
		"hold add", "hold list", "hold remove", "suppression add", "suppression list", "suppression remove", "journal", "version",
	} {
		if !slices.Contains(names, "plic "+name) {
			t.Errorf("there is no plic %s", name)
		}
	}
}

func TestCompletion(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{Items: queued(time.Now())}
	dir := serve(t, site)
	for _, args := range []string{"domain add example.org", "account add ann@example.org --generate"} {
		if r := plic(t, dir, "", strings.Fields(args)...); r.code != 0 {
			t.Fatal(r.err)
		}
	}
	for _, s := range []step{
		{args: "__complete que", out: "queue\tMail on its way"},
		{args: "__complete account passwd ", err: "*", out: "ann@example.org\n"},
		{args: "__complete domain remove ", err: "*", out: "example.org\n"},
		{args: "__complete queue show ", err: "*", out: site.Items[0].ID.String()},
		{args: "__complete help queue r", err: "*", out: "retry\t"},
	} {
		s.err = "*"
		args := strings.Fields(s.args)
		if strings.HasSuffix(s.args, " ") {
			args = append(args, "")
		}
		s.check(t, plic(t, dir, "", args...))
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		script := plic(t, dir, "", "completion", shell)
		if script.code != 0 || !strings.Contains(script.out, "plic") {
			t.Errorf("completion %s: %+v", shell, script)
		}
		if shell == "bash" {
			c := exec.Command("bash", "-n")
			c.Stdin = strings.NewReader(script.out)
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("bash does not read its completion: %v %s", err, out)
			}
		}
	}
}

func TestDirectoryIsFound(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	if r := plic(t, dir, "", "domain", "add", "example.org"); r.code != 0 {
		t.Fatal(r.err)
	}
	elsewhere := t.TempDir()
	toml := filepath.Join(dir, "site.toml")
	if err := os.WriteFile(toml, []byte("hostname = \"mail.example.org\"\ndata_dir = \"plic-data\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"domain", "list", "--dir", filepath.Join(dir, "plic-data")},
		{"--config", toml, "domain", "list"}, // data_dir starts at the file's directory
	} {
		step{strings.Join(args, " "), "", 0, "DOMAIN\nexample.org\n", ""}.check(t, plic(t, elsewhere, "", args...))
	}
	for _, env := range []string{"PLIC_DIR=" + filepath.Join(dir, "plic-data"), "PLIC_CONFIG=" + toml} {
		c := exec.Command(binary, "domain", "list")
		c.Dir, c.Env = elsewhere, []string{env}
		if out, err := c.CombinedOutput(); err != nil || string(out) != "DOMAIN\nexample.org\n" {
			t.Errorf("%s: %v %s", env, err, out)
		}
	}
}
