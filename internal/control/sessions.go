package control

import (
	"context"
	"iter"
	"net/netip"
	"time"
)

// Sessions are the connections of clients that are open.
type Sessions interface {
	List(ctx context.Context, f SessionFilter) iter.Seq2[Session, error]
	// End has those that a filter chooses end, as when the server stops. It gives
	// their number.
	End(ctx context.Context, f SessionFilter) (int, error)
}

// Session is one of them.
type Session struct {
	Service string         `json:"service"`           // "imap", "pop3", "sieve", "smtp", "submission", "lmtp"
	Account string         `json:"account,omitempty"` // "" before a login
	Remote  netip.AddrPort `json:"remote"`
	Since   time.Time      `json:"since"`
}

// SessionFilter chooses sessions that are of all that it names.
type SessionFilter struct {
	Service string       `json:"service,omitempty"`
	Account string       `json:"account,omitempty"`
	Network netip.Prefix `json:"network,omitzero"`
}

// Chooses says whether a session is one of those.
func (f SessionFilter) Chooses(s Session) bool {
	return (f.Service == "" || f.Service == s.Service) && (f.Account == "" || f.Account == s.Account) &&
		(!f.Network.IsValid() || f.Network.Contains(s.Remote.Addr().Unmap().WithZone("")))
}

type sessionsClient struct{ *Client }

func (c sessionsClient) List(ctx context.Context, f SessionFilter) iter.Seq2[Session, error] {
	return ask[Session](ctx, c.Client, "session/list", f)
}

func (c sessionsClient) End(ctx context.Context, f SessionFilter) (int, error) {
	return first[int](ctx, c.Client, "session/end", f)
}
