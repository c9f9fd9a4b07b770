package post

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/route"
	"plic/internal/scripts"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// people is a directory: an address leads to an account or to other addresses.
type people map[string][]string

func (p people) Domain(_ context.Context, d mail.Domain) (directory.Domain, error) {
	if d.String() != "here.test" {
		return directory.Domain{}, directory.ErrNotFound
	}
	return directory.Domain{Name: d}, nil
}

func (p people) Resolve(_ context.Context, a mail.Address) (directory.Target, error) {
	to, ok := p[a.Key()]
	if base, detail := a.Detail("+"); !ok && detail != "" {
		if to, ok = p[base.Key()]; ok && len(to) == 0 {
			return directory.Target{Account: base.Key(), Detail: detail}, nil
		}
	}
	if !ok {
		return directory.Target{}, directory.ErrNotFound
	}
	if len(to) == 0 {
		return directory.Target{Account: a.Key()}, nil
	}
	if to[0] == "broken" {
		return directory.Target{}, errors.New("connection refused")
	}
	var t directory.Target
	for _, s := range to {
		t.Aliases = append(t.Aliases, mail.MustAddress(s))
	}
	return t, nil
}

func (p people) Account(context.Context, string) (directory.Account, error) {
	return directory.Account{}, directory.ErrNotFound
}

func (p people) Owns(_ context.Context, account string, a mail.Address) (bool, error) {
	return a.Key() == account || slices.Contains(p[a.Key()], account), nil
}

// plainReporter writes reports that say only what they are about.
type plainReporter struct{}

func (plainReporter) Report(item *mail.Item, fates []mail.Fate) (mail.Report, bool) {
	text := ""
	for _, f := range fates {
		if f.Wanted(&item.Envelope) {
			text += fmt.Sprintf("%s %s for %s\r\n", f.Address, f.Last, f.Original)
		}
	}
	if item.Envelope.From.IsNull() || text == "" {
		return mail.Report{}, false
	}
	text = "Subject: report\r\n\r\n" + text
	return mail.Report{
		Envelope: mail.Envelope{ID: mail.NewID(time.Now()), To: []mail.Recipient{{Address: item.Envelope.From}}},
		Message:  []byte(text),
	}, true
}

// told remembers the items that the queue was told of.
type told struct {
	items    []mail.Item
	pressure time.Duration
}

func (t *told) Pressure() time.Duration { return t.pressure }

func (t *told) Added(items ...mail.Item) { t.items = append(t.items, items...) }

type office struct {
	*Office
	t      *testing.T
	store  *store.Store
	engine *memory.Engine
	told   *told
	people people
	keeper *scripts.Keeper // of those that filter
}

func newOffice(t *testing.T) *office {
	p := people{
		"ann@here.test": nil, "bob@here.test": nil, "carl@here.test": nil,
		"team@here.test":  {"ann@here.test", "bob@here.test"},
		"mixed@here.test": {"ann@here.test", "eve@there.test"},
		"sick@here.test":  {"broken"},
		"sales@here.test": {"ann@here.test"},
	}
	e := memory.New(time.Now)
	s := store.New(store.Options{Engine: e})
	o := &office{t: t, store: s, engine: e, told: &told{}, people: p}
	o.Office = New(Options{
		Store: s, Router: route.New(route.Options{Directory: p}), Directory: p,
		Reporter: plainReporter{}, Now: time.Now, Lifetime: 5 * 24 * time.Hour,
	})
	o.Schedule(o.told)
	return o
}

const letter = "From: Ann <ann@here.test>\r\nSubject: hello\r\n\r\nHello!\r\n"

func envelope(from string, to ...string) *mail.Envelope {
	env := &mail.Envelope{ID: mail.NewID(time.Now()), Received: time.Now(), Origin: mail.Origin{Service: "smtp"}}
	if from != "" {
		env.From = mail.MustAddress(from)
	}
	for _, a := range to {
		env.To = append(env.To, mail.Recipient{Address: mail.MustAddress(a)})
	}
	return env
}

func (o *office) post(env *mail.Envelope, text string) ([]mail.Outcome, error) {
	o.t.Helper()
	d, err := o.Begin(o.t.Context(), env)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(d, text); err != nil {
		o.t.Fatal(err)
	}
	outcomes, err := d.Commit(o.t.Context(), env, []byte("Received: from test\r\n"))
	if err != nil {
		d.Abort()
	}
	return outcomes, err
}

