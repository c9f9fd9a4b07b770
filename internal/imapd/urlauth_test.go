package imapd

import (
	"context"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/imap"
	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// genURLAuth gives the proven form of a URL of alice's.
func genURLAuth(t *testing.T, c *client, rump string) string {
	t.Helper()
	lines := c.ok(`GENURLAUTH "` + rump + `" INTERNAL`)
	url := strings.Trim(strings.TrimPrefix(lines[0], "* GENURLAUTH "), `"`)
	if !strings.HasPrefix(url, rump+":internal:") || len(url) < len(rump)+10+32 {
		t.Fatalf("got %q", lines)
	}
	return url
}

// RFC 4467: who may read by a URL, what, until when, and no more than that.
func TestURLAuth(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	h := newHouse(t, func(o *Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	})
	h.deliver("INBOX", store.Flags{}, "Subject: one\r\n\r\n0123456789")
	alice, bob := h.open("alice"), h.open("bob")
	const base = "imap://alice@mail.example/INBOX/;UID=1"
	fetch := func(c *client, url string) string {
		t.Helper()
		return strings.TrimPrefix(strings.Join(c.ok(`URLFETCH "`+url+`"`), "|"), `* URLFETCH "`+url+`" `)
	}
	check := func(c *client, url, want string) {
		t.Helper()
		if got := fetch(c, url); got != want {
			t.Errorf("%s\ngot  %q\nwant %q", url, got, want)
		}
	}
	any := genURLAuth(t, alice, base+";URLAUTH=authuser")
	check(bob, any, "{26}|Subject: one||0123456789")
	check(bob, genURLAuth(t, alice, base+"/;SECTION=TEXT/;PARTIAL=2.3;URLAUTH=anonymous"), "{3}|234")
	check(bob, genURLAuth(t, alice, base+"/;SECTION=TEXT/;PARTIAL=8;URLAUTH=user+bob"), "{2}|89")
	check(bob, genURLAuth(t, alice, base+";URLAUTH=user+alice"), "NIL")
	check(bob, genURLAuth(t, alice, base+";URLAUTH=submit+bob"), "NIL")
	check(bob, genURLAuth(t, alice, base+"/;SECTION=7;URLAUTH=authuser"), "NIL")
	check(bob, genURLAuth(t, alice, strings.Replace(base, "UID=1", "UID=9", 1)+";URLAUTH=authuser"), "NIL")

	// what was not proven, or for something else
	token := any[strings.LastIndexByte(any, ':'):]
	for _, url := range []string{
		base, base + ";URLAUTH=authuser", base + ";URLAUTH=anonymous:internal" + token, base + "/;SECTION=TEXT;URLAUTH=authuser:internal" + token,
		any[:len(any)-1] + "0", any[:len(any)-1], strings.Replace(any, ":internal:", ":other:", 1), "imap://nobody" + any[len("imap://alice"):],
		strings.Replace(any, "INBOX", "Nothere", 1), "nonsense",
	} {
		if url != any {
			check(bob, url, "NIL")
		}
	}
	if names, err := h.store.Accounts(t.Context()); err != nil || len(names) != 2 {
		t.Errorf("accounts were made by asking: %v %v", names, err)
	}

	short := genURLAuth(t, alice, base+";EXPIRE=2026-01-01T00:01:00Z;URLAUTH=authuser")
	check(bob, short, "{26}|Subject: one||0123456789")
	mu.Lock()
	now = now.Add(time.Minute)
	mu.Unlock()
	check(bob, short, "NIL")

	// keys are of mailboxes, last, and can be taken back
	alice.ok("CREATE Other")
	alice.ok("RESETKEY Other INTERNAL")
	check(bob, any, "{26}|Subject: one||0123456789")
	if _, answer := alice.do("RESETKEY INBOX"); !strings.HasPrefix(answer, "OK [URLMECH INTERNAL]") {
		t.Errorf("RESETKEY: %s", answer)
	}
	check(bob, any, "NIL")
	again := genURLAuth(t, alice, base+";URLAUTH=authuser")
	check(bob, again, "{26}|Subject: one||0123456789")
	alice.ok("RESETKEY")
	check(bob, again, "NIL")
}

// Who may read a mailbox of another may let others read in it, as long as it may
// itself; keys are of each one.
func TestURLAuthOfOthers(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	m := s.share("Plans", store.MayLookup|store.MayRead)
	alice, bob, team := s.open("alice"), s.open("bob"), s.open("team")
	url := genURLAuth(t, bob, "imap://bob@mail.example/user/alice/Plans/;UID=1;URLAUTH=user+team")
	hers := genURLAuth(t, alice, "imap://alice@mail.example/Plans/;UID=1;URLAUTH=user+team")
	check := func(url string, want bool) {
		t.Helper()
		if got := team.ok(`URLFETCH "` + url + `"`)[0]; strings.HasSuffix(got, " NIL") == want {
			t.Errorf("URLFETCH %s: %s", url, got)
		}
	}
	check(url, true)
	check(hers, true)
	s.grant(m, store.MayLookup)
	check(url, false)
	s.grant(m, store.MayLookup|store.MayRead)
	check(url, true)
	bob.ok("RESETKEY user/alice/Plans")
	check(url, false)
	check(hers, true)
	url = genURLAuth(t, bob, "imap://bob@mail.example/user/alice/Plans/;UID=1;URLAUTH=user+team")
	alice.ok("RESETKEY")
	check(hers, false)
	check(url, true)
	bob.ok("RESETKEY")
	check(url, false)
}

func TestURLAuthRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	const rump = `"imap://alice@mail.example/INBOX/;UID=1;URLAUTH=authuser"`
	for command, want := range map[string]string{
		"GENURLAUTH":                                                                              "BAD",
		"GENURLAUTH " + rump:                                                                      "BAD",
		"GENURLAUTH " + rump + " OTHER":                                                           "BAD",
		"GENURLAUTH " + rump + " INTERNAL ":                                                       "BAD",
		`GENURLAUTH "/INBOX/;UID=1;URLAUTH=authuser" INTERNAL`:                                    "BAD",
		`GENURLAUTH "imap://alice@mail.example/INBOX/;UID=1" INTERNAL`:                            "BAD",
		`GENURLAUTH "imap://alice@mail.example/INBOX;URLAUTH=authuser" INTERNAL`:                  "BAD",
		`GENURLAUTH "imap://alice@mail.example/INBOX/;UID=1;URLAUTH=root" INTERNAL`:               "BAD",
		`GENURLAUTH "imap://bob@mail.example/INBOX/;UID=1;URLAUTH=authuser" INTERNAL`:             "NO [BADURL ",
		`GENURLAUTH "imap://alice@mail.example/Nothere/;UID=1;URLAUTH=authuser" INTERNAL`:         "NO [NONEXISTENT]",
		`GENURLAUTH "imap://alice@mail.example/INBOX/;UID=1;URLAUTH=user+x:internal:ff" INTERNAL`: "BAD",
		"URLFETCH":                "BAD",
		"URLFETCH (a)":            "BAD",
		"RESETKEY Nothere":        "NO [NONEXISTENT]",
		"RESETKEY INBOX OTHER":    "BAD",
		"RESETKEY INBOX INTERNAL": "OK [URLMECH INTERNAL]",
	} {
		if _, answer := c.do(command); !strings.HasPrefix(answer, want) {
			t.Errorf("%s: %s", command, answer)
		}
		c.ok("NOOP")
	}
}

