package mbox_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	pebble "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/store/mbox"
	"plic/internal/vfs"
)

// counting counts what is read of mailboxes, and of indexes.
type counting struct {
	vfs.FS
	mail, index *atomic.Int64
}

type countingFile struct {
	vfs.File
	read *atomic.Int64
}

func (c counting) count(name string, f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(name, ".index") {
		return countingFile{f, c.index}, nil
	}
	return countingFile{f, c.mail}, nil
}

func (c counting) Open(name string, o ...pebble.OpenOption) (vfs.File, error) {
	f, err := c.FS.Open(name, o...)
	return c.count(name, f, err)
}

func (c counting) OpenReadWrite(name string, w pebble.DiskWriteCategory, o ...pebble.OpenOption) (vfs.File, error) {
	f, err := c.FS.OpenReadWrite(name, w, o...)
	return c.count(name, f, err)
}

func (f countingFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.read.Add(int64(n))
	return n, err
}

func (f countingFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.read.Add(int64(n))
	return n, err
}

const (
	indexed     = 400
	indexedSize = 32 << 10 // of a message
)

// later is so late that the times of a file tell of each change.
func later() time.Time { return time.Now().Add(time.Minute) }

// large makes a mailbox of 13 MiB as other programs write it.
func large(t *testing.T) (*site, counting) {
	c := counting{vfs.Disk(), new(atomic.Int64), new(atomic.Int64)}
	s := newSite(t, c, mbox.Options{Now: later}, nil)
	var b bytes.Buffer
	for n := range indexed {
		b.WriteString(foreign(n))
	}
	s.write(b.String())
	s.touch(time.Hour)
	return s, c
}

func foreign(n int) string {
	return fmt.Sprintf("From ann@peer.test Thu Nov 26 18:25:12 2026\nSubject: %d\n\n%s\n", n, strings.Repeat("About nothing, at length.\n", indexedSize/26))
}

// touch gives the file a time that is past.
func (s *site) touch(ago time.Duration) {
	s.t.Helper()
	then := time.Now().Add(-ago)
	s.ok(os.Chtimes(s.file(), then, then))
}

// reopened counts what is read of the mailbox after a restart.
func (s *site) reopened(c counting, want int) int64 {
	s.t.Helper()
	s.open()
	c.mail.Store(0)
	scan, err := s.box.Scan(s.t.Context(), index{}, true)
	s.ok(err)
	if len(scan.Messages) != want {
		s.t.Errorf("there are %d messages, not %d", len(scan.Messages), want)
	}
	return c.mail.Load()
}

// TestIndexSavesReading: of a large file that is as it was, only the last message
// is read after a restart at the most; of one with another time the fields; of one
// that has grown also what is new.
func TestIndexSavesReading(t *testing.T) {
	t.Parallel()
	s, c := large(t)
	size := int64(len(s.read()))
	// most is what all of the fields may cost, and the last message.
	const most = indexed*(4<<10) + 300<<10
	if read := s.reopened(c, indexed); read < size {
		t.Fatalf("%d of %d octets were read at first", read, size)
	}
	if read := s.reopened(c, indexed); read > indexedSize {
		t.Errorf("%d octets were read of a file that is as it was", read)
	}
	if read := c.index.Load(); read == 0 || read > 200*indexed {
		t.Errorf("the index has %d octets", read)
	}
	s.touch(time.Minute)
	if read := s.reopened(c, indexed); read > most {
		t.Errorf("%d octets were read of a file with another time", read)
	}
	if read := s.reopened(c, indexed); read > indexedSize {
		t.Errorf("%d octets were read once more", read)
	}
	s.write(s.read() + foreign(indexed) + foreign(indexed+1))
	if read := s.reopened(c, indexed+2); read < 2*indexedSize || read > most+2*indexedSize {
		t.Errorf("%d octets were read of a file that has grown", read)
	}
	// While it is open, the fields are not read again for what is appended.
	s.write(s.read() + foreign(indexed+2))
	c.mail.Store(0)
	scan, err := s.box.Scan(t.Context(), index{}, true)
	s.ok(err)
	if read := c.mail.Load(); len(scan.Messages) != indexed+3 || read > 1<<20 {
		t.Errorf("%d octets were read for one more message, of %d", read, len(scan.Messages))
	}
	if got := s.scan(); !strings.HasPrefix(got[indexed+2], fmt.Sprintf("0 Subject: %d\r\n", indexed+2)) {
		t.Errorf("the last is %.40q", got[indexed+2])
	}
}

