package ldap

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	goldap "github.com/go-ldap/ldap/v3"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/pki"
	"plic/internal/table"
	"plic/internal/table/tabletest"
	"plic/internal/vfs"
	"plic/test/peers"
)

const suffix = "dc=plic,dc=test"

// ours are attributes for what no usual schema has.
const ours = `attributetype ( 1.3.6.1.4.1.4203.666.1.901 NAME 'mailQuota' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.4203.666.1.902 NAME 'mailSender' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.903 NAME 'mailProtocol' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.904 NAME 'mailKey' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.905 NAME 'mailDisabled' EQUALITY booleanMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
`

// microsoft is as much of Active Directory's schema as is asked for.
const microsoft = `attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.8 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.840.113556.1.2.102 NAME 'memberOf' EQUALITY distinguishedNameMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.12 )
objectclass ( 1.2.840.113556.1.5.9 NAME 'user' SUP organizationalPerson STRUCTURAL MAY ( mail $ sAMAccountName $ userPrincipalName $ userAccountControl $ proxyAddresses $ memberOf ) )
objectclass ( 1.2.840.113556.1.3.30 NAME 'computer' SUP user STRUCTURAL )
objectclass ( 1.2.840.113556.1.5.8 NAME 'group' SUP top STRUCTURAL MUST cn MAY ( mail $ member $ proxyAddresses $ memberOf ) )
objectclass ( 1.2.840.113556.1.5.15 NAME 'contact' SUP organizationalPerson STRUCTURAL MAY ( mail $ memberOf ) )
`

// ldif writes entries.
type ldif struct{ strings.Builder }

func (l *ldif) entry(dn string, pairs ...string) {
	line := func(name, value string) {
		fmt.Fprintf(l, "%s:: %s\n", name, base64.StdEncoding.EncodeToString([]byte(value)))
	}
	line("dn", dn)
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			line(pairs[i], pairs[i+1])
		}
	}
	l.WriteString("\n")
}

func (l *ldif) root() {
	l.entry(suffix, "objectClass", "dcObject", "objectClass", "organization", "o", "plic", "dc", "plic")
	l.entry("ou=people,"+suffix, "objectClass", "organizationalUnit", "ou", "people")
	l.entry("ou=groups,"+suffix, "objectClass", "organizationalUnit", "ou", "groups")
	l.entry("cn=plic,"+suffix, "objectClass", "person", "cn", "plic", "sn", "plic", "userPassword", "service")
}

func person(address string) string {
	return "cn=" + strings.NewReplacer(`"`, "", "'", "", " ", "", "@", ".").Replace(address) + ",ou=people," + suffix
}

// site writes a site down.
func site(s directorytest.Site) string {
	var l ldif
	l.root()
	groups := map[string][]string{}
	for _, d := range s.Domains {
		l.entry("associatedDomain="+d+","+suffix, "objectClass", "account", "objectClass", "domainRelatedObject", "uid", d, "associatedDomain", d)
	}
	for _, a := range s.Accounts {
		pairs := []string{"objectClass", "inetOrgPerson", "objectClass", "extensibleObject", "cn", strings.Split(strings.TrimPrefix(person(a.Name), "cn="), ",")[0], "sn", "x", "mail", a.Name,
			"userPassword", a.Password, "homeDirectory", a.Home}
		if q := a.Quota; q.Bytes != 0 {
			rule := fmt.Sprintf("*:bytes=%d", max(q.Bytes, 0))
			if q.Messages != 0 {
				rule += fmt.Sprintf(":messages=%d", q.Messages)
			}
			pairs = append(pairs, "mailQuota", rule)
		}
		for _, x := range a.Senders {
			pairs = append(pairs, "mailSender", x)
		}
		for _, x := range a.Protocols {
			pairs = append(pairs, "mailProtocol", x)
		}
		if a.Disabled {
			pairs = append(pairs, "mailDisabled", "TRUE")
		}
		for _, g := range a.Groups {
			groups[g] = append(groups[g], "member", person(a.Name))
		}
		l.entry(person(a.Name), pairs...)
	}
	for name, members := range groups {
		l.entry("cn="+name+",ou=groups,"+suffix, append([]string{"objectClass", "groupOfNames", "cn", name}, members...)...)
	}
	n := 0
	for address, targets := range s.Aliases {
		n++
		pairs := []string{"objectClass", "nisMailAlias", "objectClass", "extensibleObject", "cn", fmt.Sprint("alias", n), "mail", address}
		for _, to := range targets {
			if slices.ContainsFunc(s.Accounts, func(a directorytest.Account) bool { return a.Name == to }) && n%2 == 0 {
				pairs = append(pairs, "member", person(to)) // by name, as a group has it
			} else {
				pairs = append(pairs, "rfc822MailMember", to)
			}
		}
		l.entry(fmt.Sprintf("cn=alias%d,ou=groups,%s", n, suffix), pairs...)
	}
	return l.String()
}

