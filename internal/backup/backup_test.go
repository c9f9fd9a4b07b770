package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"plic/internal/backup"
	"plic/internal/vfs"
)

// place is a data directory in memory, without a store.
type place struct {
	*testing.T
	fs  *vfs.Memory
	now time.Time
	o   backup.Options
}

func newPlace(t *testing.T) *place {
	p := &place{T: t, fs: vfs.NewMemory(), now: time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)}
	p.o = backup.Options{
		FS: p.fs, Data: "/data", To: "/backups", Skip: []string{"control.sock"},
		Now: func() time.Time { p.now = p.now.Add(time.Hour); return p.now },
		Snapshot: func(_ context.Context, use func(string) error) error {
			return use("/data/records")
		},
	}
	p.put("/data/records/000001.sst", "records")
	p.put("/data/bodies/1.seg", strings.Repeat("body ", 1000))
	p.put("/data/directory/log", "accounts\n")
	p.put("/data/control.sock", "socket")
	return p
}

func (p *place) put(name, text string) {
	p.Helper()
	if err := vfs.MakeDir(p.fs, p.fs.PathDir(name)); err != nil {
		p.Fatal(err)
	}
	f, err := p.fs.Create(name, vfs.Mail)
	if err != nil {
		p.Fatal(err)
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Sync(), f.Close(), vfs.SyncDir(p.fs, p.fs.PathDir(name))); err != nil {
		p.Fatal(err)
	}
}

func (p *place) get(name string) string {
	f, err := p.fs.Open(name)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *place) make() (b backup.Backup, copied int64) {
	p.Helper()
	p.o.Progress = func(now backup.Progress) { copied = now.Copied }
	b, err := backup.Make(p.Context(), p.o)
	if err != nil {
		p.Fatal(err)
	}
	return b, copied
}

func (p *place) verify(b backup.Backup) (wrong []string) {
	p.Helper()
	for problem, err := range backup.Verify(p.Context(), p.fs, b, func(backup.Progress) {}) {
		if err != nil {
			p.Fatal(err)
		}
		wrong = append(wrong, problem.File)
	}
	return wrong
}

// TestIncremental: a second backup copies what is new, both are whole, the older
// one may go.
func TestIncremental(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first, copied := p.make()
	if copied != first.Bytes || first.Files != 3 {
		t.Errorf("first: %+v, copied %d", first, copied)
	}
	p.put("/data/bodies/2.seg", "new")
	p.put("/data/directory/log", "accounts\nmore\n")
	second, copied := p.make()
	if want := int64(len("new") + len("accounts\nmore\n")); copied != want || second.Files != 4 {
		t.Errorf("second: %+v, copied %d, want %d", second, copied, want)
	}
	if got := p.get(first.Path + "/directory/log"); got != "accounts\n" {
		t.Errorf("the first backup has %q", got)
	}
	if all, err := backup.List(p.fs, "/backups"); err != nil || len(all) != 2 || all[1].Path != second.Path || all[0].From != "/data" {
		t.Errorf("list: %+v, %v", all, err)
	}
	p.o.Keep = 1
	third, _ := p.make()
	if names, err := p.fs.List("/backups"); err != nil || len(names) != 1 || !strings.HasSuffix(third.Path, names[0]) {
		t.Errorf("left: %v, %v", names, err)
	}
	if wrong := p.verify(third); len(wrong) > 0 {
		t.Errorf("damaged: %v", wrong)
	}
	problems, err := backup.Restore(t.Context(), p.fs, third, "/new", func(backup.Progress) {})
	if err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	for _, name := range []string{"/records/000001.sst", "/bodies/1.seg", "/bodies/2.seg", "/directory/log"} {
		if got, want := p.get("/new"+name), p.get("/data"+name); got != want {
			t.Errorf("%s: restored %.60q, want %.60q", name, got, want)
		}
	}
	if _, err := p.fs.Stat("/new/control.sock"); !vfs.NotExist(err) {
		t.Error("the socket was copied")
	}
	if _, err := backup.Restore(t.Context(), p.fs, third, "/data", func(backup.Progress) {}); err == nil {
		t.Error("restored over something")
	}
}