// TestIndexIsNoted: deliveries of our own are noted too, when there are many.
func TestIndexIsNoted(t *testing.T) {
	t.Parallel()
	c := counting{vfs.Disk(), new(atomic.Int64), new(atomic.Int64)}
	s := newSite(t, c, mbox.Options{}, nil)
	text := message("large") + strings.Repeat("About nothing, at length.\r\n", 40_000)
	for range 12 {
		s.ok(s.deliver(text))
	}
	if read := s.reopened(c, 12); read > int64(len(s.read()))/2 {
		t.Errorf("%d of %d octets were read", read, len(s.read()))
	}
}

// TestDamagedIndexIsThrownAway: an index that is damaged, cut, of another version or
// of another mailbox, is as none: the file is read, and there is what is in it.
func TestDamagedIndexIsThrownAway(t *testing.T) {
	t.Parallel()
	s, c := large(t)
	size := int64(len(s.read()))
	s.reopened(c, indexed)
	names, err := filepath.Glob(filepath.Join(s.at.Path, ".plic", "*.index"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	good, err := os.ReadFile(names[0])
	s.ok(err)
	other, oc := large(t)
	other.reopened(oc, indexed)
	strange, err := filepath.Glob(filepath.Join(other.at.Path, ".plic", "*.index"))
	s.ok(err)
	foreign, err := os.ReadFile(strange[0])
	s.ok(err)
	bad := map[string][]byte{"empty": {}, "short": good[:10], "cut": good[:len(good)/2], "foreign": foreign, "text": []byte(strings.Repeat("index\n", 100))}
	for _, at := range []int{0, 31, 32, 40, len(good) / 2, len(good) - 1} {
		flipped := bytes.Clone(good)
		flipped[at] ^= 1
		bad[fmt.Sprint("flipped at ", at)] = flipped
	}
	for name, octets := range bad {
		s.ok(os.WriteFile(names[0], octets, 0o600))
		if read := s.reopened(c, indexed); read < size {
			t.Errorf("%s: %d octets were read", name, read)
		}
		if again, err := os.ReadFile(names[0]); err != nil || len(again) < len(good)/2 {
			t.Errorf("%s: it was not written anew: %d octets, %v", name, len(again), err)
		}
		if read := s.reopened(c, indexed); read > indexedSize {
			t.Errorf("%s: then %d octets were read", name, read)
		}
	}
	// Of a file that was put in the place of the one that was noted what differs is read.
	text := s.read()
	s.ok(os.Remove(s.file()))
	s.write(strings.Replace(text, "Subject: 7\n", "Subject: x\n", 1))
	if read := s.reopened(c, indexed); read < indexed*1024 {
		t.Errorf("%d octets were read of another file", read)
	}
	if got := s.scan(); !strings.HasPrefix(got[7], "0 Subject: x\r\n") {
		t.Errorf("the changed one is %.40q", got[7])
	}
}

// TestOnlyFieldsAreReadAgain: of a file that another program has changed anywhere,
// the messages that are still there are not read again, wherever they are now; and
// what is found is what reading all of it finds.
func TestOnlyFieldsAreReadAgain(t *testing.T) {
	t.Parallel()
	s, c := large(t)
	s.reopened(c, indexed)
	original := s.read()
	messages := strings.SplitAfter(original, "length.\n\n")
	messages = messages[:len(messages)-1]
	part := func(from, to int) string { return strings.Join(messages[from:to], "") }
	flagged := strings.Replace(messages[200], "\n\n", "\nStatus: RO\nX-Status: F\n\n", 1)
	for name, next := range map[string]string{
		"mutt has flagged one":        part(0, 200) + flagged + part(201, indexed),
		"flagged and deleted":         part(1, 200) + flagged + part(201, 300) + part(301, indexed-1),
		"some moved":                  part(100, indexed) + part(0, 100),
		"the same ones again":         part(0, indexed) + part(0, 3),
		"a new one in the middle":     part(0, 200) + foreign(1000) + part(200, indexed),
		"a longer body":               part(0, 200) + strings.TrimSuffix(messages[200], "\n") + "More.\n\n" + part(201, indexed),
		"a From line in it":           part(0, 200) + strings.TrimSuffix(messages[200], "\n") + "\n" + foreign(9) + part(201, indexed),
		"no empty line between two":   part(0, 199) + strings.TrimSuffix(messages[199], "\n") + part(200, indexed),
		"empty lines behind the last": part(0, indexed) + "\n\n",
		"cut in the last":             original[:len(original)-5000],
		"all but one gone":            part(7, 8),
		"empty":                       "",
	} {
		s.write(original)
		s.open()
		s.scan()
		s.write(next)
		c.mail.Store(0)
		scan, err := s.box.Scan(t.Context(), index{}, true)
		s.ok(err)
		read, got := c.mail.Load(), s.scan()
		if limit := int64(6 << 20); name != "some moved" && read > limit {
			t.Errorf("%s: %d octets were read", name, read)
		}
		again := make([]string, 0, len(got))
		s.ok(os.RemoveAll(filepath.Join(s.at.Path, ".plic")))
		s.open()
		again = append(again, s.scan()...)
		if !slices.Equal(got, again) || len(scan.Messages) != len(got) {
			t.Errorf("%s: there are %d messages, %d at first, %d if all is read", name, len(got), len(scan.Messages), len(again))
		}
	}
}

// TestFlagsBehindAnAppend: flags that change in place while the file grows are seen
// a minute later at the latest, without that it changes once more.
func TestFlagsBehindAnAppend(t *testing.T) {
	t.Parallel()
	c := counting{vfs.Disk(), new(atomic.Int64), new(atomic.Int64)}
	later := time.Duration(0)
	s := newSite(t, c, mbox.Options{Now: func() time.Time { return time.Now().Add(later) }}, nil)
	s.write("From ann@peer.test Thu Nov 26 18:25:12 2026\nX-Status: A\nSubject: first\n\nHello.\n\n" + strings.Repeat(foreign(1), 200))
	s.touch(time.Hour)
	s.scan()
	s.write(strings.Replace(s.read(), "X-Status: A", "X-Status: F", 1) + foreign(2))
	s.touch(time.Minute)
	flags := func() engine.Flags {
		scan, err := s.box.Scan(t.Context(), index{}, true)
		s.ok(err)
		return scan.Messages[0].Flags
	}
	before := flags()
	c.mail.Store(0)
	later = 2 * time.Minute
	if now := flags(); now == before || c.mail.Load() == 0 {
		t.Errorf("the flags are still %b, %d octets were read", now, c.mail.Load())
	}
	c.mail.Store(0)
	if flags(); c.mail.Load() != 0 {
		t.Errorf("%d octets are read again", c.mail.Load())
	}
}

// TestHeaderHidesNothing: what was read for another reason is told of by the next
// Scan all the same.
func TestHeaderHidesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, vfs.Disk(), mbox.Options{Now: later}, nil)
	s.write(foreign(1))
	s.scan()
	s.write(foreign(1) + foreign(2))
	_, err := s.box.Header(t.Context())
	s.ok(err)
	if scan, err := s.box.Scan(t.Context(), index{}, false); err != nil || scan == nil || len(scan.Messages) != 2 {
		t.Errorf("there is %+v, %v", scan, err)
	}
	if scan, err := s.box.Scan(t.Context(), index{}, false); err != nil || scan != nil {
		t.Errorf("then there is %+v, %v", scan, err)
	}
}

