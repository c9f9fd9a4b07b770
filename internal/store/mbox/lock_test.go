package mbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/internal/store/mbox"
	"plic/internal/vfs"
)

// TestLockedByOthers: while another program has one of the locks that are
// configured, what is delivered is refused after the wait, and nothing changes;
// when it lets go meanwhile, all goes on. Other locks than those do not matter.
func TestLockedByOthers(t *testing.T) {
	t.Parallel()
	for _, other := range []struct{ program, lock string }{{"procmail", "dotlock"}, {"mutt", "dotlock"}, {"fcntl", "fcntl"}, {"flock", "flock"}} {
		for _, locks := range []string{"dotlock", "fcntl", "flock", "dotlock+fcntl", "fcntl+dotlock", "dotlock+flock", "dotlock+fcntl+flock"} {
			t.Run(other.program+" "+locks, func(t *testing.T) {
				t.Parallel()
				options := map[string]string{"LOCKS": locks}
				s := newSite(t, nil, mbox.Options{Wait: 200 * time.Millisecond}, options)
				s.ok(s.deliver(message("one")))
				before := s.read()
				ours := strings.Split(locks, "+")
				release := s.hold(other.program)
				err := s.deliver(message("two"))
				if !slices.Contains(ours, other.lock) {
					release()
					s.ok(err)
					return
				}
				if err == nil || !strings.Contains(err.Error(), "another program has locked the mailbox") {
					t.Fatalf("a delivery: %v", err)
				}
				if now := s.read(); now != before {
					t.Errorf("the file has changed:\n%s", now)
				}
				// Readers need no dotlock where there is another lock.
				_, err = s.box.Scan(t.Context(), index{}, true)
				if reads := other.lock == "dotlock" && len(ours) > 1; reads != (err == nil) {
					t.Errorf("a reader: %v", err)
				}
				s.o.Wait = time.Minute
				s.open()
				done := make(chan error)
				go func() { done <- s.deliver(message("two")) }()
				release()
				s.ok(<-done)
				if got := s.scan(); len(got) != 2 || got[1] != "2 "+message("two") {
					t.Errorf("there is %q", got)
				}
			})
		}
	}
}

// TestLockOrder: the locks are taken as they are configured, one after the other.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	for locks, first := range map[string]bool{"dotlock+fcntl": true, "fcntl+dotlock": false, "dotlock+flock": true, "flock+dotlock": false} {
		t.Run(locks, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil, mbox.Options{Wait: 200 * time.Millisecond}, map[string]string{"LOCKS": locks})
			s.ok(s.deliver(message("one")))
			other := "fcntl"
			if strings.Contains(locks, "flock") {
				other = "flock"
			}
			release := s.hold(other)
			w := vfs.NewWatcher()
			defer w.Close()
			var mu sync.Mutex
			var names []string
			end := make(chan struct{})
			var once sync.Once
			stop, err := w.Watch(s.at.Path, func(name string) {
				mu.Lock()
				defer mu.Unlock()
				if names = append(names, name); name == "end" {
					once.Do(func() { close(end) })
				}
			})
			s.ok(err)
			if s.deliver(message("two")) == nil {
				t.Error("the lock was not heeded")
			}
			s.ok(os.WriteFile(filepath.Join(s.at.Path, "end"), nil, 0o600))
			<-end
			stop()
			release()
			mu.Lock()
			defer mu.Unlock()
			if slices.Contains(names, "inbox.lock") != first {
				t.Errorf("before the other lock was had, there was %q", names)
			}
			if left, err := filepath.Glob(filepath.Join(s.at.Path, "*.lock")); err != nil || len(left) > 0 {
				t.Errorf("left: %q, %v", left, err)
			}
		})
	}
}

// TestStaleLocks: a dotlock of a process that has ended, or that is old and names
// none, is taken away, and nobody waits for it; no other is.
func TestStaleLocks(t *testing.T) {
	t.Parallel()
	ended := exec.CommandContext(t.Context(), "true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	dead, alive := ended.Process.Pid, os.Getppid()
	for _, c := range []struct {
		text  string
		age   time.Duration
		taken bool
	}{
		{strconv.Itoa(dead) + "\n", 0, true},
		{fmt.Sprintf("%d:%s", dead, host), 0, true}, // as Dovecot does
		{fmt.Sprintf("%d:elsewhere.test", dead), 0, false},
		{fmt.Sprintf("%d:elsewhere.test", dead), 6 * time.Minute, true},
		{strconv.Itoa(os.Getpid()), 0, true}, // of an earlier life, which had this number
		{strconv.Itoa(alive), 0, false},
		{strconv.Itoa(alive), time.Hour, false},
		{"", 0, false},
		{"", 4 * time.Minute, false},
		{"", 6 * time.Minute, true},
		{"0", 0, false}, // as procmail does
		{"0", 6 * time.Minute, true},
		{"words", 6 * time.Minute, true},
	} {
		t.Run(fmt.Sprintf("%q %v", c.text, c.age), func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil, mbox.Options{Wait: time.Nanosecond}, nil)
			lock := s.file() + ".lock"
			s.ok(os.WriteFile(lock, []byte(c.text), 0o600))
			then := time.Now().Add(-c.age)
			s.ok(os.Chtimes(lock, then, then))
			err := s.deliver(message("one"))
			if (err == nil) != c.taken {
				t.Errorf("a delivery: %v", err)
			}
			if _, err := os.Stat(lock); vfs.NotExist(err) != c.taken {
				t.Errorf("the lock: %v", err)
			}
		})
	}
}

// TestLockOptions refuses what is not known.
func TestLockOptions(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil, mbox.Options{}, nil)
	for name, values := range map[string][]string{"LOCKS": {"", "lockf", "dotlock,fcntl"}, "WAIT": {"", "0", "-1", "601", "soon"}, "OTHER": {"x"}} {
		for _, v := range values {
			at := s.at
			at.Options = map[string]string{name: v}
			if _, err := mbox.New(s.o).Open(t.Context(), at); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s=%s: %v", name, v, err)
			}
		}
	}
}

// TestMboxPlanted: no link leads out of the directory, neither as a mailbox nor as a
// lock or as the directory of what is noted.
func TestMboxPlanted(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	const text = "From a@b.c Thu Nov 26 18:25:12 2026\nSubject: secret\n\nx\n"
	for _, name := range []string{"inbox", "inbox.lock"} {
		if err := os.WriteFile(outside, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s := newSite(t, nil, mbox.Options{Wait: 100 * time.Millisecond}, nil)
		s.ok(os.Symlink(outside, filepath.Join(s.at.Path, name)))
		if err := s.deliver(message("one")); err == nil {
			t.Errorf("%s: it was written through", name)
		}
		if scan, err := s.box.Scan(t.Context(), index{}, true); err == nil && len(scan.Messages) > 0 {
			t.Errorf("%s: it was read", name)
		}
		if now, err := os.ReadFile(outside); err != nil || string(now) != text {
			t.Errorf("%s: outside there is %q, %v", name, now, err)
		}
	}
}
