package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/store/maildir"
	"plic/internal/vfs"
)

// shared is a store over a Maildir of the disk that a test changes too.
type shared struct {
	t   *testing.T
	dir string // of the Maildir
	top string
	*store.Store
}

func newShared(t *testing.T) *shared {
	top := t.TempDir()
	s := &shared{t: t, top: top, dir: top + "/mail/ann"}
	s.open()
	t.Cleanup(func() { s.Close() })
	return s
}

func (s *shared) open() { s.Store = store.New(store.Options{Engine: openOnDisk(s.t, s.top)}) }

// over opens it over an engine and a format of a test.
func (s *shared) over(under engine.Engine, format files.Format) {
	s.Store = store.New(store.Options{Engine: files.New(files.Options{
		Engine:  under,
		Formats: map[string]files.Format{"maildir": format},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "maildir:" + s.dir}, nil
		},
	})})
}

func (s *shared) again() {
	s.t.Helper()
	s.ok(s.Close())
	s.open()
}

func (s *shared) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *shared) box(name string) *store.Mailbox {
	s.t.Helper()
	a, err := s.Account(s.t.Context(), "ann")
	s.ok(err)
	m, err := a.Mailbox(name)
	s.ok(err)
	return m
}

func (s *shared) append(name, text string, f store.Flags) store.UID {
	s.t.Helper()
	d, err := s.NewDraft(s.t.Context())
	s.ok(err)
	fmt.Fprint(d, text)
	placed, err := s.box(name).Append(s.t.Context(), store.Incoming{Draft: d, Flags: f})
	s.ok(err)
	return placed[0].UID
}