func (s *site) changed() time.Time {
	s.t.Helper()
	info, err := os.Stat(s.file())
	s.ok(err)
	return vfs.Changed(info)
}

// TestTimeSetBack: what another program changed in a file is seen, though it has the
// size and the time that it had: mutt sets that back.
func TestTimeSetBack(t *testing.T) {
	t.Parallel()
	s := newSite(t, vfs.Disk(), mbox.Options{Now: later}, nil)
	then := time.Now().Add(-time.Hour)
	flagged := "From ann@peer.test Thu Nov 26 18:25:12 2026\nStatus: RO\nX-Status: F\nSubject: %s\n\nHello.\n\n"
	plain := strings.Replace(flagged, "X-Status: F\n", "", 1)
	put := func(text string) {
		s.write(text)
		s.ok(os.Chtimes(s.file(), then, then))
	}
	put(fmt.Sprintf(flagged+plain+flagged, "a", "b", "c"))
	s.scan()
	for before := s.changed(); s.changed().Equal(before); { // until the clock of the file system goes on
		put(fmt.Sprintf(plain+flagged+flagged, "a", "b", "c"))
	}
	scan, err := s.box.Scan(t.Context(), index{}, false)
	s.ok(err)
	if scan == nil || len(scan.Messages) != 3 || scan.Messages[0].Flags == scan.Messages[1].Flags || scan.Messages[1].Flags != scan.Messages[2].Flags {
		t.Fatalf("there is %+v", scan)
	}
	if got := s.scan(); len(got) != 3 || !strings.HasPrefix(got[1], "0 Subject: b\r\n") {
		t.Errorf("there is %q", got)
	}
}

