package source

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/mail"
)

// book has its records in memory.
type book struct {
	domains map[string]bool
	people  map[string]Fields
	aliases map[string][]string
	fail    error
	form    Form
}

func (b *book) Domain(_ context.Context, d mail.Domain) (bool, error) {
	return b.domains[d.String()], b.fail
}

func (b *book) Account(_ context.Context, login string) (directory.Account, error) {
	f, ok := b.people[login]
	switch {
	case b.fail != nil:
		return directory.Account{}, b.fail
	case !ok:
		return directory.Account{}, directory.ErrNotFound
	}
	return b.form.Account(f)
}

func (b *book) Mailbox(ctx context.Context, a mail.Address) (string, error) {
	found, err := b.Account(ctx, a.String())
	return found.Name, err
}

func (b *book) Aliases(_ context.Context, a mail.Address) ([]string, error) {
	if a.Local == "" {
		return b.aliases["@"+a.Domain.String()], b.fail
	}
	return b.aliases[a.String()], b.fail
}

func newBook(s directorytest.Site) *book {
	b := &book{domains: map[string]bool{}, people: map[string]Fields{}, aliases: map[string][]string{}, form: Form{Scheme: "PLAIN"}}
	for _, d := range s.Domains {
		b.domains[d] = true
	}
	for _, a := range s.Accounts {
		f := Fields{"user": a.Name, "password": a.Password, "home": a.Home, "groups": strings.Join(a.Groups, ","),
			"senders": strings.Join(a.Senders, " "), "protocols": strings.Join(a.Protocols, ","), "disabled": strconv.FormatBool(a.Disabled)}
		if a.Quota.Bytes != 0 {
			f["quota_bytes"] = strconv.FormatInt(a.Quota.Bytes, 10)
		}
		if a.Quota.Messages != 0 {
			f["quota_messages"] = strconv.FormatInt(a.Quota.Messages, 10)
		}
		b.people[a.Name] = f
	}
	for name, targets := range s.Aliases {
		b.aliases[name] = []string{strings.Join(targets, ", ")}
	}
	return b
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	var b *book
	directorytest.Suite{
		Open:  func(t *testing.T, s directorytest.Site) directory.Directory { b = newBook(s); return New(b, "") },
		Break: func(*testing.T) { b.fail = errors.New("connection refused") },
		Mend:  func(*testing.T) { b.fail = nil },
	}.Run(t)
}

func TestAliases(t *testing.T) {
	t.Parallel()
	b := newBook(directorytest.Site{Domains: []string{"plic.test"}, Aliases: map[string][]string{
		"@old.test": {"@plic.test"}, "bad@plic.test": {"ann@plic.test", "|/bin/true"}, "worse@plic.test": {"@-"}, "self@plic.test": {"Self@plic.test"}}})
	d := New(b, "-")
	for address, want := range map[string]string{
		"Ann@old.test": "-> ann@plic.test all", "self@plic.test": "-", "bad@plic.test": `trouble: the alias bad@plic.test leads to "|/bin/true"`,
		"worse@plic.test": `trouble: the alias worse@plic.test leads to "@-"`, "worse-tag@plic.test": `trouble: the alias worse@plic.test leads to "@-"`,
	} {
		got := directorytest.Text(d.Resolve(t.Context(), mail.MustAddress(address)))
		if got != want && (!strings.HasPrefix(want, "trouble") || !strings.HasPrefix(got, want)) {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	plic := mail.MustDomain("plic.test")
	for _, c := range []struct {
		form Form
		f    Fields
		want string // "error", or the account as fmt has it
	}{
		{Form{}, Fields{"user": "Ann@Plic.Test", "password": "$6$x$y"}, "{ann@plic.test {{CRYPT}$6$x$y <nil>} false false {0 0}   0 0 [] [] {[] []}}"},
		{Form{Scheme: "PLAIN", Domain: plic}, Fields{"user": "ann", "password": "x"}, "{ann@plic.test {{PLAIN}x <nil>} false false {0 0}   0 0 [] [] {[] []}}"},
		{Form{Scheme: "PLAIN"}, Fields{"account": "ann@plic.test", "password": "{SHA}x", "active": "0"}, "{ann@plic.test {{SHA}x <nil>} true false {0 0}   0 0 [] [] {[] []}}"},
		{Form{}, Fields{"account": "ann@plic.test", "nologin": "", "password": "!locked"}, "{ann@plic.test { <nil>} true false {0 0}   0 0 [] [] {[] []}}"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_rule": "*:storage=5M:messages=7", "mail": "maildir:~/Maildir", "home": "/h", "uid": "1000", "gid": "100"},
			"{ann@plic.test { <nil>} false false {5242880 7} maildir:~/Maildir /h 1000 100 [] [] {[] []}}"},
		{Form{Mailboxes: "native"}, Fields{"account": "ann@plic.test", "mail": "mdbox:~/mdbox", "home": "/h"}, "{ann@plic.test { <nil>} false false {0 0} native /h 0 0 [] [] {[] []}}"},
		{Form{}, Fields{"account": "ann@plic.test", "mail": "ann@plic.test"}, "{ann@plic.test { <nil>} false false {0 0}   0 0 [] [] {[] []}}"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_rule": "*:storage=5", "allow_nets": "192.0.2.0/24,local,2001:db8::1", "groups": "a, b"},
			"{ann@plic.test { <nil>} false false {5120 0}   0 0 [a b] [] {[] [192.0.2.0/24 127.0.0.0/8 ::1/128 2001:db8::1/128]}}"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_bytes": "0", "senders": "@Other.test X@y.test", "protocols": "imaps submission"},
			"{ann@plic.test { <nil>} false false {-1 0}   0 0 [] [@other.test x@y.test] {[imap smtp] []}}"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_rule": "Trash:storage=5"}, "{ann@plic.test { <nil>} false false {0 0}   0 0 [] [] {[] []}}"},
		{Form{}, Fields{"account": "ann"}, "error"},
		{Form{}, Fields{}, "error"},
		{Form{}, Fields{"account": "ann@plic.test", "uid": "-1"}, "error"},
		{Form{}, Fields{"account": "ann@plic.test", "allow_nets": "x"}, "error"},
		{Form{}, Fields{"account": "ann@plic.test", "senders": "x"}, "error"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_bytes": "much"}, "error"},
		{Form{}, Fields{"account": "ann@plic.test", "quota_rule": "*:messages=many"}, "error"},
	} {
		got, err := c.form.Account(c.f)
		// Without what no source has: further verifiers and app passwords.
		text := strings.NewReplacer("<nil> []}", "<nil>}", "} [] false}", "}}").Replace(fmt.Sprint(got))
		if err != nil {
			text = "error"
		}
		if text != c.want {
			t.Errorf("%v:\n%s, want\n%s (%v)", c.f, text, c.want, err)
		}
	}
	for text, want := range map[string]int64{"5": 5, "5B": 5, "5K": 5 << 10, "5kb": 5 << 10, "1.5GiB": 3 << 29, "2T": 2 << 40, "-1": -1, "0M": -1} {
		if got, err := limit(text, 1); got != want || err != nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
}
