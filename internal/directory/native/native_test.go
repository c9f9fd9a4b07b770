package native

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/vfs"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	cheap = directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
	plic  = mail.MustDomain("plic.test")
)

var _ directory.Directory = (*Directory)(nil)

func open(t testing.TB, fs vfs.FS) *Directory {
	t.Helper()
	d, err := Open(Options{FS: fs, Dir: "data/directory", Now: func() time.Time { return noon }, Cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func add(t testing.TB, d *Directory, accounts ...string) {
	t.Helper()
	for _, name := range accounts {
		_, err := d.AddAccount(t.Context(), mail.MustAddress(name), "secret")
		must(t, err)
	}
}

// filled has some of everything.
func filled(t testing.TB, fs vfs.FS) *Directory {
	t.Helper()
	d := open(t, fs)
	must(t, d.AddDomain(t.Context(), plic))
	must(t, d.AddDomain(t.Context(), mail.MustDomain("other.test")))
	must(t, d.AddDomain(t.Context(), mail.MustDomain("bare.test")))
	add(t, d, "Bob@plic.test", "alice@plic.test", "carol@other.test", "grüße@plic.test", "a+b@plic.test", `"o d"@plic.test`)
	alias := func(name string, targets ...string) {
		var all []mail.Address
		for _, text := range targets {
			all = append(all, mail.MustAddress(text))
		}
		must(t, d.AddAlias(t.Context(), name, all...))
	}
	alias("Sales@plic.test", "bob@plic.test", "carol@other.test")
	alias("all@plic.test", "sales@plic.test", "x@elsewhere.test")
	alias("@other.test", "alice@plic.test")
	alias("loop1@plic.test", "loop2@plic.test")
	alias("loop2@plic.test", "loop1@plic.test")
	return d
}

func text(target directory.Target, err error) string {
	if err != nil {
		if errors.Is(err, directory.ErrNotFound) {
			return "nobody"
		}
		return err.Error()
	}
	s := target.Account
	for _, a := range target.Aliases {
		s += "," + a.String()
	}
	if target.Detail != "" {
		s += " detail " + target.Detail
	}
	return s
}

func TestResolve(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	check := func(d *Directory) {
		t.Helper()
		for _, tc := range []struct{ address, want string }{
			{"bob@plic.test", "bob@plic.test"},
			{"BOB@PLIC.test", "bob@plic.test"},
			{"bob+news@plic.test", "bob@plic.test detail news"},
			{"bob++x+y@plic.test", "bob@plic.test detail +x+y"},
			{"a+b@plic.test", "a+b@plic.test"},
			{"a+c@plic.test", "nobody"},
			{"+bob@plic.test", "nobody"},
			{"sales@plic.test", ",bob@plic.test,carol@other.test"},
			{"sales+q3@plic.test", ",bob@plic.test,carol@other.test detail q3"},
			{"carol@other.test", "carol@other.test"},
			{"carol+x@other.test", "carol@other.test detail x"},
			{"anybody@other.test", ",alice@plic.test"},
			{"postmaster@other.test", ",alice@plic.test"}, // the catch-all is a definition
			{"nobody@plic.test", "nobody"},
			{"GRÜSSE@plic.test", "grüße@plic.test"},
			{"gru\u0308ße@plic.test", "grüße@plic.test"},
			{`"O D"@plic.test`, `"o d"@plic.test`},
			{"Postmaster@plic.test", "bob@plic.test"}, // its first account
			{"abuse+x@plic.test", "bob@plic.test"},
			{"hostmaster@plic.test", "nobody"},
			{"postmaster@bare.test", "bob@plic.test"}, // no account there: the first of all
			{"postmaster@foreign.test", "nobody"},
			{"bob@foreign.test", "nobody"},
		} {
			if got := text(d.Resolve(t.Context(), mail.MustAddress(tc.address))); got != tc.want {
				t.Errorf("%s leads to %s, want %s", tc.address, got, tc.want)
			}
		}
		if got := text(d.Resolve(t.Context(), mail.Address{Local: "Postmaster"})); got != "bob@plic.test" {
			t.Errorf("<Postmaster> leads to %s", got)
		}
		if got := text(d.Resolve(t.Context(), mail.Address{Local: "bob"})); got != "nobody" {
			t.Errorf("<bob> leads to %s", got)
		}
	}
	check(d)
	must(t, d.Close())
	d = open(t, fs)
	check(d) // the same after it was read again
	must(t, d.RemoveAccount(t.Context(), "bob@plic.test"))
	if got := text(d.Resolve(t.Context(), mail.MustAddress("postmaster@plic.test"))); got != "alice@plic.test" {
		t.Errorf("postmaster leads to %s after bob went", got)
	}
}

func TestPostmasterSetting(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	must(t, filled(t, fs).Close())
	for _, tc := range []struct{ setting, want string }{
		{"Alice@plic.test", "alice@plic.test"},
		{"all@plic.test", ",sales@plic.test,x@elsewhere.test"},
		{"ops@elsewhere.test", ",ops@elsewhere.test"},
		{"gone@plic.test", "bob@plic.test"},
	} {
		d, err := Open(Options{FS: fs, Dir: "data/directory", Cost: cheap, Postmaster: mail.MustAddress(tc.setting)})
		must(t, err)
		for _, a := range []mail.Address{{Local: "postmaster"}, mail.MustAddress("abuse@bare.test")} {
			if got := text(d.Resolve(t.Context(), a)); got != tc.want {
				t.Errorf("with %s, %s leads to %s, want %s", tc.setting, a, got, tc.want)
			}
		}
		if got := text(d.Resolve(t.Context(), mail.MustAddress("postmaster@foreign.test"))); got != "nobody" {
			t.Errorf("postmaster of a foreign domain leads to %s", got)
		}
		must(t, d.Close())
	}
	empty := open(t, vfs.NewMemory())
	if got := text(empty.Resolve(t.Context(), mail.Address{Local: "postmaster"})); got != "nobody" {
		t.Errorf("postmaster of nothing is %s", got)
	}
}

// R4: who may send as an address.
func TestOwns(t *testing.T) {
	t.Parallel()
	d := filled(t, vfs.NewMemory())
	for _, tc := range []struct {
		account, address string
		want             bool
	}{
		{"bob@plic.test", "BOB@plic.test", true},
		{"bob@plic.test", "bob+x@plic.test", true},
		{"bob@plic.test", "sales@plic.test", true},
		{"bob@plic.test", "all@plic.test", true}, // through sales
		{"bob@plic.test", "alice@plic.test", false},
		{"bob@plic.test", "loop1@plic.test", false},
		{"bob@plic.test", "x@elsewhere.test", false},
		{"bob@plic.test", "nobody@plic.test", false},
		{"bob@plic.test", "postmaster@plic.test", true},
		{"alice@plic.test", "postmaster@plic.test", false},
		{"alice@plic.test", "whoever@other.test", true}, // the catch-all
		{"alice@plic.test", "carol@other.test", false},
		{"", "nobody@plic.test", false},
		{"gone@plic.test", "gone@plic.test", false},
	} {
		if got, err := d.Owns(t.Context(), tc.account, mail.MustAddress(tc.address)); err != nil || got != tc.want {
			t.Errorf("%s owns %s: %v %v, want %v", tc.account, tc.address, got, err, tc.want)
		}
	}
}

// U1: names that look the same are the same.
func TestCollisions(t *testing.T) {
	t.Parallel()
	d := filled(t, vfs.NewMemory())
	for _, name := range []string{"BOB@plic.test", "ｂob@plic.test", "GRÜSSE@plic.test", "gru\u0308sse@plic.test", "SALES@plic.test", `"bob"@plic.test`} {
		if got, err := d.AddAccount(t.Context(), mail.MustAddress(name), "x"); !errors.Is(err, directory.ErrExists) {
			t.Errorf("%s: %s %v", name, got, err)
		}
	}
	if err := d.AddAlias(t.Context(), "Bob@plic.test", mail.MustAddress("x@y.test")); !errors.Is(err, directory.ErrExists) {
		t.Errorf("an alias with an account's name: %v", err)
	}
	if name, err := d.AddAccount(t.Context(), mail.MustAddress("MÜLLER@PLIC.test"), "x"); err != nil || name != "müller@plic.test" {
		t.Errorf("%s %v", name, err)
	}
	must(t, d.AddDomain(t.Context(), mail.MustDomain("münchen.test")))
	if name, err := d.AddAccount(t.Context(), mail.MustAddress("x@MÜNCHEN.test"), "x"); err != nil || name != "x@xn--mnchen-3ya.test" {
		t.Errorf("%s %v", name, err)
	}
	if err := d.AddDomain(t.Context(), mail.MustDomain("xn--mnchen-3ya.test")); !errors.Is(err, directory.ErrExists) {
		t.Errorf("the A-label of a domain: %v", err)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	ctx := t.Context()
	bob, elsewhere := mail.MustAddress("bob@plic.test"), mail.MustAddress("x@elsewhere.test")
	for name, tc := range map[string]struct{ err, want error }{
		"domain again":           {d.AddDomain(ctx, plic), directory.ErrExists},
		"literal":                {d.AddDomain(ctx, mail.MustDomain("[192.0.2.1]")), directory.ErrInvalid},
		"no domain":              {d.AddDomain(ctx, mail.Domain{}), directory.ErrInvalid},
		"domain with accounts":   {d.RemoveDomain(ctx, plic, false), directory.ErrNotEmpty},
		"unknown domain":         {d.RemoveDomain(ctx, mail.MustDomain("no.test"), true), directory.ErrNotFound},
		"unknown account":        {d.RemoveAccount(ctx, "no@plic.test"), directory.ErrNotFound},
		"password of nobody":     {d.SetPassword(ctx, "no@plic.test", "x"), directory.ErrNotFound},
		"empty password":         {d.SetPassword(ctx, "bob@plic.test", ""), directory.ErrInvalid},
		"alias in foreign":       {d.AddAlias(ctx, "x@foreign.test", bob), directory.ErrNotFound},
		"alias to itself":        {d.AddAlias(ctx, "Self@plic.test", mail.MustAddress("self+x@plic.test")), directory.ErrInvalid},
		"catch-all to itself":    {d.AddAlias(ctx, "@bare.test", mail.MustAddress("no@bare.test")), directory.ErrInvalid},
		"catch-all to account":   {d.AddAlias(ctx, "@plic.test", bob), nil},
		"alias to nothing":       {d.AddAlias(ctx, "new@plic.test"), directory.ErrInvalid},
		"alias to bare name":     {d.AddAlias(ctx, "new@plic.test", mail.Address{Local: "bob"}), directory.ErrInvalid},
		"alias target again":     {d.AddAlias(ctx, "SALES@plic.test", mail.MustAddress("BOB@plic.test")), directory.ErrExists},
		"alias one more target":  {d.AddAlias(ctx, "SALES@plic.test", elsewhere), nil},
		"bad alias":              {d.AddAlias(ctx, "nonsense", bob), directory.ErrInvalid},
		"unknown alias":          {d.RemoveAlias(ctx, "no@plic.test"), directory.ErrNotFound},
		"target that is not":     {d.RemoveAlias(ctx, "all@plic.test", bob), directory.ErrNotFound},
		"one target":             {d.RemoveAlias(ctx, "ALL@plic.test", mail.MustAddress("X@elsewhere.test")), nil},
		"the last target":        {d.RemoveAlias(ctx, "loop1@plic.test", mail.MustAddress("loop2@plic.test")), nil},
		"whole alias":            {d.RemoveAlias(ctx, "loop2@plic.test"), nil},
		"catch-all":              {d.RemoveAlias(ctx, "@OTHER.test"), nil},
		"disable":                {d.SetDisabled(ctx, "BOB@plic.test", true), nil},
		"password":               {d.SetPassword(ctx, "Alice@plic.test", "new secret"), nil},
		"account without domain": {func() error { _, err := d.AddAccount(ctx, mail.MustAddress("x@no.test"), "x"); return err }(), directory.ErrNotFound},
		"postmaster alone":       {func() error { _, err := d.AddAccount(ctx, mail.Address{Local: "postmaster"}, "x"); return err }(), directory.ErrInvalid},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v, want %v", name, tc.err, tc.want)
		}
	}
	check := func(d *Directory) {
		t.Helper()
		if got := fmt.Sprint(d.Domains()); got != "[{bare.test} {other.test} {plic.test}]" {
			t.Errorf("domains %s", got)
		}
		var aliases []string
		for _, a := range d.Aliases() {
			aliases = append(aliases, fmt.Sprint(a.Name, a.Targets))
		}
		if got := strings.Join(aliases, " "); got != "@plic.test[bob@plic.test] all@plic.test[sales@plic.test] sales@plic.test[bob@plic.test carol@other.test x@elsewhere.test]" {
			t.Errorf("aliases %s", got)
		}
		accounts := d.Accounts()
		if len(accounts) != 6 || accounts[3].Name != "bob@plic.test" || !accounts[3].Disabled || !accounts[3].Created.Equal(noon) {
			t.Errorf("accounts %+v", accounts)
		}
		a, err := d.Account(ctx, " Alice@PLIC.test ")
		must(t, err)
		if ok, err := directory.Verify(a.Secret.Hash, "new secret"); !ok || err != nil || a.Name != "alice@plic.test" || a.Secret.SCRAM == nil {
			t.Errorf("alice: %v %v %+v", ok, err, a)
		}
		for _, login := range []string{"", "bob", "no@plic.test", "sales@plic.test", "bob+x@plic.test", "\x00", strings.Repeat("x", 1000)} {
			if _, err := d.Account(ctx, login); !errors.Is(err, directory.ErrNotFound) {
				t.Errorf("account %q: %v", login, err)
			}
		}
	}
	check(d)
	secret := d.Secret()
	must(t, d.Close())
	if err := d.AddDomain(ctx, mail.MustDomain("late.test")); err == nil {
		t.Error("a change after Close")
	}
	d = open(t, fs.CrashClone(vfs.CrashConfig{})) // all of it was durable at once
	check(d)
	if !bytes.Equal(d.Secret(), secret) || len(secret) < 16 {
		t.Errorf("the secret changed from %s to %s", secret, d.Secret())
	}
	must(t, d.RemoveDomain(ctx, plic, true))
	must(t, d.Close())
	d = open(t, fs.CrashClone(vfs.CrashConfig{}))
	must(t, d.RemoveDomain(ctx, plic, true))
	must(t, d.Close())
}

func TestRemoveDomainTakesAll(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	must(t, d.RemoveDomain(t.Context(), plic, true))
	for range 2 {
		if len(d.Accounts()) != 1 || len(d.Aliases()) != 1 || len(d.Domains()) != 2 {
			t.Errorf("left: %v %v %v", d.Accounts(), d.Aliases(), d.Domains())
		}
		must(t, d.Close())
		d = open(t, fs)
	}
}

func read(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	l := log{fs: fs, dir: "data/directory"}
	f, err := fs.Open(l.path(name))
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	b := make([]byte, info.Size())
	f.ReadAt(b, 0)
	return b
}

func write(t testing.TB, fs vfs.FS, text []byte) {
	t.Helper()
	must(t, vfs.MakeDir(fs, "data/directory"))
	l := log{fs: fs, dir: "data/directory"}
	must(t, l.write(fileName, text))
}

// C2: cut at each length and with each byte flipped, the log opens; what was
// lost is at most the line that was hit, and its bytes are kept.
func TestDamage(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	want := d.state.size()
	must(t, d.Close())
	whole := read(t, fs, fileName)
	for n := range len(whole) {
		fs := vfs.NewMemory()
		write(t, fs, bytes.Clone(whole[:n]))
		d := open(t, fs)
		lines := bytes.Count(whole[:n], []byte("\n"))
		if d.Damaged() != 0 || d.state.size() > want || d.state.size() < lines-1 {
			t.Fatalf("cut at %d: %d lines, state %d, damaged %d", n, lines, d.state.size(), d.Damaged())
		}
		must(t, d.Close())
	}
	for n := range len(whole) {
		fs := vfs.NewMemory()
		bad := bytes.Clone(whole)
		bad[n] ^= 0x20
		write(t, fs, bytes.Clone(bad))
		d := open(t, fs)
		if d.state.size() < want-2 || d.state.size() > want || d.Damaged() == 0 && n < len(whole)-1 {
			t.Fatalf("flipped %d: state %d of %d, damaged %d", n, d.state.size(), want, d.Damaged())
		}
		must(t, d.Close())
		if again := open(t, fs); again.Damaged() != 0 {
			t.Fatalf("flipped %d: still damaged", n)
		}
		names, _ := fs.List("data/directory")
		kept := n == len(whole)-1
		for _, name := range names {
			if strings.HasPrefix(name, "directory-damaged-") {
				start := bytes.LastIndexByte(whole[:n], '\n') + 1
				kept = kept || bytes.Contains(read(t, fs, name), bad[start:n+1])
			}
		}
		if !kept {
			t.Fatalf("flipped %d: the bytes are gone: %v", n, names)
		}
	}
}

func TestNewerVersionIsLeftAlone(t *testing.T) {
	t.Parallel()
	for _, r := range []record{{Op: opFormat, Version: formatVersion + 1}, {Op: "quota", Name: "bob@plic.test"}} {
		fs := vfs.NewMemory()
		line, err := encode(nil, r)
		must(t, err)
		write(t, fs, bytes.Clone(line))
		if _, err := Open(Options{FS: fs, Dir: "data/directory"}); !errors.Is(err, errNewer) {
			t.Errorf("%s: %v", line, err)
		}
		if !bytes.Equal(read(t, fs, fileName), line) {
			t.Error("the file was changed")
		}
	}
}

func TestCompaction(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	for i := range 500 {
		must(t, d.SetDisabled(t.Context(), "bob@plic.test", i%2 == 0))
		if n := bytes.Count(read(t, fs, fileName), []byte("\n")); n != d.log.lines || n > 2*d.state.size()+70 {
			t.Fatalf("%d lines, counted as %d", n, d.log.lines)
		}
	}
	must(t, d.Close())
	d = open(t, fs.CrashClone(vfs.CrashConfig{}))
	if len(d.Accounts()) != 6 || d.Accounts()[3].Disabled || d.Damaged() != 0 {
		t.Errorf("accounts %v", d.Accounts())
	}
	if got := text(d.Resolve(t.Context(), mail.MustAddress("postmaster@plic.test"))); got != "bob@plic.test" {
		t.Errorf("the oldest account is now %s", got)
	}
}

// An error at the k-th operation of the file system, for all k: a change that
// was reported done is there after a crash, and the next change succeeds.
func TestFaults(t *testing.T) {
	t.Parallel()
	for k := range int64(200) {
		var count atomic.Int64
		count.Store(-1 << 40)
		injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && op.Kind != errorfs.OpFileClose && count.Add(1) == k+1 {
				return errorfs.ErrInjected
			}
			return nil
		})
		under := vfs.NewMemory()
		d := open(t, errorfs.Wrap(under, injector))
		must(t, d.AddDomain(t.Context(), plic))
		count.Store(0)
		acked := map[string]bool{}
		for i := range 20 {
			name := fmt.Sprintf("user%d@plic.test", i)
			_, err := d.AddAccount(t.Context(), mail.MustAddress(name), "x")
			if acked[name] = err == nil; err == nil {
				continue
			}
			if !errors.Is(err, errorfs.ErrInjected) {
				t.Fatal(err)
			}
			if _, err := d.Account(t.Context(), name); err == nil {
				t.Fatalf("fault %d: %s failed and is there", k, name)
			}
		}
		for i := range 100 { // and compact
			if err := d.SetDisabled(t.Context(), "user3@plic.test", i%2 == 0); err != nil && !errors.Is(err, errorfs.ErrInjected) && acked["user3@plic.test"] {
				t.Fatal(err)
			}
		}
		after := open(t, under.CrashClone(vfs.CrashConfig{}))
		for name, ok := range acked {
			if _, err := after.Account(t.Context(), name); (err == nil) != ok {
				t.Fatalf("fault %d: %s acknowledged %v, after the crash %v", k, name, ok, err)
			}
		}
		if after.Damaged() != 0 {
			t.Fatalf("fault %d: damaged", k)
		}
	}
}

func TestFileIsPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // which others may enter
	d, err := Open(Options{FS: vfs.Disk(), Dir: dir, Cost: cheap})
	must(t, err)
	defer d.Close()
	i, err := vfs.Disk().Stat(filepath.Join(dir, fileName))
	if must(t, err); i.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", i.Mode())
	}
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	injector := errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileRead || op.Kind == errorfs.OpFileStat {
			return errorfs.ErrInjected
		}
		return nil
	})
	fs := vfs.NewMemory()
	must(t, filled(t, fs).Close())
	if _, err := Open(Options{FS: errorfs.Wrap(fs, injector), Dir: "data/directory"}); !errors.Is(err, errorfs.ErrInjected) {
		t.Errorf("a directory that cannot be read opens: %v", err)
	}
}

