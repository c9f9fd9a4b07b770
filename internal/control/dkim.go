package control

import (
	"context"
	"iter"
)

// rotation asks for the next keys of a domain.
type rotation struct {
	Domain string
	Force  bool
}

// foreignKey is a key that others made.
type foreignKey struct{ Domain, Selector, Key string }

type dkimClient struct{ *Client }

func (c dkimClient) Keys(ctx context.Context, domain string) iter.Seq2[Record, error] {
	return ask[Record](ctx, c.Client, "dkim/keys", name{domain})
}
func (c dkimClient) Prepare(ctx context.Context, domain string) iter.Seq2[Record, error] {
	return ask[Record](ctx, c.Client, "dkim/prepare", name{domain})
}
func (c dkimClient) Rotate(ctx context.Context, domain string, force bool) error {
	return c.do(ctx, "dkim/rotate", rotation{domain, force})
}
func (c dkimClient) Import(ctx context.Context, domain, selector, key string) error {
	return c.do(ctx, "dkim/import", foreignKey{domain, selector, key})
}
