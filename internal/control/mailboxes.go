package control

import "context"

// Mailboxes is where accounts have their mail.
type Mailboxes interface {
	Mailboxes(ctx context.Context, account string) (Placing, error)
	// SetMailboxes changes it, for an account without mail; "" leaves it to the
	// settings.
	SetMailboxes(ctx context.Context, account, place string) error
}

// Placing is where an account's mail is, and who says so.
type Placing struct {
	Account string `json:"account"`
	Place   string `json:"place"` // "native" or as in the settings
	Path    string `json:"path,omitempty"`
	Because string `json:"because"`
}

type mailboxClient struct{ *Client }

func (c mailboxClient) Mailboxes(ctx context.Context, who string) (Placing, error) {
	return first[Placing](ctx, c.Client, "mailboxes/show", name{who})
}

func (c mailboxClient) SetMailboxes(ctx context.Context, who, place string) error {
	return c.do(ctx, "mailboxes/set", forAccount{who, place})
}
