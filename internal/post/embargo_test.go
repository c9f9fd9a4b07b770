package post

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

// barrier refuses gone@there.test and holds mail for wait@there.test.
type barrier struct{}

func (barrier) Refuses(_ context.Context, to mail.Address) (mail.Status, bool) {
	return mail.Reply(550, "5.1.1", "nothing is sent there"), to.String() == "gone@there.test"
}

func (barrier) Holds(_ *mail.Item, to mail.ItemRcpt) (string, bool) {
	return "because", to.Address.String() == "wait@there.test"
}

// What may not leave is refused at RCPT, or reported when others of an alias
// may; what is to be held is apart from what is not.
func TestEmbargo(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.o.Embargo = barrier{}
	env := envelope("carl@here.test")
	env.Origin.Account = "carl@here.test"
	to := mail.Recipient{Address: mail.MustAddress("gone@there.test")}
	if err := o.Recipient(t.Context(), env, to); mail.StatusOf(err).String() != "550 5.1.1 nothing is sent there" {
		t.Errorf("RCPT gets %v", err)
	}
	env = envelope("carl@here.test", "free@there.test", "wait@there.test", "gone@there.test")
	if _, err := o.post(env, letter); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, item := range o.told.items {
		for _, to := range item.To {
			got = append(got, fmt.Sprintf("%s %v %s %d", to.Address.Local, item.Hold, item.Why, item.Parts))
		}
	}
	if !slices.Equal(got, []string{"wait true because 2", "free false  2"}) {
		t.Errorf("queued %q", got)
	}
	if box := o.inbox("carl@here.test"); len(box) != 1 || !strings.Contains(box[0], "gone@there.test 550 5.1.1") {
		t.Errorf("carl has %q, want a report on gone@there.test", box)
	}
}

// An alias of several is reported as expanded; its members have all the wishes
// of the sender but that one, RFC 3461 section 5.2.7.3. What a sender says of
// time goes along.
func TestExpanded(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	env := envelope("carl@here.test", "mixed@here.test")
	env.To[0].Notify, env.To[0].Original = mail.NotifySuccess|mail.NotifyFailure, "rfc822;Mixed@Here.test"
	env.EnvelopeID, env.Ret, env.Release = "QQ1", "HDRS", env.Received.Add(time.Hour)
	if _, err := o.post(env, letter); err != nil {
		t.Fatal(err)
	}
	if box := o.inbox("carl@here.test"); len(box) != 1 || !strings.Contains(box[0], "mixed@here.test 250 2.1.5 passed on to 2 addresses for rfc822;Mixed@Here.test") {
		t.Errorf("carl has %q, want a report on the alias", box)
	}
	if len(o.told.items) != 1 {
		t.Fatalf("%d items", len(o.told.items))
	}
	item := o.told.items[0]
	to := item.To[0]
	if to.Notify != mail.NotifyFailure || to.Original != "rfc822;Mixed@Here.test" || item.Envelope.EnvelopeID != "QQ1" || item.Envelope.Ret != "HDRS" {
		t.Errorf("a member has %+v of %+v", to, item.Envelope)
	}
	if !item.Due.Equal(env.Release) || !item.Expires.Equal(env.Release.Add(5*24*time.Hour)) {
		t.Errorf("due %v, expires %v", item.Due, item.Expires)
	}
}
