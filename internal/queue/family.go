package queue

import (
	"slices"

	"plic/internal/mail"
)

// family is the items of one message, while there is more than one: what
// became of their recipients is told together where it comes together.
type family struct {
	id      mail.ID // of the message
	members []*entry
}

// adopt puts an entry into the family of its message.
func (s *schedule) adopt(e *entry, item *mail.Item) {
	id := item.Envelope.ID
	if item.Parts < 2 || id.IsZero() {
		return
	}
	f := s.families[id]
	if f == nil {
		f = &family{id: id}
		s.families[id] = f
	}
	f.members = append(f.members, e)
	e.family = f
}

// leave takes an entry out of its family.
func (s *schedule) leave(e *entry) {
	f := e.family
	if f == nil {
		return
	}
	e.family = nil
	f.members = slices.DeleteFunc(f.members, func(m *entry) bool { return m == e })
	if len(f.members) == 0 {
		delete(s.families, f.id)
	}
}

// gatherKin makes those ready that are due about when e is, of the same message.
func (s *schedule) gatherKin(e *entry, due int64) {
	if e.family == nil || e.untold {
		return
	}
	for _, m := range e.family.members {
		if m.state == waiting && !m.untold && m.at <= due+int64(together) {
			s.wake(m)
		}
	}
}

// isBusy says whether a member other than e will soon have news.
func (f *family) isBusy(e *entry) bool {
	return slices.ContainsFunc(f.members, func(m *entry) bool {
		return m != e && (m.state == ready || m.state == lapsed || m.state == active && !m.untold)
	})
}

// untold are the other members with fates to tell, that are at rest.
func (f *family) untold(e *entry) (ids []mail.ID) {
	for _, m := range f.members {
		if m != e && m.untold {
			ids = append(ids, m.id)
		}
	}
	return ids
}
