package post

import (
	"cmp"
	"testing"

	"plic/internal/store"
)

// TestPostedToMailbox: mail to user+mailbox goes there if its sender has the right
// to post to it, else into the inbox; to two of them it comes once in each.
func TestPostedToMailbox(t *testing.T) {
	o := filtering(t, map[string]string{"bob@here.test": `require "fileinto"; if header "subject" "other" { fileinto "Other"; }`})
	boxes := map[string]string{ // and who may post
		"ann@here.test Open": store.Anyone, "ann@here.test Ours": store.Authenticated, "ann@here.test Carls": "carl@here.test",
		"ann@here.test Work/Plans": store.Anyone, "ann@here.test Closed": "", "bob@here.test Open": store.Anyone,
	}
	for place, who := range boxes {
		account, name := place[:13], place[14:]
		a, err := o.store.Account(t.Context(), account)
		if err == nil {
			err = a.Create(t.Context(), name, "")
		}
		if err != nil {
			t.Fatal(err)
		}
		m, err := a.Mailbox(name)
		if err != nil {
			t.Fatal(err)
		}
		err = m.ChangeACL(t.Context(), func(l store.ACL) store.ACL {
			if who == "" {
				return l.With(store.Grant{Who: store.Anyone, Rights: store.AllRights &^ store.MayPost})
			}
			return l.With(store.Grant{Who: who, Rights: store.MayPost})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]int{}
	for _, c := range []struct {
		sender string // who has logged in
		to     []string
		in     []string
	}{
		{"", []string{"ann+open@here.test"}, []string{"ann@here.test Open"}},
		{"", []string{"ann+Work/Plans@here.test"}, []string{"ann@here.test Work/Plans"}},
		{"", []string{"ann+Ours@here.test"}, []string{"ann@here.test INBOX"}},
		{"bob@here.test", []string{"ann+Ours@here.test"}, []string{"ann@here.test Ours"}},
		{"bob@here.test", []string{"ann+Carls@here.test"}, []string{"ann@here.test INBOX"}},
		{"carl@here.test", []string{"ann+Carls@here.test"}, []string{"ann@here.test Carls"}},
		{"bob@here.test", []string{"ann+Closed@here.test"}, []string{"ann@here.test INBOX"}},
		{"ann@here.test", []string{"ann+Closed@here.test"}, []string{"ann@here.test Closed"}},
		{"", []string{"ann+Nowhere@here.test", "ann@here.test"}, []string{"ann@here.test INBOX"}},
		{"", []string{"ann+Open@here.test", "ann@here.test", "ann+OPEN@here.test"}, []string{"ann@here.test Open", "ann@here.test INBOX"}},
		{"", []string{"bob+Open@here.test"}, []string{"bob@here.test Open"}}, // that is where its filter keeps it
	} {
		from := cmp.Or(c.sender, "x@there.test")
		env := envelope(from, c.to...)
		env.Origin.Account = c.sender
		if _, err := o.post(env, "From: "+from+"\r\nSubject: it\r\n\r\nbody\r\n"); err != nil {
			t.Fatal(err)
		}
		for _, place := range c.in {
			want[place]++
		}
		for place := range boxes {
			o.want(place[:13], place[14:], want[place])
		}
		for _, account := range []string{"ann@here.test", "bob@here.test"} {
			o.want(account, "INBOX", want[account+" INBOX"])
		}
		if t.Failed() {
			t.Fatalf("mail to %s from %q", c.to, c.sender)
		}
	}
}