// TestMovedBehindAnAppend: messages that another program has moved within a large
// file, while it grew and the last stayed where it was, are copied from where they
// are.
func TestMovedBehindAnAppend(t *testing.T) {
	t.Parallel()
	s := newSite(t, vfs.Disk(), mbox.Options{}, nil)
	body := strings.Repeat("About nothing, at length.\r\n", 40_000)
	note := strings.Repeat("1234567 ", 50) + "8"
	var texts []string
	for n := range 8 {
		texts = append(texts, fmt.Sprintf("Subject: %d\r\nX-Note: %s\r\n\r\n%s", n, note, body))
	}
	s.ok(s.deliver(texts...))
	s.scan()
	moved := strings.Replace(s.read(), "Subject: 2\nX-Note: "+note, "Subject: 2\nX-Note: ", 1)
	moved = strings.Replace(moved, "Subject: 5\nX-Note: ", "Subject: 5\nX-Note: "+note, 1)
	s.write(moved + foreign(9))
	scan, err := s.box.Scan(t.Context(), index{}, true)
	s.ok(err)
	gone := &files.Change{Record: &engine.Mailbox{Name: "INBOX", UIDValidity: 7, UIDNext: s.next}}
	gone.Expunge = []files.Numbered{{Key: scan.Messages[3].Key, UID: scan.Messages[3].UID}}
	_, err = s.box.Carry(t.Context(), gone)
	s.ok(err)
	s.open()
	got := s.scan()
	if len(got) != 8 {
		t.Fatalf("%d messages, not 8", len(got))
	}
	for i, n := range []int{0, 1, 2, 4, 5, 6, 7} {
		if !strings.HasPrefix(got[i], fmt.Sprintf("%d Subject: %d\r\n", n+1, n)) || !strings.HasSuffix(got[i], body) {
			t.Errorf("message %d begins %.60q", n, got[i])
		}
	}
}