// inbox gives the messages of an account.
func (o *office) inbox(account string) []string {
	o.t.Helper()
	a, err := o.store.Account(o.t.Context(), account)
	if err != nil {
		o.t.Fatal(err)
	}
	m, err := a.Mailbox("INBOX")
	if err != nil {
		o.t.Fatal(err)
	}
	snapshot, err := m.Snapshot(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	var all []string
	for _, e := range snapshot.All() {
		msg, err := m.Open(o.t.Context(), e)
		if err != nil {
			o.t.Fatal(err)
		}
		text, err := io.ReadAll(mail.Reader(msg))
		if err != nil {
			o.t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

func (o *office) items() []mail.Item {
	o.t.Helper()
	var all []mail.Item
	for item, err := range o.Items(o.t.Context()) {
		if err != nil {
			o.t.Fatal(err)
		}
		all = append(all, item)
	}
	return all
}

func TestCommitPutsTheMessageWhereItBelongs(t *testing.T) {
	o := newOffice(t)
	if _, err := o.post(envelope("x@there.test", "mixed@here.test", "team@here.test", "eve@there.test", "u@far.test"), letter); err != nil {
		t.Fatal(err)
	}
	want := "Return-Path: <x@there.test>\r\nDelivered-To: ann@here.test\r\nReceived: from test\r\n" + letter
	if got := o.inbox("ann@here.test"); len(got) != 1 || got[0] != want {
		t.Errorf("ann has %q, want once %q", got, want)
	}
	if got := o.inbox("bob@here.test"); len(got) != 1 {
		t.Errorf("bob has %q, want one", got)
	}
	items := o.items()
	if len(items) != 2 || len(o.told.items) != 2 {
		t.Fatalf("%d items, %d told of, want one for each of two hosts", len(items), len(o.told.items))
	}
	for _, item := range items {
		body, err := o.OpenBody(t.Context(), &item)
		if err != nil {
			t.Fatal(err)
		}
		if text, _ := io.ReadAll(mail.Reader(body)); string(text) != "Received: from test\r\n"+letter || int64(len(text)) != item.Size {
			t.Errorf("to %s goes %q, size %d", item.Hop.Host, text, item.Size)
		}
		if item.Hop.Host == "there.test" && (len(item.To) != 1 || item.To[0].Original != "rfc822;mixed@here.test") {
			t.Errorf("eve is reached as %+v, want once, with what the sender wrote", item.To)
		}
	}
}

func TestRecipient(t *testing.T) {
	o := newOffice(t)
	account := mail.Origin{Service: "submission", Account: "ann@here.test"}
	for _, c := range []struct {
		to     string
		origin mail.Origin
		want   string
	}{
		{"ann@here.test", mail.Origin{}, ""},
		{"nobody@here.test", mail.Origin{}, "550 5.1.1"},
		{"eve@there.test", mail.Origin{Service: "smtp"}, "550 5.7.1"},
		{"eve@there.test", mail.Origin{Service: "lmtp"}, "550 5.7.1"},
		{"eve@[127.0.0.1]", mail.Origin{Service: "smtp"}, "550 5.7.1"},
		{`"eve@there.test"@here.test`, mail.Origin{}, "550 5.1.1"},
		{"eve%there.test@here.test", mail.Origin{}, "550 5.1.1"},
		{"there.test!eve@here.test", mail.Origin{}, "550 5.1.1"},
		{"eve@there.test", account, ""},
		{"sick@here.test", mail.Origin{}, "451 4.3.0"},
	} {
		err := o.Recipient(t.Context(), &mail.Envelope{Origin: c.origin}, mail.Recipient{Address: mail.MustAddress(c.to)})
		if got := text(err); !strings.HasPrefix(got, c.want) || (c.want == "") != (err == nil) {
			t.Errorf("%s from %+v: %q, want %q", c.to, c.origin, got, c.want)
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return mail.StatusOf(err).String()
}

func TestSenderBelongsToTheAccount(t *testing.T) {
	o := newOffice(t)
	for _, c := range []struct{ from, header, want string }{
		{"ann@here.test", "ann@here.test", ""},
		{"sales@here.test", "sales@here.test", ""},
		{"bob@here.test", "ann@here.test", "553 5.7.1"},
		{"ann@here.test", "bob@here.test", "553 5.7.1"},
		{"ann@here.test", "ann@here.test, bob@here.test", "553 5.7.1"},
		{"ann@here.test", "ann@here.test\r\nSender: sales@here.test", ""},
		{"ann@here.test", "ann@here.test\r\nSender: bob@here.test", "553 5.7.1"},
		{"ann@here.test", "ann@here.test\r\nFrom: bob@here.test", "550 5.6.0"},
		{"ann@here.test", "ann@here.test\r\nfrom : ann@here.test", "550 5.6.0"},
		{"", "ann@here.test", ""},
	} {
		env := envelope(c.from, "eve@there.test")
		env.Origin = mail.Origin{Service: "submission", Account: "ann@here.test"}
		err := o.Sender(t.Context(), env)
		if err == nil {
			_, err = o.post(env, "From: "+c.header+"\r\n\r\nx\r\n")
		}
		if got := text(err); !strings.HasPrefix(got, c.want) || (c.want == "") != (err == nil) {
			t.Errorf("from %s, From: %s: %q, want %q", c.from, c.header, got, c.want)
		}
	}
}

func TestTemporaryTroubleRefusesAll(t *testing.T) {
	o := newOffice(t)
	_, err := o.post(envelope("x@there.test", "ann@here.test", "sick@here.test"), letter)
	if !mail.StatusOf(err).Temporary() {
		t.Errorf("got %v, want a temporary refusal", err)
	}
	if got := o.inbox("ann@here.test"); len(got) != 0 {
		t.Errorf("ann has %q of a refused message", got)
	}
}

func TestRecipientThatHasGoneIsReported(t *testing.T) {
	o := newOffice(t)
	if _, err := o.post(envelope("carl@here.test", "ann@here.test", "gone@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 {
		t.Errorf("ann has %q, want one", got)
	}
	got := o.inbox("carl@here.test")
	if len(got) != 1 || !strings.Contains(got[0], "gone@here.test 550 5.1.1") || !strings.HasPrefix(got[0], "Return-Path: <>\r\n") {
		t.Errorf("carl has %q, want a report on gone@here.test", got)
	}
	_, err := o.post(envelope("carl@here.test", "gone@here.test"), letter)
	if mail.StatusOf(err).Code != 550 {
		t.Errorf("with nobody left: %v, want 550", err)
	}
}

func TestLMTPAnswersForEach(t *testing.T) {
	o := newOffice(t)
	env := envelope("carl@here.test", "ann@here.test", "gone@here.test", "sick@here.test", "bob@here.test")
	env.Origin.Service = "lmtp"
	outcomes, err := o.post(env, letter)
	if err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, oc := range outcomes {
		codes = append(codes, oc.Status.Code)
	}
	if !slices.Equal(codes, []int{250, 550, 451, 250}) {
		t.Errorf("outcomes %v", codes)
	}
	if got := o.inbox("carl@here.test"); len(got) != 0 {
		t.Errorf("carl has %q, though the client was told", got)
	}
}

func TestSuccessIsReportedWhenAskedFor(t *testing.T) {
	o := newOffice(t)
	env := envelope("carl@here.test", "ann@here.test", "bob@here.test")
	env.To[1].Notify = mail.NotifySuccess
	if _, err := o.post(env, letter); err != nil {
		t.Fatal(err)
	}
	got := o.inbox("carl@here.test")
	if len(got) != 1 || !strings.Contains(got[0], "bob@here.test 250") || strings.Contains(got[0], "ann@") {
		t.Errorf("carl has %q, want a report on bob alone", got)
	}
}

// What a message wants of TLS stays with it in the queue, RFC 8689. REQUIRETLS
// outdoes the field of the header.
func TestTLSRequired(t *testing.T) {
	for _, c := range []struct {
		fields   string
		require  bool
		optional bool
	}{
		{"", false, false}, {"TLS-Required: No\r\n", false, true}, {"tls-required:  no \r\n", false, true},
		{"TLS-Required: No\r\n", true, false}, {"TLS-Required: Yes\r\n", false, false},
		{"TLS-Required: No\r\nTLS-Required: No\r\n", false, false}, {"TLS-Required: No\r\nTLS-Required: x\r\n", false, false},
	} {
		o := newOffice(t)
		env := envelope("ann@here.test", "out@there.test")
		env.Origin.Account = "ann@here.test"
		env.RequireTLS = c.require
		if _, err := o.post(env, c.fields+letter); err != nil {
			t.Fatal(err)
		}
		items := o.items()
		if len(items) != 1 || items[0].Envelope.RequireTLS != c.require || items[0].Envelope.TLSOptional != c.optional {
			t.Errorf("%q, REQUIRETLS %v: %+v", c.fields, c.require, items)
		}
	}
}

func TestLoopEnds(t *testing.T) {
	o := newOffice(t)
	_, err := o.post(envelope("x@there.test", "ann@here.test"), "Delivered-To: ann@here.test\r\n"+letter)
	if got := text(err); !strings.HasPrefix(got, "550 5.4.6") {
		t.Errorf("a message that was here before: %q", got)
	}
}

func TestFullAndFailedStores(t *testing.T) {
	o := newOffice(t)
	o.engine.Refuse(engine.ErrFull)
	if got := text(o.Sender(t.Context(), envelope("x@there.test"))); !strings.HasPrefix(got, "452 4.3.1") {
		t.Errorf("MAIL with a full disk: %q", got)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); mail.StatusOf(err).Code != 452 {
		t.Errorf("commit with a full disk: %v", err)
	}
	o.engine.Refuse(nil)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Errorf("when there is room again: %v", err)
	}
	o.engine.Fail()
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); mail.StatusOf(err).Code != 451 {
		t.Errorf("commit to a failed store: %v", err)
	}
}

func TestSettle(t *testing.T) {
	o := newOffice(t)
	if _, err := o.post(envelope("carl@here.test", "u@far.test"), letter); err != nil {
		t.Fatal(err)
	}
	item := o.items()[0]
	item.Attempts = 1
	if err := o.Settle(t.Context(), queue.Settlement{Put: []mail.Item{item}}); err != nil {
		t.Fatal(err)
	}
	if got, err := o.Item(t.Context(), item.ID); err != nil || got.Attempts != 1 {
		t.Errorf("the item is %+v, %v", got, err)
	}
	report, _ := plainReporter{}.Report(&item, []mail.Fate{{Kind: mail.NotifyFailure, ItemRcpt: item.To[0]}})
	away := report
	away.Envelope.To = []mail.Recipient{{Address: mail.MustAddress("x@there.test")}}
	nowhere := report
	nowhere.Envelope.To = []mail.Recipient{{Address: mail.MustAddress("nobody@here.test")}}
	err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{item.ID}, Reports: []mail.Report{report, away, nowhere}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Item(t.Context(), item.ID); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the item is still there: %v", err)
	}
	if got := o.inbox("carl@here.test"); len(got) != 1 {
		t.Errorf("carl has %q, want the report", got)
	}
	left := o.items()
	if len(left) != 1 || !left[0].Report || left[0].Hop.Host != "there.test" || !left[0].Envelope.From.IsNull() {
		t.Errorf("the queue holds %+v, want the report for there.test", left)
	}
}

// TestQuota refuses at RCPT what is known by then not to fit, and at the end of
// data what is not.
func TestQuota(t *testing.T) {
	o := newOffice(t)
	ann, err := o.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	limit := func(bytes int64) {
		t.Helper()
		if err := ann.SetLimits(t.Context(), store.Usage{Bytes: bytes}); err != nil {
			t.Fatal(err)
		}
	}
	rcpt := func(size int64) string {
		t.Helper()
		env := envelope("x@there.test")
		env.Size = size
		return text(o.Recipient(t.Context(), env, mail.Recipient{Address: mail.MustAddress("ann@here.test")}))
	}
	limit(1000)
	if got := rcpt(1001); !strings.HasPrefix(got, "552 5.2.3") {
		t.Errorf("RCPT of what never fits: %q", got)
	}
	if got := rcpt(900); got != text(nil) {
		t.Errorf("RCPT of what fits: %q", got)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter+strings.Repeat("x", 700)); err != nil {
		t.Fatal(err)
	}
	if got := rcpt(900); !strings.HasPrefix(got, "452 4.2.2") {
		t.Errorf("RCPT of a full mailbox: %q", got)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "bob@here.test"), letter+strings.Repeat("x", 700)); !strings.HasPrefix(text(err), "452 4.2.2") {
		t.Errorf("the end of data: %v", err)
	}
	lmtp := envelope("x@there.test", "ann@here.test", "bob@here.test")
	lmtp.Origin.Service = "lmtp"
	outcomes, err := o.post(lmtp, letter+strings.Repeat("x", 700))
	if err != nil || outcomes[0].Status.Code != 452 || outcomes[1].Status.Code != 250 {
		t.Errorf("over LMTP: %v, %v", outcomes, err)
	}
}
