// Package directorytest is the suite that every driver of directories passes.
package directorytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Account is one that a driver is to have.
type Account struct {
	Name, Password string
	Disabled       bool
	Quota          directory.Quota
	Home           string
	Groups         []string
	Senders        []string
	Protocols      []string
}

// Site is what a driver is to have.
type Site struct {
	Domains  []string
	Accounts []Account
	Aliases  map[string][]string // by address, or "@domain"
}

// What a driver may lack.
const (
	Quotas    = "quotas"
	Groups    = "groups"
	Senders   = "senders"
	Homes     = "homes"
	Protocols = "protocols"
	Copies    = "copies" // an alias that leads to its own account, too
	CatchAlls = "catch-alls"
	Aliases   = "aliases"
	Disabled  = "disabled"
	Quoted    = "quoted"  // local parts in quotes
	Unicode   = "unicode" // local parts that are not ASCII
	Domains   = "domains" // more than one
)

// Suite tests one driver.
type Suite struct {
	// Open makes a directory that has a site.
	Open func(t *testing.T, s Site) directory.Directory
	// Break makes look-ups of the directory that was opened last fail, and Mend
	// ends that; nil for a driver that has nothing to fail.
	Break, Mend func(t *testing.T)
	// Lacks names what the driver cannot have.
	Lacks []string
	// External says that the source checks passwords.
	External bool
	// Slow says that the source takes its time over a wrong password: few are
	// tried.
	Slow bool
}

func (s Suite) has(what string) bool { return !slices.Contains(s.Lacks, what) }

// site is what the tests ask for, as far as the driver can have it.
func (s Suite) site() Site {
	site := Site{
		Domains: []string{"plic.test", "other.test"},
		Accounts: []Account{
			{Name: "ann@plic.test", Password: "secret of ann", Home: "/home/ann"},
			{Name: "bob@plic.test", Password: `b"o'b\ %s :login $1 {x} ü`, Quota: directory.Quota{Bytes: 5 << 30, Messages: 1000},
				Groups: []string{"staff", "sales"}, Senders: []string{"office@plic.test", "@partner.test"}, Protocols: []string{"imap", "smtp"}},
			{Name: "carol@other.test", Password: "secret of carol", Quota: directory.Quota{Bytes: directory.Unlimited}},
			{Name: "dan@plic.test", Password: "secret of dan", Disabled: s.has(Disabled)},
		},
		Aliases: map[string][]string{
			"team@plic.test":  {"ann@plic.test", "carol@other.test", "x@elsewhere.test"},
			"chain@plic.test": {"team@plic.test"},
			"loop@plic.test":  {"pool@plic.test"},
			"pool@plic.test":  {"loop@plic.test"},
		},
	}
	if s.has(Copies) {
		site.Aliases["carol@other.test"] = []string{"carol@other.test", "copy@elsewhere.test"}
	}
	if s.has(CatchAlls) {
		site.Aliases["@other.test"] = []string{"ann@plic.test"}
	}
	if !s.has(Aliases) {
		site.Aliases = nil
	}
	if s.has(Unicode) {
		site.Accounts = append(site.Accounts, Account{Name: "grüße@plic.test", Password: "secret"})
	}
	if !s.has(Domains) {
		site.Domains, site.Accounts[2].Name = site.Domains[:1], "carol@plic.test"
	}
	if s.has(Quoted) {
		site.Accounts = append(site.Accounts, Account{Name: `"o' d"@plic.test`, Password: "secret of o d"})
	}
	return site
}

// Run tests the driver.
func (s Suite) Run(t *testing.T) {
	t.Run("Domain", s.domain)
	t.Run("Account", s.account)
	t.Run("Password", s.password)
	t.Run("Record", s.record)
	t.Run("Resolve", s.resolve)
	t.Run("Owns", s.owns)
	t.Run("Injection", s.injection)
	t.Run("Together", s.together)
	if s.Break != nil {
		t.Run("Trouble", s.trouble)
	}
}

func (s Suite) domain(t *testing.T) {
	d := s.Open(t, s.site())
	for name, want := range map[string]bool{"plic.test": true, "other.test": s.has(Domains), "PLIC.TEST": true, "elsewhere.test": false, "test": false, "a.plic.test": false, "[192.0.2.1]": false} {
		found, err := d.Domain(t.Context(), mail.MustDomain(name))
		switch {
		case want && (err != nil || found.Name.String() != strings.ToLower(name)):
			t.Errorf("%s: %v, %v", name, found, err)
		case !want && !errors.Is(err, directory.ErrNotFound):
			t.Errorf("%s is not there: %v", name, err)
		}
	}
}

