package dns

import (
	"context"
	"errors"

	wire "github.com/miekg/dns"
)

// lookup gives the records of a name, following CNAMEs over as many answers as
// it takes, within maxChain and the time of Options.Total.
func (c *Client) lookup(ctx context.Context, name string, qtype uint16) ([]wire.RR, Answer, error) {
	fail := func(kind Kind, err error) error {
		return &Error{Type: wire.TypeToString[qtype], Name: canonical(name), Kind: kind, Err: err}
	}
	at, err := wireName(name)
	if err != nil {
		return nil, Answer{}, fail(Malformed, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.o.Total)
	defer cancel()
	answer := Answer{Name: canonical(at), TTL: c.o.MaxTTL, Authentic: true}
	for steps := 0; ; {
		r, err := c.step(ctx, at, qtype)
		if err != nil {
			return nil, Answer{Name: answer.Name}, err
		}
		answer.Name = r.name
		answer.TTL = min(answer.TTL, r.ttl)
		answer.Authentic = answer.Authentic && r.authentic
		switch {
		case len(r.rrs) > 0:
			return r.rrs, answer, nil
		case r.kind != Temporary:
			return nil, answer, fail(r.kind, nil)
		}
		if steps += r.steps; steps > maxChain {
			return nil, Answer{Name: answer.Name}, fail(Malformed, errors.New("chain of CNAMEs too long"))
		}
		at = r.name
		if at != "." {
			at += "."
		}
	}
}

// step gives one answer, from the cache or from a server.
func (c *Client) step(ctx context.Context, name string, qtype uint16) (*reply, error) {
	key := cacheKey{canonical(name), qtype}
	if c.cache != nil {
		if r, left := c.cache.get(key, c.o.Now()); r != nil {
			kept := *r
			kept.ttl = left
			return &kept, nil
		}
	}
	r, err := c.ask(ctx, name, qtype)
	if err != nil {
		return nil, err
	}
	if !r.cacheable {
		r.ttl = 0
		return r, nil
	}
	longest := c.o.MaxTTL
	if len(r.rrs) == 0 && r.kind != Temporary {
		longest = c.o.MaxNegativeTTL
	}
	r.ttl = min(max(r.ttl, c.o.MinTTL), longest)
	if c.cache != nil {
		c.cache.put(key, r, c.o.Now())
	}
	return r, nil
}
