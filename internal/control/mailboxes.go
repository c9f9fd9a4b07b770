package control

import (
	"context"
	"iter"
	"net/http"
)

// Mailboxes is where accounts have their mail.
type Mailboxes interface {
	Mailboxes(ctx context.Context, account string) (Placing, error)
	// SetMailboxes changes it, for an account without mail; "" leaves it to the
	// settings.
	SetMailboxes(ctx context.Context, account, place string) error
	// Convert moves an account's mail to another place.
	Convert(ctx context.Context, account, place string) (Converted, error)
	// RemoveOld removes the messages that the last conversion has left at the old
	// place.
	RemoveOld(ctx context.Context, account string) (Removed, error)
}

// Removed is what RemoveOld has done.
type Removed struct {
	Account  string `json:"account"`
	Old      string `json:"old"`
	Messages int    `json:"messages"`
}

// Converted is what Convert has done.
type Converted struct {
	Account  string `json:"account"`
	Place    string `json:"place"`
	Old      string `json:"old,omitempty"`   // where the mail was
	There    bool   `json:"there,omitempty"` // it was at the place already
	Messages int    `json:"messages"`
	Octets   int64  `json:"octets"`
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

func (c mailboxClient) Convert(ctx context.Context, who, place string) (Converted, error) {
	return first[Converted](ctx, c.Client, "mailboxes/convert", forAccount{who, place})
}

func (c mailboxClient) RemoveOld(ctx context.Context, who string) (Removed, error) {
	return first[Removed](ctx, c.Client, "mailboxes/remove-old", name{who})
}

func handleMailboxes(m *http.ServeMux, o Mailboxes) {
	list(m, "mailboxes/show", func(ctx context.Context, x name) iter.Seq2[Placing, error] {
		return one(o.Mailboxes(ctx, x.Name))
	})
	list(m, "mailboxes/convert", func(ctx context.Context, x forAccount) iter.Seq2[Converted, error] {
		return one(o.Convert(ctx, x.Account, x.Text))
	})
	list(m, "mailboxes/remove-old", func(ctx context.Context, x name) iter.Seq2[Removed, error] {
		return one(o.RemoveOld(ctx, x.Name))
	})
	act(m, "mailboxes/set", func(ctx context.Context, x forAccount) error { return o.SetMailboxes(ctx, x.Account, x.Text) })
}
