package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded"
	"plic/internal/store/files"
	"plic/internal/store/maildir"
	"plic/internal/store/mbox"
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

// shut is an engine that opens no bodies in the background.
type shut struct{ *files.Engine }

type asks struct{}

func (s shut) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	if ctx.Value(asks{}) == nil {
		return nil, errors.New("nothing is opened in the background")
	}
	return s.Engine.OpenBody(ctx, id)
}

// TestFoundConverted converts an account of which hardly anything was analysed, from
// a Maildir into an mbox file and the store's own format: what is still to be made is
// made there, and nothing of it is damage.
func TestFoundConverted(t *testing.T) {
	t.Parallel()
	const many = 100
	ctx := context.WithValue(t.Context(), asks{}, true)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fs := vfs.NewMemory()
	under := openEmbedded(t, fs).(*embedded.Engine)
	e := files.New(files.Options{
		Engine: under,
		Formats: map[string]files.Format{
			"maildir": onFS{maildir.New(maildir.Options{Host: "test"}), fs},
			"mbox":    onFS{mbox.New(mbox.Options{}), fs},
		},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "maildir:/mail/%u"}, nil
		},
	})
	s := store.New(store.Options{Engine: shut{e}})
	t.Cleanup(func() { s.Close() })
	box := func() *store.Mailbox {
		t.Helper()
		a, err := s.Account(ctx, "ann")
		ok(err)
		m, err := a.Mailbox("INBOX")
		ok(err)
		return m
	}
	box()
	p := &foundMaildir{losing: losing{t: t, fs: fs}}
	for i := range many {
		ok(p.Put("ann", fmt.Sprintf("Subject: number %d\n\nHello.\n", i+1)))
	}
	sound := func() {
		t.Helper()
		for problem := range under.Check(ctx) {
			t.Error(problem)
		}
	}
	look := func(from, to store.UID) {
		t.Helper()
		var uids []store.UID
		for uid := from; uid <= to; uid++ {
			uids = append(uids, uid)
		}
		for d, err := range box().Details(ctx, uids) {
			ok(err)
			if want := fmt.Sprintf(`(NIL "number %d" NIL `, uids[0]); !strings.HasPrefix(string(d.AppendEnvelope(nil)), want) || d.Preview() != "Hello." {
				t.Fatalf("UID %d: %s, %s", d.UID, d.AppendEnvelope(nil), d.Preview())
			}
			uids = uids[1:]
		}
		if len(uids) > 0 {
			t.Fatalf("%d messages have no details", len(uids))
		}
	}
	ok(second(box().Snapshot(ctx)))
	look(1, 10)
	sound()

	// What a repair leaves of a lost record is made anew from the file, and kept.
	rec, boxes, err := under.Account(ctx, "ann")
	ok(err)
	i := slices.IndexFunc(boxes, func(b engine.Mailbox) bool { return b.Name == "INBOX" })
	ticket, err := under.Apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{
		Account: rec.ID, Record: boxes[i], Details: []engine.Detailed{{UID: 3}, {UID: 30}},
	}}})
	ok(err)
	ok(ticket.Wait())
	look(3, 3)
	look(29, 31)
	for d, err := range under.Details(ctx, rec.ID, boxes[i].ID, []engine.UID{3, 30}) {
		if err != nil || len(d.Summary) < 50 {
			t.Errorf("UID %d has a summary of %d octets (%v)", d.UID, len(d.Summary), err)
		}
	}
	for _, to := range []string{"mbox:/mbox/%u:INBOX=/mbox/%u/inbox", files.Native} {
		c, err := e.Convert(ctx, "ann", files.Location{Text: to})
		ok(err)
		ok(s.Convert(ctx, "ann", c.Copy, c.Switch))
		if snap, err := box().Snapshot(ctx); err != nil || snap.Len() != many {
			t.Fatalf("in %s: %d messages, %v", to, snap.Len(), err)
		}
		look(5, 20)
		sound()
	}
	look(1, many)
	look(1, many)
	sound()
}
