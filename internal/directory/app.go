package directory

import (
	"slices"
	"time"
)

// AppPassword is a password of an account that one program uses, so that it can
// be taken away by itself. It is made up, and shown once.
type AppPassword struct {
	ID        string // to revoke it by
	Name      string // what it is for, as its owner says
	Secret    Secret
	Protocols []string // as in Allow; those of mail if none is named
	ReadOnly  bool     // it reads mail and changes nothing
	Created   time.Time
	Expires   time.Time // zero is never
}

// MailProtocols are those of mail programs.
func MailProtocols() []string { return []string{"imap", "pop3", "smtp", "sieve"} }

// Denies says why the password is not good for a service now; "" if it is.
func (p *AppPassword) Denies(service string, now time.Time) string {
	protocol, may := Protocol(service), p.Protocols
	if len(may) == 0 {
		may = MailProtocols()
	}
	switch {
	case !p.Expires.IsZero() && !now.Before(p.Expires):
		return "has expired"
	case !slices.Contains(may, protocol):
		return "is not for " + protocol
	case p.ReadOnly && protocol != "imap" && protocol != "pop3":
		return "is for reading only"
	}
	return ""
}
