package mbox

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/store/files"
)

// firstOf is the key of the first of messages that are the same.
func firstOf(m *mbox.Message) uint64 { return binary.BigEndian.Uint64(m.Sum[:]) }

// fieldsOf is the same for messages with the same fields.
func fieldsOf(m *mbox.Message) uint64 { return binary.BigEndian.Uint64(m.Fields[:]) }

// keyOf is the key of the n-th of messages that are the same.
func keyOf(first uint64, n int) uint64 {
	if n == 1 {
		return first
	}
	again := sha256.Sum256(fmt.Appendf(nil, "%x %d", first, n))
	return binary.BigEndian.Uint64(again[:])
}

// maxSame is how many messages of a mailbox may be the same and yet keep their
// UIDs when the first of them go.
const maxSame = 64

// settleKeys gives messages that are the same the keys that the index has for
// their UIDs: some of them may have gone since. Another that had such a key gets one
// that is free. b.mu is held.
func (b *box) settleKeys(index files.Index) {
	settled := map[uint64]int{}
	for i := range b.entries {
		e := &b.entries[i]
		if !e.written {
			continue
		}
		if uid, ok := index.UID(e.key); ok && uid == e.uid {
			continue
		}
		for n := 1; n <= maxSame; n++ {
			key := keyOf(e.first, n)
			uid, ok := index.UID(key)
			if ok && uid == e.uid {
				e.key, settled[key] = key, i
				break
			}
		}
	}
	if len(settled) == 0 {
		return
	}
	b.byKey = make(map[uint64]int, len(b.entries))
	var again []int
	for i := range b.entries {
		key := b.entries[i].key
		if by, ok := settled[key]; ok && by != i {
			again = append(again, i)
			continue
		}
		b.byKey[key] = i
	}
	for _, i := range again {
		e := &b.entries[i]
		for n, taken := 1, true; taken; n++ {
			e.key = keyOf(e.first, n)
			_, taken = b.byKey[e.key]
		}
		b.byKey[e.key] = i
	}
}

// agree gives the key to the message of a UID, if another that is the same has it:
// the index knows best, and was not asked yet. b.mu is held.
func (b *box) agree(key uint64, uid engine.UID) {
	i, ok := b.byKey[key]
	if ok && (!b.entries[i].written || b.entries[i].uid == uid) {
		return
	}
	for k := range b.entries {
		e := &b.entries[k]
		if !e.written || e.uid != uid || ok && e.first != b.entries[i].first {
			continue
		}
		if ok {
			b.entries[i].key, e.key = e.key, key
			b.byKey[b.entries[i].key] = i
		} else {
			delete(b.byKey, e.key)
			e.key = key
		}
		b.byKey[key] = k
		return
	}
}
