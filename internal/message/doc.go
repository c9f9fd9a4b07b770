// Package message reads and writes Internet messages: it parses a message of
// any size once, in bounded memory and linear time, into a tree of parts with
// their offsets; it decodes header text, addresses, dates, parameters and
// bodies to UTF-8; and it composes messages of our own.
//
// Reading never fails on content: whatever a stranger sends has a structure
// afterwards, and where a limit cut the analysis short the tree says so. All
// parsers are iterative and look at each octet a bounded number of times.
//
// RFC 5322 (format), RFC 2045, 2046 and 2049 (MIME), RFC 2047 (encoded words),
// RFC 2183 (Content-Disposition), RFC 2231 (parameters), RFC 2152 (UTF-7),
// RFC 6532 (internationalized headers).
package message
