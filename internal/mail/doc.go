// Package mail holds the nouns of e-mail that every other room uses: Address,
// Domain, Envelope, Recipient, Status, Outcome, Item and ID. It does no I/O and
// imports nothing of plic.
//
// RFC 5321 (envelope), RFC 6531 (SMTPUTF8), RFC 5890 (IDNA), RFC 3461 (DSN
// parameters), RFC 3463 (enhanced status codes).
package mail
