package post

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/route"
	"plic/internal/srs"
	"plic/internal/table"
)

// with makes an office whose router has tables, "key=value; key=value".
func with(t *testing.T, edit func(*route.Options)) *office {
	o := newOffice(t)
	r := route.Options{Directory: o.people, Hostname: mail.MustDomain("mx.here.test")}
	if edit != nil {
		edit(&r)
	}
	o.Office.o.Router = route.New(r)
	return o
}

func tab(t *testing.T, text string) table.List {
	t.Helper()
	pairs := map[string]string{}
	for part := range strings.SplitSeq(text, "; ") {
		key, value, _ := strings.Cut(part, "=")
		pairs[key] = value
	}
	list, err := table.OpenAll([]string{table.Inline(pairs)}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func rules(t *testing.T, lines ...string) table.List {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := table.OpenAll([]string{"regexp:" + path}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// queued is a message of the queue as it would go out.
func (o *office) queued(item mail.Item) string {
	o.t.Helper()
	body, err := o.OpenBody(o.t.Context(), &item)
	if err != nil {
		o.t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(mail.Reader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

func TestHeaderRules(t *testing.T) {
	o := with(t, nil)
	o.Office.o.HeaderRules = rules(t,
		"/^subject: refuse/ refuse 5.7.1 we do not want that", "/^subject: later/ DEFER not now", "/^subject: discard/ DISCARD", "/^subject: hold/ HOLD for you",
		"/^subject: redirect/ REDIRECT bob@here.test", "/^subject: away/ REDIRECT eve@there.test", "/^x-secret:/ REMOVE", "/^subject: (old.*)/ REPLACE Subject: new, was $1",
		"/^subject: mark/ PREPEND X-Mark: yes", "/^subject: warn/ WARN", "/^subject: odd/ FROBNICATE", "/^subject: bad/ PREPEND no field")
	for _, c := range []struct{ header, answer, want string }{
		{"Subject: refuse this", "550 5.7.1 we do not want that", ""},
		{"Subject: later", "450 4.7.1 not now", ""},
		{"Subject: odd", "451 4.3.5", ""},
		{"Subject: bad", "451 4.3.5", ""},
		{"Subject: discard", "", ""},
		{"Subject: warn", "", "Subject: warn\r\n"},
		{"X-Secret: a\r\n b\r\nSubject: fine\r\nTo: x", "", "Subject: fine\r\nTo: x\r\n"},
		{"Subject:\r\n old\r\n times", "", "Subject: new, was old times\r\n"},
		{"To: x\r\nSubject: mark\r\nCc: y", "", "To: x\r\nX-Mark: yes\r\nSubject: mark\r\nCc: y\r\n"},
	} {
		before := len(o.inbox("ann@here.test"))
		_, err := o.post(envelope("x@there.test", "ann@here.test"), "From: x@there.test\r\n"+c.header+"\r\n\r\nSubject: refuse\r\n")
		if got := text(err); !strings.HasPrefix(got, c.answer) || (c.answer == "") != (err == nil) {
			t.Errorf("%q: %q, want %q", c.header, got, c.answer)
		}
		got := o.inbox("ann@here.test")[before:]
		want := "From: x@there.test\r\n" + c.want + "\r\nSubject: refuse\r\n"
		if (c.want == "") != (len(got) == 0) || len(got) == 1 && !strings.HasSuffix(got[0], "\r\n"+want) {
			t.Errorf("%q: ann got %q, want %q", c.header, got, want)
		}
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "carl@here.test"), "Subject: redirect\r\n\r\n"); err != nil || len(o.inbox("bob@here.test")) != 1 || len(o.inbox("carl@here.test")) != 0 {
		t.Errorf("redirected: %v, bob has %q", err, o.inbox("bob@here.test"))
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), "Subject: away\r\n\r\n"); err != nil || len(o.items()) != 1 || o.items()[0].To[0].Address.String() != "eve@there.test" {
		t.Errorf("redirected away: %v, %+v", err, o.items())
	}
}

// What is held comes to its recipients when it is released, once, whatever the
// rules say then, and though there is a crash in between.
func TestHeldMailComesBack(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.Tables.Transports = tab(t, "bob@here.test=hold; far.test=hold:smtp:[gate]")
		r.AlwaysBcc = []mail.Address{mail.MustAddress("carl@here.test")}
	})
	o.Office.o.HeaderRules = rules(t, "/^subject: wait/ HOLD")
	release := func(item mail.Item) []mail.Outcome {
		body, err := o.OpenBody(t.Context(), &item)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		return o.Deliver(t.Context(), &item, body)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "gone@here.test"), "Subject: wait\r\n\r\nhi\r\n"); err != nil {
		t.Fatal(err)
	}
	items := o.items()
	if len(items) != 1 || !items[0].Hold || items[0].Hop.Kind != mail.HopPost || len(o.inbox("ann@here.test")) != 0 {
		t.Fatalf("held: %+v", items)
	}
	outcomes := release(items[0])
	if len(outcomes) != 2 || outcomes[0].Status.Code != 250 || outcomes[1].Status.Code != 550 {
		t.Errorf("released: %+v", outcomes)
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 || !strings.HasSuffix(got[0], "Received: from test\r\nSubject: wait\r\n\r\nhi\r\n") || !strings.HasPrefix(got[0], "Return-Path: <x@there.test>") {
		t.Errorf("ann has %q", got)
	}
	// Had there been a crash now, only who was not served would be tried again.
	if left := o.items(); len(left) != 1 || left[0].ID != items[0].ID || len(left[0].To) != 1 || left[0].To[0].Address.Local != "gone" {
		t.Errorf("left: %+v", left)
	}
	if err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{items[0].ID}}); err != nil {
		t.Fatal(err)
	}
	copies := len(o.inbox("carl@here.test"))

	if _, err := o.post(envelope("x@there.test", "bob@here.test", "y@far.test"), letter); err != nil {
		t.Fatal(err)
	}
	items = o.items()
	if len(items) != 2 || !items[0].Hold || !items[1].Hold || len(o.inbox("bob@here.test")) != 0 {
		t.Fatalf("held by transports: %+v", items)
	}
	for _, item := range items {
		if item.Hop.Kind == mail.HopPost {
			if got := release(item); got[0].Status.Code != 250 || !got[0].Reports {
				t.Errorf("released: %+v", got)
			}
		}
	}
	if got := o.inbox("bob@here.test"); len(got) != 1 || len(o.items()) != 1 {
		t.Errorf("bob has %q, the queue %+v", got, o.items())
	}
	if got := len(o.inbox("carl@here.test")); got != copies+1 || copies != 1 {
		t.Errorf("carl has %d copies, then %d", copies, got)
	}
}

// The addresses of our own users' mail are shown in their canonical form, those
// of strangers' mail stay as they are signed.
func TestForms(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.Tables.SenderForm = tab(t, "ann@here.test=Ann.Lee@here.test")
		r.Tables.RecipientForm = tab(t, "old@there.test=new@there.test")
		r.Masquerade = []mail.Domain{mail.MustDomain("here.test")}
	})
	const header = "From: \"ann@here.test\" <ann@here.test>\r\nTo: Old <old@there.test>,\r\n joann@here.test, x@pc.here.test (ann)\r\nSubject: ann@here.test\r\n\r\nann@here.test\r\n"
	env := envelope("ann@here.test", "old@there.test")
	env.Origin = mail.Origin{Service: "submission", Account: "ann@here.test"}
	if _, err := o.post(env, header); err != nil {
		t.Fatal(err)
	}
	item := o.items()[0]
	want := "From: \"Ann.Lee@here.test\" <Ann.Lee@here.test>\r\nTo: Old <new@there.test>,\r\n joann@here.test, x@here.test (ann)\r\nSubject: ann@here.test\r\n\r\nann@here.test\r\n"
	if got := o.queued(item); !strings.HasSuffix(got, "Received: from test\r\n"+want) || item.Size != int64(len(got)) {
		t.Errorf("goes out as %q", got)
	}
	if item.Envelope.From.String() != "Ann.Lee@here.test" || item.To[0].Address.String() != "new@there.test" {
		t.Errorf("from %s to %s", item.Envelope.From, item.To[0].Address)
	}
	if _, err := o.post(envelope("x@there.test", "bob@here.test"), header); err != nil || !strings.HasSuffix(o.inbox("bob@here.test")[0], header) {
		t.Errorf("a stranger's mail: %v, %q", err, o.inbox("bob@here.test"))
	}
}

