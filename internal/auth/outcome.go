package auth

import (
	"slices"

	"plic/internal/directory"
)

// Outcome is what came of a try to log in. Peers are never told which.
type Outcome string

// The outcomes.
const (
	Accepted  Outcome = "accepted"
	Wrong     Outcome = "wrong"     // a password, proof, token or certificate that does not fit
	Unknown   Outcome = "unknown"   // there is no such account
	Refused   Outcome = "refused"   // the account may not, or not here, or not by this mechanism
	Throttled Outcome = "throttled" // too many failed before
	Malformed Outcome = "malformed" // no sense in it
	Trouble   Outcome = "trouble"   // with a source
)

// observe tells what came of the try. Services that others name are one.
func (t *try) observe(o Outcome) {
	protocol := directory.Protocol(t.p.Service)
	if !slices.Contains(directory.MailProtocols(), protocol) {
		protocol = "other"
	}
	t.a.o.Observe(protocol, o, t.hashes)
}
