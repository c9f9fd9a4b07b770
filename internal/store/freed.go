package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A mailbox keeps its UIDVALIDITY when it gets a name that never had a greater
// one, RFC 9051 section 2.3.1.1: so the account remembers which a
// name had when it lost its mailbox. Names are hashed: two that meet only make
// a UIDVALIDITY change that need not have.
type freed map[uint64]uint32

// The notes of the account that it is kept in. Of the names of old that are
// forgotten only the greatest value is known, the floor.
const (
	freedNotes = "uidvalidity/"
	freedFloor = 0 // in place of a name
	maxFreed   = 1000
)

func freedName(name string) uint64 {
	sum := sha256.Sum256([]byte(name))
	return max(binary.BigEndian.Uint64(sum[:]), freedFloor+1)
}

func freedKey(name uint64) string { return fmt.Sprintf("%s%016x", freedNotes, name) }

// of is the greatest UIDVALIDITY that a name may have had.
func (f freed) of(name string) uint32 { return max(f[freedFloor], f[freedName(name)]) }

// readFreed reads what an account that is opened remembers.
func (a *Account) readFreed(ctx context.Context) error {
	for n, err := range a.store.engine.Notes(ctx, a.id, 0, freedNotes) {
		if err != nil {
			return err
		}
		var name uint64
		if _, err := fmt.Sscanf(strings.TrimPrefix(n.Key, freedNotes), "%x", &name); err != nil || len(n.Value) != 4 {
			a.store.o.Log.Error("what UIDVALIDITY a name had cannot be read", "account", a.name, "note", n.Key)
			continue
		}
		a.remember(freed{name: binary.BigEndian.Uint32(n.Value)})
	}
	return nil
}

// remember takes changes over; zero forgets a name.
func (a *Account) remember(changes freed) {
	if a.freed == nil {
		a.freed = freed{}
	}
	for name, v := range changes {
		if a.freed[name] = v; v == 0 {
			delete(a.freed, name)
		}
	}
}

// free notes that a name loses its mailbox.
func (p *plan) free(name string, uidValidity uint32) {
	if p.freed == nil {
		p.freed = freed{}
	}
	k := freedName(name)
	p.freed[k] = max(uidValidity, p.freed[k], p.a.freed[k])
}

// mayKeep says that a mailbox can take its UIDVALIDITY to a name. No two
// mailboxes have the same, so a name that had it had this mailbox.
func (p *plan) mayKeep(name string, uidValidity uint32) bool {
	return uidValidity >= max(p.a.freed.of(name), p.freed.of(name))
}

// putFreed puts what is to be remembered into the commit. When it is too much,
// the half with the smallest values is forgotten.
func (p *plan) putFreed() error {
	if len(p.a.freed)+len(p.freed) > maxFreed {
		all := maps.Clone(p.a.freed)
		maps.Copy(all, p.freed)
		names := slices.SortedFunc(maps.Keys(all), func(x, y uint64) int { return int(int64(all[x]) - int64(all[y])) })
		for _, name := range names[:len(names)/2] {
			if name != freedFloor {
				p.freed[freedFloor], p.freed[name] = all[name], 0
			}
		}
		p.freed[freedFloor] = max(p.freed[freedFloor], all[freedFloor])
	}
	for name, v := range p.freed {
		var value []byte
		if v > 0 {
			value = binary.BigEndian.AppendUint32(nil, v)
		}
		if err := p.c.note(p.a.Notes(), freedKey(name), value); err != nil {
			return err
		}
	}
	return nil
}