// meddling is an engine in whose midst something else happens once.
type meddling struct {
	*memory.Engine
	mu   sync.Mutex
	when string // what is called
	do   func()

	vanish atomic.Bool
}

func (e *meddling) at(what string) {
	e.mu.Lock()
	do := e.do
	if what == e.when {
		e.do = nil
	} else {
		do = nil
	}
	e.mu.Unlock()
	if do != nil {
		do()
	}
}

func (e *meddling) arm(when string, do func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.when, e.do = when, do
}

func (e *meddling) unmet() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.do != nil
}

func (e *meddling) Note(ctx context.Context, a engine.AccountID, m engine.MailboxID, key string) ([]byte, error) {
	value, err := e.Engine.Note(ctx, a, m, key)
	e.at("Note")
	return value, err
}

func (e *meddling) Details(ctx context.Context, a engine.AccountID, m engine.MailboxID, uids []engine.UID) iter.Seq2[engine.Detailed, error] {
	e.at("Details")
	return e.Engine.Details(ctx, a, m, uids)
}

func (e *meddling) OpenBody(ctx context.Context, id mail.ID) (mail.Body, error) {
	e.at("OpenBody")
	body, err := e.Engine.OpenBody(ctx, id)
	e.at("body opened")
	if e.vanish.Load() && err == nil {
		body = vanished{body}
	}
	return body, err
}

