// Package imap is the grammar of IMAP that both ends share: commands assembled
// from lines and literals within bounds, tokens, sequence sets, mailbox names,
// section and search syntax, and the wire text of responses. Reading is strict
// where leniency would give one thing two names, and never panics; all that it
// keeps of a stranger's input is bounded.
//
// RFC 9051 (IMAP4rev2), RFC 3501 (IMAP4rev1), RFC 2971 (ID), RFC 3516 (BINARY),
// RFC 4731 (ESEARCH), RFC 5182 (SEARCHRES), RFC 5258 (LIST-EXTENDED), RFC 5819
// (LIST-STATUS), RFC 6154 (SPECIAL-USE), RFC 7162 (CONDSTORE), RFC 7888
// (LITERAL+, LITERAL-), RFC 8438 (STATUS=SIZE), RFC 5092 and 4467 (URLs of
// messages).
package imap
