package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"plic/internal/store"
)

// full says that an error is that of a full quota.
func full(t *testing.T, what string, err error, root string, never bool) {
	t.Helper()
	var q *store.QuotaError
	if !errors.Is(err, store.ErrQuota) || !errors.As(err, &q) || q.Root != root || q.Never != never {
		t.Errorf("%s: %v", what, err)
	}
}

// used says what an account has, by its own word and counted anew.
func (s *site) used(account string) store.Usage {
	s.t.Helper()
	a := s.account(account)
	used, _ := a.Quota()
	var counted store.Usage
	for _, i := range a.Mailboxes() {
		if i.NoSelect {
			continue
		}
		counted.Mailboxes++
		for _, e := range s.snapshot(s.mailbox(account, i.Name)).All() {
			counted.Messages++
			counted.Bytes += e.Size
		}
	}
	equal(s.t, "usage and a recount", used, counted)
	return used
}

func (s *site) put(m *store.Mailbox, size int) error {
	s.t.Helper()
	_, err := m.Append(s.ctx, store.Incoming{Draft: s.draft(fmt.Sprintf("%*s", size, "\r\n"))})
	return err
}

func testQuota(t *testing.T, s *site) {
	a, inbox, trash := s.account("ann"), s.mailbox("ann", "INBOX"), s.mailbox("ann", "Trash")
	s.ok(a.SetLimits(s.ctx, store.Usage{Bytes: 100, Messages: 3, Mailboxes: 7}))
	full(t, "a message larger than all", s.put(inbox, 101), "ann", true)
	s.ok(s.put(inbox, 60))
	full(t, "octets", s.put(inbox, 41), "ann", false)
	s.ok(s.put(inbox, 40))
	s.ok(a.Fits(0, 0))
	full(t, "a look before", a.Fits(1, 1), "ann", false)
	equal(t, "used", s.used("ann"), store.Usage{Bytes: 100, Messages: 2, Mailboxes: 6})
	_, _, err := inbox.Copy(s.ctx, []store.UID{1}, trash)
	full(t, "a copy", err, "ann", false)
	_, _, err = inbox.Move(s.ctx, []store.UID{1}, trash)
	s.ok(err)
	_, _, err = inbox.SetFlags(s.ctx, []store.UID{2}, store.FlagsAdd, store.Flags{System: store.Deleted}, store.MaxModSeq)
	s.ok(err)
	s.ok(a.Create(s.ctx, "one", ""))
	full(t, "a mailbox", a.Create(s.ctx, "two", ""), "ann", false)
	s.ok(a.SetLimits(s.ctx, store.Usage{Bytes: 50, Messages: 3}))
	_, err = inbox.Expunge(s.ctx, nil, true)
	s.ok(err)
	s.restart()
	a, inbox = s.account("ann"), s.mailbox("ann", "INBOX")
	equal(t, "limits", a.Limits(), store.Usage{Bytes: 50, Messages: 3})
	full(t, "below what is there", s.put(inbox, 1), "ann", false)
	s.ok(a.Delete(s.ctx, "Trash"))
	equal(t, "used", s.used("ann"), store.Usage{Mailboxes: 6})

	// What the directory says counts first, until it says nothing.
	s.ok(a.SetGiven(s.ctx, store.Usage{Bytes: 20}))
	s.restart()
	a, inbox = s.account("ann"), s.mailbox("ann", "INBOX")
	equal(t, "given", a.Given(), store.Usage{Bytes: 20})
	full(t, "what the directory gives", s.put(inbox, 30), "ann", true)
	s.ok(a.SetGiven(s.ctx, store.Usage{}))
	_, limit := a.Quota()
	equal(t, "limits", limit, store.Usage{Bytes: 50, Messages: 3})

	// All or none, and the draft is still there after it.
	d := s.draft("thirty octets of a message. \r\n")
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: d}, store.Incoming{Draft: d})
	full(t, "two at a time", err, "ann", true)
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: d})
	s.ok(err)
	equal(t, "used", s.used("ann"), store.Usage{Bytes: 30, Messages: 1, Mailboxes: 6})

	s.o.Quota = store.Usage{Messages: 1}
	s.restart()
	bob := s.mailbox("bob", "INBOX")
	s.ok(s.put(bob, 10))
	full(t, "the site's limit", s.put(bob, 10), "bob", false)
	s.ok(s.account("bob").SetLimits(s.ctx, store.Usage{Messages: store.Unlimited}))
	s.ok(s.put(bob, 10))
	full(t, "another's limit", moveAll(s, bob, s.mailbox("carl", "INBOX")), "carl", true)
	equal(t, "bob has", s.used("bob"), store.Usage{Bytes: 20, Messages: 2, Mailboxes: 6})
}

