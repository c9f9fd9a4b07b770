package crash

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestCrashFullDisk fills the disk under load, up to what the server keeps back
// or to the last octet: new mail is put off, reading and deleting go on, a kill
// loses nothing, and the service resumes by itself.
func TestCrashFullDisk(t *testing.T) {
	t.Parallel()
	for n, c := range []struct{ name, reserve string }{{"to the reserve", "24MiB"}, {"to the last octet", "0B"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fullDisk(t, 3+n, c.reserve)
		})
	}
}

func fullDisk(t *testing.T, n int, reserve string) {
	var data string
	x := newTrial(t, n, reserve, func(dir string) {
		data = dir
		err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=200m,mode=0700")
		if errors.Is(err, syscall.EPERM) {
			t.Skip("only root can make a small disk")
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			// Other tests make namespaces of mounts meanwhile, which hold this one
			// for as long as they live.
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Errorf("unmount: %v", err)
			}
		})
	})
	d := x.desk(t)
	for range 12 {
		if err := d.append([]string{inbox}); err != nil {
			t.Fatal(err)
		}
	}
	x.load(100)
	x.mayRefuse.Store(true)
	left := int64(128 << 10) // the load takes these
	if reserve != "0B" {
		left = 20 << 20
	}
	filler := []string{fill(t, data, left)}
	x.putOff(t, d)
	x.changes(t, d)
	x.kill()

	x.restart(t) // on a disk that is still full
	d = x.desk(t)
	x.load(100)
	x.putOff(t, d)
	x.changes(t, d)
	empty := func() {
		for _, name := range filler {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if reserve != "0B" {
		empty()
	} else { // others take even what the server has given up to go on
		filler = append(filler, fill(t, data, 0))
		x.putOff(t, d)
		x.kill()
		x.sink.next()
		said := len(x.site.log())
		x.site.launch(t) // and now it lacks the room to begin
		eventually(t, "the server says what it lacks", func() error {
			if strings.Contains(x.site.log()[said:], "no space left") || greets(x.site.smtp()) {
				return nil
			}
			return errors.New("it says nothing")
		})
		empty()
		eventually(t, "it goes on or has ended", func() error {
			switch {
			case !x.site.running(): // an init would start it again
				x.site.launch(t)
			case !greets(x.site.smtp()): // it may wait for room
				return errors.New("it does neither")
			}
			return nil
		})
		x.site.await(t)
		x.check(t)
		d = x.desk(t)
		x.load(50)
	}
	eventually(t, "mail is taken again", func() error { return x.try(t) })
	eventually(t, "APPEND works again", func() error { return d.append([]string{inbox}) })
	x.kill()
	x.mayRefuse.Store(false)
	x.restart(t)
	x.load(100)
	x.kill()
	x.restart(t)
	x.drain(t)
}

// fill takes the space of a disk but some, and gives the file. What is freed
// meanwhile it leaves.
func fill(t *testing.T, dir string, left int64) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	for size, want := int64(0), int64(fs.Bavail)*fs.Bsize-left; size < want; {
		step := min(want-size, 64<<10)
		err := syscall.Fallocate(int(f.Fd()), 0, size, step)
		if errors.Is(err, syscall.ENOSPC) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size += step
	}
	return f.Name()
}

// desk is a session of a reader who does what the test says.
func (x *trial) desk(t *testing.T) *desk {
	t.Helper()
	c, err := imap(x.site.imap(), at(sam))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	d := &desk{trial: x, link: c, who: "desk", account: at(sam), home: "s1", inbox: true, rng: rand.New(rand.NewPCG(x.seed, 1<<41))}
	if err := d.open(inbox); err != nil {
		t.Fatal(err)
	}
	return d
}

// try sends a message to dora.
func (x *trial) try(t *testing.T) error {
	t.Helper()
	c, err := smtp(x.site.smtp(), "EHLO")
	if err != nil {
		return err
	}
	defer c.Close()
	rng := x.random(uint64(x.serial.Load()) | 1<<42)
	token, text := x.message(rng, "eve@outside.test")
	return x.post(c, rng, "try", "eve@outside.test", []string{at(dora)}, []fact{{Account: at(dora), Box: inbox, Token: token}}, text)
}

// putOff sees that new mail is put off while reading goes on.
func (x *trial) putOff(t *testing.T, d *desk) {
	t.Helper()
	var no *refusal
	eventually(t, "new mail is put off", func() error {
		err := x.try(t)
		if errors.As(err, &no) && strings.HasPrefix(no.answer, "452 4.3.1") {
			return nil
		}
		return fmt.Errorf("it is not: %w", err)
	})
	if err := d.append([]string{inbox}); !errors.As(err, &no) || !strings.HasPrefix(no.answer, "NO [") {
		t.Errorf("APPEND on a full disk: %v, want NO", err)
	}
	if err := d.open(inbox); err != nil {
		t.Fatalf("read on a full disk: %v", err)
	}
	r, err := d.do("UID FETCH 1:* BODY.PEEK[]")
	if err != nil {
		t.Fatalf("read on a full disk: %v", err)
	}
	for _, m := range r.messages() {
		if sum := digest(m.text); m.token != "" && sum != x.ledger.sums[m.token] {
			t.Errorf("%s reads as %.16s on a full disk", m.token, sum)
		}
	}
}

// changes sees that flags can be changed and messages deleted.
func (x *trial) changes(t *testing.T, d *desk) {
	t.Helper()
	for range 3 {
		if err := d.store(); err != nil {
			t.Errorf("STORE on a full disk: %v", err)
		}
	}
	if err := d.expunge(2); err != nil {
		t.Errorf("EXPUNGE on a full disk: %v", err)
	}
}
