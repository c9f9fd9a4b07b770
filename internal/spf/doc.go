// Package spf says whether a client may send mail in the name of a domain: it
// reads the domain's record, asks what the record needs to know, and gives a
// result with its reason, the term that decided, and the domain's own words on
// a failure. Every limit of the standard is kept, so that no record can make us
// ask for much or for long.
//
// RFC 7208 (Sender Policy Framework), RFC 7208 section 9.1 (Received-SPF).
package spf
