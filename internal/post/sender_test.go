package post

import (
	"context"
	"strings"
	"testing"
	"time"

	"plic/internal/authres"
	"plic/internal/check/sender"
	"plic/internal/deliver/local"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/route"
	"plic/internal/scripts"
	"plic/internal/table"
)

// suspicious puts all that comes by SMTP into Junk.
type suspicious struct{}

func (suspicious) Wants(env *mail.Envelope) bool { return env.Origin.Service == "smtp" }

func (suspicious) Check(context.Context, *mail.Envelope, *message.Message, mail.Body) (*sender.Findings, error) {
	return &sender.Findings{Results: authres.Field{Server: "mx.here.test"}, Junk: "it looks bad"}, nil
}

func (suspicious) Survives(context.Context, *sender.Findings, mail.Body) (bool, string, error) {
	return true, "", nil
}

// TestJunk files what looks bad as the account's script wants it, or else into
// Junk; nobody gets an answer to it.
func TestJunk(t *testing.T) {
	o := filtering(t, map[string]string{
		"bob@here.test":  `require ["vacation", "fileinto"]; vacation "away"; if header :contains "subject" "hello" { keep; }`,
		"carl@here.test": `require "fileinto"; fileinto "Archive";`,
	})
	o.Office = New(Options{
		Store: o.store, Router: route.New(route.Options{Directory: o.people}), Directory: o.people,
		Reporter: plainReporter{}, Now: time.Now, Lifetime: time.Hour, Host: "mx.here.test", Examiner: suspicious{},
		Filter: local.New(local.Options{Scripts: scripts.New(scripts.Options{Store: o.store}), Host: mail.MustDomain("mx.here.test")}),
	})
	text := strings.Replace(letter, "Subject", "To: bob@here.test\r\nSubject", 1)
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "bob@here.test", "carl@here.test"), text); err != nil {
		t.Fatal(err)
	}
	for account, box := range map[string]string{"ann@here.test": "Junk", "bob@here.test": "Junk", "carl@here.test": "Archive"} {
		o.want(account, box, 1)
		o.want(account, "INBOX", 0)
	}
	if items := o.items(); len(items) != 0 {
		t.Errorf("%d messages go out, want no answer", len(items))
	}
	// Without a mailbox for junk, one is made.
	ann, err := o.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	if err := ann.Delete(t.Context(), "Junk"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	o.want("ann@here.test", "Junk", 1)
}

// TestHeldJunk sees that what looks bad still does when it was held meanwhile.
func TestHeldJunk(t *testing.T) {
	o := newOffice(t)
	rules, err := table.OpenAll([]string{`inline:{"Subject: hello" = "hold"}`}, table.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o.o.HeaderRules, o.o.Examiner = rules, suspicious{}
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
		t.Fatal(err)
	}
	items := o.items()
	if len(items) != 1 || !items[0].Hold {
		t.Fatalf("%+v", items)
	}
	for _, outcome := range o.Deliver(t.Context(), &items[0], nil) {
		if outcome.Err != nil {
			t.Fatal(outcome.Err)
		}
	}
	o.want("ann@here.test", "Junk", 1)
	o.want("ann@here.test", "INBOX", 0)
}

// TestForged takes out what claims to be ours, whoever brings it, but for the
// relay that is trusted.
func TestForged(t *testing.T) {
	o := newOffice(t)
	o.o.Host = "mx.here.test"
	for service, kept := range map[string]bool{"smtp": false, "submission": false, "local": false, "lmtp": true} {
		for _, field := range []string{"Authentication-Results: mx.here.test; spf=pass\r\n", "AUTHENTICATION-results:\r\n\t\"MX.HERE.TEST\"/1;\r\n spf=pass\r\n", "Authentication-Results: (a (b) ;) mx.here.test (c) 1; spf=pass\r\n"} {
			env := envelope("x@there.test", "ann@here.test")
			env.Origin.Service = service
			if _, err := o.post(env, "X-One: 1\r\n"+field+letter); err != nil {
				t.Fatal(err)
			}
			all := o.inbox("ann@here.test")
			want := "X-One: 1\r\n"
			if kept {
				want += field
			}
			if got := all[len(all)-1]; !strings.HasSuffix(got, "Received: from test\r\n"+want+letter) {
				t.Errorf("%s: %q", service, got)
			}
		}
	}
}
