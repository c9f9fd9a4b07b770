package storetest

import (
	"time"

	"plic/internal/mail"
	"plic/internal/store"
)

// testUnreadable: one that cannot be read, among others that were asked for, does not
// keep the background from the rest; it can be asked for once it can be read.
func testUnreadable(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	uids := f.uids(inbox)
	bad := f.bodies(inbox, 4, 5)
	f.engine.bad.Store(&bad)
	for d, err := range inbox.Details(f.ctx, uids[:100]) {
		if (err != nil) != (d.UID == uids[4]) {
			f.t.Errorf("UID %d: %v", d.UID, err)
		}
	}
	f.restart()
	f.engine.bad.Store(&bad)
	close(f.engine.gate)
	inbox = f.mailbox("ann", "INBOX")
	f.snapshot(inbox)
	f.settled(inbox)
	equal(f.t, "analysed by itself", f.engine.behind.Load(), manyFound-100)
	f.engine.bad.Store(nil)
	f.all(inbox)
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), 1)
}

// bodies gives some bodies of a mailbox.
func (f *finder) bodies(m *store.Mailbox, from, to int) map[mail.ID]bool {
	f.t.Helper()
	out := map[mail.ID]bool{}
	for _, e := range f.snapshot(m).Range(from, to) {
		out[e.Body] = true
	}
	return out
}

// testUnreadableRow: nor do many in a row.
func testUnreadableRow(f *finder) {
	f.put(manyFound)
	inbox := f.mailbox("ann", "INBOX")
	bad := f.bodies(inbox, 10, 170)
	f.engine.bad.Store(&bad)
	close(f.engine.gate)
	f.settled(inbox)
	equal(f.t, "analysed by itself", f.engine.behind.Load(), manyFound-160)
	const few = 54 // in the first slice of 64, beside some that can be read
	equal(f.t, "tried, the others twice", f.engine.failed.Load(), few+2*(160-few))
	f.engine.bad.Store(nil)
	f.all(inbox)
	equal(f.t, "analysed for who asks", f.engine.asked.Load(), 160)
}

// testDiskAway: while nothing can be read not all is tried at once, nor again and
// again, nor is anything taken for done: analysing goes on when the disk is back.
func testDiskAway(f *finder) {
	const many, once = 1100, 1024 // once is how many are tried at a time
	f.put(many)
	inbox := f.mailbox("ann", "INBOX")
	bad := f.bodies(inbox, 0, many)
	f.engine.bad.Store(&bad)
	close(f.engine.gate)
	look := func(what string, failed, left int) {
		f.t.Helper()
		f.snapshot(inbox)
		time.Sleep(10 * time.Second)
		equal(f.t, "tried "+what, f.engine.failed.Load(), int64(failed))
		keys, err := inbox.Notes().Keys(f.ctx, "pending/")
		f.ok(err)
		equal(f.t, "notes "+what, len(keys), left)
	}
	look("at first", once, 1)
	look("at once again", once, 1)
	time.Sleep(time.Minute)
	look("a minute later", many, 1)
	time.Sleep(time.Minute)
	look("when all were tried", many, 1)
	f.engine.bad.Store(nil)
	f.details(inbox, f.uids(inbox)[:1], f.texts)
	look("when somebody has got one", many, 0)
	equal(f.t, "analysed by itself", f.engine.behind.Load(), many-1)

	f.restart()
	f.put(many)
	inbox = f.mailbox("ann", "INBOX")
	bad = f.bodies(inbox, many, 2*many)
	f.engine.bad.Store(&bad)
	close(f.engine.gate)
	look("after a restart", once, 1)
	f.engine.bad.Store(nil)
	time.Sleep(time.Minute)
	look("when the disk is back", once, 0)
	equal(f.t, "analysed by itself", f.engine.behind.Load(), many)
}