func TestCopies(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.AlwaysBcc = []mail.Address{mail.MustAddress("bob@here.test"), mail.MustAddress("gone@here.test")}
		r.Tables.SenderBcc = tab(t, "@there.test=archive@far.test")
		r.Tables.RecipientBcc = tab(t, "ann@here.test=bob@here.test; sick@there.test=sick@here.test")
	})
	outcomes, err := o.post(envelope("x@there.test", "ann@here.test"), letter)
	if err != nil || len(outcomes) != 1 {
		t.Fatal(outcomes, err)
	}
	if a, b := len(o.inbox("ann@here.test")), len(o.inbox("bob@here.test")); a != 1 || b != 1 {
		t.Errorf("ann has %d, bob %d, want one each", a, b)
	}
	if items := o.items(); len(items) != 1 || items[0].To[0].Address.String() != "archive@far.test" || items[0].To[0].Notify != mail.NotifyNever {
		t.Errorf("the queue has %+v", items)
	}
	// A copy that cannot be made now lets the message wait.
	if _, err := o.post(envelope("x@y.test", "sick@there.test"), letter); !mail.StatusOf(err).Temporary() {
		t.Errorf("with a copy in trouble: %v", err)
	}
}

func TestDiscardAndList(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.Tables.Aliases = tab(t, "null=/dev/null; list=ann@here.test, eve@there.test; owner-list=carl@here.test; store=bob@lmtp.test")
		r.Tables.Transports = tab(t, "lmtp.test=lmtp:unix:/run/lmtp")
	})
	if _, err := o.post(envelope("x@there.test", "null@here.test"), letter); err != nil || len(o.items()) != 0 {
		t.Errorf("to nowhere: %v, %+v", err, o.items())
	}
	env := envelope("bob@here.test", "list@here.test")
	env.EnvelopeID, env.Ret, env.To[0].Notify = "id", "HDRS", mail.NotifySuccess|mail.NotifyFailure
	if _, err := o.post(env, letter); err != nil {
		t.Fatal(err)
	}
	item := o.items()[0]
	if item.Envelope.From.String() != "owner-list@here.test" || item.Envelope.EnvelopeID != "" || item.To[0].Notify != 0 || item.To[0].Original != "" {
		t.Errorf("to members: %+v", item)
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <owner-list@here.test>") {
		t.Errorf("ann has %q", got)
	}
	if got := o.inbox("bob@here.test"); len(got) != 1 || !strings.Contains(got[0], "list@here.test 250") {
		t.Errorf("the sender has %q, want a report on the list", got)
	}
	// Mail for the store of another program is in the queue of the same commit,
	// which is told of it.
	o.told.items = nil
	if _, err := o.post(envelope("x@there.test", "store@here.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	if len(o.told.items) != 1 || o.told.items[0].Hop != (mail.Hop{Kind: mail.HopLMTP, Host: "unix:/run/lmtp", Exact: true}) {
		t.Errorf("told of %+v", o.told.items)
	}
}

