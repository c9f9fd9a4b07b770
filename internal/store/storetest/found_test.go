package storetest_test

import (
	"errors"
	"fmt"
	"testing"

	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

// foundMaildir is Maildirs that another program delivers to.
type foundMaildir struct {
	losing
	n int
}

func (p *foundMaildir) Put(account, text string) error {
	p.n++
	dir := "/mail/" + account + "/new"
	f, err := p.fs.Create(fmt.Sprintf("%s/%d.%d.other", dir, 1000+p.n, p.n), vfs.Mail)
	if err != nil {
		return err
	}
	_, err = f.Write([]byte(text))
	return errors.Join(err, f.Sync(), f.Close(), vfs.SyncDir(p.fs, dir))
}

// foundMbox is mbox files that another program appends to.
type foundMbox struct{ losing }

func (p *foundMbox) Put(account, text string) error {
	f, err := p.fs.OpenReadWrite("/spool/"+account, vfs.Mail)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt([]byte("From other Mon Mar  2 10:00:00 2026\n"+text+"\n"), info.Size())
	}
	return errors.Join(err, f.Sync(), f.Close(), vfs.SyncDir(p.fs, "/spool"))
}

func TestMaildirFound(t *testing.T) {
	storetest.RunFound(t, func(t testing.TB) storetest.FoundPlace {
		return &foundMaildir{losing: losing{t: t, open: plusPlus, fs: vfs.NewMemory()}}
	})
}

func TestMboxFound(t *testing.T) {
	storetest.RunFound(t, func(t testing.TB) storetest.FoundPlace {
		return &foundMbox{losing{t: t, open: openMbox, fs: vfs.NewMemory()}}
	})
}
