package native

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/sasl"
	"plic/internal/totp"
	"plic/internal/vfs"
)

func TestAppPasswords(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	const who = "alice@plic.test"
	id, password, err := d.AddAppPassword(t.Context(), who, directory.AppPassword{Name: "phone", Protocols: []string{"imap"}, ReadOnly: true, Expires: noon.Add(time.Hour)})
	must(t, err)
	second, other, err := d.AddAppPassword(t.Context(), who, directory.AppPassword{Name: "laptop"})
	must(t, err)
	if id == second || password == other || len(password) != 23 {
		t.Fatalf("%s %s, %s %s", id, password, second, other)
	}
	for _, bad := range []directory.AppPassword{
		{}, {Name: "a\nb"}, {Name: strings.Repeat("x", 65)}, {Name: "x", Protocols: []string{"ftp"}}, {Name: "x", Expires: noon.Add(-time.Hour)},
	} {
		if _, _, err := d.AddAppPassword(t.Context(), who, bad); !errors.Is(err, directory.ErrInvalid) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, _, err := d.AddAppPassword(t.Context(), who, directory.AppPassword{Name: "phone"}); !errors.Is(err, directory.ErrExists) {
		t.Errorf("the same name again: %v", err)
	}
	if _, _, err := d.AddAppPassword(t.Context(), "nobody@plic.test", directory.AppPassword{Name: "x"}); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	must(t, d.SetAllow(t.Context(), who, directory.Allow{Protocols: []string{"imap", "web"}, Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}))
	must(t, d.SetAppOnly(t.Context(), who, true))
	must(t, d.SetPassword(t.Context(), who, "another")) // leaves the rest, and the salt, alone
	must(t, d.Close())
	d = open(t, fs) // all that is kept comes back
	a, err := d.Account(t.Context(), who)
	must(t, err)
	if len(a.Apps) != 2 || !a.AppOnly || fmt.Sprint(a.Allow) != "{[imap web] [192.0.2.0/24]}" {
		t.Fatalf("%+v", a)
	}
	p := a.Apps[0]
	if p.ID != id || p.Name != "phone" || !p.ReadOnly || fmt.Sprint(p.Protocols) != "[imap]" || !p.Expires.Equal(noon.Add(time.Hour)) || !p.Created.Equal(noon) {
		t.Errorf("%+v", p)
	}
	for i, secret := range []string{password, other} {
		if ok, err := directory.Verify(a.Apps[i].Secret.Hash, secret); err != nil || !ok {
			t.Errorf("%s: %v %v", secret, ok, err)
		}
		if v := a.Apps[i].Secret.Verifier(sasl.SCRAM); v == nil || string(v.Salt) != string(a.Secret.SCRAM.Salt) || v.Iterations != a.Secret.SCRAM.Iterations {
			t.Errorf("app password %d has another salt than the password", i)
		}
	}
	if ok, _ := directory.Verify(a.Secret.Hash, "another"); !ok {
		t.Error("the new password is wrong")
	}
	must(t, d.RemoveAppPassword(t.Context(), who, id))
	must(t, d.RemoveAppPassword(t.Context(), who, "laptop"))
	if err := d.RemoveAppPassword(t.Context(), who, "laptop"); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
	if a, _ := d.Account(t.Context(), who); len(a.Apps) != 0 {
		t.Errorf("%+v", a.Apps)
	}
	for i := range maxApps {
		_, _, err := d.AddAppPassword(t.Context(), who, directory.AppPassword{Name: fmt.Sprint(i)})
		must(t, err)
	}
	if _, _, err := d.AddAppPassword(t.Context(), who, directory.AppPassword{Name: "one more"}); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("one more than may be: %v", err)
	}
}

// A hash of another server becomes one of ours when its password was right, and
// neither an older nor a foreign one does.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	d := filled(t, vfs.NewMemory())
	const who, old = "alice@plic.test", "{SSHA256}NwGgKEOVp83xzN+ml/gn+vczxw0pHH39DsyIq6FHBRhkXlve"
	if err := d.SetHash(t.Context(), who, "secret"); !errors.Is(err, directory.ErrInvalid) {
		t.Errorf("a password in the place of a hash: %v", err)
	}
	must(t, d.SetHash(t.Context(), who, old))
	a, _ := d.Account(t.Context(), who)
	if a.Secret.Hash != old || a.Secret.SCRAM != nil || !a.Secret.Outdated(cheap) {
		t.Fatalf("%+v", a.Secret)
	}
	must(t, d.Upgrade(t.Context(), who, "{SSHA256}of long ago", "secret"))
	must(t, d.Upgrade(t.Context(), "somebody@elsewhere.test", old, "secret"))
	if a, _ = d.Account(t.Context(), who); a.Secret.Hash != old {
		t.Errorf("%+v", a.Secret)
	}
	must(t, d.Upgrade(t.Context(), who, old, "secret"))
	a, _ = d.Account(t.Context(), who)
	if ok, err := directory.Verify(a.Secret.Hash, "secret"); !ok || err != nil || a.Secret.Outdated(cheap) || a.Secret.SCRAM == nil {
		t.Errorf("%+v: %v %v", a.Secret, ok, err)
	}
}

// A8: one-time codes: none before the first was seen, each once, also after a
// restart; and recovery codes likewise.
func TestOneTimeCodes(t *testing.T) {
	t.Parallel()
	fs, now := vfs.NewMemory(), noon
	reopen := func() *Directory {
		d, err := Open(Options{FS: fs, Dir: "data/directory", Now: func() time.Time { return now }, Cost: cheap})
		must(t, err)
		return d
	}
	must(t, filled(t, fs).Close())
	d := reopen()
	const who = "alice@plic.test"
	right := func(secret string) string { return totp.Code(secret, totp.Step(now)) }
	check := func(code string, want bool) {
		t.Helper()
		if ok, err := d.CheckCode(t.Context(), who, code); ok != want || err != nil {
			t.Errorf("%s: %v %v", code, ok, err)
		}
	}
	if ok, err := d.CheckCode(t.Context(), who, "123456"); ok || !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("without a second factor: %v %v", ok, err)
	}
	secret, recovery, err := d.EnrolTOTP(t.Context(), who)
	must(t, err)
	code := right(secret)
	if ok, err := d.CheckCode(t.Context(), who, code); ok || !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("before it is confirmed: %v %v", ok, err)
	}
	if err := d.ConfirmTOTP(t.Context(), who, "x"); !errors.Is(err, directory.ErrPassword) {
		t.Errorf("confirmed by a wrong code: %v", err)
	}
	must(t, d.ConfirmTOTP(t.Context(), who, code))
	check(code, false) // A8: the same code again
	must(t, d.Close())
	d = reopen()
	check(code, false) // nor after a restart
	now = now.Add(30 * time.Second)
	next := right(secret)
	check(next, true)
	check(next, false)
	check("000000000", false)
	if len(recovery) != recoveryCodes {
		t.Fatalf("%d recovery codes", len(recovery))
	}
	check(strings.ToUpper(recovery[3]), true)
	check(recovery[3], false)
	if f, err := d.Factor(t.Context(), who); err != nil || f != (Factor{true, true, recoveryCodes - 1}) {
		t.Errorf("%+v %v", f, err)
	}
	text, _ := d.log.read()
	if strings.Contains(string(text), recovery[0]) {
		t.Error("a recovery code is kept as it is")
	}
	must(t, d.RemoveTOTP(t.Context(), who))
	if err := d.RemoveTOTP(t.Context(), who); !errors.Is(err, directory.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}
