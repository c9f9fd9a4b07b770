// Package sieve runs mail filters: a script is compiled once, with every fault
// named by its line, and is then a pure function from a message, its envelope
// and what the site knows to a list of actions. It touches no mailbox and sends
// nothing; whoever delivers the message carries the actions out, in one commit
// with it. What a script may cost is bounded, and one that fails keeps the
// message.
//
// RFC 5228 (Sieve) with RFC 3894 (copy), 5173 (body), 5183 (environment), 5229
// (variables), 5230 and 6131 (vacation), 5231 (relational), 5232 (imap4flags),
// 5233 (subaddress), 5235 (spamtest, virustest), 5260 (date, index), 5293
// (editheader), 5429 (reject, ereject), 5435 and 5436 (enotify, mailto), 5463
// (ihave), 5490 (mailbox, mboxmetadata, servermetadata), 5703 (mime,
// foreverypart, replace, enclose, extracttext), 6009 (envelope-dsn,
// envelope-deliverby, redirect-dsn, redirect-deliverby), 6134 (extlists), 6609
// (include), 6785 (environment of IMAP events), 7352
// (duplicate), 8579 (special-use), 8580 (fcc), 9042 (mailboxid), and the draft of
// regex.
package sieve