func TestDamageIsReported(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	write(t, fs, []byte("rubbish\n"))
	var out bytes.Buffer
	d, err := Open(Options{FS: fs, Dir: "data/directory", Cost: cheap, Log: slog.New(slog.NewTextHandler(&out, nil))})
	must(t, err)
	if d.Damaged() != 1 || !strings.Contains(out.String(), "set aside") {
		t.Errorf("damaged %d, log %s", d.Damaged(), out.String())
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	d := filled(t, fs)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for n := range 20 {
				name := fmt.Sprintf("u%d-%d@plic.test", i, n)
				if _, err := d.AddAccount(t.Context(), mail.MustAddress(name), "x"); err != nil {
					t.Error(err)
				}
				d.Resolve(t.Context(), mail.MustAddress("postmaster@plic.test"))
				d.Owns(t.Context(), "bob@plic.test", mail.MustAddress("all@plic.test"))
				d.Accounts()
				if n%2 == 0 {
					if err := d.RemoveAccount(t.Context(), name); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	must(t, d.Close())
	if n := len(open(t, fs).Accounts()); n != 6+40 {
		t.Errorf("%d accounts", n)
	}
}

func FuzzNativeLog(f *testing.F) {
	fs := vfs.NewMemory()
	d := filled(f, fs)
	must(f, d.Close())
	f.Add(read(f, fs, fileName))
	f.Add([]byte("{}\n"))
	for _, r := range []record{
		{Op: opAccount, Name: "x@plic.test", Hash: "h"}, {Op: opRemoveDomain, Name: "plic.test"}, {Op: opRemoveAccount, Name: "x@plic.test"},
		{Op: opAlias, Name: "@plic.test", Targets: []string{"x@y"}}, {Op: opRemoveAlias, Name: "@plic.test"}, {Op: opAccount, Name: "bad"},
	} {
		line, err := encode(nil, r)
		must(f, err)
		f.Add(append(line, line...))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		// With and without right checksums.
		var signed []byte
		for line := range bytes.Lines(file) {
			if i := bytes.LastIndex(line, []byte(`,"crc":`)); i >= 0 {
				signed = fmt.Appendf(append(signed, line[:i]...), `,"crc":"%08x"}`+"\n", checksum(line[:i]))
			}
		}
		for _, file := range [][]byte{file, signed} {
			fs := vfs.NewMemory()
			write(t, fs, bytes.Clone(file))
			d, err := Open(Options{FS: fs, Dir: "data/directory", Cost: cheap})
			if errors.Is(err, errNewer) {
				continue
			}
			must(t, err)
			d.Resolve(t.Context(), mail.MustAddress("postmaster@plic.test"))
			d.Owns(t.Context(), "x@plic.test", mail.MustAddress("y@plic.test"))
			before := fmt.Sprint(d.Domains(), d.Accounts(), d.Aliases())
			must(t, d.Close())
			again := open(t, fs)
			if after := fmt.Sprint(again.Domains(), again.Accounts(), again.Aliases()); after != before || again.Damaged() != 0 {
				t.Fatalf("read again: %s\nwas %s", after, before)
			}
		}
	})
}

func BenchmarkOpen100k(b *testing.B) {
	fs := vfs.NewMemory()
	secret, err := directory.NewSecret("x", cheap)
	must(b, err)
	scram, _ := secret.SCRAM.MarshalText()
	file, _ := encode(nil, record{Op: opSecret, Secret: "s"})
	file, _ = encode(file, record{Op: opDomain, Name: "plic.test", Time: noon})
	for i := range 100_000 {
		file, _ = encode(file, record{Op: opAccount, Name: fmt.Sprintf("user%06d@plic.test", i), Hash: secret.Hash, SCRAM: string(scram), Time: noon})
	}
	write(b, fs, file)
	for b.Loop() {
		d := open(b, fs)
		if len(d.state.accounts) != 100_000 {
			b.Fatal(len(d.state.accounts))
		}
		d.Close()
	}
}

func BenchmarkResolve(b *testing.B) {
	d := filled(b, vfs.NewMemory())
	a := mail.MustAddress("bob+x@plic.test")
	b.ReportAllocs()
	for b.Loop() {
		if t, err := d.Resolve(b.Context(), a); err != nil || t.Account == "" {
			b.Fatal(err)
		}
	}
}