// TestCrash: after a crash at any time the finished backup is whole, and the
// next one takes over what the unfinished one has.
func TestCrash(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	first, _ := p.make()
	p.put("/data/bodies/2.seg", strings.Repeat("second", 1000))
	ctx, stop := context.WithCancel(t.Context())
	p.o.Progress = func(now backup.Progress) {
		if now.Copied > 1000 {
			stop()
		}
	}
	if _, err := backup.Make(ctx, p.o); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	p.fs = p.fs.CrashClone(vfs.CrashConfig{})
	p.o.FS = p.fs
	if wrong := p.verify(first); len(wrong) > 0 {
		t.Errorf("damaged: %v", wrong)
	}
	second, _ := p.make()
	if wrong := p.verify(second); len(wrong) > 0 {
		t.Errorf("damaged: %v", wrong)
	}
	if names, err := p.fs.List("/backups"); err != nil || len(names) != 2 {
		t.Errorf("left: %v, %v", names, err)
	}
	after := p.fs.CrashClone(vfs.CrashConfig{})
	p.fs = after
	if wrong := p.verify(second); len(wrong) > 0 {
		t.Errorf("after a crash: %v", wrong)
	}
}

// TestResume: files of a backup that was cut short are looked at before they
// are taken over.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, hurt := range []bool{false, true} {
		p := newPlace(t)
		for n := range 5 {
			p.put(fmt.Sprintf("/data/bodies/%d.seg", n+2), strings.Repeat("x", 1000))
		}
		ctx, stop := context.WithCancel(t.Context())
		p.o.Progress = func(now backup.Progress) {
			if now.Files >= 5 {
				stop()
			}
		}
		if _, err := backup.Make(ctx, p.o); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		names, err := p.fs.List("/backups")
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		if hurt {
			p.put("/backups/"+names[0]+"/bodies/1.seg", strings.Repeat("bodY ", 1000))
		}
		b, copied := p.make()
		if hurt != (copied > 5000) || copied == b.Bytes {
			t.Errorf("hurt %v: copied %d of %d", hurt, copied, b.Bytes)
		}
		if wrong := p.verify(b); len(wrong) > 0 {
			t.Errorf("damaged: %v", wrong)
		}
	}
}

// TestVerify: each kind of damage to a backup is found, and a restore says so.
func TestVerify(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(p *place, b backup.Backup){
		"flipped": func(p *place, b backup.Backup) { p.put(b.Path+"/bodies/1.seg", strings.Repeat("bodY ", 1000)) },
		"cut":     func(p *place, b backup.Backup) { p.put(b.Path+"/bodies/1.seg", "bo") },
		"missing": func(p *place, b backup.Backup) {
			if err := p.fs.Remove(b.Path + "/bodies/1.seg"); err != nil {
				p.Fatal(err)
			}
		},
	} {
		p := newPlace(t)
		b, _ := p.make()
		hurt(p, b)
		if wrong := p.verify(b); len(wrong) != 1 || wrong[0] != "bodies/1.seg" {
			t.Errorf("%s: found %v", name, wrong)
		}
		problems, err := backup.Restore(t.Context(), p.fs, b, "/new", func(backup.Progress) {})
		if err != nil || len(problems) != 1 || p.get("/new/directory/log") != "accounts\n" {
			t.Errorf("%s: restored with %v, %v", name, problems, err)
		}
	}
	p := newPlace(t)
	b, _ := p.make()
	text := p.get(b.Path + "/manifest")
	for name, other := range map[string]string{
		"cut": text[:len(text)-20], "changed": strings.Replace(text, "bodies/1.seg", "bodies/9.seg", 1),
		"leads outside": strings.Replace(text, "bodies/1.seg", "../../1.seg", 1), "empty": "", "of another version": `{"plic_backup":9}` + "\n",
	} {
		p.put(b.Path+"/manifest", other)
		if _, err := backup.Find(p.fs, b.Path); err == nil {
			t.Errorf("a manifest that is %s was taken", name)
		}
	}
	// One that is damaged keeps nobody from making others, and is named each time.
	fresh, err := backup.Make(t.Context(), p.o)
	if err == nil || !strings.Contains(err.Error(), b.Path) || fresh.Files != 3 {
		t.Errorf("beside a damaged one: %+v, %v", fresh, err)
	}
	if wrong := p.verify(fresh); len(wrong) > 0 {
		t.Errorf("made beside a damaged one: %v", wrong)
	}
	if _, err := backup.Find(p.fs, "/nowhere"); !errors.Is(err, backup.ErrNone) {
		t.Errorf("nowhere: %v", err)
	}
}
