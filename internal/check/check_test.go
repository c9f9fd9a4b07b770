package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/table"
	"plic/test/peers"
)

func origin(ip, name, helo string) mail.Origin {
	return mail.Origin{Service: "smtp", Protocol: "ESMTP", Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 4000), Name: name, Helo: helo}
}

func envelope(from, ip string) *mail.Envelope {
	env := &mail.Envelope{ID: mail.NewID(time.Now()), Origin: origin(ip, "", "h.example.org")}
	if from != "" {
		env.From = mail.MustAddress(from)
	}
	return env
}

// inline is a table written as in the settings.
func inline(t *testing.T, text string) table.List {
	t.Helper()
	tb, err := table.Open("inline:{"+text+"}", table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return table.List{{Name: "inline", Table: tb}}
}

func told(err error) string {
	if err == nil {
		return "ok"
	}
	return mail.StatusOf(err).String()
}

func TestTables(t *testing.T) {
	d := New(Options{
		Clients: inline(t, `"192.0.2.3"="REJECT go away", ".bad.example"="521 5.3.2 no service", "198.51.100.7"="OK", "192.0.2.9"="odd words"`),
		Helos:   inline(t, `"spam.example"="DEFER"`), StrictHelo: true, Host: "mx.plic.test",
		Senders:    inline(t, `"eve@example.com"="550 5.7.1 not you", "example.net"="REJECT", "noreply@"="450 later"`),
		Recipients: inline(t, `"trap@plic.test"="REJECT", "bob@plic.test"="OK"`),
	})
	ctx := t.Context()
	client := func(ip, name string) error { o := origin(ip, name, ""); return d.Client(ctx, &o) }
	helo := func(ip, name string) error { o := origin(ip, "", name); return d.Hello(ctx, &o) }
	sender := func(from string) error { return d.Sender(ctx, envelope(from, "192.0.2.50")) }
	rcpt := func(to string) error {
		return d.Recipient(ctx, envelope("a@example.org", "192.0.2.50"), mail.Recipient{Address: mail.MustAddress(to)})
	}
	for name, x := range map[string]struct {
		err  error
		want string
	}{
		"client":               {client("192.0.2.3", ""), "554 5.7.1 go away"},
		"name of a client":     {client("192.0.2.4", "host.bad.example"), "521 5.3.2 no service"},
		"OK":                   {client("198.51.100.7", "host.bad.example"), "ok"},
		"unknown action":       {client("192.0.2.9", ""), "451 4.3.5 a check is set up wrongly here, try again later"},
		"others":               {client("192.0.2.5", "good.example"), "ok"},
		"HELO":                 {helo("192.0.2.5", "spam.example"), "450 4.7.1 not now, try again later"},
		"our name":             {helo("192.0.2.5", "MX.plic.test."), "550 5.7.1 that is our name, not yours"},
		"no domain":            {helo("192.0.2.5", "desktop"), "550 5.5.2 say your full host name"},
		"bare address":         {helo("192.0.2.5", "192.0.2.5"), "550 5.5.2 an address stands in brackets, RFC 5321 section 4.1.3"},
		"address in brackets":  {helo("192.0.2.5", "[192.0.2.5]"), "ok"},
		"good HELO":            {helo("192.0.2.5", "h.example.org"), "ok"},
		"this host as itself":  {helo("127.0.0.1", "mx.plic.test"), "ok"},
		"sender":               {sender("eve@example.com"), "550 5.7.1 not you"},
		"domain of a sender":   {sender("x@example.net"), "554 5.7.1 you are not welcome here"},
		"local part":           {sender("noreply@any.example"), "450 4.7.1 later"},
		"other sender":         {sender("adam@example.com"), "ok"},
		"null sender":          {sender(""), "ok"},
		"recipient":            {rcpt("trap@plic.test"), "554 5.7.1 you are not welcome here"},
		"recipient that is OK": {rcpt("bob@plic.test"), "ok"},
	} {
		if got := told(x.err); got != x.want {
			t.Errorf("%s: %q, want %q", name, got, x.want)
		}
	}
	o := origin("192.0.2.3", "", "spam.example")
	o.Service, o.Account = "submission", "ann@plic.test"
	if err := errors.Join(d.Client(ctx, &o), d.Hello(ctx, &o)); err != nil {
		t.Errorf("a user of ours: %v", err)
	}
}

func TestSenderDomain(t *testing.T) {
	zone := dnstest.New(t, "mail.example 60 IN MX 10 mx.mail.example.", "host.example 60 IN A 192.0.2.1", "null.example 60 IN MX 0 .",
		"empty.example 60 IN TXT x")
	zone.Fail("slow.example", dnstest.ServFail)
	d := New(Options{Resolver: dns.New(dns.Options{Servers: []string{zone.Addr()}})})
	for from, want := range map[string]string{
		"a@mail.example": "ok", "a@host.example": "ok", "a@[192.0.2.1]": "ok",
		"a@null.example":  "550 5.7.27 the domain null.example takes no mail, so it sends none",
		"a@empty.example": "550 5.1.8 the domain empty.example does not exist, or takes no mail",
		"a@none.example":  "550 5.1.8 the domain none.example does not exist, or takes no mail",
		"a@slow.example":  "451 4.4.3 the domain slow.example cannot be looked up now",
	} {
		if got := told(d.Sender(t.Context(), envelope(from, "192.0.2.50"))); got != want {
			t.Errorf("%s: %q, want %q", from, got, want)
		}
	}
	if got := told(d.Sender(t.Context(), envelope("a@none.example", "127.0.0.1"))); got != "ok" {
		t.Errorf("from this host: %q", got)
	}
}

func TestRates(t *testing.T) {
	now := time.Unix(0, 0)
	d := New(Options{Now: func() time.Time { return now }, Rates: Rates{
		Connections: 3, Messages: Volume{Network: 2, Account: 1}, Recipients: Volume{Network: 60},
	}})
	connect := func(ip string) string { o := origin(ip, "", ""); return told(d.Client(t.Context(), &o)) }
	for i, ip := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		if got := connect(ip); got != "ok" {
			t.Errorf("connection %d: %s", i, got)
		}
	}
	if got := connect("192.0.2.4"); !strings.HasPrefix(got, "421 4.7.0") {
		t.Errorf("the fourth of a network: %s", got)
	}
	if got := connect("192.0.3.4"); got != "ok" {
		t.Errorf("another network: %s", got)
	}
	now = now.Add(20 * time.Second) // a third of a minute fills one of three
	if got := connect("192.0.2.4"); got != "ok" {
		t.Errorf("later: %s", got)
	}
	env := envelope("a@example.org", "192.0.2.50")
	for i, want := range []string{"ok", "ok", "451 4.7.0 too many messages from your network, try again later"} {
		if got := told(d.Sender(t.Context(), env)); got != want {
			t.Errorf("message %d: %s", i, got)
		}
	}
	env.Origin.Account = "ann@plic.test"
	for i, want := range []string{"ok", "451 4.7.0 too many messages from this account for a day, try again later"} {
		if got := told(d.Sender(t.Context(), env)); got != want {
			t.Errorf("message %d of an account: %s", i, got)
		}
	}
	now = now.Add(25 * time.Hour)
	connect("203.0.113.1")
	if n := len(d.rates.buckets); n != 1 {
		t.Errorf("%d buckets are remembered", n)
	}
}