// see tells what is in a mailbox: UID, flags and subject of each message.
func (s *shared) see(name string) string {
	s.t.Helper()
	m := s.box(name)
	snap, err := m.Snapshot(s.t.Context())
	s.ok(err)
	var out []string
	for _, e := range snap.All() {
		msg, err := m.Open(s.t.Context(), e)
		s.ok(err)
		text := make([]byte, msg.Size())
		if _, err := msg.ReadAt(text, 0); err != nil || msg.Size() != e.Size {
			s.t.Errorf("UID %d has %d octets, not %d: %v", e.UID, msg.Size(), e.Size, err)
		}
		msg.Close()
		_, subject, _ := strings.Cut(string(text), "Subject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		out = append(out, fmt.Sprintf("%d%s %s", e.UID, flagText(snap.Flags(e)), subject))
	}
	return strings.Join(out, ", ")
}

func flagText(f store.Flags) string {
	out := ""
	for i, name := range []string{"S", "A", "F", "T", "D"} {
		if f.System&(1<<i) != 0 {
			out += name
		}
	}
	return strings.Join(append([]string{out}, f.Keywords...), "+")
}

func (s *shared) want(what, name, want string) {
	s.t.Helper()
	if got := s.see(name); got != want {
		s.t.Fatalf("%s: there is %q, not %q", what, got, want)
	}
}

// put delivers as another program does, with LF line ends.
func (s *shared) put(name, subject string) {
	s.t.Helper()
	s.ok(os.WriteFile(filepath.Join(s.dir, name), []byte("Subject: "+subject+"\n\nHello.\n"), 0o600))
}

func (s *shared) file(pattern string) string {
	s.t.Helper()
	names, err := filepath.Glob(filepath.Join(s.dir, pattern))
	if err != nil || len(names) != 1 {
		s.t.Fatalf("%s: %v, %v", pattern, names, err)
	}
	return names[0]
}

// TestMaildirOfOthers does what other programs do.
func TestMaildirOfOthers(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.append("INBOX", "Subject: one\r\n\r\nx\r\n", store.Flags{})
	s.put("new/100.a.host", "two")
	s.put("new/99.b.host", "earlier")
	s.want("deliveries", "INBOX", "1 one, 2 earlier, 3 two")
	s.ok(os.Rename(s.dir+"/new/100.a.host", s.dir+"/cur/100.a.host:2,FSa"))
	s.want("flags", "INBOX", "1 one, 2 earlier, 3SF two")
	s.ok(os.WriteFile(s.dir+"/dovecot-keywords", []byte("0 Work\n"), 0o600))
	s.want("a keyword", "INBOX", "1 one, 2 earlier, 3SF+Work two")
	s.ok(os.Remove(s.dir + "/new/99.b.host"))
	s.want("a removal", "INBOX", "1 one, 3SF+Work two")
	_, _, err := s.box("INBOX").SetFlags(t.Context(), []store.UID{3}, store.FlagsAdd, store.Flags{System: store.Answered, Keywords: []string{"Mine"}}, store.MaxModSeq)
	s.ok(err)
	s.file("cur/100.a.host:2,FRSab")

	// A flag that another program sets at the same time is not lost.
	s.ok(os.Rename(s.dir+"/cur/100.a.host:2,FRSab", s.dir+"/cur/100.a.host:2,DFRSab"))
	_, _, err = s.box("INBOX").SetFlags(t.Context(), []store.UID{3}, store.FlagsRemove, store.Flags{System: store.Flagged}, store.MaxModSeq)
	s.ok(err)
	s.want("flags of both", "INBOX", "1 one, 3SAD+Work+Mine two")

	for _, sub := range []string{"cur", "new", "tmp"} {
		s.ok(os.MkdirAll(s.dir+"/.Lists.go/"+sub, 0o700))
	}
	s.put(".Lists.go/new/7.x", "far")
	s.want("a folder", "Lists/go", "1 far")
	s.ok(os.RemoveAll(s.dir + "/.Lists.go"))
	a, err := s.Account(t.Context(), "ann")
	s.ok(err)
	if _, err := a.Mailbox("Lists/go"); !errors.Is(err, store.ErrNoMailbox) {
		t.Errorf("a folder that is gone: %v", err)
	}
	s.again()
	s.want("after a restart", "INBOX", "1 one, 3SAD+Work+Mine two")

	// Without the list of UIDs they are still known, and written down again.
	s.ok(os.Remove(s.dir + "/dovecot-uidlist"))
	s.put("new/101.c.host", "four")
	s.want("without a list", "INBOX", "1 one, 3SAD+Work+Mine two, 4 four")
	text, err := os.ReadFile(s.dir + "/dovecot-uidlist")
	s.ok(err)
	for _, want := range []string{"\n1 :", "\n3 :100.a.host\n", "\n4 :101.c.host\n", fmt.Sprintf("3 V%d N5 G", s.box("INBOX").Info().UIDValidity)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the list does not have %q: %s", want, text)
		}
	}

	// UIDs that another program has given count, and those of another UIDVALIDITY
	// begin the mailbox anew.
	s.put("new/102.d.host", "nine")
	s.ok(os.WriteFile(s.dir+"/dovecot-uidlist", []byte(string(text)+"9 :102.d.host\n"), 0o600))
	if uid := s.append("INBOX", "Subject: ten\r\n\r\n", store.Flags{}); uid != 10 {
		t.Errorf("the next UID is %d", uid)
	}
	s.want("UIDs of others", "INBOX", "1 one, 3SAD+Work+Mine two, 4 four, 9 nine, 10 ten")
	s.ok(os.WriteFile(s.dir+"/dovecot-uidlist", []byte("3 V4000000000 N30 Gx\n21 :102.d.host\n"), 0o600))
	_, _ = s.box("INBOX").Snapshot(t.Context())
	if got := s.see("INBOX"); !strings.HasPrefix(got, "21 nine, 30") || s.box("INBOX").Info().UIDValidity != 4000000000 {
		t.Errorf("begun anew: %s, %+v", got, s.box("INBOX").Info())
	}
}

// TestMaildirInTime: who watches is told of what another program does.
func TestMaildirInTime(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	m := s.box("INBOX")
	told, stop := m.Watch()
	defer stop()
	s.put("new/1.a", "one")
	<-told
	if m.Info().Messages != 1 {
		t.Errorf("%+v", m.Info())
	}
	s.ok(os.Rename(s.dir+"/new/1.a", s.dir+"/cur/1.a:2,S"))
	<-told
	if m.Info().Unseen != 0 {
		t.Errorf("%+v", m.Info())
	}
}

