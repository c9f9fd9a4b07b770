package post

import (
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/deliver/local"
	"plic/internal/mail"
	"plic/internal/route"
	"plic/internal/scripts"
	"plic/internal/srs"
	"plic/internal/store"
)

// filtering is an office whose accounts have filters.
func filtering(t *testing.T, own map[string]string) *office {
	t.Helper()
	o := newOffice(t)
	keeper := scripts.New(scripts.Options{Store: o.store})
	o.keeper = keeper
	o.Office = New(Options{
		Store: o.store, Router: route.New(route.Options{Directory: o.people}), Directory: o.people,
		Reporter: plainReporter{}, Now: time.Now, Lifetime: 5 * 24 * time.Hour,
		Filter: local.New(local.Options{Scripts: keeper, Host: mail.MustDomain("mx.here.test")}),
	})
	o.Schedule(o.told)
	for account, script := range own {
		a, err := o.store.Account(t.Context(), account)
		if err == nil {
			err = keeper.Put(t.Context(), a, "main", script)
		}
		if err == nil {
			err = keeper.Activate(t.Context(), a, "main")
		}
		if err != nil {
			t.Fatalf("%s: %v", account, err)
		}
	}
	return o
}

// count gives how many messages a mailbox has; -1 if there is none.
func (o *office) count(account, mailbox string) int {
	o.t.Helper()
	a, err := o.store.Account(o.t.Context(), account)
	if err != nil {
		o.t.Fatal(err)
	}
	m, err := a.Mailbox(mailbox)
	if err != nil {
		return -1
	}
	return int(m.Info().Messages)
}

func (o *office) want(account, mailbox string, n int) {
	o.t.Helper()
	if got := o.count(account, mailbox); got != n {
		o.t.Errorf("%s of %s has %d messages, want %d", mailbox, account, got, n)
	}
}

func TestFilterFiles(t *testing.T) {
	o := filtering(t, map[string]string{
		"ann@here.test": `require ["fileinto", "mailbox", "imap4flags", "editheader", "variables"];
if header :matches "subject" "*" { set "s" "${1}"; }
addheader "X-Was" "${s}";
fileinto :create :flags ["\\Seen", "work"] "Lists/a";
fileinto "Nowhere";
fileinto "Archive";`,
		"bob@here.test": `discard;`,
	})
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "bob@here.test", "carl@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "Lists/a", 1)
	o.want("ann@here.test", "Archive", 1)
	o.want("ann@here.test", "INBOX", 1) // for the mailbox that is not there
	o.want("bob@here.test", "INBOX", 0)
	o.want("carl@here.test", "INBOX", 1)
	text := o.inbox("ann@here.test")[0]
	if !strings.HasPrefix(text, "X-Was: hello\r\nReturn-Path: <x@there.test>\r\nDelivered-To: ann@here.test\r\nReceived: from test\r\nFrom: Ann") {
		t.Errorf("the message that was changed:\n%s", text)
	}
	a, err := o.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Mailbox("Lists/a")
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f := snapshot.Flags(snapshot.At(0)); f.System == 0 || !slices.Equal(f.Keywords, []string{"work"}) {
		t.Errorf("flags: %+v", f)
	}
}

func TestFilterRedirects(t *testing.T) {
	o := filtering(t, map[string]string{
		"ann@here.test":  `require "copy"; redirect :copy "eve@there.test"; redirect :copy "bob@here.test";`,
		"bob@here.test":  `redirect "carl@here.test";`,
		"carl@here.test": `redirect "ann@here.test"; redirect "bob@here.test";`,
	})
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "INBOX", 1)
	o.want("bob@here.test", "INBOX", 0)
	o.want("carl@here.test", "INBOX", 1) // the circle ends here, and keeps
	items := o.items()
	if len(items) != 1 || items[0].To[0].Address.String() != "eve@there.test" ||
		!strings.HasPrefix(string(items[0].Prefix), "Delivered-To: ann@here.test\r\nReceived:") {
		t.Errorf("the queue has %+v", items)
	}

	// The message comes back: it is kept, and not sent on again.
	if _, err := o.post(envelope("x@there.test", "bob@here.test"), "Delivered-To: bob@here.test\r\n"+letter); err != nil {
		t.Fatal(err)
	}
	o.want("bob@here.test", "INBOX", 1)
	if len(o.items()) != 1 {
		t.Errorf("the queue has %+v", o.items())
	}
}

// TestRedirectedSender has a site that rewrites senders of mail that it passes
// on: it does so for filters too, so that the next host does not take it for a
// forger.
func TestRedirectedSender(t *testing.T) {
	o := filtering(t, map[string]string{"ann@here.test": `redirect "eve@there.test";`})
	rewriter := srs.New(srs.Options{Domain: mail.MustDomain("here.test"), Secrets: [][]byte{[]byte("a secret of ours")}})
	o.o.Router = route.New(route.Options{Directory: o.people, SRS: rewriter})
	for _, from := range []string{"x@far.test", "bob@here.test"} {
		if _, err := o.post(envelope(from, "ann@here.test"), letter); err != nil {
			t.Fatal(err)
		}
	}
	var senders []string
	for _, item := range o.items() {
		local, _, _ := strings.Cut(item.Envelope.From.Local, "=")
		senders = append(senders, local)
	}
	if slices.Sort(senders); !slices.Equal(senders, []string{"SRS0", "bob"}) {
		t.Errorf("senders %q", senders)
	}
}

func TestRedirectToItself(t *testing.T) {
	o := filtering(t, map[string]string{"ann@here.test": `redirect "sales@here.test";`}) // an alias of ann
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "INBOX", 1)
}

