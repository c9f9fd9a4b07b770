package server

import (
	"math/rand/v2"
	"time"

	"plic/internal/check/sender"
	"plic/internal/config"
	"plic/internal/post"
)

// examiner makes what looks at mail from strangers, nil if nothing is to.
func (s *site) examiner(now func() time.Time) post.Examiner {
	c := s.config
	if !c.Senders.Check {
		return nil
	}
	var e post.Examiner = sender.New(sender.Options{
		Resolver: s.resolver, Host: c.Hostname.String(), Timeout: c.Senders.Timeout, Now: now,
		DMARC:    map[config.DMARCPolicy]sender.Policy{config.SoftenDMARC: sender.Soften, config.TellDMARC: sender.Tell}[c.Senders.DMARC],
		Excepted: c.Senders.ExceptedNetworks, Sealers: c.Senders.TrustedSealers, Forwarders: c.Senders.TrustedLists,
		Sample: func() int { return rand.IntN(100) },
	})
	if s.feedback = s.newFeedback(now); s.feedback != nil {
		e = counted{e, s.feedback}
	}
	return e
}
