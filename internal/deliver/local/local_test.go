package local

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/scripts"
	"plic/internal/sieve"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// door is where letters come for ann.
type door struct {
	*Agent
	t    *testing.T
	keep *scripts.Keeper
	ann  *store.Account
	now  time.Time
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{t: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return d.now }
	s := store.New(store.Options{Engine: memory.New(clock)})
	t.Cleanup(func() { s.Close() })
	var err error
	if d.ann, err = s.Account(t.Context(), "ann@here.test"); err != nil {
		t.Fatal(err)
	}
	d.keep = scripts.New(scripts.Options{Store: s})
	d.Agent = New(Options{Scripts: d.keep, Host: mail.MustDomain("mx.here.test"), Now: clock})
	return d
}

// plan has a script look at a letter.
func (d *door) plan(script string, change func(*Letter)) *Plan {
	d.t.Helper()
	err := d.keep.Put(d.t.Context(), d.ann, "main", script)
	if err == nil {
		err = d.keep.Activate(d.t.Context(), d.ann, "main")
	}
	if err != nil {
		d.t.Fatal(err)
	}
	l := &Letter{
		Account: d.ann, From: mail.MustAddress("x@there.test"), To: mail.MustAddress("ann@here.test"), Envelope: &mail.Envelope{Received: d.now},
		Whole: mail.Bytes([]byte("From: X <x@there.test>\r\nTo: ann@here.test\r\nSubject: =?utf-8?q?f=C3=BCr_dich?=\r\nMessage-ID: <2@there.test>\r\nReferences: <1@there.test>\r\n\r\nHello!\r\n")),
	}
	if change != nil {
		change(l)
	}
	pl, err := d.Plan(d.t.Context(), l)
	if err != nil || pl.Err != nil {
		d.t.Fatal(err, pl)
	}
	return pl
}

