package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// notes writes down the notes of an owner.
func (s *site) notes(n store.Notes, prefix string) string {
	s.t.Helper()
	all, err := n.All(s.ctx, prefix)
	s.ok(err)
	var out []string
	for _, note := range all {
		out = append(out, fmt.Sprintf("%s=%s", note.Key, note.Value))
	}
	return strings.Join(out, " ")
}

func testNotes(t *testing.T, s *site) {
	a, sent := s.account("ann"), s.mailbox("ann", "Sent")
	s.ok(s.Notes().Put(s.ctx, "x/a", []byte("site")))
	s.ok(a.Notes().Put(s.ctx, "x/a", []byte("account")))
	s.ok(a.Notes().Put(s.ctx, "x/b", []byte{}))
	s.ok(a.Notes().Put(s.ctx, "y", []byte("y")))
	s.ok(sent.Notes().Put(s.ctx, "x/a", []byte("sent")))
	s.ok(a.Rename(s.ctx, "Sent", "Done"))
	check := func() {
		t.Helper()
		equal(t, "of the site", s.notes(s.Notes(), ""), "x/a=site")
		equal(t, "of the account", s.notes(s.account("ann").Notes(), "x/"), "x/a=account x/b=")
		equal(t, "of a renamed mailbox", s.notes(s.mailbox("ann", "Done").Notes(), ""), "x/a=sent")
		equal(t, "of another", s.notes(s.account("bob").Notes(), ""), "")
	}
	check()
	s.restart()
	check()
	inbox := s.mailbox("ann", "INBOX")
	a, sent = s.account("ann"), s.mailbox("ann", "Done")
	value, err := a.Notes().Get(s.ctx, "x/b")
	equal(t, "an empty note", fmt.Sprint(value != nil, len(value), err), "true 0 <nil>")
	if _, err := inbox.Notes().Get(s.ctx, "x/a"); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a note that is not there: %v", err)
	}
	for _, key := range []string{"", strings.Repeat("k", store.MaxNoteKey+1)} {
		if err := a.Notes().Put(s.ctx, key, []byte{}); !errors.Is(err, store.ErrBadNote) {
			t.Errorf("key %.10q: %v", key, err)
		}
	}
	s.ok(a.Notes().Put(s.ctx, "x/a", nil))
	equal(t, "without the dropped", s.notes(a.Notes(), "x/")+s.notes(a.Notes(), "y"), "x/b=y=y")
	s.ok(a.Notes().Put(s.ctx, "x", []byte("above")))
	s.ok(a.Notes().DropAll(s.ctx, "x/"))
	equal(t, "without all of a prefix", s.notes(a.Notes(), "x")+s.notes(sent.Notes(), "x/"), "x=abovex/a=sent")
	s.ok(a.Delete(s.ctx, "Done"))
	if err := sent.Notes().Put(s.ctx, "k", []byte{}); !errors.Is(err, store.ErrGone) {
		t.Errorf("a note for a removed mailbox: %v", err)
	}
	if _, err := sent.Notes().All(s.ctx, ""); !errors.Is(err, store.ErrGone) {
		t.Errorf("notes of a removed mailbox: %v", err)
	}
	s.ok(a.Create(s.ctx, "Done", ""))
	equal(t, "of a new mailbox of the name", s.notes(s.mailbox("ann", "Done").Notes(), ""), "")
	s.ok(s.RemoveAccount(s.ctx, "ann"))
	// A format whose files are there may have the store remember what names had.
	a = s.account("ann")
	equal(t, "of a new account of the name", s.notes(a.Notes(), "x/")+s.notes(a.Notes(), "y"), "")
	equal(t, "of the site", s.notes(s.Notes(), ""), "x/a=site")
}

// testNotesTogether puts notes in one commit with mail, all or none, and counts
// with many at a time.
func testNotesTogether(t *testing.T, s *site) {
	inbox, other := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Sent")
	put := func() error {
		tx := s.Begin()
		tx.Deliver(inbox, store.Incoming{Draft: s.draft(text("one"))})
		tx.PutNote(s.Notes(), "x/seen", []byte("site"))
		tx.PutNote(s.account("bob").Notes(), "x/seen", []byte("bob"))
		tx.PutNote(other.Notes(), "x/seen", []byte("box"))
		_, err := tx.Commit(s.ctx)
		return err
	}
	s.ok(put())
	equal(t, "all of them", s.notes(s.Notes(), "")+s.notes(s.account("bob").Notes(), "")+s.notes(other.Notes(), ""),
		"x/seen=sitex/seen=bobx/seen=box")
	s.ok(s.Notes().Put(s.ctx, "x/seen", nil))
	s.ok(s.account("ann").Delete(s.ctx, "Sent"))
	if err := put(); !errors.Is(err, store.ErrGone) {
		t.Errorf("with a note for a removed mailbox: %v", err)
	}
	equal(t, "messages", s.snapshot(inbox).Len(), 1)
	equal(t, "none of them", s.notes(s.Notes(), ""), "")

	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				err := inbox.Notes().Update(s.ctx, "x/count", func(old []byte) ([]byte, error) {
					n, _ := strconv.Atoi(string(old))
					return strconv.AppendInt(nil, int64(n+1), 10), nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	equal(t, "count", s.notes(inbox.Notes(), ""), "x/count=160")
	refused := errors.New("refused")
	err := inbox.Notes().Update(s.ctx, "x/count", func([]byte) ([]byte, error) { return nil, refused })
	if !errors.Is(err, refused) {
		t.Errorf("an update that was refused: %v", err)
	}
	equal(t, "count", s.notes(inbox.Notes(), ""), "x/count=160")
}

// testBare asks for annotations where there are none, which is remembered, and
// where one comes and goes.
func testBare(t *testing.T, s *site) {
	inbox := s.mailbox("ann", store.Inbox)
	ctx := s.ctx
	get := func(n store.Notes) string {
		t.Helper()
		value, err := n.Get(ctx, "metadata/\x00/shared/comment")
		if errors.Is(err, engine.ErrNotFound) {
			return "none"
		}
		s.ok(err)
		return string(value)
	}
	for _, n := range []store.Notes{inbox.Notes(), s.account("ann").Notes(), s.Notes()} {
		for range 3 {
			equal(t, "before there is one", get(n), "none")
		}
		s.ok(n.Put(ctx, "metadata/\x00/shared/other", []byte("x")))
		equal(t, "beside another", get(n), "none")
		s.ok(n.Put(ctx, "metadata/\x00/shared/comment", []byte("text")))
		equal(t, "once it is there", get(n), "text")
		s.ok(n.PutAll(ctx, store.Note{Key: "metadata/\x00/shared/comment"}, store.Note{Key: "metadata/\x00/shared/other"}))
		for range 3 {
			equal(t, "when it is gone", get(n), "none")
		}
		tx := s.Begin()
		tx.PutNote(n, "metadata/\x00/shared/comment", []byte("again"))
		_, err := tx.Commit(ctx)
		s.ok(err)
		equal(t, "with a commit of others", get(n), "again")
	}
}