// policyServer answers each question with what answer gives.
func policyServer(t *testing.T, answer func(map[string]string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				r := bufio.NewReader(nc)
				for {
					asked := map[string]string{}
					for {
						line, err := r.ReadString('\n')
						if err != nil {
							return
						}
						if line == "\n" {
							break
						}
						name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
						asked[name] = value
					}
					text := answer(asked)
					if text == "hang up" {
						return
					}
					fmt.Fprintf(nc, "action=%s\n\n", text)
				}
			}()
		}
	}()
	return l.Addr().String()
}

func TestPolicy(t *testing.T) {
	hangUp := false
	address := policyServer(t, func(asked map[string]string) string {
		if hangUp {
			hangUp = false
			return "hang up"
		}
		if asked["request"] != "smtpd_access_policy" || asked["protocol_state"] != "RCPT" || asked["client_address"] != "192.0.2.50" {
			return "550 5.7.1 bad question"
		}
		switch asked["recipient"] {
		case "wait@plic.test":
			return "DEFER_IF_PERMIT come back"
		case "no@plic.test":
			return "REJECT not here"
		}
		return "DUNNO"
	})
	d := New(Options{Policy: NewPolicy(PolicyOptions{Network: "tcp", Address: address})})
	ask := func(to string) string {
		return told(d.Recipient(t.Context(), envelope("a@example.org", "192.0.2.50"), mail.Recipient{Address: mail.MustAddress(to)}))
	}
	for _, x := range []struct{ to, want string }{
		{"bob@plic.test", "ok"}, {"wait@plic.test", "450 4.7.1 come back"}, {"no@plic.test", "554 5.7.1 not here"},
	} {
		if got := ask(x.to); got != x.want {
			t.Errorf("%s: %q, want %q", x.to, got, x.want)
		}
	}
	hangUp = true // a connection that was kept has ended: another is made
	if got := ask("no@plic.test"); got != "554 5.7.1 not here" {
		t.Errorf("after the server hung up: %q", got)
	}
	down := New(Options{Policy: NewPolicy(PolicyOptions{Network: "tcp", Address: "127.0.0.1:1"})})
	to := mail.Recipient{Address: mail.MustAddress("bob@plic.test")}
	if got := told(down.Recipient(t.Context(), envelope("a@example.org", "192.0.2.50"), to)); !strings.HasPrefix(got, "451 4.3.5") {
		t.Errorf("a server that is down: %q", got)
	}
	down.o.Policy.o.Open = true
	if got := told(down.Recipient(t.Context(), envelope("a@example.org", "192.0.2.50"), to)); got != "ok" {
		t.Errorf("a server that may be down: %q", got)
	}
}

