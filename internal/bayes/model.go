// Package bayes tells wanted mail from unwanted by the words that both have had: a
// model is a table of fixed size with how many messages of each class a feature was
// seen in, and the chances of the features of a message are combined by Fisher's
// method, after Robinson. A flood of new words cannot push known ones out: in a full
// place only what was seen once makes room.
package bayes

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// Class is what a message was to its reader.
type Class int

// The classes.
const (
	Ham Class = iota
	Spam
)

// String names the class.
func (c Class) String() string { return [...]string{"ham", "spam"}[c] }

// Other is the other class.
func (c Class) Other() Class { return 1 - c }

// A table is buckets of slots; a slot is in the low bits ham, spam, the age when it was
// last seen, and in the high ones what tells its feature from others of the bucket.
// PageOctets is the size of a page that Save gives.
const PageOctets = pageSlots * 8

const (
	bucketSize = 8
	pageSlots  = 8192 // of a page, which is what is written at a time: 64 KiB
	maxCount   = 1<<16 - 1
	// halveAt is how many messages of a class a model counts before it forgets the
	// half of all: what is new must be able to outweigh what is old.
	halveAt = 40000
	// ageEvery is how many messages make an age of slots.
	ageEvery = 500
)

type slot uint64

func (s slot) count(c Class) int { return int(s >> (16 * c) & maxCount) }
func (s slot) age() uint16       { return uint16(s >> 32) }
func (s slot) print() uint16     { return uint16(s >> 48) }
func (s slot) total() int        { return s.count(Ham) + s.count(Spam) }
func pack(ham, spam int, age, print uint16) slot {
	return slot(ham) | slot(spam)<<16 | slot(age)<<32 | slot(print)<<48
}

// Model is what was learnt. Its methods may be called at the same time.
type Model struct {
	mu      sync.RWMutex
	seed    uint64
	slots   []slot
	trained [2]int // messages that count
	learnt  uint64 // messages ever
	dirty   []bool // pages
	changed bool
}

// New makes a model that has learnt nothing, of a number of octets, rounded down to a
// power of two of at least 64 KiB. The seed should be a secret.
func New(seed uint64, octets int) *Model {
	slots := pageSlots
	for slots*2*8 <= octets {
		slots *= 2
	}
	return &Model{seed: seed, slots: make([]slot, slots), dirty: make([]bool, slots/pageSlots)}
}

// Seed is what features are to be hashed with.
func (m *Model) Seed() uint64 { return m.seed }

// Trained is how many messages of each class count.
func (m *Model) Trained() (ham, spam int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.trained[Ham], m.trained[Spam]
}

// find gives the place of a feature, and its bucket.
func (m *Model) find(h uint64) (at, first int, ok bool) {
	first = int(h%uint64(len(m.slots)/bucketSize)) * bucketSize
	print := uint16(h >> 48)
	for i := first; i < first+bucketSize; i++ {
		if m.slots[i].print() == print && m.slots[i].total() > 0 {
			return i, first, true
		}
	}
	return 0, first, false
}

// Learn counts a message of a class.
func (m *Model) Learn(all []Feature, c Class) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.trained[c] >= halveAt {
		m.halve()
	}
	m.trained[c]++
	m.learnt++
	m.changed = true
	age := uint16(m.learnt / ageEvery)
	for _, f := range all {
		at, first, ok := m.find(f.Hash)
		if !ok {
			if at, ok = m.room(first, age); !ok {
				continue
			}
			m.slots[at] = pack(0, 0, age, uint16(f.Hash>>48))
		}
		m.put(at, c, m.slots[at].count(c)+1, age)
	}
}

// room finds a slot for a new feature: an empty one, or one whose feature was seen in
// one message only, and not lately.
func (m *Model) room(first int, age uint16) (at int, ok bool) {
	oldest := uint16(0)
	for i := first; i < first+bucketSize; i++ {
		s := m.slots[i]
		switch since := age - s.age(); {
		case s.total() == 0:
			return i, true
		case s.total()>>min(since/16, 15) <= 1 && (!ok || since > oldest): // what was not seen for long counts less
			at, oldest, ok = i, since, true
		}
	}
	return at, ok
}

// Unlearn takes back that a message was counted.
func (m *Model) Unlearn(all []Feature, c Class) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trained[c] = max(0, m.trained[c]-1)
	m.changed = true
	for _, f := range all {
		if at, _, ok := m.find(f.Hash); ok {
			m.put(at, c, max(0, m.slots[at].count(c)-1), m.slots[at].age())
		}
	}
}

func (m *Model) put(at int, c Class, n int, age uint16) {
	s := m.slots[at]
	counts := [2]int{s.count(Ham), s.count(Spam)}
	counts[c] = min(n, maxCount)
	m.slots[at] = pack(counts[Ham], counts[Spam], age, s.print())
	m.dirty[at/pageSlots] = true
}

func (m *Model) halve() {
	for i, s := range m.slots {
		if s.total() > 0 {
			m.slots[i] = pack(s.count(Ham)/2, s.count(Spam)/2, s.age(), s.print())
		}
	}
	m.trained[Ham] /= 2
	m.trained[Spam] /= 2
	for i := range m.dirty {
		m.dirty[i] = true
	}
}

// Clue is a feature that spoke, with the chance that a message which has it is spam.
type Clue struct {
	Feature
	Chance    float64
	Ham, Spam int
}

// The numbers of the combination: how much weight a chance of a half has before
// anything was seen, how far from a half a feature must be to speak, and how many
// speak at most.
const (
	doubt    = 0.5
	aside    = 0.12
	maxClues = 60
)

