package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"plic/internal/backup"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/store"
)

const ann = "ann@here.test"

// put appends a message and says where it came to be.
func put(t *testing.T, s *store.Store, text string) store.Placed {
	t.Helper()
	a, err := s.Account(t.Context(), ann)
	if err != nil {
		t.Error(err)
		return store.Placed{}
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		t.Error(err)
		return store.Placed{}
	}
	d, err := s.NewDraft(t.Context())
	if err != nil {
		t.Error(err)
		return store.Placed{}
	}
	defer d.Discard()
	io.WriteString(d, text)
	placed, err := mb.Append(t.Context(), store.Incoming{Draft: d, Flags: store.Flags{System: store.Flagged, Keywords: []string{"kept"}}})
	if err != nil {
		t.Error(err)
		return store.Placed{}
	}
	return placed[0]
}

// contents reads a mailbox: UID to text.
func contents(t *testing.T, s *store.Store) map[store.UID]string {
	t.Helper()
	a, err := s.Existing(t.Context(), ann)
	if err != nil {
		t.Fatal(err)
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	snap, err := mb.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[store.UID]string{}
	for _, e := range snap.All() {
		m, err := mb.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(m, 0, m.Size()))
		m.Close()
		if err != nil {
			t.Fatal(err)
		}
		all[e.UID] = string(text)
	}
	return all
}

func letter(n int) string {
	body := strings.Repeat(fmt.Sprintf("line %d\r\n", n), 1+n%7*3000)
	return fmt.Sprintf("Subject: %d\r\n\r\n%s", n, body)
}