func TestFilterRejects(t *testing.T) {
	own := map[string]string{"ann@here.test": `require "reject"; reject "not by you";`}
	o := filtering(t, own)
	_, err := o.post(envelope("x@there.test", "ann@here.test"), letter)
	if got := text(err); !strings.HasPrefix(got, "550 5.7.1") || !strings.Contains(got, "not by you") {
		t.Errorf("alone: %q", got)
	}
	o.want("ann@here.test", "INBOX", 0)

	// With others, one reply cannot say it: a report does.
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "bob@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("bob@here.test", "INBOX", 1)
	if items := o.items(); len(items) != 1 || items[0].To[0].Address.String() != "x@there.test" || !items[0].Report {
		t.Errorf("the report: %+v", items)
	}

	o = filtering(t, own)
	env := envelope("x@there.test", "ann@here.test", "bob@here.test")
	env.Origin.Service = "lmtp"
	outcomes, err := o.post(env, letter)
	if err != nil || outcomes[0].Status.Code != 550 || outcomes[1].Status.Code != 250 || len(o.items()) != 0 {
		t.Errorf("by LMTP: %v %+v, %d items", err, outcomes, len(o.items()))
	}
}

func TestVacationAnswersOnce(t *testing.T) {
	o := filtering(t, map[string]string{"ann@here.test": `require ["vacation", "fcc"]; vacation :days 3 :fcc "Sent" "Gone fishing.";`})
	text := "From: X <x@there.test>\r\nTo: ann@here.test\r\nSubject: are you there?\r\nMessage-ID: <1@there.test>\r\n\r\n"
	for range 3 {
		if _, err := o.post(envelope("x@there.test", "ann@here.test"), text); err != nil {
			t.Fatal(err)
		}
	}
	o.want("ann@here.test", "INBOX", 3)
	o.want("ann@here.test", "Sent", 1)
	items := o.items()
	if len(items) != 1 || !items[0].Envelope.From.IsNull() || items[0].To[0].Address.String() != "x@there.test" {
		t.Fatalf("%d answers: %+v", len(items), items)
	}
	body, err := o.OpenBody(t.Context(), &items[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	raw := make([]byte, body.Size())
	if _, err := body.ReadAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"From: ann@here.test\r\n", "To: x@there.test\r\n", "Auto-Submitted: auto-replied (vacation)\r\n",
		"Subject: Auto: are you there?\r\n", "In-Reply-To: <1@there.test>\r\n", "\r\n\r\nGone fishing."} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("%q is missing in\n%s", want, raw)
		}
	}
}

// TestFaultIsToldOnce has a script that fails: all mail is kept, and the owner
// is told once.
func TestFaultIsToldOnce(t *testing.T) {
	o := filtering(t, map[string]string{"ann@here.test": `require ["ihave", "fileinto"];
fileinto "Archive"; if not ihave "teleport" { error "no teleport"; }`})
	for range 3 {
		if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
			t.Fatal(err)
		}
	}
	o.want("ann@here.test", "Archive", 0)
	all := o.inbox("ann@here.test")
	told := slices.DeleteFunc(slices.Clone(all), func(m string) bool { return !strings.Contains(m, "no teleport") })
	if len(all) != 4 || len(told) != 1 || !strings.Contains(told[0], "Subject: Your mail filter has a fault") {
		t.Errorf("%d messages, %d notices: %q", len(all), len(told), told)
	}
}

// TestFilterAsksMailboxes: scripts find mailboxes by what stays with them under
// any name, and read annotations: the owner's, and those for all.
func TestFilterAsksMailboxes(t *testing.T) {
	o := filtering(t, nil)
	ann, err := o.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Old", "Noted", "Site", "Wrong"} {
		if err := ann.Create(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
	}
	info, err := ann.Info("Old")
	if err != nil {
		t.Fatal(err)
	}
	if err := ann.Rename(t.Context(), "Old", "New"); err != nil {
		t.Fatal(err)
	}
	noted, err := ann.Mailbox("Noted")
	if err != nil {
		t.Fatal(err)
	}
	bob, err := o.store.Account(t.Context(), "bob@here.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []struct {
		of    *store.Account
		in    *store.Mailbox
		entry string
		value string
	}{
		{ann, noted, "/private/comment", "hers"},
		{bob, noted, "/private/comment", "his"},
		{ann, noted, "/shared/comment", "all"},
		{ann, nil, "/shared/admin", "mailto:x@here.test"},
		{bob, nil, "/private/comment", "his"},
	} {
		notes, prefix := n.of.Annotations(n.in, n.entry)
		if err := notes.Put(t.Context(), prefix+n.entry, []byte(n.value)); err != nil {
			t.Fatal(err)
		}
	}
	script := `require ["fileinto", "mailboxid", "mboxmetadata", "servermetadata"];
if not mailboxidexists "` + info.ObjectID + `" { fileinto "Wrong"; }
if mailboxidexists ["` + info.ObjectID + `", "Mnone"] { fileinto "Wrong"; }
fileinto :mailboxid "` + info.ObjectID + `" "Old";
if allof (metadata "Noted" "/private/comment" "hers", metadata "Noted" "/SHARED/comment" "all",
          metadataexists "Noted" "/private/comment", not metadataexists "Noted" "/private/other",
          not metadata "Nowhere" "/private/comment" "hers") { fileinto "Noted"; }
if allof (servermetadata :contains "/shared/admin" "mailto", not servermetadataexists "/private/comment") { fileinto "Site"; }
`
	if err := o.keeper.Put(t.Context(), ann, "main", script); err != nil {
		t.Fatal(err)
	}
	if err := o.keeper.Activate(t.Context(), ann, "main"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	for name, n := range map[string]int{"New": 1, "Noted": 1, "Site": 1, "Wrong": 0, "INBOX": 0, "Old": -1} {
		o.want("ann@here.test", name, n)
	}
}