func (s Suite) account(t *testing.T) {
	d := s.Open(t, s.site())
	for _, a := range s.site().Accounts {
		for _, login := range []string{a.Name, strings.ToUpper(a.Name), " " + a.Name + " "} {
			found, err := d.Account(t.Context(), login)
			if err != nil || found.Name != a.Name || found.Disabled != a.Disabled || found.External != s.External {
				t.Errorf("%q: %+v, %v", login, found, err)
			}
		}
	}
	for _, login := range []string{"", "nobody@plic.test", "ann@elsewhere.test", "ann@", "@plic.test", "team@plic.test", "ann+detail@plic.test", "ann@plic.test@plic.test"} {
		if found, err := d.Account(t.Context(), login); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%q is not there: %+v, %v", login, found, err)
		}
	}
}

// password is right, wrong, that of another, or empty.
func (s Suite) password(t *testing.T) {
	d := s.Open(t, s.site())
	for _, a := range s.site().Accounts {
		for password, want := range map[string]bool{a.Password: true, a.Password + "x": false, strings.ToUpper(a.Password): false, "": false, "x' OR '1'='1": false, "*": false, a.Password + "\x00": false} {
			ok, err := Verify(t.Context(), d, a.Name, password)
			if ok != want || err != nil {
				t.Errorf("%s with %q: %v, %v; want %v", a.Name, password, ok, err, want)
			}
		}
	}
	checker, ok := d.(directory.Checker)
	if !s.External || !ok {
		return
	}
	if _, err := checker.Check(t.Context(), "nobody@plic.test", "x"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("the password of nobody: %v", err)
	}
}

// Verify says whether a password is that of an account, by whatever way the
// directory has.
func Verify(ctx context.Context, d directory.Directory, login, password string) (bool, error) {
	a, err := d.Account(ctx, login)
	if err != nil {
		return false, err
	}
	if !a.External {
		if a.Secret.Hash == "" {
			return false, errors.New("there is no hash")
		}
		return directory.Verify(a.Secret.Hash, password)
	}
	checker, ok := d.(directory.Checker)
	if !ok {
		return false, errors.New("it says that it checks passwords, and cannot")
	}
	checked, err := checker.Check(ctx, login, password)
	if errors.Is(err, directory.ErrPassword) {
		return false, nil
	}
	if err == nil && checked.Name != a.Name {
		err = fmt.Errorf("it checked %q", checked.Name)
	}
	return err == nil, err
}

// record is what else is known of an account.
func (s Suite) record(t *testing.T) {
	d := s.Open(t, s.site())
	for _, want := range s.site().Accounts {
		got, err := d.Account(t.Context(), want.Name)
		if err != nil {
			t.Fatal(err)
		}
		if s.has(Quotas) && got.Quota != want.Quota {
			t.Errorf("%s: quota %+v, want %+v", want.Name, got.Quota, want.Quota)
		}
		if s.has(Homes) && got.Home != want.Home && want.Home != "" {
			t.Errorf("%s: home %q, want %q", want.Name, got.Home, want.Home)
		}
		slices.Sort(got.Groups)
		slices.Sort(want.Groups)
		if s.has(Groups) && !slices.Equal(got.Groups, want.Groups) {
			t.Errorf("%s: groups %q, want %q", want.Name, got.Groups, want.Groups)
		}
		if s.has(Protocols) && (got.Allow.Service("pop3s") != (want.Protocols == nil) || !got.Allow.Service("submission")) {
			t.Errorf("%s: may log in at %+v", want.Name, got.Allow)
		}
	}
}

