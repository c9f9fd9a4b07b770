package storetest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"plic/internal/store"
)

// grant gives rights to an identifier; "-" before it takes them away.
func (s *site) grant(m *store.Mailbox, who, rights string) {
	s.t.Helper()
	r, err := store.ParseRights(rights)
	s.ok(err)
	name, not := strings.CutPrefix(who, "-")
	s.ok(m.ChangeACL(s.ctx, func(l store.ACL) store.ACL { return l.With(store.Grant{Who: name, Not: not, Rights: r}) }))
}

func (s *site) sharing(who string) string {
	s.t.Helper()
	names, err := s.Sharing(s.ctx, who)
	s.ok(err)
	return strings.Join(names, " ")
}

func testShare(t *testing.T, s *site) {
	a := s.account("ann")
	s.ok(a.Create(s.ctx, "Team/Plans", ""))
	plans := s.mailbox("ann", "Team/Plans")
	equal(t, "of the owner", plans.RightsOf("ann"), store.AllRights)
	equal(t, "of others", plans.RightsOf("bob"), 0)
	s.grant(plans, "Bob", "lrswi")
	s.grant(plans, store.Anyone, "lrp")
	s.grant(plans, "-bob", "w")
	s.grant(s.mailbox("ann", "Team"), "carl", "lkxc")
	check := func() {
		t.Helper()
		plans := s.mailbox("ann", "Team/Plans")
		equal(t, "of bob", plans.RightsOf("bob").String(), "lrsip")
		equal(t, "of all", plans.RightsOf("dora").String(), "lrp")
		equal(t, "the list", fmt.Sprint(plans.ACL()), "[{bob true w} {Bob false lrswi} {anyone false lrp}]")
		equal(t, "shares with bob", s.sharing("bob"), "ann")
		equal(t, "shares with carl", s.sharing("carl"), "ann")
		equal(t, "shares with ann", s.sharing("ann"), "")
	}
	check()
	s.ok(a.Rename(s.ctx, "Team/Plans", "Team/Old"))
	s.ok(a.Rename(s.ctx, "Team/Old", "Team/Plans"))
	s.restart()
	check()

	a, plans = s.account("ann"), s.mailbox("ann", "Team/Plans")
	s.ok(a.Create(s.ctx, "Team/New/Deep", ""))
	equal(t, "of no group", plans.RightsOf("dora", "Staff", "other"), plans.RightsOf("dora"))
	s.grant(plans, "$staff", "s")
	s.grant(plans, "group:other", "i")
	s.grant(plans, "-group:out", "p")
	equal(t, "of groups", plans.RightsOf("dora", "Staff", "other", "out").String(), "lrsi")
	equal(t, "of other groups", plans.RightsOf("dora", "staf", "$staff", "group:other"), plans.RightsOf("dora"))
	for _, group := range []string{"staff", "Other"} {
		names, err := s.Sharing(s.ctx, "eve", group)
		equal(t, "shares with a group", fmt.Sprint(names, err), "[ann] <nil>")
	}
	for _, who := range []string{"$staff", "group:other", "-group:out"} {
		s.grant(plans, who, "")
	}
	equal(t, "of a new mailbox", s.mailbox("ann", "Team/New/Deep").RightsOf("carl").String(), "lkxc")
	s.ok(a.CreateFor(s.ctx, "Top", "", plans.ACL()))
	equal(t, "of one at the top", s.mailbox("ann", "Top").RightsOf("dora").String(), "lrp")
	s.ok(a.Create(s.ctx, "Private", ""))
	equal(t, "of a private one", s.mailbox("ann", "Private").RightsOf("dora"), 0)
	equal(t, "decides about a new one", a.Above("Team/New/x").Name()+" "+a.Above("Q").Name(), "Team/New INBOX")

	s.grant(plans, "bob", "")
	s.grant(plans, "-bob", "")
	equal(t, "still by the other one", s.sharing("bob"), "ann")
	s.grant(s.mailbox("ann", "Top"), "bob", "")
	s.grant(plans, store.Anyone, "")
	s.grant(s.mailbox("ann", "Top"), store.Anyone, "")
	equal(t, "no more", s.sharing("bob"), "")
	for _, who := range []string{"", "-x", "a\nb", strings.Repeat("x", 400)} {
		err := plans.ChangeACL(s.ctx, func(l store.ACL) store.ACL { return l.With(store.Grant{Who: who, Rights: store.MayRead}) })
		if !errors.Is(err, store.ErrBadIdentifier) {
			t.Errorf("rights for %.10q: %v", who, err)
		}
	}
	s.ok(a.Delete(s.ctx, "Team/New/Deep"))
	s.ok(a.Create(s.ctx, "Deep", ""))
	equal(t, "of another mailbox", len(s.mailbox("ann", "Deep").ACL()), 0)
	equal(t, "notes that are left", strings.Count(s.notes(a.Notes(), "acl/"), "acl/"), 3)

	if _, err := s.Existing(s.ctx, "nobody"); !errors.Is(err, store.ErrNoAccount) {
		t.Errorf("an account that is not there: %v", err)
	}
	s.ok(s.RemoveAccount(s.ctx, "ann"))
	equal(t, "after the account", s.sharing("carl"), "")
	if names, err := s.Accounts(s.ctx); err != nil || len(names) != 0 {
		t.Errorf("accounts %v, %v", names, err)
	}
}