// TestPostgrey asks Debian's postgrey: a stranger waits, and passes later.
func TestPostgrey(t *testing.T) {
	if testing.Short() {
		t.Skip("runs postgrey")
	}
	program, err := exec.LookPath("postgrey")
	if err != nil {
		program = "/usr/sbin/postgrey"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("postgrey is not installed: make test sees to it")
	}
	address := peers.Loopback() + ":10023"
	dir := t.TempDir()
	c := exec.CommandContext(t.Context(), program, "--inet="+address, "--dbdir="+dir, "--delay=1", "--user=root", "--group=root")
	out, err := os.Create(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = out, out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait(); out.Close() })
	d := New(Options{Policy: NewPolicy(PolicyOptions{Network: "tcp", Address: address})})
	ask := func() string {
		return told(d.Recipient(t.Context(), envelope("a@example.org", "192.0.2.50"), mail.Recipient{Address: mail.MustAddress("bob@plic.test")}))
	}
	until, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	first := ""
	for got := ask(); ; got = ask() {
		switch {
		case first == "" && strings.HasPrefix(got, "450 4."):
			first = got
		case first != "" && got == "ok":
			return
		}
		select {
		case <-until.Done():
			log, _ := os.ReadFile(dir + "/log")
			t.Fatalf("first %q, then %q\n%s", first, got, log)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// TestListed turns away a client that a list knows, but for those whom all may write
// to.
func TestListed(t *testing.T) {
	d := New(Options{Listed: func(_ context.Context, o *mail.Origin) string {
		if o.Remote.Addr() == netip.MustParseAddr("192.0.2.66") {
			return "192.0.2.66 is listed by bl.test"
		}
		return ""
	}, Recipients: inline(t, `"open@plic.test"="OK"`)})
	for _, x := range []struct{ ip, to, want string }{
		{"192.0.2.66", "bob@plic.test", "550 5.7.1 192.0.2.66 is listed by bl.test"},
		{"192.0.2.66", "Postmaster@plic.test", "ok"}, {"192.0.2.66", "abuse@plic.test", "ok"}, {"192.0.2.66", "open@plic.test", "ok"},
		{"192.0.2.1", "bob@plic.test", "ok"},
	} {
		if got := told(d.Recipient(t.Context(), envelope("a@example.org", x.ip), mail.Recipient{Address: mail.MustAddress(x.to)})); got != x.want {
			t.Errorf("%s from %s: %q", x.to, x.ip, got)
		}
	}
	env := envelope("a@example.org", "192.0.2.66")
	env.Origin.Account = "ann@plic.test"
	if got := told(d.Recipient(t.Context(), env, mail.Recipient{Address: mail.MustAddress("bob@plic.test")})); got != "ok" {
		t.Errorf("a user of ours: %q", got)
	}
}