// TestBackupUnderLoad takes backups while mail comes in: each holds all that was
// acknowledged before it began, sound, with UIDs that go on above what came
// after it and a queue that is held.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	srv, _, stop := start(t, c)
	s := srv.site.store
	for n := range 20 {
		put(t, s, letter(n))
	}
	if err := queueOne(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	ctx, quiet := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for w := range 3 {
		load.Go(func() {
			for n := 100 * (w + 1); ctx.Err() == nil; n++ {
				put(t, s, letter(n))
			}
		})
	}
	client, err := control.Dial(t.Context(), c.DataDir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	to := filepath.Join(t.TempDir(), "backups")
	var taken []string
	var before []map[store.UID]string
	for range 3 {
		before = append(before, contents(t, s))
		var last control.BackupProgress
		for p, err := range client.Operations().Storage.Backup(t.Context(), control.BackupOrder{To: to}) {
			if err != nil {
				t.Fatal(err)
			}
			last = p
		}
		taken = append(taken, last.Path)
	}
	quiet()
	load.Wait()
	for _, err := range client.Operations().Storage.Repair(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "stop it first") {
			t.Errorf("a repair beside the server: %v", err)
		}
	}
	after := contents(t, s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for n, path := range taken {
		restored := *c
		restored.DataDir = filepath.Join(t.TempDir(), "data")
		_, problems, err := Restore(t.Context(), path, &restored, slog.New(slog.DiscardHandler), func(backup.Progress) {})
		if err != nil || len(problems) > 0 {
			t.Fatal(problems, err)
		}
		for f, err := range Storage(&restored, slog.New(slog.DiscardHandler)).Check(t.Context()) {
			t.Errorf("backup %d: %+v, %v", n, f, err)
		}
		site, err := openSite(t.Context(), &restored, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		got := contents(t, site.store)
		for uid, text := range before[n] {
			if got[uid] != text {
				t.Errorf("backup %d: uid %d, which was there before it, has %d octets of %d", n, uid, len(got[uid]), len(text))
			}
		}
		for uid, text := range got {
			if after[uid] != text {
				t.Errorf("backup %d: uid %d is another message", n, uid)
			}
		}
		if fresh := put(t, site.store, "Subject: new\r\n\r\n"); after[fresh.UID] != "" || fresh.UID < 1<<20 {
			t.Errorf("backup %d: UID %d is given again", n, fresh.UID)
		}
		items := 0
		for i, err := range site.store.Items(t.Context()) {
			if items++; err != nil || !i.Hold || !strings.Contains(i.Why, "backup") {
				t.Errorf("backup %d: item %+v, %v", n, i, err)
			}
		}
		if items != 1 {
			t.Errorf("backup %d: %d queue items", n, items)
		}
		if err := site.close(); err != nil {
			t.Error(err)
		}
	}
}

// queueOne puts an item into the queue that nobody delivers.
func queueOne(ctx context.Context, s *store.Store) error {
	d, err := s.NewDraft(ctx)
	if err != nil {
		return err
	}
	defer d.Discard()
	io.WriteString(d, "Subject: out\r\n\r\n")
	tx := s.Begin()
	tx.PutItem(mail.Item{ID: d.ID(), Body: d.ID(), Hold: true, Hop: mail.Hop{Kind: mail.HopRemote, Host: "there.test"}})
	_, err = tx.Commit(ctx)
	return err
}

// stopped fills a data directory with ten messages and stops its server.
func stopped(t *testing.T) (*config.Config, map[store.UID]string) {
	t.Helper()
	c := testConfig(t)
	site, err := openSite(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 10 {
		put(t, site.store, letter(7*n))
	}
	all := contents(t, site.store)
	if err := site.close(); err != nil {
		t.Fatal(err)
	}
	return c, all
}

// repaired runs repair and gives what it did; check then finds nothing.
func repaired(t *testing.T, o control.Storage) (done []control.Fault) {
	t.Helper()
	for f, err := range o.Repair(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		done = append(done, f)
	}
	for f, err := range o.Check(t.Context()) {
		t.Errorf("after the repair: %+v, %v", f, err)
	}
	return done
}

// TestRepairDirectory damages a segment behind a stopped server: check names
// it, repair keeps what is left, and the server goes on with the rest.
func TestRepairDirectory(t *testing.T) {
	t.Parallel()
	c, all := stopped(t)
	quiet := slog.New(slog.DiscardHandler)
	segments, err := filepath.Glob(filepath.Join(c.DataDir, "bodies", "*.seg"))
	if err != nil || len(segments) == 0 {
		t.Fatal(segments, err)
	}
	text, err := os.ReadFile(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(segments[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Storage(c, quiet)
	var found []control.Fault
	for f, err := range o.Check(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, f)
	}
	done := repaired(t, o)
	if len(found) == 0 || len(done) == 0 || !strings.HasPrefix(done[0].Kept, filepath.Join(c.DataDir, "damaged")) {
		t.Fatalf("found %+v, done %+v", found, done)
	}
	site, err := openSite(t.Context(), c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer site.close()
	left := contents(t, site.store)
	if len(left) != len(all)-1 {
		t.Errorf("%d of %d messages are left", len(left), len(all))
	}
	for uid, text := range left {
		if all[uid] != text {
			t.Errorf("uid %d is another message", uid)
		}
	}
}

// TestRepairLog damages a log of the database: nothing behind it is dropped without a
// word, check and the start name it, and repair brings back what is sound.
func TestRepairLog(t *testing.T) {
	t.Parallel()
	c, all := stopped(t)
	quiet := slog.New(slog.DiscardHandler)
	logs, err := filepath.Glob(filepath.Join(c.DataDir, "records", "*.wal"))
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	name := logs[len(logs)-1]
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text[len(strings.TrimRight(string(text), "\x00"))/2] ^= 1
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	base := filepath.Base(name)
	if _, err := openSite(t.Context(), c, quiet); err == nil || !strings.Contains(err.Error(), "plic repair") || !strings.Contains(err.Error(), base) {
		t.Fatalf("started: %v", err)
	}
	o := Storage(c, quiet)
	told := false
	for _, err := range o.Check(t.Context()) {
		told = told || err != nil && strings.Contains(err.Error(), base)
	}
	if !told {
		t.Error("check does not name the log")
	}
	done := repaired(t, o)
	if kept, err := os.ReadFile(done[0].Kept); err != nil || string(kept) != string(text) {
		t.Errorf("the log was not kept: %v, %+v", err, done)
	}
	site, err := openSite(t.Context(), c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer site.close()
	left := contents(t, site.store)
	if len(left) < len(all)-1 {
		t.Errorf("%d of %d messages are left", len(left), len(all))
	}
	for uid, text := range left {
		if all[uid] != text {
			t.Errorf("uid %d is another message", uid)
		}
	}
	if p := put(t, site.store, "Subject: new\r\n\r\nnew\r\n"); int(p.UID) < 1<<20 {
		t.Errorf("uid %d is given, which may have been", p.UID)
	}
}

// TestRepairLost takes the files that say what the database consists of: nothing
// is taken for empty, and repair brings all of it back.
func TestRepairLost(t *testing.T) {
	t.Parallel()
	c, all := stopped(t)
	quiet := slog.New(slog.DiscardHandler)
	for _, pattern := range []string{"MANIFEST-*", "marker.manifest*"} {
		names, err := filepath.Glob(filepath.Join(c.DataDir, "records", pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(pattern, err)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := openSite(t.Context(), c, quiet); err == nil || !strings.Contains(err.Error(), "plic repair") {
		t.Fatalf("started: %v", err)
	}
	o := Storage(c, quiet)
	done := repaired(t, o)
	if len(done) == 0 || !strings.HasPrefix(done[0].Kept, filepath.Join(c.DataDir, "damaged")) {
		t.Errorf("done %+v", done)
	}
	site, err := openSite(t.Context(), c, quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer site.close()
	if left := contents(t, site.store); !maps.Equal(left, all) {
		t.Errorf("%d of %d messages are left", len(left), len(all))
	}
}