// Classify gives the chance that a message is spam, and the features that said so, the
// strongest first. Without any clue it is a half.
func (m *Model) Classify(all []Feature) (float64, []Clue) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.trained[Ham] == 0 || m.trained[Spam] == 0 {
		return 0.5, nil
	}
	var clues []Clue
	for _, f := range all {
		at, _, ok := m.find(f.Hash)
		if !ok {
			continue
		}
		ham, spam := m.slots[at].count(Ham), m.slots[at].count(Spam)
		h, s := float64(ham)/float64(m.trained[Ham]), float64(spam)/float64(m.trained[Spam])
		h, s = min(h, 1), min(s, 1)
		n := float64(ham + spam)
		p := (doubt*0.5 + n*s/(h+s)) / (doubt + n)
		if math.Abs(p-0.5) >= aside {
			clues = append(clues, Clue{f, p, ham, spam})
		}
	}
	clues = strongest(clues)
	slices.SortFunc(clues, func(a, b Clue) int {
		x, y := math.Abs(a.Chance-0.5), math.Abs(b.Chance-0.5)
		switch {
		case x > y || x == y && a.Hash < b.Hash:
			return -1
		case x < y || x == y && a.Hash > b.Hash:
			return 1
		}
		return 0
	})
	clues = clues[:min(len(clues), maxClues)]
	if len(clues) == 0 {
		return 0.5, nil
	}
	var spamSum, hamSum float64
	for _, c := range clues {
		spamSum += math.Log(1 - c.Chance)
		hamSum += math.Log(c.Chance)
	}
	s := 1 - chi2(-2*spamSum, len(clues))
	h := 1 - chi2(-2*hamSum, len(clues))
	return (s - h + 1) / 2, clues
}

// strongest leaves out what is too weak to be among those that speak, so that few are
// left to be sorted.
func strongest(clues []Clue) []Clue {
	const bins = 1024
	var count [bins]int
	bin := func(c *Clue) int { return min(int(math.Abs(c.Chance-0.5)*2*bins), bins-1) }
	for i := range clues {
		count[bin(&clues[i])]++
	}
	least, seen := bins-1, 0
	for ; least > 0; least-- {
		if seen += count[least]; seen >= maxClues {
			break
		}
	}
	return slices.DeleteFunc(clues, func(c Clue) bool { return bin(&c) < least })
}

// chi2 is the chance that a sum of squares with 2n degrees of freedom is x or more.
func chi2(x float64, n int) float64 {
	half := x / 2
	// In logarithms, since the first term may be smaller than any number.
	term := -half
	sum := math.Exp(term)
	for i := 1; i < n; i++ {
		term += math.Log(half / float64(i))
		sum += math.Exp(term)
	}
	return min(sum, 1)
}

// Fill is how much of the table is in use, from 0 to 1.
func (m *Model) Fill() float64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	used := 0
	for _, s := range m.slots {
		if s.total() > 0 {
			used++
		}
	}
	return float64(used) / float64(len(m.slots))
}

// Octets is how large the table is.
func (m *Model) Octets() int { return len(m.slots) * 8 }

// head is what a model is beside its pages: version, seed, pages, messages.
const headSize = 1 + 8 + 4 + 8 + 8 + 8

// ErrDamaged says that what was kept is no model.
var ErrDamaged = errors.New("no model of words")

// Save gives the pages that have changed since the last Save, by number, and the
// head, which is nil if nothing has.
func (m *Model) Save() (head []byte, pages map[int][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.changed {
		return nil, nil
	}
	m.changed = false
	head = append(make([]byte, 0, headSize), 1)
	head = binary.BigEndian.AppendUint64(head, m.seed)
	head = binary.BigEndian.AppendUint32(head, uint32(len(m.dirty)))
	for _, n := range []uint64{uint64(m.trained[Ham]), uint64(m.trained[Spam]), m.learnt} {
		head = binary.BigEndian.AppendUint64(head, n)
	}
	pages = map[int][]byte{}
	for i, dirty := range m.dirty {
		if !dirty {
			continue
		}
		m.dirty[i] = false
		page := make([]byte, 0, pageSlots*8)
		for _, s := range m.slots[i*pageSlots : (i+1)*pageSlots] {
			page = binary.BigEndian.AppendUint64(page, uint64(s))
		}
		pages[i] = page
	}
	return head, pages
}

// Unsaved has the next Save give all pages: the last has failed.
func (m *Model) Unsaved() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.changed = true
	for i := range m.dirty {
		m.dirty[i] = true
	}
}

// Load makes a model of its head and pages; one that is missing has nothing learnt.
func Load(head []byte, page func(n int) ([]byte, error)) (*Model, error) {
	if len(head) != headSize || head[0] != 1 {
		return nil, ErrDamaged
	}
	number := func(at int) uint64 { return binary.BigEndian.Uint64(head[at:]) }
	pages := int(binary.BigEndian.Uint32(head[9:]))
	if pages < 1 || pages > 1<<14 || pages&(pages-1) != 0 || number(13) > 1<<32 || number(21) > 1<<32 {
		return nil, ErrDamaged
	}
	m := New(number(1), pages*pageSlots*8)
	m.trained, m.learnt = [2]int{int(number(13)), int(number(21))}, number(29)
	for i := range pages {
		b, err := page(i)
		if err != nil {
			return nil, err
		}
		if len(b) != pageSlots*8 {
			if len(b) > 0 {
				return nil, fmt.Errorf("page %d: %w", i, ErrDamaged)
			}
			continue
		}
		for k := range pageSlots {
			m.slots[i*pageSlots+k] = slot(binary.BigEndian.Uint64(b[k*8:]))
		}
	}
	return m, nil
}

// Reset forgets all.
func (m *Model) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.slots)
	m.trained, m.changed = [2]int{}, true
	for i := range m.dirty {
		m.dirty[i] = true
	}
}