// TestMaildirGone: a disk that is not mounted is no removal.
func TestMaildirGone(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.append("INBOX", "Subject: one\r\n\r\n", store.Flags{})
	s.ok(s.Close())
	s.ok(os.Rename(s.dir, s.dir+".away"))
	s.ok(os.Mkdir(s.dir, 0o700))
	s.open()
	if _, err := s.Account(t.Context(), "ann"); !errors.Is(err, files.ErrNoPlace) {
		t.Errorf("an empty place: %v", err)
	}
	s.ok(os.Remove(s.dir))
	if _, err := s.Account(t.Context(), "ann"); !errors.Is(err, files.ErrNoPlace) {
		t.Errorf("no place: %v", err)
	}
	s.ok(os.Rename(s.dir+".away", s.dir))
	s.want("back", "INBOX", "1 one")
	s.ok(os.Rename(s.dir+"/cur", s.dir+"/away"))
	if _, err := s.box("INBOX").Snapshot(t.Context()); !errors.Is(err, files.ErrNoPlace) {
		t.Errorf("while it is open: %v", err)
	}
	s.ok(os.Rename(s.dir+"/away", s.dir+"/cur"))
	s.want("back again", "INBOX", "1 one")
}

// TestMaildirPlanted has the owner of a Maildir plant what leads elsewhere.
func TestMaildirPlanted(t *testing.T) {
	t.Parallel()
	for _, plant := range []string{"tmp", "new", "cur", "dovecot-uidlist", "dovecot-uidlist.lock", "dovecot-keywords", "subscriptions", ".Drafts", "."} {
		t.Run(plant, func(t *testing.T) {
			t.Parallel()
			s := newShared(t)
			s.append("INBOX", "Subject: one\r\n\r\n", store.Flags{Keywords: []string{"k"}})
			s.ok(s.Close())
			outside := s.top + "/outside"
			s.ok(os.MkdirAll(outside+"/cur", 0o700))
			s.ok(os.WriteFile(outside+"/secret", []byte("Subject: secret\n"), 0o600))
			s.ok(os.WriteFile(outside+"/cur/1.secret", []byte("Subject: secret\n"), 0o600))
			to := outside
			if strings.HasPrefix(plant, "dovecot") || plant == "subscriptions" {
				to += "/secret"
			}
			if plant == "." { // a message is a link
				s.ok(os.Symlink(outside+"/secret", s.dir+"/cur/5.x:2,S"))
			} else {
				s.ok(os.RemoveAll(s.dir + "/" + plant))
				s.ok(os.Symlink(to, s.dir+"/"+plant))
			}
			before := listing(t, outside)
			s.open()
			a, err := s.Account(t.Context(), "ann")
			if err == nil {
				for _, name := range []string{"INBOX", "Drafts"} {
					m, err := a.Mailbox(name)
					if err != nil {
						continue
					}
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					d, err := s.NewDraft(ctx)
					s.ok(err)
					fmt.Fprint(d, "Subject: two\r\n\r\n")
					m.Append(ctx, store.Incoming{Draft: d, Flags: store.Flags{Keywords: []string{"other"}}})
					cancel()
					if snap, err := m.Snapshot(t.Context()); err == nil {
						for _, e := range snap.All() {
							if msg, err := m.Open(t.Context(), e); err == nil {
								text := make([]byte, msg.Size())
								msg.ReadAt(text, 0)
								if strings.Contains(string(text), "secret") {
									t.Errorf("%s: what is outside was served", name)
								}
								msg.Close()
							}
						}
					}
				}
				a.Subscribe(t.Context(), "x", true)
			}
			if after := listing(t, outside); after != before {
				t.Errorf("outside there was\n%s\nand is\n%s", before, after)
			}
		})
	}
}

// listing is all that is in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		line := name
		if d.Type().IsRegular() {
			text, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			line += ": " + string(text)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(out, "\n")
}

// between is an engine whose power fails when files have changed and the index
// has not.
type refusing struct {
	engine.Engine
	on bool
}

var errRefused = fmt.Errorf("refused: %w", engine.ErrFailed)

func (e *refusing) Apply(b *engine.Batch) (engine.Ticket, error) {
	if e.on {
		return nil, errRefused
	}
	return e.Engine.Apply(b)
}

// stubborn is a format that does not undo what it has done: as after a crash.
type stubborn struct{ files.Format }
type stubbornTree struct{ files.Tree }
type stubbornBox struct{ files.Box }