// Items that go on with different senders are told of apart.
func TestPartsHaveOneSender(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.Tables.Aliases = tab(t, "list=eve@there.test; owner-list=carl@here.test")
	})
	for _, c := range []struct {
		to   string
		want int
	}{{"list@here.test", 0}, {"z@third.test", 2}} {
		o.told.items = nil
		if _, err := o.post(envelope("bob@here.test", "y@far.test", c.to), letter); err != nil {
			t.Fatal(err)
		}
		for _, item := range o.told.items {
			if item.Parts != c.want || len(o.told.items) != 2 {
				t.Errorf("with %s: %d parts, want %d: %+v", c.to, item.Parts, c.want, item)
			}
		}
	}
}

// A report on forwarded mail comes home through the rewritten sender.
func TestReportComesHome(t *testing.T) {
	o := with(t, func(r *route.Options) {
		r.SRS = srs.New(srs.Options{Domain: mail.MustDomain("here.test"), Secrets: [][]byte{[]byte("x")}, Now: time.Now})
	})
	if _, err := o.post(envelope("x@away.test", "mixed@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	item := o.items()[0]
	if got := item.Envelope.From; !strings.HasPrefix(got.Local, "SRS0=") || item.To[0].Address.String() != "eve@there.test" {
		t.Fatalf("forwarded from %s to %+v", got, item.To)
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 || !strings.HasPrefix(got[0], "Return-Path: <x@away.test>") {
		t.Errorf("ann has %q", got)
	}
	// From a stranger's host, who may not relay,
	if err := o.Recipient(t.Context(), &mail.Envelope{Origin: mail.Origin{Service: "smtp"}}, mail.Recipient{Address: item.Envelope.From}); err != nil {
		t.Error(err)
	}
	// and of our own making.
	report, _ := plainReporter{}.Report(&item, []mail.Fate{{Kind: mail.NotifyFailure, ItemRcpt: item.To[0]}})
	if err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{item.ID}, Reports: []mail.Report{report}}); err != nil {
		t.Fatal(err)
	}
	if left := o.items(); len(left) != 1 || left[0].To[0].Address.String() != "x@away.test" || left[0].Hop.Host != "away.test" {
		t.Errorf("the report goes as %+v", left)
	}
}

// What a program hands in is taken once by its name, and is nowhere twice
// whatever is repeated after a crash.
func TestDropIsTakenOnce(t *testing.T) {
	o := with(t, nil)
	o.Office.o.MaxDrop, o.Office.o.MaxHops = 1000, 2
	drop := func(name, text string, to ...string) error {
		env := envelope("ann@here.test", to...)
		env.Origin.Service = "local"
		return o.Drop(t.Context(), env, []byte("Received: by test\r\n"), strings.NewReader(text), name)
	}
	again := func() []mail.Outcome {
		t.Helper()
		items := o.items()
		if len(items) != 1 || items[0].Hop != (mail.Hop{Kind: mail.HopPost, Host: Dropped}) {
			t.Fatalf("the queue has %+v", items)
		}
		return o.Deliver(t.Context(), &items[0], nil)
	}
	for range 3 {
		if err := drop("0/a", letter, "ann@here.test", "eve@there.test"); err != nil {
			t.Fatal(err)
		}
	}
	item := o.items()[0]
	if got := again(); len(got) != 2 || got[0].Status.Code != 250 || got[1].Status.Code != 250 {
		t.Errorf("sorted: %+v", got)
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 || !strings.Contains(got[0], "\r\nReceived: by test\r\n"+letter) {
		t.Errorf("ann has %q", got)
	}
	if _, err := o.Item(t.Context(), item.ID); err == nil {
		t.Error("the item is still there, and would be sorted again after a crash")
	}
	if items := o.items(); len(items) != 1 || items[0].Hop.Host != "there.test" {
		t.Errorf("the queue has %+v", items)
	}
	if err := drop("0/a", letter, "ann@here.test"); err != nil || len(o.items()) != 1 {
		t.Errorf("handed in again: %v", err)
	}
	if err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{o.items()[0].ID}}); err != nil {
		t.Fatal(err)
	}
	// A wrong recipient, and a loop, come back to the sender by the queue.
	if err := drop("0/b", letter, "gone@here.test"); err != nil {
		t.Fatal(err)
	}
	if got := again(); got[0].Status.Code != 550 || got[0].Err == nil {
		t.Errorf("to nobody: %+v", got)
	}
	if err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{o.items()[0].ID}}); err != nil {
		t.Fatal(err)
	}
	if err := drop("0/c", strings.Repeat("Received: x\r\n", 3)+letter, "ann@here.test"); err != nil {
		t.Fatal(err)
	}
	if got := again(); got[0].Status.Code != 554 {
		t.Errorf("with too many hops: %+v", got)
	}
	if err := drop("0/d", letter+strings.Repeat("x", 1000), "ann@here.test"); mail.StatusOf(err).Code != 552 {
		t.Errorf("too large: %v", err)
	}
	// Names are forgotten when they are old and no letter has them.
	o.Office.o.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	if err := o.ForgetDrops(t.Context(), time.Hour, func(name string) bool { return name == "0/a" }); err != nil {
		t.Fatal(err)
	}
	notes, err := o.store.Notes().All(t.Context(), dropKey)
	if err != nil || len(notes) != 1 || notes[0].Key != dropKey+"0/a" {
		t.Errorf("notes: %+v, %v", notes, err)
	}
}
