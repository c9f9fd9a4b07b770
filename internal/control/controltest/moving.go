package controltest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"sync"

	"plic/internal/moving"
)

// Moved is moving.Site in memory.
type Moved struct {
	mu      sync.Mutex
	boxes   []*box
	Refuse  string // a letter of this name is never taken
	Fail    int    // the Put, counted from 1, that fails
	Settled []string
	puts    int
}

type box struct {
	account string
	moving.Folder
	letters []moving.Letter
}

func (m *Moved) box(account, name string) *box {
	for _, b := range m.boxes {
		if b.account == account && b.Name == name {
			return b
		}
	}
	return nil
}

// Open makes the mailbox if it is new; then UIDs are kept.
func (m *Moved) Open(_ context.Context, o moving.Order) (s moving.State, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(o.Account, o.Folder.Name)
	if b == nil {
		b = &box{account: o.Account, Folder: o.Folder}
		b.Messages = 0
		m.boxes = append(m.boxes, b)
	}
	for i := range b.letters {
		s.Known = binary.BigEndian.AppendUint64(s.Known, b.letters[i].Key)
	}
	s.Kept = b.UIDValidity == o.Folder.UIDValidity && b.UIDValidity != 0
	return s, nil
}

// Put keeps letters.
func (m *Moved) Put(_ context.Context, o moving.Order, letters []moving.Letter) (placed []moving.Placed, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.puts++; m.puts == m.Fail {
		return nil, errors.New("the server went away")
	}
	if slices.ContainsFunc(letters, func(l moving.Letter) bool { return m.Refuse != "" && l.Name == m.Refuse }) {
		return nil, &moving.Refused{Err: errors.New("too large")}
	}
	b := m.box(o.Account, o.Folder.Name)
	for _, l := range letters {
		if l.UID == 0 {
			l.UID = uint32(len(b.letters) + 1)
		}
		b.letters = append(b.letters, l)
		b.Messages++
		b.UIDNext = max(b.UIDNext, l.UID+1)
		sum := sha256.Sum256(l.Text)
		placed = append(placed, moving.Placed{UID: l.UID, Sum: sum[:]})
	}
	return placed, nil
}

// Settle notes the mailbox.
func (m *Moved) Settle(_ context.Context, o moving.Order) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.Settled = append(m.Settled, o.Folder.Name)
	return nil
}

// Folders lists the mailboxes.
func (m *Moved) Folders(_ context.Context, account string) (all []moving.Folder, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.boxes {
		if b.account == account {
			all = append(all, b.Folder)
		}
	}
	return all, nil
}

// Get gives the letters; one without text is damaged.
func (m *Moved) Get(_ context.Context, account, mailbox string) iter.Seq2[moving.Letter, error] {
	m.mu.Lock()
	b := m.box(account, mailbox)
	var letters []moving.Letter
	if b != nil {
		letters = slices.Clone(b.letters)
	}
	m.mu.Unlock()
	return func(yield func(moving.Letter, error) bool) {
		for _, l := range letters {
			var err error
			if l.Text == nil {
				err = &moving.Bad{Name: l.Name, Err: errors.New("damaged")}
			}
			if !yield(l, err) {
				return
			}
		}
	}
}
