package chain

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/cached"
	"plic/internal/directory/directorytest"
	"plic/internal/directory/native"
	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/vfs"
)

var errDown = errors.New("connection refused")

// fake is a source: what addresses lead to, by Text; domains are those of the
// addresses. Its password of everybody is "right".
type fake struct {
	leads    map[string]string
	down     bool
	external bool
}

func (f fake) Domain(_ context.Context, d mail.Domain) (directory.Domain, error) {
	if f.down {
		return directory.Domain{}, errDown
	}
	for a := range f.leads {
		if strings.HasSuffix(a, "@"+d.String()) {
			return directory.Domain{Name: d}, nil
		}
	}
	return directory.Domain{}, directory.ErrNotFound
}

func (f fake) Account(_ context.Context, login string) (directory.Account, error) {
	switch {
	case f.down:
		return directory.Account{}, errDown
	case f.leads[login] != "account":
		return directory.Account{}, directory.ErrNotFound
	}
	return directory.Account{Name: login, External: f.external, Senders: []string{"@may.test"}}, nil
}

func (f fake) Check(ctx context.Context, login, password string) (directory.Account, error) {
	a, err := f.Account(ctx, login)
	if err == nil && password != "right" {
		err = directory.ErrPassword
	}
	return a, err
}

func (f fake) Resolve(_ context.Context, a mail.Address) (directory.Target, error) {
	if f.down {
		return directory.Target{}, errDown
	}
	base, detail := a.Detail("+")
	for _, try := range []struct {
		key string
		t   directory.Target
	}{{a.String(), directory.Target{}}, {base.String(), directory.Target{Detail: detail}}, {"@" + a.Domain.String(), directory.Target{CatchAll: true}}} {
		switch to := f.leads[try.key]; to {
		case "":
		case "account":
			try.t.Account = try.key
			return try.t, nil
		default:
			try.t.Aliases = []mail.Address{mail.MustAddress(to)}
			return try.t, nil
		}
	}
	if first := f.leads["first"]; first != "" && strings.EqualFold(base.Local, "postmaster") {
		return directory.Target{Account: first, Role: true}, nil
	}
	return directory.Target{}, directory.ErrNotFound
}

func (f fake) Owns(context.Context, string, mail.Address) (bool, error) { panic("the chain decides") }

