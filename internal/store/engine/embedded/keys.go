package embedded

import (
	"encoding/binary"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// The first byte of a key says what it holds. Numbers are big-endian, so that
// keys sort as they do.
const (
	kindPosition = 'P' // the number in the log of the last commit; the first key, as it is in all tables
	kindAccount  = 'a' // account 8, a part below: all of an account is one range
	kindGrave    = 'g' // account 8, mailbox 4 or nothing: removed, not yet buried
	kindHole     = 'h' // number 8, count 8: commits of the log that are lost
	kindSegment  = 'i' // segment 8: its size and dead octets
	kindLocation = 'l' // body 16: where its octets are
	kindName     = 'n' // account name: its number
	kindItem     = 'q' // item 16: a queue item
	kindRef      = 'r' // body 16, owner: a message or item that names the body
	kindSuspect  = 's' // time 8, body 16, count 4: a body that lost an owner
	kindFormat   = 'v' // the version of all this
	kindRedo     = 'w' // segment 8, offset 8: a body whose place is not yet synced
	kindDamaged  = 'z' // another key: the octets of a record set aside
)

// The parts of an account.
const (
	partRecord  = 'a'
	partDetail  = 'd' // mailbox 4, uid 4
	partEntry   = 'e' // mailbox 4, uid 4: of format 1
	partLog     = 'j' // mailbox 4, number 8: what one commit did to the index
	partMailbox = 'm' // mailbox 4
	partNote    = 'n' // mailbox 4, the note's key
	partRest    = 'o' // mailbox 4, first uid 4: the rest of a page
	partPage    = 'p' // mailbox 4, first uid 4: UIDs, MODSEQs and flags of the index
	partGone    = 'x' // mailbox 4, modseq 8, first uid 4
)

// The kinds of owner in a reference.
const (
	ownerMessage = 'm' // account 8, mailbox 4, uid 4
	ownerItem    = 'q' // item 16
)

func accountKey(a engine.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindAccount}, uint64(a))
}

func partKey(a engine.AccountID, part byte) []byte {
	return appendPartKey(make([]byte, 0, 32), a, part)
}

func appendPartKey(key []byte, a engine.AccountID, part byte) []byte {
	return append(binary.BigEndian.AppendUint64(append(key, kindAccount), uint64(a)), part)
}

func mailboxKey(a engine.AccountID, part byte, m engine.MailboxID) []byte {
	return binary.BigEndian.AppendUint32(partKey(a, part), uint32(m))
}

func messageKey(a engine.AccountID, part byte, m engine.MailboxID, uid engine.UID) []byte {
	return appendMessageKey(make([]byte, 0, messageKeySize), a, part, m, uid)
}

const messageKeySize = 1 + 8 + 1 + 4 + 4

func appendMessageKey(key []byte, a engine.AccountID, part byte, m engine.MailboxID, uid engine.UID) []byte {
	key = binary.BigEndian.AppendUint32(appendPartKey(key, a, part), uint32(m))
	return binary.BigEndian.AppendUint32(key, uint32(uid))
}

func goneKey(a engine.AccountID, m engine.MailboxID, at engine.ModSeq, uid engine.UID) []byte {
	key := binary.BigEndian.AppendUint64(mailboxKey(a, partGone, m), uint64(at))
	return binary.BigEndian.AppendUint32(key, uint32(uid))
}

// uidOf is the last part of a message's key.
func uidOf(key []byte) engine.UID {
	return engine.UID(binary.BigEndian.Uint32(key[len(key)-4:]))
}

func nameKey(name string) []byte { return append([]byte{kindName}, name...) }

func idKey(kind byte, id mail.ID) []byte {
	return append(append(make([]byte, 0, 40), kind), id[:]...)
}

func messageRef(body mail.ID, a engine.AccountID, m engine.MailboxID, uid engine.UID) []byte {
	return appendMessageRef(make([]byte, 0, len(refKey{})), body, a, m, uid)
}

func appendMessageRef(key []byte, body mail.ID, a engine.AccountID, m engine.MailboxID, uid engine.UID) []byte {
	key = append(append(append(key, kindRef), body[:]...), ownerMessage)
	key = binary.BigEndian.AppendUint64(key, uint64(a))
	key = binary.BigEndian.AppendUint32(key, uint32(m))
	return binary.BigEndian.AppendUint32(key, uint32(uid))
}

func itemRef(body, item mail.ID) []byte {
	return append(append(idKey(kindRef, body), ownerItem), item[:]...)
}

func numberKey(kind byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kind}, n)
}

func redoKey(p place) []byte {
	return binary.BigEndian.AppendUint64(numberKey(kindRedo, p.segment), uint64(p.offset))
}

func redoPlace(key []byte) (place, bool) {
	if len(key) != 17 {
		return place{}, false
	}
	return place{binary.BigEndian.Uint64(key[1:]), int64(binary.BigEndian.Uint64(key[9:]))}, true
}

// A suspect's key holds a count beside its time, so that clearing one never
// clears a later suspicion of the same body. Its value names further bodies.
func suspectKey(at int64, body mail.ID, count uint32) []byte {
	key := append(numberKey(kindSuspect, uint64(at)), body[:]...)
	return binary.BigEndian.AppendUint32(key, count)
}

func suspectsOf(key, value []byte) (bodies []mail.ID, ok bool) {
	if len(key) != 1+8+16+4 || len(value)%16 != 0 {
		return nil, false
	}
	bodies = append(bodies, mail.ID(key[9:25]))
	for ; len(value) > 0; value = value[16:] {
		bodies = append(bodies, mail.ID(value))
	}
	return bodies, true
}

// grave names a removed mailbox, or a removed account when all is set.
type grave struct {
	account engine.AccountID
	mailbox engine.MailboxID
	all     bool
}

func (g grave) key() []byte {
	key := numberKey(kindGrave, uint64(g.account))
	if !g.all {
		key = binary.BigEndian.AppendUint32(key, uint32(g.mailbox))
	}
	return key
}

func graveOf(key []byte) (grave, bool) {
	switch len(key) {
	case 9:
		return grave{account: engine.AccountID(binary.BigEndian.Uint64(key[1:])), all: true}, true
	case 13:
		return grave{
			account: engine.AccountID(binary.BigEndian.Uint64(key[1:])),
			mailbox: engine.MailboxID(binary.BigEndian.Uint32(key[9:])),
		}, true
	}
	return grave{}, false
}

// after is the smallest key greater than all that begin with the prefix.
func after(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil
}
