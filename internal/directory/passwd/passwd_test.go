package passwd

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/vfs"
	"plic/test/peers"
)

var plic = mail.MustDomain("plic.test")

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func hashed(password string) string {
	return fmt.Sprintf("{SHA256.HEX}%x", sha256.Sum256([]byte(password)))
}

// line is an account in a passwd-file.
func line(a directorytest.Account) string {
	extra := []string{"userdb_mail=maildir:~/Maildir"}
	if a.Quota.Bytes != 0 {
		rule := fmt.Sprintf("userdb_quota_rule=*:bytes=%d", max(a.Quota.Bytes, 0))
		if a.Quota.Messages != 0 {
			rule += fmt.Sprintf(":messages=%d", a.Quota.Messages)
		}
		extra = append(extra, rule)
	}
	for name, list := range map[string][]string{"userdb_acl_groups": a.Groups, "senders": a.Senders, "protocols": a.Protocols} {
		if len(list) > 0 {
			extra = append(extra, name+"="+strings.Join(list, ","))
		}
	}
	if a.Disabled {
		extra = append(extra, "nologin")
	}
	return fmt.Sprintf("%s:%s:1000:1000:Some One:%s:/bin/sh:%s\n", a.Name, hashed(a.Password), a.Home, strings.Join(extra, " "))
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	directorytest.Suite{
		Open: func(t *testing.T, s directorytest.Site) directory.Directory {
			path := filepath.Join(t.TempDir(), "users")
			text := "# who there is\n\n"
			for _, a := range s.Accounts {
				text += line(a)
			}
			write(t, path, text)
			d, err := Open(Options{FS: vfs.Disk(), Path: path})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Lacks: []string{directorytest.Aliases, directorytest.CatchAlls, directorytest.Copies},
	}.Run(t)
}

func TestPasswdFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	now := time.Now()
	write(t, path, "ann:{PLAIN}x:1000:100::/home/ann::userdb_mail=maildir:~/Maildir userdb_quota_rule=*:storage=1G allow_nets=192.0.2.0/24\nann:{PLAIN}other\nbob@other.test:{PLAIN}y::::::user=ann\ncut:{PLAIN}z\n")
	d, err := Open(Options{FS: vfs.Disk(), Path: path, Now: func() time.Time { return now }, Form: source.Form{Domain: plic}, Domains: []mail.Domain{mail.MustDomain("old.test")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"ann", "Ann@plic.test", "ann@old.test"} {
		a, err := d.Account(t.Context(), login)
		if err != nil || a.Name != "ann@plic.test" || a.Secret.Hash != "{PLAIN}x" || a.UID != 1000 || a.GID != 100 || a.Home != "/home/ann" || a.Mailboxes != "maildir:~/Maildir" ||
			a.Quota.Bytes != 1<<30 || len(a.Allow.Networks) != 1 {
			t.Errorf("%s: %+v, %v", login, a, err)
		}
	}
	for address, want := range map[string]string{"ann@plic.test": "ann@plic.test", "ann+x@old.test": "ann@plic.test x", "bob@other.test": "bob@other.test", "bob@plic.test": "-", "cut@plic.test": "cut@plic.test"} {
		if got := directorytest.Text(d.Resolve(t.Context(), mail.MustAddress(address))); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	for name, want := range map[string]bool{"plic.test": true, "old.test": true, "other.test": true, "x.test": false} {
		if _, err := d.Domain(t.Context(), mail.MustDomain(name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A fault leaves what was there; a user who is gone is gone.
	for _, step := range []struct{ text, want string }{{"new:{PLAIN}x:no:\n", "ann@plic.test"}, {"new:{PLAIN}x\n", "-"}, {"ann:{PLAIN}z\n", "ann@plic.test"}} {
		write(t, path, step.text)
		now = now.Add(time.Second)
		if got := directorytest.Text(d.Resolve(t.Context(), mail.MustAddress("ann@plic.test"))); got != step.want {
			t.Errorf("after %q: %q", step.text, got)
		}
	}
	for _, bad := range []string{"ann\n:x:\n", "a b@:x", "ann:x:1:2:::: quota_bytes=many", strings.Repeat("x", maxLine+1)} {
		write(t, path, bad)
		if _, err := Open(Options{FS: vfs.Disk(), Path: path, Form: source.Form{Domain: plic}}); err == nil {
			t.Errorf("%.40q is no fault", bad)
		}
	}
}

// etc writes the files of a system down.
func etc(t *testing.T, s directorytest.Site) string {
	root := t.TempDir()
	passwd, shadow, groups := "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\nbroken\nbad:x:many:1::/:\n", "root:!:1::::::\n", map[string][]string{}
	for i, a := range s.Accounts {
		name := mail.MustAddress(a.Name).Local
		passwd += fmt.Sprintf("%s:x:%d:1000::%s:/bin/sh\n", name, 1000+i, a.Home)
		shadow += fmt.Sprintf("%s:%s:19000:0:99999:7:::\n", name, hashed(a.Password))
		for _, g := range a.Groups {
			groups[g] = append(groups[g], name)
		}
	}
	group := "root:x:0:\nbroken\n"
	for name, members := range groups {
		group += fmt.Sprintf("%s:x:%d:%s\n", name, 2000+len(group), strings.Join(members, ","))
	}
	write(t, root+"/etc/passwd", passwd)
	write(t, root+"/etc/shadow", shadow)
	write(t, root+"/etc/group", group)
	return root
}

// checker is a program that knows a site's passwords, as checkpassword does.
func checker(t *testing.T, s directorytest.Site) string {
	dir := t.TempDir()
	for _, a := range s.Accounts {
		write(t, filepath.Join(dir, "known", fmt.Sprintf("%x", sha256.Sum256([]byte(mail.MustAddress(a.Name).Local+"\x00"+a.Password+"\x00")))), "")
	}
	path := filepath.Join(dir, "checkpassword")
	write(t, path, `#!/bin/sh
sum=$(head -z -n 2 <&3 | sha256sum | cut -d' ' -f1)
[ -e `+dir+`/broken ] && exit 111
[ -e "`+dir+`/known/$sum" ] && exec "$@"
exit 1
`)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

var lacks = []string{directorytest.Aliases, directorytest.CatchAlls, directorytest.Copies, directorytest.Quotas, directorytest.Senders, directorytest.Protocols, directorytest.Disabled,
	directorytest.Domains, directorytest.Quoted, directorytest.Unicode}

func TestSystem(t *testing.T) {
	t.Parallel()
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprint("helper=", external), func(t *testing.T) {
			directorytest.Suite{
				Open: func(t *testing.T, s directorytest.Site) directory.Directory {
					o := System{Root: etc(t, s)}
					o.FS, o.Form.Domain = vfs.Disk(), plic
					if external {
						o.Helper = NewHelper(checker(t, s), 4, time.Minute)
					}
					d, err := OpenSystem(o)
					if err != nil {
						t.Fatal(err)
					}
					return d
				},
				External: external, Lacks: lacks,
			}.Run(t)
		})
	}
}

// A hash of Debian's default kind counts without a helper; a locked one does not.
func TestShadow(t *testing.T) {
	t.Parallel()
	o := System{Root: etc(t, directorytest.Site{Accounts: []directorytest.Account{{Name: "ann@plic.test"}, {Name: "bob@plic.test"}}})}
	o.FS, o.Form.Domain = vfs.Disk(), plic
	const yescrypt = "$y$j9T$salt1234$pUhEqzbmpNS2ajBn4Rs6YKqe5yOSUUbfowdnKWDhtr7"
	write(t, o.Root+"/etc/shadow", "ann:"+yescrypt+":19000:0:99999:7:::\nbob:!"+yescrypt+":19000:0:99999:7:::\n")
	d, err := OpenSystem(o)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := directorytest.Verify(t.Context(), d, "ann", "secret"); !ok || err != nil {
		t.Errorf("yescrypt: %v, %v", ok, err)
	}
	for login, password := range map[string]string{"ann": "guess", "bob": "secret"} {
		if ok, _ := directorytest.Verify(t.Context(), d, login, password); ok {
			t.Errorf("%s gets in with %s", login, password)
		}
	}
}

func TestSystemUsers(t *testing.T) {
	t.Parallel()
	site := directorytest.Site{Accounts: []directorytest.Account{{Name: "ann@plic.test", Password: "x", Home: "/home/ann", Groups: []string{"staff"}}}}
	o := System{Root: etc(t, site)}
	o.FS = vfs.Disk()
	if _, err := OpenSystem(o); err == nil {
		t.Error("no domain is no fault")
	}
	o.Form.Domain = plic
	write(t, o.Root+"/etc/group", "users:x:1000:\nstaff:x:50:ann,bob\n")
	d, err := OpenSystem(o)
	if err != nil {
		t.Fatal(err)
	}
	a, err := d.Account(t.Context(), "ann")
	slices.Sort(a.Groups)
	if err != nil || a.UID != 1000 || a.Home != "/home/ann" || !slices.Equal(a.Groups, []string{"staff", "users"}) {
		t.Errorf("%+v, %v", a, err)
	}
	for _, name := range []string{"root", "nobody", "broken", "bad"} {
		if a, err := d.Account(t.Context(), name); !errors.Is(err, directory.ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, a, err)
		}
	}
	if _, err := d.Check(t.Context(), "ann", "x"); err == nil || errors.Is(err, directory.ErrPassword) {
		t.Errorf("no helper: %v", err)
	}
	for program, want := range map[string]string{"false": "wrong", "true": "found", "/nonexistent": "trouble", "/dev/null": "trouble", "sleep": "wrong"} {
		path, err := exec.LookPath(program)
		if err != nil {
			path = program
		}
		o.Helper = NewHelper(path, 1, 10*time.Second)
		d, err := OpenSystem(o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = d.Check(t.Context(), "ann", "x")
		if got := (directory.Step{Err: err}).Outcome(); got != want {
			t.Errorf("%s: %v, want %s", program, err, want)
		}
	}
	slow := filepath.Join(t.TempDir(), "slow")
	write(t, slow, "#!/bin/sh\nsleep 100\n")
	os.Chmod(slow, 0o755)
	o.Helper = NewHelper(slow, 1, 100*time.Millisecond)
	if d, err = OpenSystem(o); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Check(t.Context(), "ann", "x"); err == nil || errors.Is(err, directory.ErrPassword) {
		t.Errorf("a helper that does not end: %v", err)
	}
}

// TestPAM has the passwords of a real system checked by PAM's own helper, in a
// system that only the program sees.
func TestPAM(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may ask about others, and change what /etc is")
	}
	for _, program := range []string{"/usr/sbin/unix_chkpwd", "unshare"} {
		if _, err := exec.LookPath(program); err != nil {
			peers.Missing(t, err.Error())
		}
	}
	site := directorytest.Site{Accounts: []directorytest.Account{{Name: "ann@plic.test", Home: "/home/ann"}}}
	o := System{Root: etc(t, site)}
	o.FS, o.Form.Domain = vfs.Disk(), plic
	write(t, o.Root+"/etc/shadow", "ann:$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1:19000:0:99999:7:::\nnew:$y$j9T$x:19000::::::\n")
	os.Chmod(o.Root+"/etc/passwd", 0o644)
	path := filepath.Join(t.TempDir(), "unix_chkpwd")
	write(t, path, "#!/bin/sh\nexec unshare --mount sh -c 'for f in passwd shadow; do mount --bind "+o.Root+"/etc/$f /etc/$f || exit 99; done; exec /usr/sbin/unix_chkpwd \"$@\"' sh \"$@\"\n")
	os.Chmod(path, 0o755)
	o.Helper = NewHelper(path, 2, time.Minute)
	d, err := OpenSystem(o)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]string{"Hello world!": "found", "Hello": "wrong", "": "wrong"} {
		_, err := d.Check(t.Context(), "ann", password)
		if got := (directory.Step{Err: err}).Outcome(); got != want {
			t.Errorf("%q: %v, want %s", password, err, want)
		}
	}
}

// A file is read or refused; its accounts have names, and no number is negative.
func FuzzPasswdFile(f *testing.F) {
	f.Add([]byte("ann:{PLAIN}x:1000:100::/home/ann::userdb_quota_rule=*:storage=1G allow_nets=192.0.2.0/24\n#\nbob\n"))
	f.Add([]byte("a@b:x:1:2:3:4:5:nologin senders=@x,y@z quota=-1\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		o := Options{Form: source.Form{Domain: plic}}
		u, err := o.parse(text)
		if err != nil {
			return
		}
		for name, a := range u.accounts {
			if again, err := mail.ParseAddress(name); err != nil || again.String() != a.Name || a.Quota.Bytes < directory.Unlimited {
				t.Errorf("%q: %+v, %v", name, a, err)
			}
		}
		s := &system{}
		s.o.Form.Domain = plic
		if _, err := s.parsePeople(text); err != nil && len(text) < maxLine {
			t.Errorf("the system's file is refused: %v", err)
		}
	})
}