func (f stubborn) Open(ctx context.Context, at files.Place) (files.Tree, error) {
	t, err := f.Format.Open(ctx, at)
	return stubbornTree{t}, err
}

func (t stubbornTree) Box(name string) (files.Box, error) {
	b, err := t.Tree.Box(name)
	return stubbornBox{b}, err
}

func (b stubbornBox) Carry(ctx context.Context, c *files.Change) (files.Carried, error) {
	for i := range c.Add {
		if from, ok := c.Add[i].From.(stubbornBox); ok {
			c.Add[i].From = from.Box
		}
	}
	done, err := b.Box.Carry(ctx, c)
	return files.Carried{Done: done.Done}, err
}

// TestMaildirBetween loses power between files and index.
func TestMaildirBetween(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.ok(s.Close())
	under := &refusing{Engine: openEmbeddedIn(t, s.top+"/store")}
	s.over(under, stubborn{maildir.New(maildir.Options{Host: "test"})})
	for i := range 4 {
		s.append("INBOX", fmt.Sprintf("Subject: m%d\r\n\r\n", i), store.Flags{})
	}
	inbox, archive := s.box("INBOX"), s.box("Archive")
	under.on = true
	draft, err := s.NewDraft(t.Context())
	s.ok(err)
	fmt.Fprint(draft, "Subject: late\r\n\r\n")
	for what, err := range map[string]error{
		"append":  second(inbox.Append(t.Context(), store.Incoming{Draft: draft})),
		"flags":   third(inbox.SetFlags(t.Context(), []store.UID{1}, store.FlagsAdd, store.Flags{System: store.Flagged}, store.MaxModSeq)),
		"expunge": second(inbox.Expunge(t.Context(), []store.UID{2}, false)),
		"move":    third(inbox.Move(t.Context(), []store.UID{3}, archive)),
	} {
		if !errors.Is(err, engine.ErrFailed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.again()
	s.want("INBOX", "INBOX", "1F m0, 4 m3, 5 late")
	s.want("Archive", "Archive", "1 m2")
	if draft.ID() == (mail.ID{}) || vfs.NotExist(err) {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

// slow is an engine whose commits become durable only when they may.
type slow struct {
	engine.Engine
	hold chan struct{} // nil: at once
}

type slowTicket struct {
	engine.Ticket
	hold chan struct{}
}

func (s *slow) Apply(b *engine.Batch) (engine.Ticket, error) {
	t, err := s.Engine.Apply(b)
	if err != nil || s.hold == nil {
		return t, err
	}
	return slowTicket{t, s.hold}, nil
}

func (t slowTicket) Wait() error {
	<-t.hold
	return t.Ticket.Wait()
}

// What another program has done is seen by whoever looks after it, also while
// somebody else who has found it waits for the disk.
func TestFoundByAnother(t *testing.T) {
	t.Parallel()
	s := newShared(t)
	s.ok(s.Close())
	under := &slow{Engine: openEmbeddedIn(t, s.top+"/store")}
	s.over(under, maildir.New(maildir.Options{Host: "test"}))
	s.append("INBOX", "Subject: first\r\n\r\n", store.Flags{})
	inbox := s.box("INBOX")
	s.ok(second(inbox.Snapshot(t.Context()))) // as in a session that has selected it
	s.ok(os.WriteFile(filepath.Join(s.dir, "new", "1.2.other"), []byte("Subject: second\n\n"), 0o600))
	under.hold = make(chan struct{})
	found := make(chan error, 1)
	go func() { found <- inbox.Sync(t.Context()) }()
	for changed := false; !changed; runtime.Gosched() { // until it is put down, and only not durable
		_, boxes, err := under.Engine.Account(t.Context(), "ann")
		s.ok(err)
		for _, b := range boxes {
			changed = changed || b.Name == "INBOX" && b.Messages == 2
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if snap, err := inbox.Snapshot(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d messages are seen before the second is durable (%v)", snap.Len(), err)
	}
	close(under.hold)
	snap, err := inbox.Snapshot(t.Context())
	s.ok(err)
	if n := snap.Len(); n != 2 {
		t.Errorf("%d messages are seen, not 2", n)
	}
	s.ok(<-found)
}
