package config

import (
	"net/url"
	"time"

	"plic/internal/mail"
)

func (c *Config) auth() []Setting {
	a := &c.Auth
	return []Setting{
		{"mechanisms", "The SASL mechanisms on offer, best first. EXTERNAL is offered only with `tls.client_ca`, OAUTHBEARER and XOAUTH2 with `oauth.issuer`, ANONYMOUS with `anonymous_account`. Off unless named: SCRAM-SHA-256-PLUS, which binds the login to the channel of TLS, since mutt and NeoMutt with GNU SASL choose it wherever it is on offer, cannot bind it, and then send no mail; SCRAM-SHA-1, SCRAM-SHA-1-PLUS and CRAM-MD5, for old clients; passwords set while they are on are kept for them too. SCRAM and CRAM-MD5 are not offered while a source is asked that checks passwords itself (LDAP by `bind`, Dovecot, the system by a `helper`). Where a source keeps hashes of other kinds, leave them out: clients that choose them could not log in.", restart, list[string]{&a.Mechanisms, "mechanisms", "SCRAM-SHA-256", mechanism, plain}},
		{"trusted_networks", "Networks from which many people log in, such as that of a webmail: wrong passwords of one there do not count against the others, and nobody waits for a turn. Guesses at one account still count.", restart, networks(&a.TrustedNetworks)},
		{"masters", "Accounts that may act for every other: by a login `user*master` with the master's password, or by an authorization identity. Each such login is in the journal.", restart, list[mail.Address]{&a.Masters, "addresses", "postmaster@example.org", mail.ParseAddress, mail.Address.String}},
		{"master_separator", "What stands between whom a master acts for and the master's own name. Empty: only mechanisms with an authorization identity name both.", restart, free{&a.MasterSeparator, "text", nil}},
		{"anonymous_account", "The account whose mail anybody may read, and only read, by IMAP and POP3 with the mechanism ANONYMOUS. It must be named in `mechanisms` too.", restart, mailbox{&a.Anonymous}},
		{"refuse_after", "Wrong passwords after which a host (one IPv4 address or IPv6 /64) is turned away; its network after three times as many. Long before that, its answers come ever more slowly.", restart, number{&a.RefuseAfter, 1, 100000}},
		{"half_life", "The time in which half of the wrong passwords are forgotten.", restart, duration{&a.HalfLife, time.Minute, 30 * day}},
		{"remember", "How long a right password need not be hashed again.", restart, duration{&a.Remember, 0, day}},
		{"upgrade", "When a password of an account of ours was right and its hash is not what a new one would be, keep a new one.", restart, switchValue{&a.Upgrade}},
		{"hashes", "Password hashes computed at the same time; each takes `hash_memory`.", restart, number{&a.Hashes, 1, 1024}},
		{"hash_memory", "Memory of one argon2id hash. It holds for passwords set from now on.", restart, size{&a.HashMemory, 8 * mib, 256 * mib}},
		{"hash_rounds", "Passes of argon2id over its memory.", restart, number{&a.HashRounds, 1, 32}},
		{"hash_threads", "Threads of one argon2id hash.", restart, number{&a.HashThreads, 1, 16}},
	}
}

func (c *Config) oauth() []Setting {
	o := &c.OAuth
	return []Setting{
		{"issuer", "URL of the issuer, exactly as its tokens and its metadata name it. Its keys are found by its metadata (OpenID Connect Discovery, RFC 8414). Empty: no tokens.", restart, free{&o.Issuer, "URL", secureURL}},
		{"audiences", "Whom tokens must be made for: one of these must be among a token's `aud`.", restart, list[string]{&o.Audiences, "names", "mail.example.org", one, plain}},
		{"scopes", "What a token's `scope` must hold, all of it.", restart, list[string]{&o.Scopes, "scopes", "mail", one, plain}},
		{"claim", "The claim that names the account.", restart, free{&o.Claim, "text", nil}},
		{"domain", "Domain of accounts that the claim names without one. Empty: none.", restart, noDomain{domain{&o.Domain}}},
		{"algorithms", "The signatures that tokens may have.", restart, list[string]{&o.Algorithms, "algorithms", "ES256", signature, plain}},
		{"introspect", "Ask the issuer about each token (RFC 7662) instead of checking its signature: for tokens that are no JWT, or to notice at once when one is revoked. What it says holds for a minute.", restart, switchValue{&o.Introspect}},
		{"client_id", "Who we are to the issuer when we ask about tokens.", restart, free{&o.ClientID, "text", nil}},
		{"client_secret_file", "File whose first line is our secret there.", restart, free{&o.SecretFile, "path", nil}},
		{"ca", "File with the authorities, PEM, that vouch for the issuer's web server. Empty: those of the system.", restart, free{&o.CA, "path", nil}},
	}
}

func (c *Config) loginRules() []rule {
	o := c.OAuth
	rules := []rule{
		{o.Issuer != "" && len(o.Audiences) == 0, "oauth.issuer", "has no audience: set oauth.audiences, or tokens made for any other service would let people in"},
		{o.Introspect && (o.ClientID == "" || o.SecretFile == ""), "oauth.introspect", "needs oauth.client_id and oauth.client_secret_file"},
		{o.Issuer != "" && o.Claim == "", "oauth.claim", "is empty: write \"email\""},
	}
	if u, err := url.Parse(o.Issuer); err == nil {
		rules = append(rules, rule{u.RawQuery != "" || u.Fragment != "", "oauth.issuer", "has a query or a fragment, which no issuer has"})
	}
	return rules
}
