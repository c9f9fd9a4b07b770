package post

import (
	"context"

	"plic/internal/mail"
	"plic/internal/route"
)

// Embargo says what may not leave.
type Embargo interface {
	// Refuses gives the reply that mail for an address elsewhere gets because
	// nothing is sent there.
	Refuses(ctx context.Context, to mail.Address) (mail.Status, bool)
	// Holds says whether mail for a recipient of an item is to be held, and why.
	Holds(item *mail.Item, to mail.ItemRcpt) (why string, held bool)
}

// allowed takes the destinations away that nothing is sent to, with the reply
// for each. If none is left, that reply is the error.
func (p *Office) allowed(ctx context.Context, to mail.Recipient, found []route.Destination) ([]route.Destination, []mail.ItemRcpt, error) {
	if p.o.Embargo == nil {
		return found, nil, nil
	}
	var left []route.Destination
	var refused []mail.ItemRcpt
	for _, d := range found {
		status, no := mail.Status{}, false
		if d.Account == "" {
			status, no = p.o.Embargo.Refuses(ctx, d.Address)
		}
		if !no {
			left = append(left, d)
			continue
		}
		rcpt := mail.ItemRcpt{Recipient: to, Last: status, Fault: mail.FaultMailbox, At: p.o.Now()}
		if rcpt.Address = d.Address; rcpt.Original == "" && d.Address != to.Address {
			rcpt.Original = original(to.Address)
		}
		refused = append(refused, rcpt)
	}
	if len(left) == 0 && len(refused) > 0 {
		return nil, nil, &mail.Failure{Op: "send to " + to.Address.String(), Status: refused[0].Last}
	}
	return left, refused, nil
}

// held parts from each item the recipients whose mail is to be held.
func (p *Office) held(items []mail.Item) []mail.Item {
	if p.o.Embargo == nil {
		return items
	}
	var parted []mail.Item
	for i := range items {
		item := &items[i]
		if item.Hold { // already, whoever it is for
			parted = append(parted, *item)
			continue
		}
		var free []mail.ItemRcpt
		for _, to := range item.To {
			why, held := p.o.Embargo.Holds(item, to)
			if !held {
				free = append(free, to)
				continue
			}
			last := len(parted) - 1
			if last < 0 || !parted[last].Hold || parted[last].Why != why || parted[last].Hop != item.Hop || parted[last].Envelope.From != item.Envelope.From {
				apart := *item
				apart.ID, apart.To, apart.Hold, apart.Why = mail.NewID(p.o.Now()), nil, true, why
				parted = append(parted, apart)
				last++
			}
			parted[last].To = append(parted[last].To, to)
		}
		if item.To = free; len(free) > 0 {
			parted = append(parted, *item)
		}
	}
	return parted
}
