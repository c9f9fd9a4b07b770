// Package smtp holds the grammar that both ends of SMTP and LMTP share:
// command lines, the paths and parameters of MAIL and RCPT, replies, the
// keywords of EHLO, and the strict reading and writing of message data.
//
// RFC 5321 (SMTP), 2033 (LMTP), 2034 and 3463 (enhanced codes), 1870 (SIZE),
// 6152 (8BITMIME), 3030 (CHUNKING), 3461 (DSN, xtext), 4954 (AUTH), 6531 and
// 6533 (SMTPUTF8), 9422 (LIMITS).
//
// It does no I/O of its own beyond the readers and writers it is given, keeps
// no state between calls, and bounds everything that comes from a stranger.
package smtp
