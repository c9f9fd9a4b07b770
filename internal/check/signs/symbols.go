package signs

import "plic/internal/check/score"

// Symbols are all that the part may give. The weights are such that what every
// careless program does stays far below Junk, alone and with others like it.
func (p *Part) Symbols() []score.Symbol {
	return []score.Symbol{
		// The client.
		{Name: "NO_RDNS", Weight: 1.2, Says: "The address of the client has no name that leads back to it."},
		{Name: "RDNS_GENERIC", Weight: 1.0, Says: "The name of the client looks like those that providers give to their customers' lines."},
		{Name: "HELO_BARE", Weight: 1.0, Says: "The name in HELO is no full host name."},
		{Name: "HELO_ADDRESS", Weight: 1.0, Says: "The client gives an address for a name in HELO."},
		{Name: "HELO_OURS", Weight: 3.0, Says: "The client gives a name of ours in HELO."},

		// What the checks of the sender found.
		{Name: "SPF_FAIL", Weight: 1.5, Says: "The domain of the sender says that the client may not send for it (SPF)."},
		{Name: "SPF_SOFTFAIL", Weight: 0.7, Says: "The domain of the sender says that the client should not send for it (SPF)."},
		{Name: "SPF_BROKEN", Weight: 0.4, Says: "The SPF record of the sender's domain cannot be used."},
		{Name: "DKIM_BROKEN", Weight: 0.5, Says: "There are signatures (DKIM) and none of them holds."},
		{Name: "DKIM_REPLAYED", Weight: 2.0, Says: "A message that was signed once comes from many networks."},
		{Name: "DMARC_PASS", Weight: -0.5, Says: "The author's domain has sent the message (DMARC)."},
		{Name: "DMARC_FAIL", Weight: 1.5, Says: "Nobody vouches for the author, whose domain has a DMARC policy."},
		{Name: "NO_PROOF", Weight: 0.8, Says: "Neither SPF nor DKIM says who has sent the message."},
		{Name: "FROM_OURS", Weight: 3.0, Says: "The author is said to be of a domain of ours, and nothing proves it."},

		// The header.
		{Name: "NO_DATE", Weight: 1.0, Says: "There is no Date field."},
		{Name: "BAD_DATE", Weight: 1.0, Says: "The Date field is no date."},
		{Name: "DATE_AHEAD", Weight: 1.5, Says: "The date is more than a day ahead."},
		{Name: "DATE_OLD", Weight: 0.7, Says: "The date is more than two weeks old."},
		{Name: "NO_MESSAGE_ID", Weight: 0.9, Says: "There is no Message-ID field."},
		{Name: "BAD_MESSAGE_ID", Weight: 0.7, Says: "The Message-ID field has no message id."},
		{Name: "NO_TO", Weight: 0.7, Says: "There is neither To nor Cc."},
		{Name: "TWICE", Weight: 1.5, Says: "A field stands there twice that may stand there once."},
		{Name: "BAD_FROM", Weight: 1.5, Says: "The author has no address that could be one."},
		{Name: "REPLY_ELSEWHERE", Weight: 1.2, Says: "Answers go to a free mailbox that is not the author's."},
		{Name: "RAW_HEADER", Weight: 0.6, Says: "The header has octets that are no text."},
		{Name: "CODED_NEEDLESSLY", Weight: 0.8, Says: "Plain words are encoded in the subject or the author's name."},
		{Name: "BY_SCRIPT", Weight: 0.6, Says: "A script of a web site has sent the message."},
		{Name: "BULK_NO_WAY_OUT", Weight: 0.5, Says: "The message calls itself bulk mail and says no way to end it."},
		{Name: "NO_SUBJECT", Weight: 0.5, Says: "There is no subject."},
		{Name: "SUBJECT_CAPITALS", Weight: 0.8, Says: "The subject is in capitals."},
		{Name: "SUBJECT_SHOUTS", Weight: 0.7, Says: "The subject shouts with signs, or talks money with them."},
		{Name: "SUBJECT_SPACED", Weight: 1.2, Says: "The letters of the subject are kept apart."},
		{Name: "FALSE_REPLY", Weight: 0.8, Says: "The subject is that of an answer, and the message answers nothing."},

		// The trace.
		{Name: "RECEIVED_OURS", Weight: 2.0, Says: "A Received field is said to be of ours."},
		{Name: "RECEIVED_AHEAD", Weight: 0.8, Says: "A Received field is of a time to come."},
		{Name: "RECEIVED_NONE", Weight: 0.3, Says: "The message has passed no other host, and carries no signature."},

		// MIME and text.
		{Name: "MIME_BROKEN", Weight: 1.2, Says: "The parts of the message are not what they are said to be."},
		{Name: "MIME_UNSAID", Weight: 0.2, Says: "The message has parts and no MIME-Version."},
		{Name: "MIME_TOO_MUCH", Weight: 1.0, Says: "The message has more parts or fields than anybody needs."},
		{Name: "CHARSET_UNKNOWN", Weight: 0.5, Says: "A part is in a charset that nobody knows."},
		{Name: "CODED_TEXT", Weight: 0.7, Says: "Plain English letters are encoded as base64."},
		{Name: "HTML_ONLY", Weight: 0.3, Says: "There is HTML and no plain text."},
		{Name: "HTML_FORM", Weight: 1.2, Says: "There is a form to be filled in."},
		{Name: "HTML_SCRIPT", Weight: 1.0, Says: "There is a script in the HTML."},
		{Name: "HTML_HIDDEN", Weight: 1.8, Says: "Much of the text is hidden from a reader's eyes."},
		{Name: "PICTURE_ONLY", Weight: 1.4, Says: "There are pictures and hardly any text."},
		{Name: "EMPTY", Weight: 0.8, Says: "There is nothing to read."},
		{Name: "WORDS_MIXED", Weight: 2.0, Says: "Words are written in letters of several scripts."},
		{Name: "WORDS_BROKEN", Weight: 1.5, Says: "Words are broken by characters that are not seen."},

		// Links.
		{Name: "LINK_ADDRESS", Weight: 1.5, Says: "A link leads to an address and not to a name."},
		{Name: "LINK_ADDRESS_ODD", Weight: 1.5, Says: "The address in a link is written so that it is not seen."},
		{Name: "LINK_MASKED", Weight: 1.5, Says: "What stands before the host in a link could be taken for it."},
		{Name: "LINK_LIES", Weight: 2.0, Says: "A link shows another host than it leads to."},
		{Name: "LINK_MIXED", Weight: 2.0, Says: "The host of a link has letters of several scripts."},
		{Name: "LINK_LIKE_OURS", Weight: 3.0, Says: "The host of a link looks like a domain of ours."},
		{Name: "LINK_SHORTENED", Weight: 0.6, Says: "A link goes by a service that hides where it leads."},
		{Name: "LINK_PROGRAM", Weight: 1.5, Says: "A link leads to a program or an archive."},
		{Name: "LINK_ALONE", Weight: 0.8, Says: "There is a link and hardly anything else."},
		{Name: "LINKS_SCATTERED", Weight: 0.6, Says: "Links lead to very many domains."},

		// Files.
		{Name: "FILE_PROGRAM", Weight: 6.0, Says: "A file is a program or a script."},
		{Name: "FILE_DISGUISED", Weight: 4.0, Says: "The name of a file makes a reader take it for something else."},
		{Name: "FILE_MACROS", Weight: 2.5, Says: "A document brings macros along."},
		{Name: "FILE_PACKED_PROGRAM", Weight: 5.0, Says: "There is a program or a script in an archive."},
		{Name: "FILE_LOCKED", Weight: 1.5, Says: "An archive cannot be looked into without a password."},
		{Name: "FILE_NESTED", Weight: 0.8, Says: "There is an archive in an archive."},
		{Name: "FILE_PAGE", Weight: 1.2, Says: "A file is a page of HTML or SVG."},
		{Name: "FILE_DISK", Weight: 2.5, Says: "A file is an image of a disk, whose files are not marked as from elsewhere."},

		// Names.
		{Name: "NAME_OTHER_ADDRESS", Weight: 1.8, Says: "The author's name is another address than the author's."},
		{Name: "NAME_OUR_ADDRESS", Weight: 3.5, Says: "The author's name is an address of ours."},
		{Name: "FROM_LIKE_OURS", Weight: 3.5, Says: "The author's domain looks like one of ours."},
		{Name: "FROM_MIXED", Weight: 2.0, Says: "The author's domain or name has letters of several scripts in a word."},
	}
}
