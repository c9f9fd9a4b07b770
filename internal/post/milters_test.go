package post

import (
	"context"
	"errors"
	"strings"
	"testing"

	"plic/internal/check/milter"
	"plic/internal/mail"
)

// wishing are milters that want the same of every message.
type wishing struct {
	x   milter.Change
	err error
}

func (w wishing) Message(context.Context, *mail.Envelope, mail.Body) (*milter.Change, error) {
	x := w.x
	return &x, w.err
}

// TestMiltersAreObeyed carries out all that milters may want.
func TestMiltersAreObeyed(t *testing.T) {
	address := func(text string) mail.Address { return mail.MustAddress(text) }
	from := address("new@there.test")
	with := func(x milter.Change, err error) *office {
		o := newOffice(t)
		o.o.Milters = wishing{x, err}
		return o
	}

	o := with(milter.Change{
		Text: []byte("Subject: changed\r\n\r\nbody\r\n"), From: &from,
		Add: []mail.Address{address("carl@here.test"), address("eve@far.test")}, Del: []mail.Address{address("bob@here.test")},
	}, nil)
	env := envelope("x@there.test", "ann@here.test", "bob@here.test")
	env.Origin.Service = "lmtp" // where each has an answer
	outcomes, err := o.post(env, letter)
	if err != nil || len(outcomes) != 2 || outcomes[0].Status.Code != 250 || outcomes[1].Status.Code != 250 {
		t.Fatalf("%+v, %v", outcomes, err)
	}
	for who, n := range map[string]int{"ann@here.test": 1, "bob@here.test": 0, "carl@here.test": 1} {
		got := o.inbox(who)
		if len(got) != n || n > 0 && (!strings.HasPrefix(got[0], "Return-Path: <new@there.test>\r\n") || !strings.HasSuffix(got[0], "Subject: changed\r\n\r\nbody\r\n")) {
			t.Errorf("%s has %q", who, got)
		}
	}
	if items := o.items(); len(items) != 1 || items[0].To[0].Address != address("eve@far.test") || items[0].To[0].Notify != mail.NotifyNever || items[0].Envelope.From != from {
		t.Errorf("the queue has %+v", items)
	}

	o = with(milter.Change{Discard: true}, nil)
	if _, err := o.post(envelope("x@there.test", "ann@here.test", "eve@far.test"), letter); err != nil || len(o.inbox("ann@here.test"))+len(o.items()) > 0 {
		t.Errorf("what is thrown away: %v, %d items", err, len(o.items()))
	}
	o = with(milter.Change{Del: []mail.Address{address("ann@here.test")}}, nil)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil || len(o.inbox("ann@here.test")) > 0 {
		t.Errorf("what is for nobody: %v", err)
	}

	o = with(milter.Change{Hold: "it looks odd"}, nil)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil || len(o.inbox("ann@here.test")) > 0 {
		t.Fatal(err)
	}
	items := o.items()
	if len(items) != 1 || !items[0].Hold || items[0].Why != "a milter holds it: it looks odd" {
		t.Fatalf("the queue has %+v", items)
	}
	// Released, it comes to its recipients, and is not asked about again.
	body, err := o.OpenBody(t.Context(), &items[0])
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	for _, outcome := range o.Deliver(t.Context(), &items[0], body) {
		if outcome.Status.Class() != mail.Success {
			t.Errorf("released: %+v", outcome)
		}
	}
	if got := o.inbox("ann@here.test"); len(got) != 1 || len(o.items()) > 0 {
		t.Errorf("released, it is %q, and %d wait", got, len(o.items()))
	}

	refusal := &mail.Failure{Op: "milter", Status: mail.Reply(550, "5.7.1", "no")}
	o = with(milter.Change{}, refusal)
	if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); !errors.Is(err, refusal) || len(o.inbox("ann@here.test")) > 0 {
		t.Errorf("refused: %v", err)
	}
}
