package control

import (
	"context"
	"time"
)

// Sources are all who are asked who exists: our own directory and those of
// others.
type Sources interface {
	// Lookup finds a domain, an address or a login, and tells every step. Fresh
	// is without what is remembered.
	Lookup(ctx context.Context, what string, fresh bool) (Finding, error)
	// Try checks a password as a login does, but counts nothing.
	Try(ctx context.Context, login, password string) (Finding, error)
}

// Finding is what came of a look-up.
type Finding struct {
	Asked   string          `json:"asked"`
	Steps   []LookupStep    `json:"steps"`
	Outcome string          `json:"outcome"` // "found", "missing", "wrong", "disabled" or "trouble"
	Reason  string          `json:"reason,omitempty"`
	Domain  string          `json:"domain,omitempty"`
	Account *FoundAccount   `json:"account,omitempty"` // that logs in so
	Leads   *AddressTargets `json:"leads,omitempty"`   // where mail for the address goes
}

// LookupStep is one question.
type LookupStep struct {
	Source   string        `json:"source"`
	Question string        `json:"question"`
	Key      string        `json:"key,omitempty"`
	Outcome  string        `json:"outcome"`
	Answer   string        `json:"answer,omitempty"`
	Trouble  string        `json:"trouble,omitempty"`
	Took     time.Duration `json:"took"` // nanoseconds
}

// FoundAccount is what is known of an account, but for its secrets.
type FoundAccount struct {
	Name      string   `json:"account"`
	Password  string   `json:"password"` // how it is checked: a scheme, "source" or "none"
	Disabled  bool     `json:"disabled,omitempty"`
	Bytes     int64    `json:"quota_bytes,omitempty"`
	Messages  int64    `json:"quota_messages,omitempty"`
	Mailboxes string   `json:"mailboxes,omitempty"`
	Home      string   `json:"home,omitempty"`
	UID       uint32   `json:"uid,omitempty"`
	GID       uint32   `json:"gid,omitempty"`
	Groups    []string `json:"groups,omitempty"`
	Senders   []string `json:"senders,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
	Networks  []string `json:"networks,omitempty"`
}

// AddressTargets is where an address leads.
type AddressTargets struct {
	Account  string   `json:"account,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Aliases  []string `json:"aliases,omitempty"`
	CatchAll bool     `json:"catch_all,omitempty"`
	Role     bool     `json:"role,omitempty"` // for a postmaster's sake
}

// lookingUp is what a look-up is told.
type lookingUp struct {
	What  string
	Fresh bool
}

type sourcesClient struct{ *Client }

func (c sourcesClient) Lookup(ctx context.Context, what string, fresh bool) (Finding, error) {
	return first[Finding](ctx, c.Client, "directory/lookup", lookingUp{what, fresh})
}

func (c sourcesClient) Try(ctx context.Context, user, password string) (Finding, error) {
	return first[Finding](ctx, c.Client, "directory/try", login{user, password})
}
