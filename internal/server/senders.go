package server

import (
	"math/rand/v2"
	"time"

	"plic/internal/check/sender"
	"plic/internal/config"
	"plic/internal/post"
)

// examiner makes what looks at mail from strangers and counts what it finds, nil if
// nothing is to.
func (s *site) examiner(now func() time.Time) post.Examiner {
	e := s.checker(now)
	if e == nil {
		return nil
	}
	s.feedback = s.newFeedback(now)
	return counted{e, s.feedback, &sender.Replays{}, now}
}

// checker makes what only looks, nil if nothing is to.
func (s *site) checker(now func() time.Time) *sender.Checker {
	c := s.config
	if !c.Senders.Check {
		return nil
	}
	return sender.New(sender.Options{
		Resolver: s.resolver, Host: c.Hostname.String(), Timeout: c.Senders.Timeout, Now: now,
		DMARC:    map[config.DMARCPolicy]sender.Policy{config.SoftenDMARC: sender.Soften, config.TellDMARC: sender.Tell}[c.Senders.DMARC],
		Excepted: c.Senders.ExceptedNetworks, Sealers: c.Senders.TrustedSealers, Forwarders: c.Senders.TrustedLists,
		Sample: func() int { return rand.IntN(100) },
	})
}
