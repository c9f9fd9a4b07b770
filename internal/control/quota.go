package control

import "context"

// Quotas are how much accounts and domains have and may have. A name is that of
// an account or of a domain.
type Quotas interface {
	Quota(ctx context.Context, name string) (Quota, error)
	SetQuota(ctx context.Context, name string, own Usage) error
}

// Quota is how much an account or a domain has and may have.
type Quota struct {
	Name  string `json:"name"`
	Used  Usage  `json:"used"`
	Limit Usage  `json:"limit"` // that holds; none is 0
	Own   Usage  `json:"own"`   // that was set: 0 for the site's, -1 for none
}

// Usage is an amount of each resource that a quota counts.
type Usage struct {
	Bytes     int64 `json:"bytes,omitempty"`
	Messages  int64 `json:"messages,omitempty"`
	Mailboxes int64 `json:"mailboxes,omitempty"`
}

// limits is what a quota is set to.
type limits struct {
	Name string
	Own  Usage
}

type quotaClient struct{ *Client }

func (c quotaClient) Quota(ctx context.Context, who string) (Quota, error) {
	for q, err := range ask[Quota](ctx, c.Client, "quota/show", name{who}) {
		return q, err
	}
	return Quota{}, ErrNotFound
}

func (c quotaClient) SetQuota(ctx context.Context, who string, own Usage) error {
	return c.do(ctx, "quota/set", limits{who, own})
}
