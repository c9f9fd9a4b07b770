// Package search says what of a message is searched, and keeps an index of it:
// which messages of a mailbox hold which words. Answers by the index are exact,
// as a look into every message would give them, with IMAP's substrings (RFC 9051
// section 6.4.4) compared as package casemap does.
//
// A mailbox's index is a few segments, each of a range of UIDs, immutable, and
// merged when there are too many of one size. A segment is a sorted dictionary
// of words and for each the messages that hold it, in which parts of them. A
// string is sought in the dictionary itself, in those of its blocks that a filter
// does not rule out: all words that contain it, or its pieces where it spans
// several. Only then are candidates opened. Messages that are not yet indexed are
// looked into, so that answers are always complete.
//
// All of it is derived and kept as notes of the mailbox, which go with it; what
// is damaged is made anew.
package search
