package srs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

func at(host string, now *time.Time, secrets ...string) *Rewriter {
	o := Options{Domain: mail.MustDomain(host), Now: func() time.Time { return *now }}
	for _, s := range secrets {
		o.Secrets = append(o.Secrets, []byte(s))
	}
	return New(o)
}

func TestThereAndBack(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	one, two, three := at("one.test", &now, "1"), at("two.test", &now, "2"), at("three.test", &now, "3")
	for _, text := range []string{"ann@a.test", "Ann.Lee+x=y@a.test", `"a b"@a.test`, "ü@a.test", "srs0@a.test", "SRS0-ann@a.test"} {
		ann := mail.MustAddress(text)
		first, ok := one.Forward(ann)
		if strings.HasPrefix(text, "SRS0-") {
			if !ok || !strings.HasPrefix(first.Local, "SRS1=") {
				t.Errorf("%s: %s", text, first)
			}
			continue
		}
		if !ok || !strings.HasPrefix(first.Local, "SRS0=") || first.Domain.String() != "one.test" {
			t.Fatalf("%s becomes %s", text, first)
		}
		second, ok := two.Forward(first)
		if !ok || !strings.HasPrefix(second.Local, "SRS1=") {
			t.Fatalf("%s becomes %s", first, second)
		}
		third, ok := three.Forward(second)
		if !ok || len(third.Local) != len(second.Local) {
			t.Fatalf("%s becomes %s", second, third)
		}
		// Back from the last, which need not ask the second.
		third.Local = strings.ToUpper(third.Local)
		back, err := three.Reverse(third)
		if err != nil || !strings.EqualFold(back.String(), first.String()) {
			t.Fatalf("%s leads to %s, %v", third, back, err)
		}
		if back, err = one.Reverse(first); err != nil || back != ann {
			t.Errorf("%s leads to %s, %v; want %s", first, back, err, ann)
		}
	}
}

func TestLeftAlone(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	r := at("one.test", &now, "1")
	for _, a := range []mail.Address{{}, {Local: "postmaster"}, mail.MustAddress("ann@one.test"),
		mail.MustAddress(strings.Repeat("x", 50) + "@a.test"), mail.MustAddress("SRS1=abc@a.test")} {
		if got, ok := r.Forward(a); ok || got != a {
			t.Errorf("%s becomes %s", a, got)
		}
	}
	if New(Options{}) != nil {
		t.Error("a Rewriter without a secret")
	}
}

func TestForgedAndOld(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	r := at("one.test", &now, "new", "old")
	good, _ := r.Forward(mail.MustAddress("ann@a.test"))
	for _, local := range []string{"SRS0=aaaaaa=aa=a.test=ann", "SRS0=", "SRS0=x", "SRS1=aaaaaa=a.test==b", "SRS0=" + good.Local[5:] + "x", "ann",
		strings.Replace(good.Local, "a.test", "b.test", 1)} {
		if got, err := r.Reverse(mail.Address{Local: local, Domain: good.Domain}); !errors.Is(err, ErrForged) {
			t.Errorf("%s leads to %s, %v", local, got, err)
		}
	}
	if got, err := r.Reverse(mail.Address{Local: good.Local, Domain: mail.MustDomain("two.test")}); err == nil {
		t.Errorf("at another domain: %s", got)
	}
	// A secret that was replaced is believed as long as it is listed.
	before, _ := at("one.test", &now, "old").Forward(mail.MustAddress("ann@a.test"))
	if _, err := r.Reverse(before); err != nil {
		t.Error(err)
	}
	if _, err := at("one.test", &now, "new").Reverse(before); !errors.Is(err, ErrForged) {
		t.Errorf("after the old secret is gone: %v", err)
	}
	for days, want := range map[int]error{-2: ErrExpired, -1: nil, 0: nil, 21: nil, 22: ErrExpired, 500: ErrExpired} {
		later := now.Add(time.Duration(days) * day)
		if _, err := at("one.test", &later, "new").Reverse(good); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%d days later: %v, want %v", days, err, want)
		}
	}
}

func FuzzReverse(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	r := at("one.test", &now, "1")
	good, _ := r.Forward(mail.MustAddress("ann@a.test"))
	f.Add(good.Local)
	f.Add("SRS1=aaaaaa=a.test==b")
	f.Fuzz(func(t *testing.T, local string) {
		a := mail.Address{Local: local, Domain: r.o.Domain}
		if back, err := r.Reverse(a); err == nil {
			if again, ok := r.Forward(back); ok && !strings.EqualFold(again.Local, local) && !strings.HasPrefix(local, "SRS1") {
				t.Errorf("%q leads to %q, which becomes %q", local, back, again)
			}
		}
		if a, err := mail.ParseAddress(local); err == nil {
			if to, ok := r.Forward(a); ok {
				if back, err := r.Reverse(to); err != nil || !strings.EqualFold(back.String(), a.String()) {
					if kind, _ := kindOf(a.Local); kind == "" {
						t.Errorf("%s becomes %s, which leads to %s, %v", a, to, back, err)
					}
				}
			}
		}
	})
}
