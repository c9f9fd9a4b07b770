package route

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"plic/internal/directory"
	"plic/internal/mail"
)

// people is a directory in a map: "account", or targets of an alias.
type people struct {
	domains map[string]bool
	leads   map[string]string
	broken  bool
}

var errDown = errors.New("connection refused")

func (t people) Domain(_ context.Context, d mail.Domain) (directory.Domain, error) {
	if t.broken {
		return directory.Domain{}, errDown
	}
	if !t.domains[d.String()] {
		return directory.Domain{}, directory.ErrNotFound
	}
	return directory.Domain{Name: d}, nil
}

func (t people) Resolve(_ context.Context, a mail.Address) (directory.Target, error) {
	to, ok := t.leads[a.Key()]
	switch {
	case t.broken:
		return directory.Target{}, errDown
	case !ok:
		return directory.Target{}, directory.ErrNotFound
	case to == "account":
		return directory.Target{Account: a.Key()}, nil
	}
	var target directory.Target
	if rest, both := strings.CutPrefix(to, "account "); both {
		target.Account, to = a.Key(), rest
	}
	for s := range strings.SplitSeq(to, " ") {
		target.Aliases = append(target.Aliases, mail.MustAddress(s))
	}
	return target, nil
}

func (t people) Account(context.Context, string) (directory.Account, error) {
	return directory.Account{}, directory.ErrNotFound
}
func (t people) Owns(context.Context, string, mail.Address) (bool, error) { return false, nil }

func site() people {
	t := people{domains: map[string]bool{"here.test": true}, leads: map[string]string{
		"bob@here.test":   "account",
		"ann@here.test":   "account",
		"team@here.test":  "bob@here.test ann@here.test",
		"both@here.test":  "account ann@here.test",
		"more@here.test":  "both@here.test bob@here.test",
		"all@here.test":   "team@here.test ann@here.test away@there.test",
		"away@here.test":  "away@there.test",
		"loop1@here.test": "loop2@here.test",
		"loop2@here.test": "loop1@here.test",
		"half@here.test":  "gone@here.test bob@here.test",
		"dead@here.test":  "gone@here.test",
		"postmaster":      "ann@here.test",
	}}
	for i := range 30 {
		t.leads[fmt.Sprintf("deep%d@here.test", i)] = fmt.Sprintf("deep%d@here.test", i+1)
	}
	t.leads["deep30@here.test"] = "account"
	var many []string
	for i := range 1001 {
		many = append(many, fmt.Sprintf("m%d@there.test", i))
	}
	t.leads["many@here.test"] = strings.Join(many, " ")
	return t
}

func TestRoute(t *testing.T) {
	r := New(Options{Directory: site()})
	for _, c := range []struct{ to, want string }{
		{"bob@here.test", "bob@here.test in bob@here.test"},
		{"BOB@here.test", "BOB@here.test in bob@here.test"},
		{"team@here.test", "bob@here.test in bob@here.test, ann@here.test in ann@here.test"},
		{"all@here.test", "bob@here.test in bob@here.test, ann@here.test in ann@here.test, away@there.test by smtp there.test"},
		{"both@here.test", "ann@here.test in ann@here.test, both@here.test in both@here.test"},
		{"more@here.test", "ann@here.test in ann@here.test, both@here.test in both@here.test, bob@here.test in bob@here.test"},
		{"away@here.test", "away@there.test by smtp there.test"},
		{"x@there.test", "x@there.test by smtp there.test"},
		{"x@[192.0.2.1]", "x@[192.0.2.1] by smtp 192.0.2.1 exactly"},
		{"half@here.test", "bob@here.test in bob@here.test"},
		{"nobody@here.test", "550 5.1.1"},
		{"dead@here.test", "550 5.1.1"},
		{"loop1@here.test", "550 5.4.6"},
		{"deep0@here.test", "550 5.4.6"},
		{"deep15@here.test", "deep30@here.test in deep30@here.test"},
		{"many@here.test", "550 5.4.6"},
	} {
		got, err := r.Route(t.Context(), mail.Address{}, mail.MustAddress(c.to))
		if text := describe(got, err); !strings.HasPrefix(text, c.want) {
			t.Errorf("%s goes to %.200s, want %s", c.to, text, c.want)
		}
	}
}

func TestBarePostmaster(t *testing.T) {
	bare := mail.Address{Local: "Postmaster"}
	r := New(Options{Directory: site()})
	if got := describe(r.Route(t.Context(), mail.Address{}, bare)); got != "ann@here.test in ann@here.test" {
		t.Errorf("postmaster goes to %s", got)
	}
	if got := describe(r.Route(t.Context(), mail.Address{}, mail.Address{Local: "bob"})); !strings.HasPrefix(got, "550 5.1.1") {
		t.Errorf("bob without a domain: %s", got)
	}
}

func TestRelayTakesEverythingElse(t *testing.T) {
	smart := mail.Hop{Kind: mail.HopRemote, Host: "smart.test", Exact: true}
	r := New(Options{Directory: site(), Relay: &smart})
	if got := describe(r.Route(t.Context(), mail.Address{}, mail.MustAddress("x@there.test"))); got != "x@there.test by smtp smart.test exactly" {
		t.Error(got)
	}
}

func TestDirectoryTroubleIsTemporary(t *testing.T) {
	r := New(Options{Directory: people{broken: true}})
	_, err := r.Route(t.Context(), mail.Address{}, mail.MustAddress("bob@here.test"))
	if !mail.StatusOf(err).Temporary() || !errors.Is(err, errDown) {
		t.Errorf("got %v, want a temporary failure that keeps its cause", err)
	}
}

func TestAddressLiteralIsNotLocal(t *testing.T) {
	class, err := New(Options{Directory: site()}).Class(t.Context(), mail.MustDomain("[127.0.0.1]"))
	if class != Foreign || err != nil {
		t.Error(class, err)
	}
}

func describe(got []Destination, err error) string {
	if err != nil {
		return mail.StatusOf(err).String()
	}
	var parts []string
	for _, d := range got {
		part := d.Address.String() + " by " + string(d.Hop.Kind) + " " + d.Hop.Host
		switch {
		case d.Account != "":
			part = d.Address.String() + " in " + d.Account
		case d.Discard:
			part = d.Address.String() + " to nowhere"
		}
		if d.Hop.Port != 0 {
			part += fmt.Sprintf(":%d", d.Hop.Port)
		}
		if d.Hop.Exact && d.Hop.Kind == mail.HopRemote {
			part += " exactly"
		}
		if d.Hop.Login != "" {
			part += " as " + d.Hop.Login
		}
		if d.Hop.Source != "" {
			part += " from " + d.Hop.Source
		}
		if d.Hold {
			part += " held"
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
