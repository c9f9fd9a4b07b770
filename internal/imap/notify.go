package imap

// NotifyEvents are kinds of events of RFC 5465 section 5.
type NotifyEvents uint8

// The events that there are here.
const (
	MessageNew NotifyEvents = 1 << iota
	MessageExpunge
	FlagChange
	MailboxName
	SubscriptionChange
	MailboxMetadataChange
	ServerMetadataChange

	MessageEvents = MessageNew | MessageExpunge | FlagChange
)

// NotifyGroup says of which events in which mailboxes a client wants to hear.
type NotifyGroup struct {
	Mailboxes SearchSource
	Delayed   bool // SELECTED-DELAYED
	Events    NotifyEvents
	New       []FetchItem // to be told of a new message
}

// Notify is a NOTIFY command; without groups it is NONE.
type Notify struct {
	Status  bool
	Groups  []NotifyGroup
	Unknown bool // some event is none that there is here
}

// Notify reads what follows the name of a NOTIFY, RFC 5465 section 8.
func (s *Scanner) Notify() Notify {
	var n Notify
	s.SP()
	switch word := s.Word(); word {
	case "NONE":
		return n
	case "SET":
	default:
		s.Fail("NOTIFY is SET or NONE, not %.40s", word)
	}
	s.SP()
	if n.Status = s.takeWord("STATUS"); n.Status {
		s.SP()
	}
	names, selected := 0, false
	for first := true; first || s.Take(' '); first = false {
		g := s.notifyGroup(&n)
		if names += 1 + len(g.Mailboxes.Names); names > MaxSources {
			s.Fail("more than %d mailboxes", MaxSources)
		}
		if g.Mailboxes.Kind == SourceSelected {
			if selected {
				s.Fail("the selected mailbox comes twice")
			}
			selected = true
		}
		if s.Err() != nil {
			return n
		}
		n.Groups = append(n.Groups, g)
	}
	return n
}

func (s *Scanner) notifyGroup(n *Notify) NotifyGroup {
	g := NotifyGroup{Mailboxes: SearchSource{Kind: SourceSelected}}
	s.Need('(')
	if g.Delayed = s.takeWord("SELECTED-DELAYED"); !g.Delayed {
		if g.Mailboxes = s.source(); g.Mailboxes.Kind == SourceSubtreeOne {
			s.Fail("NOTIFY knows no SUBTREE-ONE")
		}
	}
	s.SP()
	switch {
	case s.Peek() == '(':
		some := false
		s.List(func() { s.notifyEvent(n, &g); some = true })
		if !some {
			s.Fail("a list of no events")
		}
	case s.takeWord("NONE"):
	default: // as the examples of the RFC have it
		for first := true; first || s.Take(' '); first = false {
			if s.notifyEvent(n, &g); s.Err() != nil {
				return g
			}
		}
	}
	s.Need(')')
	both := MessageNew | MessageExpunge
	switch got := g.Events & both; { // RFC 5465 section 5
	case n.Unknown:
	case got != 0 && got != both:
		s.Fail("MessageNew and MessageExpunge go together")
	case got == 0 && g.Events&FlagChange != 0:
		s.Fail("FlagChange needs MessageNew and MessageExpunge")
	case g.Mailboxes.Kind == SourceSelected && g.Events&^MessageEvents != 0:
		s.Fail("SELECTED has events of messages only")
	}
	return g
}

func (s *Scanner) notifyEvent(n *Notify, g *NotifyGroup) {
	switch s.Word() {
	case "MESSAGENEW":
		g.Events |= MessageNew
		if at := s.pos; !s.Take(' ') || s.Peek() != '(' {
			s.pos = at
			return
		}
		g.New = s.FetchItems()
		for i := range g.New {
			g.New[i].Peek = true // telling is not reading
		}
	case "MESSAGEEXPUNGE":
		g.Events |= MessageExpunge
	case "FLAGCHANGE":
		g.Events |= FlagChange
	case "MAILBOXNAME":
		g.Events |= MailboxName
	case "SUBSCRIPTIONCHANGE":
		g.Events |= SubscriptionChange
	case "MAILBOXMETADATACHANGE":
		g.Events |= MailboxMetadataChange
	case "SERVERMETADATACHANGE":
		g.Events |= ServerMetadataChange
	default:
		n.Unknown = true
	}
}
