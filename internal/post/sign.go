package post

import (
	"context"
	"slices"

	"plic/internal/arc"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
)

// Signer signs mail of ours.
type Signer interface {
	// Sign gives the fields that sign a message, none if it is not of ours.
	Sign(ctx context.Context, header []message.Field, body mail.Body) ([]byte, error)
}

// Sealer seals mail of others that is sent on.
type Sealer interface {
	// Seal gives the fields that extend a chain, in the name of the first domain
	// that is ours.
	Seal(ctx context.Context, by []mail.Domain, body mail.Body, chain arc.Chain, results string) ([]byte, error)
}

// signed is what goes before a message of ours, with its signatures. They cover
// what we put there ourselves: a date, an id.
func (p *Office) signed(ctx context.Context, draft *store.Draft, trace []byte) ([]byte, error) {
	if p.o.Signer == nil {
		return trace, nil
	}
	msg, err := draft.Message()
	if err != nil {
		return nil, storage("read the message", err)
	}
	fields, err := p.o.Signer.Sign(ctx, msg.Root.Header, mail.WithPrefix(trace, draft.Body()))
	if err != nil {
		return nil, storage("sign the message", err)
	}
	return append(fields, trace...), nil
}

// seal gives what goes before a stranger's message that is sent on to another host,
// so that it learns what we have found of it: RFC 8617 section 5.1.
func (p *Office) seal(ctx context.Context, j *job, body mail.Body) ([]byte, error) {
	if p.o.Sealer == nil {
		return nil, nil
	}
	var by []mail.Domain
	for _, to := range j.env.To {
		if !slices.Contains(by, to.Address.Domain) {
			by = append(by, to.Address.Domain)
		}
	}
	if host, err := mail.ParseDomain(p.o.Host); err == nil {
		by = append(by, host)
	}
	seal, err := p.o.Sealer.Seal(ctx, by, body, j.found.ARC, j.found.Results.String())
	if err != nil {
		return nil, storage("seal the message", err)
	}
	return seal, nil
}