func site(down ...string) *Directory {
	is := func(name string) bool { return strings.Contains(strings.Join(down, " "), name) }
	return New(Options{
		Sources: []Source{
			{Name: "one", Directory: fake{down: is("one"), leads: map[string]string{
				"ann@a.test": "account", "both@a.test": "account", "@a.test": "ann@a.test", "first": "ann@a.test", "base@b.test": "account", "list@a.test": "bob@b.test"}}},
			{Name: "two", Domains: []mail.Domain{mail.MustDomain("b.test"), mail.MustDomain("a.test")}, Directory: fake{down: is("two"), external: true, leads: map[string]string{
				"bob@b.test": "account", "both@a.test": "account", "later@a.test": "account", "base+x@b.test": "account", "hidden@c.test": "account"}}},
		},
		Postmaster: mail.MustAddress("bob@b.test"),
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ down, address, want string }{
		{"", "ann@a.test", "ann@a.test"},
		{"", "later@a.test", "later@a.test"}, // before the catch-all of the first
		{"", "x@a.test", "-> ann@a.test all"},
		{"", "base+x@b.test", "base+x@b.test"}, // before the other's detail
		{"", "base+y@b.test", "base@b.test y"},
		{"", "x@b.test", "-"},
		{"", "hidden@c.test", "-"}, // a domain that the source is not asked for
		{"", "postmaster@b.test", "ann@a.test"},
		{"", "x@elsewhere.test", "-"},
		{"two", "ann@a.test", "ann@a.test"}, // answered before
		{"two", "x@a.test", "trouble: source two: connection refused"},
		{"two", "hidden@c.test", "-"},
		{"two", "bob@b.test", "trouble: source two: connection refused"},
		{"one", "bob@b.test", "trouble: source one: connection refused"},
		{"one", "postmaster@b.test", "trouble: source one: connection refused"},
	} {
		if got := directorytest.Text(site(c.down).Resolve(t.Context(), mail.MustAddress(c.address))); got != c.want {
			t.Errorf("%s with %q down: %q, want %q", c.address, c.down, got, c.want)
		}
	}
}

// Postmaster and abuse of every domain lead somewhere, RFC 5321 section 4.5.1.
func TestPostmaster(t *testing.T) {
	t.Parallel()
	leads := map[string]string{"bob@b.test": "account", "x@c.test": "account"}
	for _, c := range []struct{ postmaster, address, want string }{
		{"bob@b.test", "postmaster@c.test", "bob@b.test"},
		{"bob@b.test", "Abuse@c.test", "bob@b.test"},
		{"bob@b.test", "postmaster+x@c.test", "bob@b.test"},
		{"bob@b.test", "postmaster", "bob@b.test"},
		{"bob@b.test", "abuse", "-"},
		{"bob@b.test", "postmaster@elsewhere.test", "-"},
		{"me@elsewhere.test", "abuse@c.test", "-> me@elsewhere.test"},
		{"gone@b.test", "abuse@c.test", "-"},
		{"postmaster@c.test", "postmaster@c.test", "-"},
		{"abuse@c.test", "postmaster@c.test", "-"},
		{"", "postmaster@c.test", "-"},
	} {
		o := Options{Sources: []Source{{Name: "one", Directory: fake{leads: leads}}}}
		if c.postmaster != "" {
			o.Postmaster = mail.MustAddress(c.postmaster)
		}
		a := mail.Address{Local: c.address}
		if strings.Contains(c.address, "@") {
			a = mail.MustAddress(c.address)
		}
		if got := directorytest.Text(New(o).Resolve(t.Context(), a)); got != c.want {
			t.Errorf("%s by %q: %q, want %q", c.address, c.postmaster, got, c.want)
		}
	}
}

func TestDomainAndAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ down, login, want string }{
		{"", "ann@a.test", "ann@a.test"}, {"", "bob@b.test", "bob@b.test"}, {"", "hidden@c.test", "missing"}, {"", "plain", "missing"},
		{"two", "ann@a.test", "ann@a.test"}, {"two", "bob@b.test", "trouble"}, {"one", "bob@b.test", "trouble"}, {"two", "hidden@c.test", "missing"}, {"two", "plain", "trouble"},
	} {
		a, err := site(c.down).Account(t.Context(), c.login)
		got := a.Name
		if err != nil {
			got = directory.Step{Err: err}.Outcome()
		}
		if got != c.want {
			t.Errorf("%s with %q down: %s, %v; want %s", c.login, c.down, got, err, c.want)
		}
	}
	for _, c := range []struct{ down, domain, want string }{
		{"", "a.test", "found"}, {"", "b.test", "found"}, {"", "c.test", "missing"}, {"two", "a.test", "found"}, {"one", "b.test", "trouble"}, {"two", "c.test", "missing"},
	} {
		_, err := site(c.down).Domain(t.Context(), mail.MustDomain(c.domain))
		if got := (directory.Step{Err: err}).Outcome(); got != c.want {
			t.Errorf("%s with %q down: %v; want %s", c.domain, c.down, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ down, login, password, want string }{
		{"", "bob@b.test", "right", "found"}, {"", "bob@b.test", "wrong", "wrong"}, {"", "bob@b.test", "", "wrong"}, {"", "x@b.test", "right", "missing"},
		{"two", "bob@b.test", "right", "trouble"}, {"two", "bob@b.test", "", "wrong"},
		{"", "ann@a.test", "right", "trouble"}, // its source has a hash
		{"", "both@a.test", "right", "trouble"},
	} {
		_, err := site(c.down).Check(t.Context(), c.login, c.password)
		if got := (directory.Step{Err: err}).Outcome(); got != c.want {
			t.Errorf("%s with %q down: %v; want %s", c.login, c.down, err, c.want)
		}
	}
}

func TestOwns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		account, as string
		want        bool
	}{
		{"ann@a.test", "ann+x@a.test", true}, {"bob@b.test", "list@a.test", true}, {"ann@a.test", "list@a.test", false}, {"ann@a.test", "anyone@a.test", true},
		{"bob@b.test", "x@may.test", true}, {"nobody@b.test", "x@may.test", false}, {"", "x@may.test", false},
	} {
		if got, err := site().Owns(t.Context(), c.account, mail.MustAddress(c.as)); got != c.want || err != nil {
			t.Errorf("%s as %s: %v, %v", c.account, c.as, got, err)
		}
	}
	if ok, err := site("two").Owns(t.Context(), "bob@b.test", mail.MustAddress("x@may.test")); ok || err == nil {
		t.Errorf("in trouble: %v, %v", ok, err)
	}
}

func TestSteps(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told, seen []string
	note := func(list *[]string) func(directory.Step) {
		return func(s directory.Step) {
			mu.Lock()
			defer mu.Unlock()
			*list = append(*list, s.Source+" "+s.Question+" "+s.Outcome()+" "+s.Answer)
		}
	}
	c := site()
	c.o.Observe = note(&seen)
	if _, err := c.Resolve(directory.WithSteps(t.Context(), note(&told)), mail.MustAddress("x@a.test")); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(told, "; "), "one address found ann@a.test (catch-all); two address missing "; got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	if len(seen) != 2 {
		t.Errorf("observed %q", seen)
	}
}

// TestDirectory runs the suite through a chain and the memory before a source.
func TestDirectory(t *testing.T) {
	t.Parallel()
	cost := directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
	directorytest.Suite{
		Open: func(t *testing.T, s directorytest.Site) directory.Directory {
			made, err := native.Open(native.Options{FS: vfs.NewMemory(), Dir: "directory", Cost: cost})
			if err != nil {
				t.Fatal(err)
			}
			var errs []error
			for _, name := range s.Domains {
				errs = append(errs, made.AddDomain(t.Context(), mail.MustDomain(name)))
			}
			for _, a := range s.Accounts {
				_, err := made.AddAccount(t.Context(), mail.MustAddress(a.Name), a.Password)
				errs = append(errs, err, made.SetDisabled(t.Context(), a.Name, a.Disabled))
			}
			for name, targets := range s.Aliases {
				for _, to := range targets {
					errs = append(errs, made.AddAlias(t.Context(), name, mail.MustAddress(to)))
				}
			}
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			return New(Options{Sources: []Source{
				{Name: "none", Directory: fake{}},
				{Name: "native", Directory: cached.New(made, cached.Options{Keep: time.Hour, Missing: time.Hour})},
			}})
		},
		Lacks: []string{directorytest.Quotas, directorytest.Groups, directorytest.Senders, directorytest.Homes, directorytest.Protocols, directorytest.Copies},
	}.Run(t)
}
