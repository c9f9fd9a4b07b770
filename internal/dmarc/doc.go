// Package dmarc says whether the author of a message is who sent it, and what
// the author's domain asks to be done if not: it finds the policy by walking up
// the DNS tree, and holds the domains that SPF and DKIM vouch for against that
// of From.
//
// RFC 9989 (DMARC). Of RFC 7489, which it replaces, pct= is still obeyed, since
// records have it.
package dmarc
