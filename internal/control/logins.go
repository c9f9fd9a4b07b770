package control

import (
	"context"
	"time"
)

// Logins are how an account logs in: where it may, the passwords of its programs
// and its second factor.
type Logins interface {
	Login(ctx context.Context, account string) (Login, error)
	// SetLogin changes what may be set: all but the name, the programs and the
	// second factor.
	SetLogin(ctx context.Context, l Login) error
	// SetHash keeps a hash that another server has made of the password.
	SetHash(ctx context.Context, account, hash string) error
	// AddApp makes a password for a program, which is told once.
	AddApp(ctx context.Context, account string, p App) (App, error)
	// RemoveApp takes one away, by its id or name.
	RemoveApp(ctx context.Context, account, which string) error
	// Enrol begins a second factor, told once; Confirm has it hold.
	Enrol(ctx context.Context, account string) (Enrolment, error)
	Confirm(ctx context.Context, account, code string) error
	// TryCode says whether a code is right, and uses it up.
	TryCode(ctx context.Context, account, code string) (bool, error)
	RemoveFactor(ctx context.Context, account string) error
}

// Login is how an account logs in.
type Login struct {
	Name      string   `json:"account"`
	Disabled  bool     `json:"disabled,omitempty"`
	Protocols []string `json:"protocols,omitempty"` // all if none is named
	Networks  []string `json:"networks,omitempty"`  // likewise
	AppOnly   bool     `json:"app_only,omitempty"`  // mail programs need passwords of their own
	Apps      []App    `json:"apps,omitempty"`
	Factor    string   `json:"totp,omitempty"` // "enrolled", "on"
	Recovery  int      `json:"recovery,omitempty"`
}

// App is a password of a program.
type App struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Protocols []string  `json:"protocols,omitempty"` // those of mail if none is named
	ReadOnly  bool      `json:"read_only,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Expires   time.Time `json:"expires,omitzero"` // zero is never
	Password  string    `json:"password,omitempty"`
}

// Enrolment is what the owner of a second factor needs.
type Enrolment struct {
	Secret   string   `json:"secret"`
	URI      string   `json:"uri"`
	Recovery []string `json:"recovery"`
}

// What these operations are told.
type (
	newApp struct {
		Account string
		App     App
	}
	forAccount struct{ Account, Text string }
)

type loginClient struct{ *Client }

func (c loginClient) Login(ctx context.Context, who string) (Login, error) {
	return first[Login](ctx, c.Client, "login/show", name{who})
}
func (c loginClient) SetLogin(ctx context.Context, l Login) error {
	return c.do(ctx, "login/set", l)
}
func (c loginClient) SetHash(ctx context.Context, who, hash string) error {
	return c.do(ctx, "login/hash", forAccount{who, hash})
}
func (c loginClient) AddApp(ctx context.Context, who string, p App) (App, error) {
	return first[App](ctx, c.Client, "app-password/add", newApp{who, p})
}
func (c loginClient) RemoveApp(ctx context.Context, who, which string) error {
	return c.do(ctx, "app-password/revoke", forAccount{who, which})
}
func (c loginClient) Enrol(ctx context.Context, who string) (Enrolment, error) {
	return first[Enrolment](ctx, c.Client, "totp/enrol", name{who})
}
func (c loginClient) Confirm(ctx context.Context, who, code string) error {
	return c.do(ctx, "totp/confirm", forAccount{who, code})
}
func (c loginClient) TryCode(ctx context.Context, who, code string) (bool, error) {
	return first[bool](ctx, c.Client, "totp/try", forAccount{who, code})
}
func (c loginClient) RemoveFactor(ctx context.Context, who string) error {
	return c.do(ctx, "totp/remove", name{who})
}
