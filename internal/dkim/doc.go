// Package dkim verifies and makes DKIM signatures. A message is read once for
// its header and once for each way its body must be canonicalised, however many
// signatures it has. Each signature gets a result of its own with the reason,
// and with what a policy may want to know: domain, selector, algorithm, the size
// of the key.
//
// What the RFCs leave to the verifier is decided strictly: SHA-1 and keys of
// less than 1024 bits count for nothing (RFC 8301), and so does a signature that
// covers only part of the body (the l= tag), since anybody can add to the rest.
//
// RFC 6376 (DKIM), RFC 8301 (algorithms), RFC 8463 (Ed25519), RFC 8601 section
// 2.7.1 (the words for results).
package dkim
