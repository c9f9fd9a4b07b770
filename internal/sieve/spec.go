package sieve

// Capabilities are all that scripts can require.
func Capabilities() []string {
	return []string{
		"body", "comparator-i;ascii-casemap", "comparator-i;ascii-numeric", "comparator-i;octet", "comparator-i;unicode-casemap",
		"copy", "date", "duplicate", "editheader", "encoded-character", "enclose", "enotify", "envelope", "envelope-deliverby",
		"envelope-dsn", "environment", "ereject", "extlists", "extracttext", "fcc", "fileinto", "foreverypart", "ihave",
		"imap4flags", "imapsieve", "include", "index", "mailbox", "mailboxid", "mboxmetadata", "mime", "redirect-deliverby",
		"redirect-dsn", "regex", "reject", "relational", "replace", "servermetadata", "spamtest", "spamtestplus", "special-use",
		"subaddress", "vacation", "vacation-seconds", "variables", "virustest",
		"vnd.dovecot.debug", "vnd.dovecot.execute", "vnd.dovecot.filter", "vnd.dovecot.pipe",
	}
}

const (
	fileTags = "create@mailbox flags=l@imap4flags specialuse=s@special-use mailboxid=s@mailboxid "
	fccTags  = "fcc=s@fcc " + fileTags
)

// commandOf says what a command takes.
func commandOf(name string) (spec, bool) {
	if s, ok := actionOf(name); ok {
		return s, true
	}
	switch name {
	case "stop":
		return spec{command: func(*compiler, *args) (node, error) { return signal{errStop}, nil }}, true
	case "return":
		return spec{capability: "include", command: func(*compiler, *args) (node, error) { return signal{errReturn}, nil }}, true
	case "include":
		return spec{capability: "include", tags: "personal global once optional", args: "s", command: (*compiler).include}, true
	case "global":
		return spec{capability: "include", args: "l", command: (*compiler).global}, true
	case "set":
		return spec{capability: "variables", args: "s s", command: (*compiler).set,
			tags: "lower upper lowerfirst upperfirst quotewildcard quoteregex@regex length encodeurl@enotify"}, true
	case "error":
		return spec{capability: "ihave", args: "s", command: (*compiler).fail}, true
	case "foreverypart":
		return spec{capability: "foreverypart", tags: "name=s", block: true, command: (*compiler).foreverypart}, true
	case "break":
		return spec{capability: "foreverypart", tags: "name=s", command: (*compiler).breakLoop}, true
	case "extracttext":
		return spec{capability: "extracttext", args: "s", command: (*compiler).extracttext,
			tags: "first=n lower@variables upper@variables lowerfirst@variables upperfirst@variables quotewildcard@variables quoteregex@regex length@variables encodeurl@enotify"}, true
	case "debug_log":
		return spec{capability: "vnd.dovecot.debug", args: "s", command: (*compiler).debugLog}, true
	}
	return spec{}, false
}

// actionOf says what an action takes.
func actionOf(name string) (spec, bool) {
	switch name {
	case "keep":
		return spec{tags: "flags=l@imap4flags", command: (*compiler).keep}, true
	case "discard":
		return spec{command: (*compiler).discard}, true
	case "fileinto":
		return spec{capability: "fileinto", tags: "copy@copy " + fileTags, args: "s", command: (*compiler).fileinto}, true
	case "redirect":
		return spec{tags: "copy@copy list@extlists notify=s@redirect-dsn ret=s@redirect-dsn bytimerelative=n@redirect-deliverby " +
			"bytimeabsolute=s@redirect-deliverby bymode=s@redirect-deliverby bytrace@redirect-deliverby", args: "s", command: (*compiler).redirect}, true
	case "reject", "ereject":
		return spec{capability: name, args: "s", command: (*compiler).reject}, true
	case "setflag", "addflag", "removeflag":
		return spec{capability: "imap4flags", args: "?s l", command: (*compiler).changeFlags}, true
	case "vacation":
		return spec{capability: "vacation/vacation-seconds", tags: "days=n seconds=n@vacation-seconds subject=s from=s addresses=l mime handle=s " + fccTags,
			args: "s", command: (*compiler).vacation}, true
	case "notify":
		return spec{capability: "enotify", tags: "from=s importance=s options=l message=s " + fccTags, args: "s", command: (*compiler).notify}, true
	case "addheader":
		return spec{capability: "editheader", tags: "last", args: "s s", command: (*compiler).addheader}, true
	case "deleteheader":
		return spec{capability: "editheader", tags: "index=n last " + matchTags, args: "s ?l", command: (*compiler).deleteheader}, true
	case "replace":
		return spec{capability: "replace", tags: "mime subject=s from=s", args: "s", command: (*compiler).replace}, true
	case "enclose":
		return spec{capability: "enclose", tags: "subject=s headers=l", args: "s", command: (*compiler).enclose}, true
	case "pipe":
		return spec{capability: "vnd.dovecot.pipe", tags: "copy@copy try", args: "s ?l", command: (*compiler).pipe}, true
	case "filter":
		return spec{capability: "vnd.dovecot.filter", args: "s ?l", command: (*compiler).filterCommand}, true
	case "execute":
		return spec{capability: "vnd.dovecot.execute", tags: "input=s pipe output=s@variables", args: "s ?l", command: (*compiler).executeCommand}, true
	}
	return spec{}, false
}

