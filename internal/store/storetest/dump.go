package storetest

import (
	"fmt"
	"strings"

	"plic/internal/store"
)

// dump writes down all that a store holds, but for numbers that chance gives.
func (s *site) dump() string {
	s.t.Helper()
	names, err := s.Accounts(s.ctx)
	s.ok(err)
	var b strings.Builder
	for _, name := range names {
		a := s.account(name)
		fmt.Fprintf(&b, "account %s\n", name)
		for _, i := range a.Mailboxes() {
			i.ObjectID = "" // of chance
			fmt.Fprintf(&b, "%+v\n", i)
			if !i.NoSelect {
				s.dumpMailbox(&b, s.mailbox(name, i.Name))
			}
		}
	}
	for _, item := range s.items() {
		fmt.Fprintf(&b, "item of %d octets, %d attempts\n", item.Size, item.Attempts)
	}
	return b.String()
}

func (s *site) dumpMailbox(b *strings.Builder, m *store.Mailbox) {
	s.t.Helper()
	snap := s.snapshot(m)
	s.recount(m)
	details := map[store.UID]string{}
	for d, err := range m.Details(s.ctx, s.uids(m)) {
		s.ok(err)
		details[d.UID] = fmt.Sprintf("envelope %s structure %s", d.AppendEnvelope(nil), d.BodyStructure)
	}
	for _, e := range snap.All() {
		fmt.Fprintf(b, "  %d modseq %d flags %s size %d at %d saved %d %s\n",
			e.UID, e.ModSeq, flagNames(snap.Flags(e)), e.Size, e.Internal, e.Saved, details[e.UID])
	}
	for x, err := range m.Expunged(s.ctx, 0) {
		s.ok(err)
		fmt.Fprintf(b, "  expunged %d at %d\n", x.UID, x.ModSeq)
	}
}

// recount checks that the counters are those of the messages, and the snapshot
// is in order.
func (s *site) recount(m *store.Mailbox) {
	s.t.Helper()
	snap, info := s.snapshot(m), m.Info()
	var unseen, deleted int
	var bytes int64
	var last store.UID
	for i, e := range snap.All() {
		if e.UID <= last || e.UID >= snap.UIDNext() || e.ModSeq > snap.HighestModSeq() {
			s.t.Fatalf("%s: UID %d after %d, MODSEQ %d; UIDNEXT %d, HIGHESTMODSEQ %d",
				m.Name(), e.UID, last, e.ModSeq, snap.UIDNext(), snap.HighestModSeq())
		}
		last = e.UID
		if at, ok := snap.Find(e.UID); !ok || at != i {
			s.t.Fatalf("%s: message %d is found at %d", m.Name(), i, at)
		}
		if e.Flags&store.Seen == 0 {
			unseen++
		}
		if e.Flags&store.Deleted != 0 {
			deleted++
		}
		bytes += e.Size
	}
	if snap.Unseen() != unseen || snap.Deleted() != deleted {
		s.t.Fatalf("%s: %d unseen and %d deleted in the snapshot, counted %d and %d", m.Name(), snap.Unseen(), snap.Deleted(), unseen, deleted)
	}
	if int(info.Messages) != snap.Len() || int(info.Unseen) != unseen || int(info.Deleted) != deleted || info.Bytes != bytes {
		s.t.Fatalf("%s: counted %d messages, %d unseen, %d deleted, %d octets; the record has %+v", m.Name(), snap.Len(), unseen, deleted, bytes, info)
	}
}

// between says that each part of a change happened or not: files change one by
// one. What was answered is all there.
func between(got, before, after string) bool {
	lines := func(text string) map[string]bool {
		set := map[string]bool{}
		for line := range strings.SplitSeq(text, "\n") {
			set[line] = true
		}
		return set
	}
	g, b, a := lines(got), lines(before), lines(after)
	for line := range g {
		if !b[line] && !a[line] {
			return false
		}
	}
	for line := range b {
		if a[line] && !g[line] {
			return false
		}
	}
	return true
}