func (d *door) has(text []byte, all ...string) {
	d.t.Helper()
	for _, want := range all {
		if !strings.Contains(string(text), want) {
			d.t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

// filed are the mailboxes of a plan.
func filed(pl *Plan) (all []string) {
	for _, f := range pl.Files {
		all = append(all, f.Mailbox.Name())
	}
	return all
}

// TestNotice is what a notice looks like, with and without words of the script,
// and that it goes from nobody to all that its URI names. RFC 5436 section 2.7.
func TestNotice(t *testing.T) {
	d := newDoor(t)
	send := d.plan(`require "enotify"; notify "mailto:pager@far.test";`, nil).Send
	if len(send) != 1 || !send[0].Envelope.From.IsNull() || len(send[0].Envelope.To) != 1 || send[0].Envelope.To[0].Notify != mail.NotifyNever {
		t.Fatalf("it sends %+v", send)
	}
	d.has(send[0].Message, "From: ann@here.test\r\n", "To: pager@far.test\r\n", "Auto-Submitted: auto-notified; owner-email=\"ann@here.test\"\r\n",
		"Subject: New mail: ", "References: <1@there.test> <2@there.test>\r\n", "A message has come for ann@here.test.\r\n", "\r\nSubject: für dich\r\n")

	pl := d.plan(`require ["enotify", "fcc", "mailbox"];
notify :from "ann@here.test" :importance "1" :fcc "Told" :create :message "wake up" "mailto:a@far.test,b@far.test?cc=c@far.test&bcc=d@far.test&body=Now!";`, nil)
	if len(pl.Send) != 1 || len(pl.Papers) != 1 || pl.Papers[0].Mailbox.Name() != "Told" {
		t.Fatalf("%d sent, papers %+v", len(pl.Send), pl.Papers)
	}
	var to []string
	for _, r := range pl.Send[0].Envelope.To {
		to = append(to, r.Address.String())
	}
	if want := []string{"a@far.test", "b@far.test", "c@far.test", "d@far.test"}; !slices.Equal(to, want) {
		t.Errorf("it goes to %q", to)
	}
	d.has(pl.Send[0].Message, "To: a@far.test, b@far.test\r\n", "Cc: c@far.test\r\n", "Subject: wake up\r\n", "Importance: high\r\n", "X-Priority: 1\r\n", "\r\n\r\nNow!")
	if strings.Contains(string(pl.Send[0].Message), "d@far.test") {
		t.Errorf("it shows who is blind:\n%s", pl.Send[0].Message)
	}
}

// TestAnswerInMIME sends an entity of the script as it is. RFC 5230 section 4.3.
func TestAnswerInMIME(t *testing.T) {
	d := newDoor(t)
	script := `require "vacation"; vacation :from "Ann <ann@here.test>" :subject "away" :mime text:
Content-Type: text/html

<b>Gone</b>
.
;`
	send := d.plan(script, nil).Send
	if len(send) != 1 {
		t.Fatalf("it sends %+v", send)
	}
	d.has(send[0].Message, "From: Ann <ann@here.test>\r\n", "Subject: away\r\n", "MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n<b>Gone</b>\r\n")
	if pl := d.plan(script, func(l *Letter) { l.Junk = true }); len(pl.Send) != 0 || !slices.Equal(filed(pl), []string{"Junk"}) {
		t.Errorf("junk is answered by %+v, and goes to %q", pl.Send, filed(pl))
	}
}

// TestEnvelopeParts asks for what the sender wished. RFC 6009 section 3.
func TestEnvelopeParts(t *testing.T) {
	d := newDoor(t)
	script := `require ["envelope", "envelope-dsn", "envelope-deliverby", "fileinto", "mailbox"];
if allof (envelope "notify" "SUCCESS,DELAY", envelope "orcpt" "rfc822;Ann@here.test", envelope "envid" "q7", envelope "ret" "HDRS",
  envelope "bytimerelative" "600", envelope "bytimeabsolute" "2026-11-26T12:10:00Z", envelope "bymode" "return", envelope "bytrace" "true")
{ fileinto :create "Asked"; }
elsif not anyof (envelope :contains "notify" "", envelope :contains "orcpt" "", envelope :contains "envid" "", envelope :contains "ret" "", envelope :contains "bymode" "")
{ fileinto :create "Nothing"; }`
	asked := d.plan(script, func(l *Letter) {
		l.Envelope.EnvelopeID, l.Envelope.Ret = "q7", "HDRS"
		l.Envelope.By = mail.DeliverBy{At: d.now.Add(10 * time.Minute), Return: true, Trace: true}
		l.Rcpt = &mail.Recipient{Notify: mail.NotifySuccess | mail.NotifyDelay, Original: "rfc822;Ann@here.test"}
	})
	if got := filed(asked); !slices.Equal(got, []string{"Asked"}) {
		t.Errorf("with all of it: %q", got)
	}
	if got := filed(d.plan(script, func(l *Letter) { l.Rcpt = &mail.Recipient{} })); !slices.Equal(got, []string{"Nothing"}) {
		t.Errorf("with none of it: %q", got)
	}
}

// TestAsksForMailboxes: scripts ask which mailboxes there are, and for what. RFC 5490
// section 3, RFC 8579 section 4.
func TestAsksForMailboxes(t *testing.T) {
	d := newDoor(t)
	if err := d.ann.Rename(t.Context(), "Archive", "Old"); err != nil {
		t.Fatal(err)
	}
	pl := d.plan(`require ["mailbox", "special-use", "fileinto"];
if allof (mailboxexists ["INBOX", "Old"], not mailboxexists "New", specialuse_exists "Old" "\\Archive", not specialuse_exists "Old" "\\Junk", specialuse_exists "\\archive")
{ fileinto :specialuse "\\Archive" "Elsewhere"; }`, nil)
	if got := filed(pl); !slices.Equal(got, []string{"Old"}) {
		t.Errorf("it goes to %q", got)
	}
}

// TestJunkIsMade has a mailbox for junk made where there is none, and finds it under
// any name.
func TestJunkIsMade(t *testing.T) {
	d := newDoor(t)
	if err := d.ann.Delete(t.Context(), "Junk"); err != nil {
		t.Fatal(err)
	}
	junk, err := Keep(t.Context(), d.ann, true, "", "")
	if err != nil || junk.Info().SpecialUse != `\Junk` || junk.Name() != "Junk" {
		t.Fatalf("%v, %v", junk, err)
	}
	if err := d.ann.Rename(t.Context(), "Junk", "Rubbish"); err != nil {
		t.Fatal(err)
	}
	if again, err := Keep(t.Context(), d.ann, true, "", ""); err != nil || again.Name() != "Rubbish" {
		t.Errorf("%v, %v", again, err)
	}
}

// TestMemoryIsSwept takes out of an account's notes what is remembered no more.
func TestMemoryIsSwept(t *testing.T) {
	d := newDoor(t)
	old := seenPrefix + "ff"
	if err := d.ann.Notes().Put(t.Context(), old, []byte("1")); err != nil {
		t.Fatal(err)
	}
	w := &work{agent: d.Agent, ctx: t.Context(), letter: &Letter{Account: d.ann}, plan: &Plan{}}
	kept := 0
	for i := 0; ; i++ { // one key in 256 sweeps
		w.remember(strings.Repeat("x", i), time.Hour)
		if kept++; len(w.plan.Notes) > kept {
			break
		}
	}
	if last := w.plan.Notes[len(w.plan.Notes)-1]; last.Key != old || last.Value != nil {
		t.Errorf("swept %+v", last)
	}
}

// TestScriptsOfTheSite run around the owner's, and each sees what the one before has
// made of the letter.
func TestScriptsOfTheSite(t *testing.T) {
	d := newDoor(t)
	compile := func(text string) []*sieve.Script {
		t.Helper()
		s, err := d.keep.Compile(t.Context(), d.ann, text)
		if err != nil {
			t.Fatal(err)
		}
		return []*sieve.Script{s}
	}
	d.o.Before = compile(`require "editheader"; addheader "X-Seen" "yes";`)
	d.o.After = compile(`require ["imap4flags", "fileinto"]; fileinto :flags "last" "Archive";`)
	pl := d.plan(`require ["fileinto", "copy", "imap4flags"]; if header "x-seen" "yes" { fileinto :copy :flags "first" "Archive"; }`, nil)
	if got := filed(pl); !slices.Equal(got, []string{"Archive"}) || !slices.Equal(pl.Files[0].Flags.Keywords, []string{"last"}) {
		t.Errorf("it goes to %q: %+v", got, pl.Files)
	}
	d.has(pl.Text, "X-Seen: yes\r\n")
}

// TestPrograms: one that takes too long, and arguments that no program gets, are
// faults of the script.
func TestPrograms(t *testing.T) {
	d := newDoor(t)
	d.o.Timeout = time.Millisecond
	d.o.Run = func(ctx context.Context, _ string, _ []string, _, _ mail.Address, _ []byte) ([]byte, bool, error) {
		<-ctx.Done()
		return nil, false, ctx.Err()
	}
	w := &work{agent: d.Agent, ctx: t.Context(), letter: &Letter{}}
	if _, _, err := w.execute("execute", "slow", nil, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a slow program: %v", err)
	}
	for _, wrong := range [][]string{{"bin/sh"}, {"a|b"}, {""}, {"ok", "two\nlines"}, {"ok", "\x7f"}} {
		if _, _, err := w.execute("execute", wrong[0], wrong[1:], nil); err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

// TestStandingEnvelope finds the envelope that a message came in by what stands before
// it, and leaves that out of what goes on.
func TestStandingEnvelope(t *testing.T) {
	for _, x := range []struct{ header, from, to string }{
		{"Return-Path: <x@there.test>\r\nDelivered-To: ann+lists@here.test\r\n", "x@there.test", "ann+lists@here.test"},
		{"Return-Path: <>\r\n", "", "ann@here.test"},
		{"", "", "ann@here.test"},
	} {
		text := x.header + "Subject: x\r\n\r\n"
		m, err := message.Parse(strings.NewReader(text), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		from, to := envelopeOf(m.Root, "ann@here.test")
		if got := from.String(); from.IsNull() != (x.from == "") || !from.IsNull() && got != x.from || to.String() != x.to {
			t.Errorf("%q: from %s to %s", x.header, from, to)
		}
		if got := string(withoutPath([]byte(text))); strings.Contains(got, "Return-Path") || !strings.HasSuffix(text, got) || !strings.HasSuffix(got, "Subject: x\r\n\r\n") {
			t.Errorf("%q goes on as %q", text, got)
		}
	}
}

// TestOffers: scripts may require what the site can do.
func TestOffers(t *testing.T) {
	full := Site{Lists: []string{"a"}, Viruses: true, Run: func(context.Context, string, []string, mail.Address, mail.Address, []byte) ([]byte, bool, error) {
		return nil, false, nil
	}}
	for capability, always := range map[string]bool{
		"fileinto": true, "vnd.dovecot.debug": true, "extlists": false, "virustest": false,
		"vnd.dovecot.pipe": false, "vnd.dovecot.filter": false, "vnd.dovecot.execute": false,
	} {
		if (Site{}).Offers(capability) != always || !full.Offers(capability) {
			t.Errorf("%s is offered wrongly", capability)
		}
	}
	if full.Offers("vnd.other.thing") {
		t.Error("what is unknown is offered")
	}
}

// I4: of the scripts of an account that take long one is at work at a time, however
// many letters come; others do not wait for them, nor do those that are quick.
func TestHeavyScripts(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	heavy := `require ["variables", "regex"]; set "a" "` + strings.Repeat("a", 1000) + `"; ` +
		strings.Repeat(`if string :regex "${a}" "(a?){40}b" { stop; } `, 50)
	leave, err := d.heavy.Enter(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	if got := filed(d.plan(`require "variables"; set "a" "b"; keep;`, nil)); len(got) != 1 {
		t.Errorf("a quick script files into %q", got)
	}
	if err := d.keep.Put(t.Context(), d.ann, "main", heavy); err != nil {
		t.Fatal(err)
	}
	letter := &Letter{
		Account: d.ann, To: mail.MustAddress("ann@here.test"), Envelope: &mail.Envelope{Received: d.now}, Whole: mail.Bytes([]byte("Subject: x\r\n\r\nx\r\n")),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := d.Plan(ctx, letter)
		ended <- err
	}()
	for d.heavy.Waiting("ann@here.test") < 2 {
		select {
		case err := <-ended:
			t.Fatalf("it did not wait: %v", err)
		default:
			runtime.Gosched()
		}
	}
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) || isScriptError(err) {
		t.Errorf("while it waits: %v", err)
	}
	leave()
	if pl, err := d.Plan(t.Context(), letter); err != nil || len(pl.Files) != 1 || d.heavy.Len() != 0 {
		t.Errorf("%+v, %v", pl, err)
	}
}
