// Package smtpd holds the server's sessions of SMTP, submission and LMTP: it
// speaks the protocol, guards its limits, and hands what comes in to an Intake.
// It knows no queue and no mailbox. A positive answer to a message is given
// only after the Intake's Commit.
//
// A connection, the session in it and the transaction in that are three
// structs: STARTTLS makes a new zero session, RSET a new zero transaction, so
// that nothing can be left over. Each verb has its file.
//
// RFC 5321 (SMTP), 6409 and 8314 (submission), 2033 (LMTP), 2920 (PIPELINING),
// 1870 (SIZE), 6152 (8BITMIME), 2034 (ENHANCEDSTATUSCODES), 3207 (STARTTLS),
// 4954 (AUTH), 3030 (CHUNKING), 3461 (DSN), 3848 (protocol names), 6531
// (SMTPUTF8), 9422 (LIMITS), 8689 (REQUIRETLS).
package smtpd