func moveAll(s *site, from, to *store.Mailbox) error {
	_, _, err := from.Move(s.ctx, s.uids(from), to)
	return err
}

// domainUsed compares what a domain has with what its accounts have.
func (s *site) domainUsed(domain string, accounts ...string) store.Usage {
	s.t.Helper()
	used, _, err := s.DomainQuota(s.ctx, domain)
	s.ok(err)
	var sum store.Usage
	for _, name := range accounts {
		u := s.used(name)
		sum.Bytes, sum.Messages, sum.Mailboxes = sum.Bytes+u.Bytes, sum.Messages+u.Messages, sum.Mailboxes+u.Mailboxes
	}
	equal(s.t, "of the domain", used, sum)
	return used
}

func testDomainQuota(t *testing.T, s *site) {
	ann, bob := s.mailbox("ann@a.example", "INBOX"), s.mailbox("bob@a.example", "INBOX")
	other := s.mailbox("carl@b.example", "INBOX")
	s.ok(s.put(ann, 30))
	s.ok(s.put(other, 500))
	s.ok(s.SetDomainLimits(s.ctx, "A.example", store.Usage{Bytes: 100}))
	s.ok(s.put(bob, 40))
	full(t, "of the domain", s.put(ann, 31), "a.example", false)
	full(t, "a look before", s.account("bob@a.example").Fits(1, 31), "a.example", false)
	equal(t, "used", s.domainUsed("a.example", "ann@a.example", "bob@a.example").Bytes, 70)
	s.restart()
	ann, bob = s.mailbox("ann@a.example", "INBOX"), s.mailbox("bob@a.example", "INBOX")
	full(t, "of the domain", s.put(ann, 31), "a.example", false)
	dora := s.mailbox("dora@a.example", "INBOX")
	s.ok(s.put(dora, 30))
	full(t, "of the domain", s.put(bob, 1), "a.example", false)
	s.ok(moveAll(s, dora, bob))
	s.domainUsed("a.example", "ann@a.example", "bob@a.example", "dora@a.example")
	s.ok(s.RemoveAccount(s.ctx, "bob@a.example"))
	s.ok(s.put(ann, 70))
	s.domainUsed("a.example", "ann@a.example", "dora@a.example")
	full(t, "of the domain", s.put(ann, 1), "a.example", false)
	s.ok(s.SetDomainLimits(s.ctx, "a.example", store.Usage{}))
	s.ok(s.put(ann, 1000))
	s.domainUsed("a.example", "ann@a.example", "dora@a.example")
}

// testQuotaTogether lets many append at a time, to several accounts of a
// domain: never is there more than is allowed, nor is one refused for which
// there is room.
func testQuotaTogether(t *testing.T, s *site) {
	const writers, each, allowed = 8, 12, 60
	s.ok(s.SetDomainLimits(s.ctx, "a.example", store.Usage{Messages: allowed}))
	names := []string{"ann@a.example", "bob@a.example"}
	var kept atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		m := s.mailbox(names[w%2], "INBOX")
		all.Go(func() {
			for range each {
				switch err := s.put(m, 10); {
				case err == nil:
					kept.Add(1)
				case !errors.Is(err, store.ErrQuota):
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	equal(t, "kept", kept.Load(), allowed)
	equal(t, "used", s.domainUsed("a.example", names...).Messages, allowed)
}