// house is a server for the tests.
type house struct {
	*peers.Slapd
	ahead atomic.Int64
}

func start(t *testing.T, s *peers.Slapd, entries string) *house {
	t.Helper()
	s.Suffix, s.Entries = suffix, entries
	peers.Started(t, s.Start(t.Context()))
	t.Cleanup(func() { s.Kill() })
	return &house{Slapd: s}
}

func (h *house) open(t *testing.T, change func(*Options)) *Server {
	t.Helper()
	o := Options{
		Hosts: []string{peers.Loopback() + ":1389", h.Address + ":1389", h.Dir + "/ldapi"}, BindDN: "cn=admin," + suffix, Timeout: 20 * time.Second,
		Password: func() (string, error) { return peers.SlapdPassword, nil },
		Now:      func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) },
	}
	if change != nil {
		change(&o)
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (h *house) directory(t *testing.T, s *Server, q Search) *source.Directory {
	t.Helper()
	d, err := s.Directory(q, source.Form{Scheme: "PLAIN"}, "+")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (h *house) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) breaks(t *testing.T) { h.must(t, h.Kill()) }

func (h *house) mends(t *testing.T) {
	h.ahead.Add(int64(time.Minute))
	h.must(t, h.Start(t.Context()))
}

func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-ldap-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func openldap(t *testing.T, bind bool) Search {
	q, err := Schema("openldap")
	if err != nil {
		t.Fatal(err)
	}
	q.Base, q.Bind, q.Domain = suffix, bind, "(associatedDomain={domain})"
	q.Attributes["quota_rule"], q.Attributes["senders"], q.Attributes["protocols"], q.Attributes["disabled"] = "mailQuota", "mailSender", "mailProtocol", "mailDisabled"
	return q
}

// TestDirectory runs the suite by binds, by hashes and by comparing, and that of
// tables. A7 is among what the suite asks for.
func TestDirectory(t *testing.T) {
	t.Parallel()
	h := start(t, &peers.Slapd{Dir: short(t) + "/s", Address: peers.Loopback(), Schema: ours}, "")
	for _, way := range []string{"bind", "hash", "compare"} {
		t.Run(way, func(t *testing.T) {
			directorytest.Suite{
				Open: func(t *testing.T, s directorytest.Site) directory.Directory {
					h.must(t, h.Replace(t.Context(), site(s)))
					q := openldap(t, way == "bind")
					q.Compare = way == "compare"
					return h.directory(t, h.open(t, nil), q)
				},
				Break: h.breaks, Mend: h.mends, External: way != "hash", Lacks: []string{directorytest.Unicode},
			}.Run(t)
		})
	}
	t.Run("Table", func(t *testing.T) {
		tabletest.Suite{
			Open: func(t *testing.T, pairs map[string]string) table.Table {
				var l ldif
				l.root()
				for k, v := range pairs {
					l.entry(fmt.Sprintf("cn=%x,%s", k[:min(len(k), 60)], suffix), "objectClass", "device", "objectClass", "extensibleObject", "cn", fmt.Sprintf("%x", k[:min(len(k), 60)]), "mailKey", k, "mailQuota", v)
				}
				h.must(t, h.Replace(t.Context(), l.String()))
				tab, err := h.open(t, nil).Table(suffix, "(mailKey={key})", "mailQuota")
				h.must(t, err)
				return tab
			},
			Break: h.breaks, Mend: h.mends,
		}.Run(t)
	})
}

// TestActiveDirectory has entries of the shape of Active Directory's.
func TestActiveDirectory(t *testing.T) {
	t.Parallel()
	var l ldif
	l.root()
	all, nested := "CN=Everyone (all),ou=groups,"+suffix, "cn=nested,ou=groups,"+suffix
	user := func(class, name, control string, more ...string) {
		l.entry("cn="+name+",ou=people,"+suffix, append([]string{"objectClass", class, "cn", name, "sn", name, "sAMAccountName", name, "userPrincipalName", name + "@plic.test", "userAccountControl", control, "userPassword", "secret of " + name}, more...)...)
	}
	user("user", "Ann", "512", "mail", "ann@plic.test", "proxyAddresses", "SMTP:ann@plic.test", "proxyAddresses", "smtp:ann.other@plic.test", "memberOf", all)
	user("user", "bob", "514") // disabled, without a mail attribute
	user("computer", "box", "4096", "mail", "box@plic.test")
	l.entry("cn=far,ou=people,"+suffix, "objectClass", "contact", "cn", "far", "sn", "far", "mail", "far@elsewhere.test", "memberOf", all)
	l.entry(all, "objectClass", "group", "cn", "Everyone (all)", "mail", "all@plic.test", "proxyAddresses", "smtp:everyone@plic.test")
	l.entry(nested, "objectClass", "group", "cn", "nested", "mail", "nested@plic.test", "memberOf", all)
	for i := range 1200 { // more than a page
		l.entry(fmt.Sprintf("cn=m%d,ou=people,%s", i, suffix), "objectClass", "user", "cn", fmt.Sprint("m", i), "sn", "m", "mail", fmt.Sprintf("m%d@plic.test", i), "memberOf", nested)
	}
	h := start(t, &peers.Slapd{Dir: short(t) + "/s", Address: peers.Loopback(), Schema: microsoft, Settings: "sizelimit size.soft=500 size.hard=500 size.prtotal=unlimited"}, l.String())
	q, err := Schema("active_directory")
	h.must(t, err)
	q.Base, q.Domains = suffix, []mail.Domain{mail.MustDomain("plic.test")}
	d := h.directory(t, h.open(t, func(o *Options) {
		o.BindDN, o.Password = "cn=plic,"+suffix, func() (string, error) { return "service", nil }
	}), q)
	for address, want := range map[string]string{
		"ann@plic.test": "ann@plic.test", "ann.other@plic.test": "ann@plic.test", "bob@plic.test": "bob@plic.test", "box@plic.test": "-", "all@plic.test": "-> ann@plic.test far@elsewhere.test nested@plic.test",
		"everyone@plic.test": "-> ann@plic.test far@elsewhere.test nested@plic.test",
	} {
		if got := directorytest.Text(d.Resolve(t.Context(), mail.MustAddress(address))); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	if big, err := d.Resolve(t.Context(), mail.MustAddress("nested@plic.test")); len(big.Aliases) != 1200 || err != nil {
		t.Errorf("a large group: %d, %v", len(big.Aliases), err)
	}
	for _, login := range []string{"ann", "Ann@plic.test"} {
		a, err := d.Account(t.Context(), login)
		if err != nil || a.Name != "ann@plic.test" || a.Disabled || !slices.Equal(a.Groups, []string{"Everyone (all)"}) {
			t.Errorf("%s: %+v, %v", login, a, err)
		}
		if ok, err := directorytest.Verify(t.Context(), d, login, "secret of Ann"); !ok || err != nil {
			t.Errorf("%s: %v, %v", login, ok, err)
		}
	}
	if a, err := d.Account(t.Context(), "bob"); err != nil || a.Name != "bob@plic.test" || !a.Disabled {
		t.Errorf("bob: %+v, %v", a, err)
	}
	if _, err := d.Domain(t.Context(), mail.MustDomain("plic.test")); err != nil {
		t.Error(err)
	}
}

// A7: TestUserDN binds by a name that is made of the login, and looks as the user.
func TestUserDN(t *testing.T) {
	t.Parallel()
	var l ldif
	l.root()
	for name, dn := range map[string]string{"ann": "uid=ann", `a, b+c`: `uid=a\, b\+c`} {
		l.entry(dn+",ou=people,"+suffix, "objectClass", "inetOrgPerson", "uid", name, "cn", name, "sn", name, "mail", strings.NewReplacer(", ", ".", "+", ".").Replace(name)+"@plic.test", "userPassword", "secret")
	}
	h := start(t, &peers.Slapd{Dir: short(t) + "/s", Address: peers.Loopback()}, l.String())
	q := openldap(t, true)
	q.UserDN, q.Attributes, q.Groups = "uid={login},ou=people,"+suffix, map[string]string{"account": "mail"}, ""
	d := h.directory(t, h.open(t, func(o *Options) { o.BindDN = "" }), q)
	for login, want := range map[string]string{"ann": "ann@plic.test", "a, b+c": "a.b.c@plic.test"} {
		if a, err := d.Check(t.Context(), login, "secret"); err != nil || a.Name != want || !a.External {
			t.Errorf("%q: %+v, %v", login, a, err)
		}
		if _, err := d.Check(t.Context(), login, "wrong"); !errors.Is(err, directory.ErrPassword) {
			t.Errorf("%q, wrong: %v", login, err)
		}
	}
	for _, login := range append(directorytest.Injections(), "ann,ou=people", `ann\`, "ann+cn=ann") {
		if a, err := d.Check(t.Context(), login, "secret"); !errors.Is(err, directory.ErrPassword) && !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%.60q: %+v, %v", login, a, err)
		}
	}
	if a, err := d.Account(t.Context(), "ann"); err == nil {
		t.Errorf("strangers see %+v", a)
	}
}

func TestSecurity(t *testing.T) {
	t.Parallel()
	dir := short(t)
	authority, err := pki.Open(vfs.Disk(), dir+"/pki", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	address := peers.Loopback()
	cert, err := authority.Issue([]string{address}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := pki.Save(vfs.Disk(), dir+"/pki", "server", cert); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir+"/pki", 0o755)
	os.Chmod(dir+"/pki/server", 0o644)
	var l ldif
	l.root()
	l.entry(person("ann@plic.test"), "objectClass", "inetOrgPerson", "cn", "ann.plic.test", "sn", "x", "mail", "ann@plic.test", "userPassword", "secret")
	h := start(t, &peers.Slapd{Dir: dir + "/s", Address: address, TLS: true,
		Settings: "TLSCertificateFile " + dir + "/pki/server\nTLSCertificateKeyFile " + dir + "/pki/server\nsecurity tls=1"}, l.String())
	for _, c := range []struct {
		security Security
		host     string
		trusted  bool
		works    bool
	}{
		{StartTLS, address + ":1389", true, true}, {TLS, address + ":1636", true, true}, {StartTLS, address + ":1389", false, false}, {TLS, address + ":1636", false, false}, {Clear, address + ":1389", true, false},
	} {
		s := h.open(t, func(o *Options) {
			o.Hosts, o.Security = []string{c.host}, c.security
			if c.trusted {
				o.TLS = func(host string) *tls.Config { return &tls.Config{ServerName: host, RootCAs: authority.Pool()} }
			}
		})
		a, err := h.directory(t, s, openldap(t, true)).Check(t.Context(), "ann@plic.test", "secret")
		if (err == nil) != c.works || errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrPassword) {
			t.Errorf("%+v: %+v, %v", c, a, err)
		}
	}
}

// TestTrouble has servers that are wrong in other ways than being away.
func TestTrouble(t *testing.T) {
	t.Parallel()
	h := start(t, &peers.Slapd{Dir: short(t) + "/s", Address: peers.Loopback(), Schema: ours}, site(directorytest.Site{Accounts: []directorytest.Account{{Name: "ann@plic.test", Password: "x"}, {Name: "bob@plic.test", Password: "x"}}}))
	trouble := func(what string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrPassword) {
			t.Errorf("%s: %v", what, err)
		}
	}
	d := h.directory(t, h.open(t, func(o *Options) { o.Password = func() (string, error) { return "wrong", nil } }), openldap(t, true))
	_, err := d.Account(t.Context(), "ann@plic.test")
	trouble("our own password is wrong", err)
	_, err = d.Check(t.Context(), "ann@plic.test", "x")
	trouble("our own password is wrong", err)

	q := openldap(t, true)
	q.Account = "(objectClass=inetOrgPerson)"
	_, err = h.directory(t, h.open(t, nil), q).Account(t.Context(), "ann@plic.test")
	trouble("two accounts", err)
	q = openldap(t, true)
	q.Base = "dc=elsewhere"
	_, err = h.directory(t, h.open(t, nil), q).Account(t.Context(), "ann@plic.test")
	trouble("a base that is not there", err)

	d = h.directory(t, h.open(t, func(o *Options) { o.Timeout = 300 * time.Millisecond; o.Hosts = []string{h.Address + ":1389"} }), openldap(t, true))
	_, err = d.Account(t.Context(), "ann@plic.test")
	for range 100 { // the time is short for a machine that is busy
		if err == nil {
			break
		}
		h.ahead.Add(int64(time.Minute))
		_, err = d.Account(t.Context(), "ann@plic.test")
	}
	h.must(t, err)
	h.must(t, h.Freeze())
	_, err = d.Account(t.Context(), "ann@plic.test")
	trouble("frozen", err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = d.Account(ctx, "bob@plic.test")
	trouble("frozen, and nobody waits", err)
	h.must(t, h.Thaw())
	h.ahead.Add(int64(time.Minute))
	if _, err := h.directory(t, h.open(t, nil), openldap(t, true)).Account(t.Context(), "ann@plic.test"); err != nil {
		t.Errorf("thawed: %v", err)
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"(mail={who})", "(mail={login)", "mail={login}", "(mail={login}", "(&)("} {
		if p, err := parseFilter(bad); err == nil {
			t.Errorf("the filter %q: %q", bad, p)
		}
	}
	for _, bad := range []string{"{login}", "uid={who}", "uid={login},x"} {
		if p, err := parseName(bad); err == nil {
			t.Errorf("the name %q: %q", bad, p)
		}
	}
	f, err1 := parseFilter("(|(mail={login})(uid={local})(o={domain}))")
	n, err2 := parseName("uid={local},dc={domain}")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	v := values{whole: `*)(uid=*\` + "\x00ü", local: ` #a,b+"c"<d>;\ `, domain: "x"}
	if got, want := f.filter(v), `(|(mail=\2a\29\28uid=\2a\5c\00\c3\bc)(uid= #a,b+"c"<d>;\5c )(o=x))`; got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
	if got, want := n.name(v), `uid=\ #a\,b\+\"c\"\<d\>\;\\\ ,dc=x`; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
	for name := range schemas() {
		q, _ := Schema(name)
		q.Base = suffix
		if _, err := (&Server{}).Directory(q, source.Form{}, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Schema("none"); err == nil {
		t.Error("a schema that is not there")
	}
	if _, err := (&Server{}).Directory(Search{Base: "x", Account: "(", UserDN: "x", Attributes: map[string]string{"account": "mail"}}, source.Form{}, ""); err == nil {
		t.Error("a filter and a name that are none")
	}
}

// Whatever is asked for, a filter stays the filter that it is, and a name has as
// many parts as before.
func FuzzPattern(f *testing.F) {
	for _, name := range directorytest.Injections() {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err1 := parseFilter("(&(objectClass=person)(|(mail={login})(uid={local}))(o={domain}))")
		n, err2 := parseName("uid={local},ou={domain},dc=test")
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		v := values{whole: text, local: text, domain: text}
		packet, err := goldap.CompileFilter(p.filter(v))
		if err != nil {
			if utf8.ValidString(text) {
				t.Fatalf("%q: %v", p.filter(v), err)
			}
			return
		}
		if len(packet.Children) != 3 || len(packet.Children[1].Children) != 2 {
			t.Errorf("%q is another filter: %s", text, p.filter(v))
		}
		if dn, err := goldap.ParseDN(n.name(v)); text != "" && utf8.ValidString(text) && (err != nil || len(dn.RDNs) != 3 || len(dn.RDNs[0].Attributes) != 1 || dn.RDNs[0].Attributes[0].Value != text) {
			t.Errorf("%q is another name: %s, %+v, %v", text, n.name(v), dn, err)
		}
	})
}
