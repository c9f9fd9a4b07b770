//go:build unix

package vfs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// TestWithinLeadsNowhereElse plants what a user of a directory could.
func TestWithinLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, secret := filepath.Join(top, "in"), filepath.Join(top, "secret")
	for _, err := range []error{
		os.MkdirAll(dir+"/sub", 0o700), os.WriteFile(secret, []byte("secret"), 0o600), os.MkdirAll(top+"/out", 0o700),
		os.Symlink(secret, dir+"/link"), os.Symlink("../out", dir+"/cur"), os.Symlink("sub/x", dir+"/inner"),
		os.WriteFile(dir+"/sub/x", []byte("x"), 0o600), syscall.Mkfifo(dir+"/fifo", 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := Within(dir, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"link", "inner", "fifo", "sub", "../secret", "/etc/passwd", "cur/../secret"} {
		if f, err := w.Open(name); err == nil {
			t.Errorf("%s was opened", name)
			f.Close()
		}
		if f, err := w.(*within).openByParts(name, os.O_RDONLY); err == nil {
			t.Errorf("%s was opened by its parts", name)
			f.Close()
		}
		if f, err := w.OpenReadWrite(name, Mail); err == nil {
			t.Errorf("%s was opened for writing", name)
			f.Close()
		}
		if f, err := w.Create(name, Mail); err == nil {
			t.Errorf("%s was made", name)
			f.Close()
		}
	}
	for what, err := range map[string]error{
		"create": second(w.Create("cur/x", Mail)), "rename": w.Rename("sub/x", "cur/x"), "link": w.Link("sub/x", "cur/y"),
		"mkdir": w.MkdirAll("cur/new", 0o700), "remove": w.Remove("../secret"), "list": second(w.List("cur")),
	} {
		if err == nil {
			t.Errorf("%s went through a symbolic link", what)
		}
	}
	if list, err := os.ReadDir(top + "/out"); err != nil || len(list) > 0 {
		t.Errorf("outside there is %v, %v", list, err)
	}
	if err := w.Remove("link"); err != nil {
		t.Error(err) // the link itself
	}
	if _, err := os.Stat(secret); err != nil {
		t.Error(err)
	}
}

// TestOpenBeneath: a file is opened by one call where the system can, and by its
// parts as well; through a symbolic link that leads no further than to a directory
// beside it, too.
func TestOpenBeneath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, err := range []error{
		os.Mkdir(dir+"/cur", 0o700), os.WriteFile(dir+"/cur/x", []byte("text"), 0o600), os.Symlink("cur", dir+"/here"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	fs, err := Within(dir, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	w := fs.(*within)
	defer w.Close()
	atOnce := func(name string, flag int) (*os.File, error) { return openBeneath(w.at, name, flag) }
	for how, open := range map[string]func(string, int) (*os.File, error){"at once": atOnce, "by parts": w.openByParts} {
		for _, name := range []string{"cur/x", "here/x"} {
			f, err := open(name, os.O_RDONLY)
			if errors.Is(err, errors.ErrUnsupported) && runtime.GOOS != "linux" {
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if text, err := io.ReadAll(f); err != nil || string(text) != "text" {
				t.Errorf("%s, %s: %q, %v", name, how, text, err)
			}
			f.Close()
		}
		if _, err := open("cur/none", os.O_RDONLY); !NotExist(err) && !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%s: %v", how, err)
		}
	}
	w.Close()
	if _, err := fs.Open("cur/x"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("opened below what is closed: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestWithin(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	w, err := Within(dir, Owner{})
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(w, "a/b"); err != nil {
		t.Fatal(err)
	}
	write(t, w, "a/b/one", "text", true)
	if _, err := w.Create("a/b/one", Mail); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made what is there: %v", err)
	}
	if err := errors.Join(w.Link("a/b/one", "a/two"), w.Rename("a/b/one", "a/b/three"), SyncDir(w, "a/b"), SyncDir(w, ".")); err != nil {
		t.Fatal(err)
	}
	if got, err := read(w, "a/two"); got != "text" || err != nil {
		t.Error(got, err)
	}
	i, err := w.Stat("a/b/three")
	if err != nil || i.Mode() != 0o640 || Inode(i) == 0 {
		t.Error(i, err)
	}
	if d, err := w.Stat("a/b"); err != nil || d.Mode().Perm() != 0o750 {
		t.Error(d, err)
	}
	if list, err := w.List("a"); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
	if _, err := Within(dir+"/none", Owner{}); !NotExist(err) {
		t.Error(err)
	}
	if _, err := Within(dir, Owner{UID: os.Getuid() + 1}); !errors.Is(err, ErrPlanted) {
		t.Errorf("the directory of another: %v", err)
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	dir := filepath.Join(t.TempDir(), "x", "y")
	o := Owner{UID: 65534, GID: 65534}
	if err := MakeOwned(dir, o); err != nil {
		t.Fatal(err)
	}
	w, err := Within(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := MakeDir(w, "cur"); err != nil {
		t.Fatal(err)
	}
	write(t, w, "cur/mine", "", false)
	for _, name := range []string{".", "cur", "cur/mine"} {
		i, err := w.Stat(name)
		if err != nil || i.Sys().(*syscall.Stat_t).Uid != 65534 {
			t.Error(name, i, err)
		}
	}
	if err := os.WriteFile(dir+"/cur/other", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir+"/cur/other", 1, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Open("cur/other"); !errors.Is(err, ErrPlanted) {
		t.Errorf("a file of another user was opened: %v", err)
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	under := NewMemory()
	if err := MakeDir(under, "/m/a"); err != nil {
		t.Fatal(err)
	}
	b := Below(under, "/m")
	write(t, b, "a/x", "text", true)
	if got, err := read(under, "/m/a/x"); got != "text" || err != nil {
		t.Error(got, err)
	}
	if err := errors.Join(b.Rename("a/x", "y"), b.Link("y", "z"), b.Remove("y"), SyncDir(b, ".")); err != nil {
		t.Fatal(err)
	}
	if list, err := b.List("."); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
}

// TestWatcher by the system, and by looking.
func TestWatcher(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"system", "looking"} {
		t.Run(by, func(t *testing.T) {
			t.Parallel()
			w := NewWatcher()
			defer w.Close()
			if by == "looking" {
				w.system.Close()
				w.system = nil
			}
			dir := t.TempDir()
			old := time.Now().Add(-time.Hour)
			if err := os.Chtimes(dir, old, old); err != nil {
				t.Fatal(err)
			}
			told := make(chan string, 100)
			stop, err := w.Watch(dir, func(name string) { told <- name })
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/x", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"system": "x", "looking": ""}[by]
			if got := <-told; got != want {
				t.Errorf("told of %q, want %q", got, want)
			}
			stop()
			if _, err := w.Watch(dir+"/none", func(string) {}); err == nil {
				t.Error("watches what is not there")
			}
		})
	}
}
