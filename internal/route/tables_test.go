package route

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/srs"
	"plic/internal/table"
	"plic/internal/table/tabletest"
)

// inline makes a list of one table of "key=value; key=value".
func inline(t *testing.T, text string) table.List {
	t.Helper()
	pairs := map[string]string{}
	for part := range strings.SplitSeq(text, "; ") {
		key, value, _ := strings.Cut(part, "=")
		pairs[key] = value
	}
	list, err := table.OpenAll([]string{table.Inline(pairs)}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

type ask struct{ from, to, want string }

func address(text string) mail.Address {
	if text == "" {
		return mail.Address{}
	}
	return mail.MustAddress(text)
}

func asks(t *testing.T, r *Router, all []ask) {
	t.Helper()
	for _, c := range all {
		if got := describe(r.Route(t.Context(), address(c.from), address(c.to))); got != c.want {
			t.Errorf("%s to %s goes to %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"list":   "# members\nbob, ann@here.test\n\neve@there.test\n",
		"nested": ":include:" + dir + "/list\n",
		"evil":   "bob\n|/bin/rm -rf /\n",
		"files":  "/etc/passwd\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := New(Options{Directory: site(), Hostname: mail.MustDomain("mx.here.test"), Tables: Tables{
		LocalDomains: inline(t, "lists.test=yes"),
		Aliases: append(inline(t, `root=ann; bob@here.test=bob, eve@there.test; sales=info; info=bob, \ann; `+
			`list=:include:`+dir+`/list; nested=:include:`+dir+`/nested; evil=:include:`+dir+`/evil; files=:include:`+dir+`/files; gone=:include:`+dir+`/none; `+
			`prog="|/usr/bin/prog -f 'a b', c"; box=/var/mail/box; null=/dev/null; wrong=a@b@c; @lists.test=@here.test; one@there.test=two@there.test; `+
			`@old.test=@new.test; circle=circle2; circle2=circle; both=root, root, list; forward@here.test=x@there.test; @here.test=ann`),
			inline(t, "abuse=eve@there.test")...),
	}})
	asks(t, r, []ask{
		{"", "root@here.test", "ann@here.test in ann@here.test"},
		{"", "ROOT+tag@here.test", "ann@here.test in ann@here.test"},
		{"", "bob@here.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test"},
		{"", "sales@here.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test, ann@here.test in ann@here.test"},
		{"", "list@here.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test, ann@here.test in ann@here.test"},
		{"", "nested@here.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test, ann@here.test in ann@here.test"},
		{"", "both@here.test", "ann@here.test in ann@here.test, bob@here.test in bob@here.test, eve@there.test by smtp there.test"},
		{"", "evil@here.test", "451 4.3.5 the routing here has a fault, try again later"},
		{"", "files@here.test", "451 4.3.5 the routing here has a fault, try again later"},
		{"", "gone@here.test", "451 4.3.5 the routing here has a fault, try again later"},
		{"", "wrong@here.test", "451 4.3.5 the routing here has a fault, try again later"},
		{"", "prog@here.test", "prog@here.test by pipe |/usr/bin/prog -f 'a b', c"},
		{"", "box@here.test", "box@here.test by pipe /var/mail/box"},
		{"", "null@here.test", "null@here.test to nowhere"},
		{"", "bob@lists.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test"},
		{"", "x@lists.test", "ann@here.test in ann@here.test"}, // the catch-all of here.test
		{"", "one@there.test", "two@there.test by smtp there.test"},
		{"", "x+y@old.test", "x+y@new.test by smtp new.test"},
		{"", "abuse@here.test", "eve@there.test by smtp there.test"},
		{"", "forward+tag@here.test", "x+tag@there.test by smtp there.test"},
		{"", "circle@here.test", "550 5.4.6 the aliases of this address lead back to themselves"},
		{"", "team@here.test", "bob@here.test in bob@here.test, eve@there.test by smtp there.test, ann@here.test in ann@here.test"},
		{"", "nobody@here.test", "ann@here.test in ann@here.test"},
		// R1: a route in the local part goes no further.
		{"", "x%ext.test@lists.test", "550 5.7.1 routes written by the sender are not followed"},
		{"", `"x@ext.test"@old.test`, "550 5.7.1 routes written by the sender are not followed"},
	})
	// R2: what is written to us is never a program or a file.
	for _, to := range []string{`"|/bin/sh"@here.test`, `"/etc/passwd"@here.test`, `":include:/etc/passwd"@here.test`, `"|x"@lists.test`, `"../x"@here.test`} {
		got, err := r.Route(t.Context(), mail.Address{}, mail.MustAddress(to))
		for _, d := range got {
			if d.Hop.Kind == mail.HopPipe || d.Discard {
				t.Errorf("%s goes to %+v, %v", to, d, err)
			}
		}
	}
}

func TestOwnerIsTheSender(t *testing.T) {
	t.Parallel()
	d := site()
	d.leads["owner-team@here.test"] = "ann@here.test"
	r := New(Options{Directory: d, Tables: Tables{Aliases: inline(t, "list=bob@here.test, eve@there.test; owner-list=ann@here.test; plain=bob@here.test")}})
	for to, want := range map[string]string{
		"list@here.test": "owner-list@here.test", "list+x@here.test": "owner-list@here.test", "team@here.test": "owner-team@here.test",
		"plain@here.test": "x@there.test", "bob@here.test": "x@there.test", "owner-list@here.test": "x@there.test",
	} {
		for _, from := range []string{"x@there.test", ""} {
			got, err := r.Route(t.Context(), address(from), mail.MustAddress(to))
			if err != nil || len(got) == 0 {
				t.Fatal(got, err)
			}
			for _, d := range got {
				if (from != "" && d.From.String() != want) || (from == "" && !d.From.IsNull()) {
					t.Errorf("%s from %q goes on from %q, want %q", to, from, d.From, want)
				}
			}
		}
	}
}

func TestTransports(t *testing.T) {
	t.Parallel()
	smart := mail.Hop{Kind: mail.HopRemote, Host: "smart.test", Port: 587, Exact: true, Login: "smart_host"}
	r := New(Options{Directory: site(), Relay: &smart, Tables: Tables{
		RelayDomains:    inline(t, "relay.test=yes; strict.test=yes"),
		RelayRecipients: inline(t, "bob@strict.test=x; @relay.test=x"),
		Transports: inline(t, "far.test=smtp:[mx.far.test]:26; .far.test=smtp:gate.test; vip@far.test=error:5.7.1 not you; bulk@far.test=hold; "+
			"strict.test=lmtp:unix:/run/lmtp; gone.test=discard:; store.test=lmtp:store; later.test=error:450 4.2.1 later; odd.test=uucp:x; "+
			"ann@here.test=lmtp:[192.0.2.3]:2003; mx.test=smtp:; six.test=smtp:[ipv6:2001:db8::1]; prog.test=pipe:vacation; wait.test=hold:smtp:[wait]; none.test=:"),
		SenderTransports: inline(t, "@bulk.test=smtp:[bulk.out.test]"),
		SmartHosts:       inline(t, "ann@here.test=[ann.smart.test]:465; @quiet.test=direct"),
		Logins:           inline(t, "ann@here.test=ann:secret; bulk.out.test=b:secret; [gate.test]=g:secret; store=c:secret; unix:/run/lmtp=d:secret"),
		Sources:          inline(t, "ann@here.test=192.0.2.9, 2001:db8::9; there.test=192.0.2.8; bad.test=here"),
	}})
	const route = "550 5.7.1 routes written by the sender are not followed"
	asks(t, r, []ask{
		{"", "x@far.test", "x@far.test by smtp mx.far.test:26 exactly"},
		{"", "vip@far.test", "550 5.7.1 not you"},
		{"", "vip+x@far.test", "550 5.7.1 not you"},
		{"", "bulk@far.test", "bulk@far.test by smtp smart.test:587 exactly as smart_host held"},
		{"", "x@sub.far.test", "x@sub.far.test by smtp gate.test as [gate.test]"},
		{"", "x@gone.test", "x@gone.test to nowhere"},
		{"", "x@store.test", "x@store.test by lmtp store as store"},
		{"", "x@later.test", "450 4.2.1 later"},
		{"", "x@odd.test", "451 4.3.5 the routing here has a fault, try again later"},
		{"", "x@mx.test", "x@mx.test by smtp mx.test"},
		{"", "x@six.test", "x@six.test by smtp 2001:db8::1 exactly"},
		{"", "x@prog.test", "x@prog.test by pipe vacation"},
		{"", "x@wait.test", "x@wait.test by smtp wait exactly held"},
		{"", "x@none.test", "x@none.test by smtp smart.test:587 exactly as smart_host"},
		{"", "ann@here.test", "ann@here.test by lmtp 192.0.2.3:2003"},
		{"", "bob@here.test", "bob@here.test in bob@here.test"},
		// A relay domain goes to its MX, and only to who is there.
		{"", "x@relay.test", "x@relay.test by smtp relay.test"},
		{"", "bob@strict.test", "bob@strict.test by lmtp unix:/run/lmtp"},
		{"", "eve@strict.test", "550 5.1.1 no such user there"},
		{"", "x%ext.test@relay.test", route},
		{"", `"x@ext.test"@relay.test`, route},
		{"", "ext!x@relay.test", route},
		// By sender.
		{"x@bulk.test", "x@there.test", "x@there.test by smtp bulk.out.test exactly as bulk.out.test from 192.0.2.8"},
		{"x@bulk.test", "x@far.test", "x@far.test by smtp mx.far.test:26 exactly"},
		{"ann@here.test", "x@other.test", "x@other.test by smtp ann.smart.test:465 exactly as ann@here.test from 192.0.2.9 2001:db8::9"},
		{"ann@here.test", "x@far.test", "x@far.test by smtp mx.far.test:26 exactly from 192.0.2.9 2001:db8::9"}, // no password there
		{"x@quiet.test", "x@there.test", "x@there.test by smtp there.test from 192.0.2.8"},
		{"x@y.test", "x@bad.test", "451 4.3.5 the routing here has a fault, try again later"},
	})
	for name, want := range map[string]Class{"here.test": Local, "relay.test": Relay, "far.test": Foreign} {
		if got, err := r.Class(t.Context(), mail.MustDomain(name)); got != want || err != nil {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
}

func TestParseWay(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"uucp:x", "smtp:[x", "smtp:[x]y", "smtp:x:0", "smtp:x:99999", "smtp:a b", "lmtp:", "lmtp:unix:x", "pipe:", "error:250 ok", "error:2.0.0 ok", "hold:x"} {
		if w, err := ParseWay(text); err == nil {
			t.Errorf("%q is %+v", text, w)
		}
	}
	for text, want := range map[string]string{
		"error:": "550 5.0.0 mail for this address is refused", "error:no": "550 5.0.0 no", "error:5.1.2 no": "550 5.1.2 no", "error:4.2.1 no": "450 4.2.1 no",
		"error:554 no such": "554 5.0.0 no such", "refuse:521 5.3.2 we take none": "521 5.3.2 we take none",
	} {
		if w, err := ParseWay(text); err != nil || w.Refuse == nil || w.Refuse.String() != want {
			t.Errorf("%q is %+v, %v; want %s", text, w.Refuse, err, want)
		}
	}
}

func TestForwardedSender(t *testing.T) {
	t.Parallel()
	r := New(Options{Directory: site(), SRS: srs.New(srs.Options{
		Domain: mail.MustDomain("mx.host.test"), Secrets: [][]byte{[]byte("x")}, Now: func() time.Time { return time.Unix(1_800_000_000, 0) }})}) // no domain with mail
	one := func(from, to string) Destination {
		t.Helper()
		got, err := r.Route(t.Context(), address(from), mail.MustAddress(to))
		if err != nil || len(got) != 1 {
			t.Fatalf("%s to %s: %v, %v", from, to, got, err)
		}
		return got[0]
	}
	d := one("eve@there.test", "away@here.test")
	if !strings.HasPrefix(d.From.Local, "SRS0=") || d.From.Domain.String() != "mx.host.test" {
		t.Errorf("forwarded from %s", d.From)
	}
	back := one("", d.From.String())
	if back.Address.String() != "eve@there.test" || back.Hop.Host != "there.test" || !back.From.IsNull() {
		t.Errorf("comes home as %+v", back)
	}
	for _, c := range []ask{{"bob@here.test", "away@here.test", "bob@here.test"}, {"", "away@here.test", ""}, {"eve@there.test", "x@far.test", "eve@there.test"}, {"eve@there.test", "bob@here.test", "eve@there.test"}} {
		if got := one(c.from, c.to).From.String(); got != c.want {
			t.Errorf("%s to %s goes on from %s", c.from, c.to, got)
		}
	}
	forged := d.From
	forged.Local = strings.Replace(forged.Local, "there", "their", 1)
	if got := describe(r.Route(t.Context(), mail.Address{}, forged)); !strings.HasPrefix(got, "550 5.1.1") {
		t.Errorf("forged: %s", got)
	}
}

func TestForms(t *testing.T) {
	t.Parallel()
	r := New(Options{Directory: site(), Masquerade: []mail.Domain{mail.MustDomain("here.test")}, MasqueradeExcept: []string{"root"}, Tables: Tables{
		Canonical:     inline(t, "ann=Ann.Lee; old@there.test=new@there.test; @was.test=@is.test"),
		SenderForm:    inline(t, "bob@here.test=robert@here.test"),
		RecipientForm: inline(t, "robert@here.test=bob@here.test; loop@here.test=loop2@here.test; loop2@here.test=loop@here.test"),
	}})
	for _, c := range []struct {
		role          Role
		address, want string
	}{
		{EnvelopeSender, "ann@here.test", "Ann.Lee@here.test"},
		{EnvelopeSender, "ann+x@here.test", "Ann.Lee+x@here.test"},
		{EnvelopeSender, "ann@there.test", "ann@there.test"},
		{EnvelopeSender, "bob@here.test", "robert@here.test"},
		{HeaderSender, "bob+x@here.test", "robert+x@here.test"},
		{HeaderRecipient, "bob@here.test", "bob@here.test"},
		{HeaderRecipient, "robert@here.test", "bob@here.test"},
		{HeaderRecipient, "loop@here.test", "loop2@here.test"},
		{EnvelopeSender, "x@pc.sub.here.test", "x@here.test"},
		{EnvelopeSender, "root@pc.here.test", "root@pc.here.test"},
		{EnvelopeSender, "x@nothere.test", "x@nothere.test"},
		{HeaderSender, "a.b@was.test", "a.b@is.test"},
	} {
		if got, err := r.Form(t.Context(), mail.MustAddress(c.address), c.role); got.String() != c.want || err != nil {
			t.Errorf("%s is %s, %v; want %s", c.address, got, err, c.want)
		}
	}
	if a, err := r.Form(t.Context(), mail.Address{}, EnvelopeSender); !a.IsNull() || err != nil {
		t.Error(a, err)
	}
	asks(t, r, []ask{{"", "robert@here.test", "bob@here.test in bob@here.test"}, {"", "old@there.test", "new@there.test by smtp there.test"}})
}

// Trouble with a table is no answer: the mail waits.
func TestTableTroubleIsTemporary(t *testing.T) {
	t.Parallel()
	sick := table.List{{Name: "sql:x", Table: tabletest.Down{}}}
	for name, tables := range map[string]Tables{
		"local": {LocalDomains: sick}, "relay": {RelayDomains: sick}, "alias": {Aliases: sick}, "transport": {Transports: sick},
		"sender": {SenderTransports: sick}, "smart": {SmartHosts: sick}, "login": {Logins: sick}, "source": {Sources: sick}, "canonical": {Canonical: sick},
		"recipients": {RelayDomains: inline(t, "there.test=x"), RelayRecipients: sick},
	} {
		_, err := New(Options{Directory: site(), Tables: tables}).Route(t.Context(), mail.MustAddress("a@b.test"), mail.MustAddress("x@there.test"))
		if !mail.StatusOf(err).Temporary() || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An explanation names every table that was asked, and tells no password.
func TestExplain(t *testing.T) {
	t.Parallel()
	r := New(Options{Directory: site(), Tables: Tables{
		Aliases: inline(t, "sales=bob, eve@there.test"), Transports: inline(t, "there.test=smtp:[gate.test]"), Logins: inline(t, "gate.test=user:sesame"),
		SenderForm: inline(t, "x@y.test=z@y.test"),
	}})
	e, err := r.Explain(t.Context(), mail.MustAddress("x@y.test"), mail.MustAddress("sales@here.test"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range e.Steps {
		if s.Found {
			lines = append(lines, s.Address+" "+s.Step+" "+s.Key+": "+s.Answer)
		}
	}
	text := strings.Join(lines, "\n")
	for _, want := range []string{" sender canonical x@y.test: z@y.test", "sales@here.test alias sales: bob, eve@there.test", "bob@here.test account bob@here.test: bob@here.test",
		"eve@there.test transport there.test: smtp:[gate.test]", "eve@there.test login gate.test: user with a password", "sales@here.test domain here.test: local"} {
		if !strings.Contains(text, want) {
			t.Errorf("no step %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "sesame") || e.Sender.String() != "z@y.test" || len(e.Destinations) != 2 {
		t.Errorf("%+v", e)
	}
	if e, err = r.Explain(t.Context(), mail.Address{}, mail.MustAddress("nobody@here.test")); err == nil || len(e.Steps) == 0 {
		t.Errorf("of nobody: %+v, %v", e, err)
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(`bob, "|/bin/x \"y\", z", :include:/etc/list, \ann, "a, b"@here.test, /var/mail/x, @other.test`)
	d := site()
	f.Fuzz(func(t *testing.T, text string) {
		w := &walk{router: New(Options{Directory: d})}
		members, err := w.members(text, mail.MustDomain("here.test"))
		if err != nil {
			return
		}
		for _, m := range members {
			if (m.command != "" || m.file != "") && !strings.ContainsAny(text, "|/") {
				t.Errorf("%q has %+v", text, m)
			}
		}
	})
}

func FuzzParseWay(f *testing.F) {
	for _, s := range []string{"smtp:[x]:25", "lmtp:unix:/x", "error:5.1.1 x", "hold:hold:smtp:", "pipe:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if w, err := ParseWay(text); err == nil && w.Refuse != nil && w.Refuse.Class() != mail.Permanent && w.Refuse.Class() != mail.Transient {
			t.Errorf("%q refuses with %v", text, w.Refuse)
		}
	})
}
