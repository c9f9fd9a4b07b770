// Package imapd serves IMAP4rev1 and IMAP4rev2 over a store. One goroutine is a
// session: it reads a command, runs it, tells what has changed meanwhile, and
// answers; a file is a command. A session holds no copy of its mailbox, only
// snapshots shared by all: one for the numbers its client knows, one for what
// is so now. While it waits it holds no buffers.
//
// RFC 9051 (IMAP4rev2), RFC 3501 (IMAP4rev1), RFC 2177 (IDLE), RFC 2342
// (NAMESPACE), RFC 2971 (ID), RFC 3348 (CHILDREN), RFC 3502 (MULTIAPPEND), RFC
// 3516 (BINARY), RFC 3691 (UNSELECT), RFC 4315 (UIDPLUS), RFC 4731 (ESEARCH),
// RFC 4959 (SASL-IR), RFC 5161 (ENABLE), RFC 5182 (SEARCHRES), RFC 5258
// (LIST-EXTENDED), RFC 5530 (response codes), RFC 5819 (LIST-STATUS), RFC 6154
// (SPECIAL-USE), RFC 6851 (MOVE), RFC 7162 (CONDSTORE), RFC 7888 (LITERAL+,
// LITERAL-), RFC 8314 (TLS), RFC 8438 (STATUS=SIZE), RFC 4469 (CATENATE), RFC
// 6855 and 9755 (UTF8=ACCEPT), RFC 7889 (APPENDLIMIT), RFC 8508 (REPLACE), RFC
// 4978 (COMPRESS), RFC 8437 (UNAUTHENTICATE), RFC 5255 (LANGUAGE), RFC 4467
// (URLAUTH), RFC 5550 (URL-PARTIAL).
package imapd