func (s Suite) resolve(t *testing.T) {
	d := s.Open(t, s.site())
	cases := map[string]string{
		"ann@plic.test": "ann@plic.test", "ANN@plic.test": "ann@plic.test", "ann+tag@plic.test": "ann@plic.test tag",
		"dan@plic.test":    "dan@plic.test",
		"nobody@plic.test": "-", "ann@elsewhere.test": "-", "nobody+tag@plic.test": "-",
	}
	if s.has(Aliases) {
		cases["team@plic.test"] = "-> ann@plic.test carol@other.test x@elsewhere.test"
		cases["TEAM@plic.test"] = cases["team@plic.test"]
		cases["team+tag@plic.test"] = " tag" + cases["team@plic.test"]
		cases["chain@plic.test"] = "-> team@plic.test"
	}
	if s.has(Aliases) && s.has(Copies) {
		cases["carol@other.test"] = "carol@other.test-> copy@elsewhere.test"
		cases["carol+tag@other.test"] = "carol@other.test tag-> copy@elsewhere.test"
	}
	if s.has(Aliases) && s.has(CatchAlls) {
		cases["nobody@other.test"] = "-> ann@plic.test all"
	}
	if s.has(Unicode) {
		cases["grüße@plic.test"] = "grüße@plic.test"
	}
	if s.has(Quoted) {
		cases[`"o' d"@plic.test`] = `"o' d"@plic.test`
	}
	for address, want := range cases {
		target, err := d.Resolve(t.Context(), mail.MustAddress(address))
		if got := Text(target, err); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// Text is a target in a line: "account detail-> aliases", with "all" for a
// catch-all, or "-" if there is none.
func Text(target directory.Target, err error) string {
	if errors.Is(err, directory.ErrNotFound) {
		return "-"
	}
	if err != nil {
		return "trouble: " + err.Error()
	}
	text := target.Account
	if target.Detail != "" {
		text += " " + target.Detail
	}
	if len(target.Aliases) > 0 {
		var all []string
		for _, a := range target.Aliases {
			all = append(all, a.String())
		}
		slices.Sort(all)
		text += "-> " + strings.Join(all, " ")
	}
	if target.CatchAll {
		text += " all"
	}
	return text
}

func (s Suite) owns(t *testing.T) {
	d := s.Open(t, s.site())
	cases := map[[2]string]bool{
		{"ann@plic.test", "ann@plic.test"}: true, {"ann@plic.test", "Ann+tag@plic.test"}: true, {"ann@plic.test", "bob@plic.test"}: false,
		{"ann@plic.test", "nobody@plic.test"}: false, {"", "nobody@plic.test"}: false, {"ann@plic.test", "office@plic.test"}: false, {"nobody@plic.test", "nobody@plic.test"}: false,
	}
	if s.has(Aliases) {
		cases[[2]string{"ann@plic.test", "team@plic.test"}] = true
		cases[[2]string{"ann@plic.test", "chain@plic.test"}] = true
		cases[[2]string{"bob@plic.test", "team@plic.test"}] = false
		cases[[2]string{"ann@plic.test", "loop@plic.test"}] = false
	}
	if s.has(Senders) {
		cases[[2]string{"bob@plic.test", "Office@plic.test"}] = true
		cases[[2]string{"bob@plic.test", "anyone@partner.test"}] = true
		cases[[2]string{"bob@plic.test", "anyone@sub.partner.test"}] = false
	}
	for k, want := range cases {
		if got, err := d.Owns(t.Context(), k[0], mail.MustAddress(k[1])); got != want || err != nil {
			t.Errorf("%s as %s: %v, %v", k[0], k[1], got, err)
		}
	}
}

func (s Suite) together(t *testing.T) {
	d := s.Open(t, s.site())
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				for _, a := range s.site().Accounts {
					if got, err := d.Account(t.Context(), a.Name); err != nil || got.Name != a.Name {
						t.Errorf("%s: %+v, %v", a.Name, got, err)
					}
					target, err := d.Resolve(t.Context(), mail.MustAddress(a.Name))
					if err != nil || target.Account != a.Name {
						t.Errorf("%s leads to %+v, %v", a.Name, target, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// trouble is never "no such": it is another error, for those that are there and
// those that are not, and it passes by itself.
func (s Suite) trouble(t *testing.T) {
	d := s.Open(t, s.site())
	ask := func() map[string]error {
		all := map[string]error{}
		for _, name := range []string{"ann@plic.test", "nobody@plic.test"} {
			_, all["account "+name] = d.Account(t.Context(), name)
			_, all["address "+name] = d.Resolve(t.Context(), mail.MustAddress(name))
			_, all["owner "+name] = d.Owns(t.Context(), name, mail.MustAddress(name))
		}
		_, all["domain"] = d.Domain(t.Context(), mail.MustDomain("plic.test"))
		_, all["other domain"] = d.Domain(t.Context(), mail.MustDomain("elsewhere.test"))
		if checker, ok := d.(directory.Checker); ok && s.External {
			_, all["password"] = checker.Check(t.Context(), "ann@plic.test", "secret of ann")
		}
		return all
	}
	ask() // what is connected may break, too
	s.Break(t)
	for question, err := range ask() {
		if err == nil || errors.Is(err, directory.ErrNotFound) || errors.Is(err, directory.ErrPassword) {
			t.Errorf("%s in trouble: %v", question, err)
		}
	}
	s.Mend(t)
	if _, err := d.Account(t.Context(), "ann@plic.test"); err != nil {
		t.Errorf("after the trouble: %v", err)
	}
	if _, err := d.Account(t.Context(), "nobody@plic.test"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("nobody after the trouble: %v", err)
	}
}
