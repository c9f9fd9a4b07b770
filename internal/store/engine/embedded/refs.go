package embedded

import (
	"bytes"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
)

// refs are the references to bodies that a batch makes and takes away. They are
// put down together and by rising key: those of one body are neighbours, and
// Pebble finds the place of a key quickly beside that of the one before.
type refs struct {
	list  []ref
	owned map[mail.ID]struct{} // by what was added, once somebody asks
	known int                  // of the list are in owned
}

// refKey is what messageRef and itemRef make.
type refKey [1 + 16 + 1 + 16]byte

// ref is a reference that comes or goes.
type ref struct {
	key  refKey
	gone bool
}

func (r *refs) add(key []byte)  { r.list = append(r.list, ref{key: refKey(key)}) }
func (r *refs) drop(key []byte) { r.list = append(r.list, ref{key: refKey(key), gone: true}) }

// owns says that a body gets an owner.
func (r *refs) owns(body mail.ID) bool {
	if r.owned == nil {
		r.owned = make(map[mail.ID]struct{}, len(r.list))
	}
	for ; r.known < len(r.list); r.known++ {
		if one := &r.list[r.known]; !one.gone {
			r.owned[mail.ID(one.key[1:17])] = struct{}{}
		}
	}
	_, ok := r.owned[body]
	return ok
}

// put puts them down; of one key the last counts.
func (r *refs) put(out *pebble.Batch) {
	for _, one := range rising(r.list) {
		if one.gone {
			out.Delete(one.key[:], nil)
		} else {
			out.Set(one.key[:], nil, nil)
		}
	}
}

func compareRefs(a, b ref) int { return bytes.Compare(a.key[:], b.key[:]) }

// rising sorts references, those of one key in the order that they came in. Mostly
// they are what comes and what goes, each in order.
func rising(list []ref) []ref {
	n := 1
	for n < len(list) && compareRefs(list[n-1], list[n]) <= 0 {
		n++
	}
	if n >= len(list) {
		return list
	}
	a, b := list[:n], list[n:]
	if !slices.IsSortedFunc(b, compareRefs) {
		slices.SortStableFunc(list, compareRefs)
		return list
	}
	out := make([]ref, 0, len(list))
	for len(a) > 0 && len(b) > 0 {
		if compareRefs(a[0], b[0]) <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}