// testOf says what a test takes.
func testOf(name string) (spec, bool) {
	if s, ok := siteTestOf(name); ok {
		return s, true
	}
	switch name {
	case "true", "false":
		return spec{test: func(_ *compiler, a *args) (test, error) { return constant(a.name == "true"), nil }}, true
	case "not":
		return spec{tests: 1, test: (*compiler).not}, true
	case "allof", "anyof":
		return spec{tests: -1, test: (*compiler).several}, true
	case "address":
		return spec{tags: matchTags + addressTags + indexTags + mimeTags, args: "l l", test: (*compiler).address}, true
	case "header":
		return spec{tags: matchTags + indexTags + mimeTags, args: "l l", test: (*compiler).headerTest}, true
	case "exists":
		return spec{tags: "mime@mime anychild@mime", args: "l", test: (*compiler).exists}, true
	case "envelope":
		return spec{capability: "envelope", tags: matchTags + addressTags, args: "l l", test: (*compiler).envelope}, true
	case "size":
		return spec{tags: "over under", args: "n", test: (*compiler).size}, true
	case "body":
		return spec{capability: "body", tags: matchTags + "raw content=l text", args: "l", test: (*compiler).body}, true
	case "date":
		return spec{capability: "date", tags: matchTags + indexTags + "zone=s originalzone", args: "s s l", test: (*compiler).date}, true
	case "currentdate":
		return spec{capability: "date", tags: matchTags + "zone=s", args: "s l", test: (*compiler).currentdate}, true
	case "string":
		return spec{capability: "variables", tags: matchTags, args: "l l", test: (*compiler).stringTest}, true
	case "hasflag":
		return spec{capability: "imap4flags", tags: matchTags, args: "?l l", test: (*compiler).hasflag}, true
	case "ihave":
		return spec{capability: "ihave", args: "l", test: (*compiler).ihave}, true
	case "execute":
		return spec{capability: "vnd.dovecot.execute", tags: "input=s pipe output=s@variables", args: "s ?l", test: (*compiler).executeTest}, true
	case "filter":
		return spec{capability: "vnd.dovecot.filter", args: "s ?l", test: (*compiler).filterTest}, true
	}
	return spec{}, false
}

// siteTestOf are the tests that ask the site and not the message.
func siteTestOf(name string) (spec, bool) {
	switch name {
	case "duplicate":
		return spec{capability: "duplicate", tags: "handle=s header=s uniqueid=s seconds=n last", test: (*compiler).duplicate}, true
	case "environment":
		return spec{capability: "environment", tags: matchTags, args: "s l", test: (*compiler).environment}, true
	case "mailboxexists":
		return spec{capability: "mailbox", args: "l", test: (*compiler).mailboxexists}, true
	case "mailboxidexists":
		return spec{capability: "mailboxid", args: "l", test: (*compiler).mailboxidexists}, true
	case "specialuse_exists":
		return spec{capability: "special-use", args: "?s l", test: (*compiler).specialuse}, true
	case "metadata":
		return spec{capability: "mboxmetadata", tags: matchTags, args: "s s l", test: (*compiler).metadata}, true
	case "metadataexists":
		return spec{capability: "mboxmetadata", args: "s l", test: (*compiler).metadataexists}, true
	case "servermetadata":
		return spec{capability: "servermetadata", tags: matchTags, args: "s l", test: (*compiler).metadata}, true
	case "servermetadataexists":
		return spec{capability: "servermetadata", args: "l", test: (*compiler).metadataexists}, true
	case "spamtest":
		return spec{capability: "spamtest/spamtestplus", tags: matchTags + "percent@spamtestplus", args: "s", test: (*compiler).spamtest}, true
	case "virustest":
		return spec{capability: "virustest", tags: matchTags, args: "s", test: (*compiler).virustest}, true
	case "valid_notify_method":
		return spec{capability: "enotify", args: "l", test: (*compiler).validNotifyMethod}, true
	case "notify_method_capability":
		return spec{capability: "enotify", tags: matchTags, args: "s s l", test: (*compiler).notifyMethodCapability}, true
	case "valid_ext_list":
		return spec{capability: "extlists", args: "l", test: (*compiler).validExtList}, true
	}
	return spec{}, false
}
