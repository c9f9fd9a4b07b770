package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// model is an account as simply as it can be said: lists, walked from end to
// end, and no thought of durability.
type model struct {
	boxes       map[string]*modelBox
	uidValidity uint32            // the next one
	had         map[string]uint32 // the highest that a name had
}

type modelBox struct {
	uidValidity uint32
	uidNext     store.UID
	modSeq      store.ModSeq
	noSelect    bool
	subscribed  bool
	messages    []modelMessage
	expunged    []engine.Expunged
}

type modelMessage struct {
	uid    store.UID
	modSeq store.ModSeq
	flags  map[string]bool
	text   string
}

var errModel = errors.New("refused")

func newModel(uidValidity uint32) *model {
	m := &model{boxes: map[string]*modelBox{}, uidValidity: uidValidity, had: map[string]uint32{}}
	for _, name := range []string{"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"} {
		m.fresh(name).subscribed = true
	}
	return m
}

func (m *model) fresh(name string) *modelBox {
	b := &modelBox{uidValidity: m.uidValidity, uidNext: 1, modSeq: 1}
	m.uidValidity++
	m.boxes[name] = b
	return b
}

func (m *model) real(name string) bool { return m.boxes[name] != nil && !m.boxes[name].noSelect }

func (m *model) hasBelow(name string) bool {
	for other := range m.boxes {
		if strings.HasPrefix(other, name+"/") && m.real(other) {
			return true
		}
	}
	return false
}

func above(name string) (out []string) {
	levels := strings.Split(name, "/")
	for i := range levels[1:] {
		out = append(out, strings.Join(levels[:i+1], "/"))
	}
	return out
}

func (m *model) ensure(name string) {
	subscribed := m.boxes[name] != nil && m.boxes[name].subscribed
	m.fresh(name).subscribed = subscribed
}

func (m *model) ensureAbove(name string) {
	for _, n := range above(name) {
		if !m.real(n) {
			m.ensure(n)
		}
	}
}

func (m *model) create(name string) error {
	if m.real(name) {
		return errModel
	}
	m.ensureAbove(name)
	m.ensure(name)
	return nil
}

func (m *model) drop(name string) {
	m.had[name] = max(m.had[name], m.boxes[name].uidValidity)
	delete(m.boxes, name)
}

func (m *model) sweep(name string) {
	for _, n := range slices.Backward(above(name)) {
		if b := m.boxes[n]; b != nil && b.noSelect && !b.subscribed && !m.hasBelow(n) {
			m.drop(n)
		}
	}
}

func (m *model) delete(name string) error {
	if !m.real(name) || name == "INBOX" {
		return errModel
	}
	subscribed := m.boxes[name].subscribed
	m.drop(name)
	if subscribed || m.hasBelow(name) {
		b := m.fresh(name)
		b.noSelect, b.subscribed = true, subscribed
	}
	m.sweep(name)
	return nil
}

func (m *model) subscribe(name string, on bool) {
	b := m.boxes[name]
	if b == nil && on {
		b = m.fresh(name)
		b.noSelect = true
	}
	if b == nil {
		return
	}
	b.subscribed = on
	if !on && b.noSelect && !m.hasBelow(name) {
		m.drop(name)
	}
}

func (m *model) rename(from, to string) error {
	if from == "INBOX" {
		if err := m.create(to); err != nil {
			return err
		}
		inbox := m.boxes[from]
		m.copy(inbox, m.boxes[to], inbox.uids(), true)
		return nil
	}
	if !m.real(from) && !m.hasBelow(from) || m.real(to) || m.hasBelow(to) || strings.HasPrefix(to, from+"/") {
		return errModel
	}
	var moving []string
	for name := range m.boxes {
		if name == from || strings.HasPrefix(name, from+"/") {
			moving = append(moving, name)
		}
	}
	slices.Sort(moving) // names of histories have one letter in a level
	boxes := map[string]*modelBox{}
	for _, name := range moving {
		boxes[name] = m.boxes[name]
		delete(m.boxes, name)
	}
	for _, name := range moving {
		b, next := boxes[name], to+name[len(from):]
		if old := m.boxes[next]; old != nil {
			b.subscribed = b.subscribed || old.subscribed
		}
		m.had[name] = max(m.had[name], b.uidValidity)
		if old := m.boxes[next]; old != nil {
			m.had[next] = max(m.had[next], old.uidValidity)
		}
		if b.uidValidity < m.had[next] {
			b.uidValidity = m.uidValidity
			m.uidValidity++
		}
		m.boxes[next] = b
	}
	m.ensureAbove(to)
	m.sweep(from)
	return nil
}

func (b *modelBox) uids() (out []store.UID) {
	for _, msg := range b.messages {
		out = append(out, msg.uid)
	}
	return out
}

func (b *modelBox) add(msgs ...modelMessage) {
	if len(msgs) == 0 {
		return
	}
	b.modSeq++
	for _, msg := range msgs {
		msg.uid, msg.modSeq = b.uidNext, b.modSeq
		b.uidNext++
		b.messages = append(b.messages, msg)
	}
}

func (b *modelBox) setFlags(uids []store.UID, op store.FlagOp, flags []string, since store.ModSeq) (changed, modified []store.UID) {
	next := b.modSeq + 1
	for i := range b.messages {
		msg := &b.messages[i]
		if !slices.Contains(uids, msg.uid) {
			continue
		}
		if msg.modSeq > since {
			modified = append(modified, msg.uid)
			continue
		}
		after := map[string]bool{}
		if op != store.FlagsSet {
			for f := range msg.flags {
				after[f] = true
			}
		}
		for _, f := range flags {
			if op == store.FlagsRemove {
				delete(after, f)
			} else {
				after[f] = true
			}
		}
		if fmt.Sprint(after) == fmt.Sprint(msg.flags) {
			continue
		}
		msg.flags, msg.modSeq, b.modSeq = after, next, next
		changed = append(changed, msg.uid)
	}
	return changed, modified
}

func (b *modelBox) expunge(uids []store.UID, onlyDeleted bool) (gone []store.UID) {
	next := b.modSeq + 1
	b.messages = slices.DeleteFunc(b.messages, func(msg modelMessage) bool {
		if !slices.Contains(uids, msg.uid) || onlyDeleted && !msg.flags[`\Deleted`] {
			return false
		}
		b.modSeq = next
		gone = append(gone, msg.uid)
		b.expunged = append(b.expunged, engine.Expunged{UID: msg.uid, ModSeq: next})
		return true
	})
	return gone
}

func (m *model) copy(from, to *modelBox, uids []store.UID, move bool) (n int) {
	var msgs []modelMessage
	var found []store.UID
	for _, msg := range from.messages {
		if slices.Contains(uids, msg.uid) {
			msgs, found = append(msgs, msg), append(found, msg.uid)
		}
	}
	seq := from.modSeq
	to.add(msgs...)
	if move {
		if from == to {
			from.modSeq = seq // one commit, one MODSEQ
		}
		from.expunge(found, false)
	}
	return len(msgs)
}

func (m *model) usage() (u store.Usage) {
	for _, b := range m.boxes {
		if b.noSelect {
			continue
		}
		u.Mailboxes++
		for _, msg := range b.messages {
			u.Messages++
			u.Bytes += int64(len(msg.text))
		}
	}
	return u
}
