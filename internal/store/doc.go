// Package store keeps mailboxes: it gives UIDs and MODSEQs, keeps flags and
// counters, shares immutable snapshots of mailboxes among sessions, and tells
// watchers of changes. Records and bodies live in an engine.Engine below it.
//
// Nothing becomes visible before it is on stable storage. A change is applied
// to the engine under the account's lock, waited for without the lock, and then
// published; engines make batches durable in the order of Apply, so whoever
// comes back first may publish all that came before. After a write error
// nothing more becomes visible: the store has stopped.
//
// RFC 9051 and 3501 (mailbox semantics), RFC 7162 (MODSEQ, UNCHANGEDSINCE,
// the log of expunged messages), RFC 4315 (UIDPLUS), RFC 6851 (MOVE), RFC 6154
// (special use), RFC 5198 (names in NFC).
package store