// vanished is a body of which nothing is left once it is opened, as of a message in a
// file of other programs.
type vanished struct{ mail.Body }

func (vanished) ReadAt([]byte, int64) (int, error) { return 0, engine.ErrNotFound }

// A URL of what goes in the very moment is answered with NIL, or with what it named,
// and the other URLs are answered.
func TestURLFetchMeetsRemoval(t *testing.T) {
	t.Parallel()
	for _, remove := range []string{"EXPUNGE", "DELETE box", "RENAME box other"} {
		for _, when := range []string{"Note", "Details", "OpenBody", "body opened"} {
			e := &meddling{Engine: memory.New(time.Now)}
			s := store.New(store.Options{Engine: e})
			defer s.Close()
			h := houseOver(t, s, nil)
			alice, other := h.open("alice"), h.open("alice")
			alice.ok("CREATE box")
			h.deliver("box", store.Flags{}, "Subject: one\r\n\r\n0123456789")
			h.deliver("INBOX", store.Flags{}, "Subject: two\r\n\r\n0123456789")
			first := genURLAuth(t, alice, "imap://alice@mail.example/box/;UID=1/;SECTION=1;URLAUTH=authuser")
			second := genURLAuth(t, alice, "imap://alice@mail.example/INBOX/;UID=1/;SECTION=TEXT;URLAUTH=authuser")
			other.ok("SELECT box")
			other.ok(`STORE 1 +FLAGS (\Deleted)`)
			e.arm(when, func() { other.ok(remove) })
			lines, answer := alice.do(`URLFETCH "` + first + `" "` + second + `"`)
			if e.unmet() {
				t.Errorf("%s at %s: never", remove, when)
			}
			nothing := []string{`* URLFETCH "` + first + `" NIL`, `* URLFETCH "` + second + `" {10}`, "0123456789"}
			whole := []string{`* URLFETCH "` + first + `" {10}`, "0123456789", `* URLFETCH "` + second + `" {10}`, "0123456789"}
			if !strings.HasPrefix(answer, "OK") || !slices.Equal(lines, nothing) && !slices.Equal(lines, whole) {
				t.Errorf("%s at %s: %q %s", remove, when, lines, answer)
			}
		}
	}
}

// So it is for who has found the mailbox, or the message, before it went.
func TestURLOfWhatIsGone(t *testing.T) {
	t.Parallel()
	e := &meddling{Engine: memory.New(time.Now)}
	s := store.New(store.Options{Engine: e})
	defer s.Close()
	h := houseOver(t, s, nil)
	alice := h.open("alice")
	alice.ok("CREATE box")
	h.deliver("box", store.Flags{}, "Subject: one\r\n\r\n0123456789")
	url := genURLAuth(t, alice, "imap://alice@mail.example/box/;UID=1/;SECTION=TEXT;URLAUTH=authuser")
	e.vanish.Store(true)
	if lines := alice.ok(`URLFETCH "` + url + `"`); !slices.Equal(lines, []string{`* URLFETCH "` + url + `" NIL`}) {
		t.Errorf("of a message that vanishes: %q", lines)
	}
	account, err := s.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	mb, err := account.Mailbox("box")
	if err != nil {
		t.Fatal(err)
	}
	u, err := imap.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	alice.ok("DELETE box")
	m := reading{server: h.server}
	defer m.close()
	if _, err := m.byURL(t.Context(), mb, u); err != errNoPart {
		t.Errorf("of a mailbox that is gone: %v", err)
	}
}
