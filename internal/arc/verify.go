package arc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"plic/internal/dkim"
	"plic/internal/dns"
)

// Status is the Chain Validation Status, RFC 8617 section 4.4.
type Status string

// The states of a chain.
const (
	None Status = "none"
	Pass Status = "pass"
	Fail Status = "fail"
)

// Chain is what became of a message's chain.
type Chain struct {
	Status    Status
	Reason    string // one sentence for people
	Sets      []Set  // by instance
	Intact    int    // the lowest instance since which nothing was changed; 0 if the newest does not fit
	Temporary bool   // it failed because DNS did not answer
}

// Verifier checks chains.
type Verifier struct {
	Resolver dns.Resolver
	Now      func() time.Time
}

// Verify checks the chain of a message, RFC 8617 section 5.2. The error is one
// of reading.
func (v *Verifier) Verify(ctx context.Context, m *dkim.Message) (Chain, error) {
	sets, err := collect(m)
	c := Chain{Sets: sets}
	switch {
	case err != nil:
		c.Status, c.Reason = Fail, err.Error()
		return c, nil
	case len(sets) == 0:
		c.Status, c.Reason = None, "the message has no seals"
		return c, nil
	case sets[len(sets)-1].Said == Fail:
		c.Status, c.Reason = Fail, fmt.Sprintf("%s found the chain broken already", sets[len(sets)-1].Domain)
		return c, nil
	}
	if err := v.signatures(ctx, m, &c); err != nil || c.Status == Fail {
		return c, err
	}
	for i := len(sets) - 1; i >= 0; i-- {
		if err := v.seal(ctx, sets[:i+1]); err != nil {
			c.fail(fmt.Errorf("seal %d of %s: %w", i+1, sets[i].Domain, err))
			return c, nil
		}
	}
	c.Status, c.Reason = Pass, fmt.Sprintf("all %d seals hold, the last is of %s", len(sets), sets[len(sets)-1].Domain)
	return c, nil
}

func (c *Chain) fail(err error) {
	c.Status, c.Reason = Fail, err.Error()
	c.Temporary = dkim.StatusOf(err) == dkim.TempError
}

// signatures checks the newest signature, which must fit, and finds out since
// which instance the message is unchanged.
func (v *Verifier) signatures(ctx context.Context, m *dkim.Message, c *Chain) error {
	for i := len(c.Sets) - 1; i >= 0; i-- {
		err := v.signature(ctx, m, &c.Sets[i])
		switch {
		case err != nil && !dkim.IsVerdict(err):
			return err
		case err != nil && i == len(c.Sets)-1:
			c.fail(fmt.Errorf("signature %d of %s: %w", i+1, c.Sets[i].Domain, err))
			return nil
		case err != nil:
			return nil
		}
		c.Intact = i + 1
	}
	return nil
}

func (v *Verifier) signature(ctx context.Context, m *dkim.Message, s *Set) error {
	raw := s.fields[1].Raw
	sig, err := dkim.ParseSignature(raw)
	if err == nil {
		err = sig.Acceptable(v.Now())
	}
	var key dkim.Key
	if err == nil {
		key, err = dkim.LookupKey(ctx, v.Resolver, sig.Domain, sig.Selector)
	}
	if err != nil {
		return err
	}
	return sig.Check(m, raw, key)
}

// seal checks the last seal of the sets, which covers all of them.
func (v *Verifier) seal(ctx context.Context, sets []Set) error {
	last := &sets[len(sets)-1]
	raw := last.fields[2].Raw
	tags, err := tagsOf(raw)
	if err != nil {
		return err
	}
	if _, ok := tags["h"]; ok {
		return errors.New("it has a tag h")
	}
	signature, err := tags.Bytes("b")
	if err != nil {
		return err
	}
	key, err := dkim.LookupKey(ctx, v.Resolver, last.Domain, last.Selector)
	if err != nil {
		return err
	}
	return key.Verify(dkim.Algorithm(strings.ToLower(tags["a"])), dkim.HeaderHash(dkim.Relaxed, covered(sets), raw), signature)
}
