package embedded

import (
	"io"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

func TestSmoke(t *testing.T) {
	fs := vfs.NewMemory()
	ctx := t.Context()
	start := time.Now()
	e, err := Open(ctx, Options{FS: fs, Dir: "/d"})
	if err != nil {
		t.Fatal(err)
	}
	t.Log("open", time.Since(start))
	w, err := e.NewBody(ctx)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, "Subject: x\r\n\r\nhello\r\n")
	tk, err := e.Apply(&engine.Batch{
		Accounts: []engine.Account{{ID: 1, Name: "a@b", NextMailbox: 2}},
		Mailboxes: []engine.MailboxChange{{Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: 2},
			Add: []engine.Message{{Entry: engine.Entry{UID: 1, ModSeq: 1, Body: w.ID()}, Detail: engine.Detail{Prefix: []byte("X: y\r\n")}}}}},
		PutItems: []mail.Item{{ID: mail.NewID(time.Now()), Body: w.ID()}},
		Bodies:   []engine.BodyWriter{w},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := tk.Wait(); err != nil {
		t.Fatal(err)
	}
	crashed := fs.CrashClone(vfs.CrashConfig{})
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, on := range []vfs.FS{fs, crashed} {
		e, err = Open(ctx, Options{FS: on, Dir: "/d"})
		if err != nil {
			t.Fatal(err)
		}
		_, boxes, err := e.Account(ctx, "a@b")
		if err != nil || len(boxes) != 1 {
			t.Fatal(err, boxes)
		}
		for en, err := range e.Entries(ctx, 1, 1, 0) {
			t.Log(en, err)
			b, err := e.OpenBody(ctx, en.Body)
			if err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, b.Size())
			b.ReadAt(buf, 0)
			t.Logf("%q", buf)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
