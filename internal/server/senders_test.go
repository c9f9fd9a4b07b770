package server

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"plic/internal/config"
	"plic/internal/dns/dnstest"
	"plic/internal/journal"
	"plic/internal/mail"
)

// senders is a running site that knows ann, with a DNS of its own.
type senders struct {
	*Server
	t  *testing.T
	at map[string]string
}

func startSenders(t *testing.T, change func(*config.Config), records ...string) *senders {
	t.Helper()
	names := dnstest.New(t, records...)
	c := testConfig(t)
	c.DNS.Servers = []string{names.Addr()}
	c.Senders.ExceptedNetworks, c.Spam.Check = nil, false
	if change != nil {
		change(c)
	}
	s, at, _ := start(t, c)
	people := s.Operations().Directory
	if err := people.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if err := people.AddAccount(t.Context(), "ann@here.test", "password"); err != nil {
		t.Fatal(err)
	}
	return &senders{s, t, at}
}

// send brings a message as a stranger, and gives the last answer.
func (s *senders) send(from, to, text string) string {
	s.t.Helper()
	conn, r := dialLine(s.t, s.at["smtp"])
	defer conn.Close()
	for _, line := range []string{"HELO mx.there.test", "MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">", "DATA"} {
		if got := say(s.t, conn, r, line); got[0] > '3' {
			s.t.Fatalf("%s: %s", line, got)
		}
	}
	return say(s.t, conn, r, text+".")
}

// box gives the messages of a mailbox of ann's.
func (s *senders) box(name string) []string {
	s.t.Helper()
	account, err := s.site.store.Account(s.t.Context(), "ann@here.test")
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := account.Mailbox(name)
	if err != nil {
		s.t.Fatal(err)
	}
	snapshot, err := m.Snapshot(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, e := range snapshot.All() {
		msg, err := m.Open(s.t.Context(), e)
		if err != nil {
			s.t.Fatal(err)
		}
		text, err := io.ReadAll(mail.Reader(msg))
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// TestSenders has strangers bring mail in the name of domains that ask for this
// and that, and forge what we say that we have found.
func TestSenders(t *testing.T) {
	s := startSenders(t, nil,
		`_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`, `strict.test 60 IN TXT "v=spf1 ip4:127.0.0.1 -all"`, "strict.test 60 IN MX 10 mx.strict.test.",
		`_dmarc.shy.test 60 IN TXT "v=DMARC1; p=quarantine"`, "other.test 60 IN MX 10 mx.other.test.",
	)
	const forged = "authentication-results: (by)\r\n MX.here.test ; dmarc=pass header.from=strict.test\r\nAuthentication-Results: mx.other.test; spf=pass\r\n"
	letter := func(author string) string {
		return fmt.Sprintf("%sFrom: <%s>\r\nSubject: %s\r\n\r\nHello!\r\n", forged, author, author)
	}
	for _, x := range []struct{ from, author, want string }{
		{"bob@strict.test", "bob@strict.test", "250 2.0.0"},
		{"eve@other.test", "bob@strict.test", "550 5.7.1"},
		{"", "bob@strict.test", "550 5.7.1"},
		{"eve@other.test", "bob@shy.test", "250 2.0.0"},
		{"eve@other.test", "eve@other.test", "250 2.0.0"},
	} {
		if got := s.send(x.from, "ann@here.test", letter(x.author)); !strings.HasPrefix(got, x.want) {
			t.Errorf("<%s> for %s: %s, want %s", x.from, x.author, got, x.want)
		}
	}
	inbox, junk := s.box("INBOX"), s.box("Junk")
	if len(inbox) != 2 || len(junk) != 1 {
		t.Fatalf("%d in INBOX, %d in Junk: %q %q", len(inbox), len(junk), inbox, junk)
	}
	for i, want := range []string{"dmarc=pass", "dmarc=none", "dmarc=fail"} {
		text := append(inbox, junk...)[i]
		ours := strings.Index(text, "Authentication-Results: mx.here.test;")
		if ours < 0 || ours > strings.Index(text, "Received:") || !strings.Contains(text, want) {
			t.Errorf("our findings are not before our trace:\n%s", text)
		}
		if strings.Contains(text, "MX.here.test") || !strings.Contains(text, "\r\nAuthentication-Results: mx.other.test; spf=pass\r\n") {
			t.Errorf("what others say is not told from what is forged:\n%s", text)
		}
	}
	var told []string
	for e, err := range s.Operations().Journal.Find(t.Context(), journal.Query{From: "@other.test"}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind == journal.Sender {
			told = append(told, e.Reason)
		}
	}
	if len(told) != 3 || !strings.Contains(told[0], "dmarc=fail strict.test (nobody vouches for strict.test; the policy of strict.test is reject)") {
		t.Errorf("the journal has %q", told)
	}
}

// TestSendersAreExcepted looks at nobody whom the settings except, and at
// nobody at all where they say so.
func TestSendersAreExcepted(t *testing.T) {
	for name, change := range map[string]func(*config.Config){
		"off":      func(c *config.Config) { c.Senders.Check = false },
		"excepted": func(c *config.Config) { c.Senders.ExceptedNetworks = config.Default().Senders.ExceptedNetworks },
	} {
		s := startSenders(t, change, `_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`, "other.test 60 IN MX 10 mx.other.test.")
		if got := s.send("eve@other.test", "ann@here.test", "From: bob@strict.test\r\n\r\nHello!\r\n"); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: %s", name, got)
		}
		if slices.ContainsFunc(s.box("INBOX"), func(m string) bool { return strings.Contains(m, "Authentication-Results") }) {
			t.Errorf("%s: results of checks that were not made", name)
		}
	}
}
