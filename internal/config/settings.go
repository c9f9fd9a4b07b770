package config

import (
	"slices"
	"time"

	"plic/internal/mail"
)

// Setting is one documented line of a file, bound to a field of a Config.
type Setting struct {
	Name string // "hops"
	Doc  string // one or two sentences
	Live bool   // a reload applies it; else it needs a restart
	value
}

// Value is the setting's value as TOML.
func (s Setting) Value() string { return s.text() }

// Kind says what may be written.
func (s Setting) Kind() string { return s.kind() }

// Section is a table of a file; the first has no name.
type Section struct {
	Name     string
	Doc      string
	Settings []Setting
}

// full is the name of a setting with its section.
func (s Section) full(name string) string {
	if s.Name == "" {
		return name
	}
	return s.Name + "." + name
}

const (
	restart = false
	live    = true
)

// Sections binds every field of c to its setting, in the order of a message's
// journey.
func (c *Config) Sections() []Section {
	return slices.Concat(c.inbound(), c.custody(), c.sources(), c.reading())
}

func (c *Config) inbound() []Section {
	return []Section{
		{"", "The site itself.", []Setting{
			{"hostname", "The name of this host, as the greeting, Received fields and the certificate tell it. The only setting that has no default.", restart, domain{&c.Hostname}},
			{"data_dir", "Where mail, accounts, queue, journal and the control socket are kept. A relative path starts at the directory of this file.", restart, free{&c.DataDir, "path", nil}},
			{"stop_grace", "How long a stop waits for running transactions and deliveries before it cuts them off.", live, duration{&c.StopGrace, 0, time.Hour}},
		}},
		{"listen", "The addresses where each service answers. An empty list switches the service off; `:port` means every address of the host.", []Setting{
			{"smtp", "Mail from other servers (RFC 5321).", restart, addresses(&c.Listen.SMTP)},
			{"submission", "Mail from our users, with STARTTLS (RFC 6409).", restart, addresses(&c.Listen.Submission)},
			{"submissions", "Mail from our users, with TLS from the first byte (RFC 8314).", restart, addresses(&c.Listen.Submissions)},
			{"lmtp", "Mail from a trusted relay in front of us (RFC 2033). It knows no AUTH: listen on loopback or a network that nobody else reaches.", restart, addresses(&c.Listen.LMTP)},
			{"imap", "Reading by IMAP, with STARTTLS (RFC 9051).", restart, addresses(&c.Listen.IMAP)},
			{"imaps", "Reading by IMAP, with TLS from the first byte (RFC 8314).", restart, addresses(&c.Listen.IMAPS)},
			{"pop3", "Fetching by POP3, with STLS (RFC 1939, RFC 2595).", restart, addresses(&c.Listen.POP3)},
			{"pop3s", "Fetching by POP3, with TLS from the first byte (RFC 8314).", restart, addresses(&c.Listen.POP3S)},
			{"sieve", "Scripts that filter mail, by ManageSieve with STARTTLS (RFC 5804).", restart, addresses(&c.Listen.Sieve)},
			{"auth", "Other servers of the site, which have their users log in by us as they would by Dovecot (Postfix with `smtpd_sasl_type = dovecot`, Exim's `dovecot` authenticator): `host:port`, or `unix:` and the path of a socket. What they say of a client's address is believed: let nobody else reach it. A socket may be opened by all who can enter its directory.", restart, list[string]{&c.Listen.Auth, "addresses host:port or unix:path", "127.0.0.1:12345", socketAddress, plain}},
			{"http", "Health (`/health`), metrics (`/metrics`) and profiles for Go's tools (`/debug/pprof/profile`, `heap`, `goroutine`). It asks nobody who they are: keep it on loopback.", restart, addresses(&c.Listen.HTTP)},
			{"https", "What the world may ask by HTTPS, as `:443`: the MTA-STS policy of our domains, the settings of mail programs, and proofs for an ACME authority (tls-alpn-01).", restart, addresses(&c.Listen.HTTPS)},
			{"plain_http", "What the world may ask by HTTP, as `:80`: proofs for an ACME authority (http-01), the settings of Thunderbird and programs like it, which come here if they do not find them by HTTPS, and for Outlook and Apple's programs the way to `listen.https`.", restart, addresses(&c.Listen.PlainHTTP)},
		}},
		{"tls", "The certificate that all services show. Without one, plic makes a certificate authority of its own in the data directory: good for trying, and for no stranger.", []Setting{
			{"cert", "File with the certificate chain, PEM. Set it together with `key`.", live, free{&c.TLS.Cert, "path", nil}},
			{"key", "File with the private key, PEM.", live, free{&c.TLS.Key, "path", nil}},
			{"min_version", "The oldest version of TLS that is spoken.", live, choice[TLSVersion]{&c.TLS.MinVersion, []TLSVersion{TLS12, TLS13}}},
			{"client_ca", "File with the authorities, PEM, whose certificates let people log in without a password (the mechanism EXTERNAL), where they submit, read or put scripts. A certificate names its account by rfc822Name, else by common name. Empty: no client is asked for one.", restart, free{&c.TLS.ClientCA, "path", nil}},
		}},
		{"acme", "A certificate from an authority by ACME (RFC 8555), renewed in time. It keeps its key, so that TLSA records stay true; `plic tls records` prints these. Until it is there, and where it fails, the certificate of the local authority is shown.", c.acme()},
		{"mta_sts", "The MTA-STS policy of our domains (RFC 8461), which `listen.https` serves as `mta-sts.DOMAIN`. That name must lead here and be in the certificate; with [acme] it is. `plic tls records` prints the TXT records.", []Setting{
			{"mode", "What senders shall do that cannot prove a host: nothing is published, tell us, or send nothing. Withdraw a policy with `none` for as long as `max_age`.", live, choice[STSMode]{&c.MTASTS.Mode, []STSMode{STSOff, STSTesting, STSEnforce, STSNone}}},
			{"mx", "The hosts that take our mail, `*.example.org` for any one label. Empty: `hostname`.", live, list[string]{&c.MTASTS.MX, "host names", "mail.example.org", mxPattern, plain}},
			{"max_age", "How long senders keep the policy.", live, duration{&c.MTASTS.MaxAge, time.Hour, 365 * day}},
		}},
		{"autoconfig", "How mail programs find their settings by HTTPS (`listen.https`), and those that ask there by HTTP (`listen.plain_http`): Thunderbird's autoconfig, Outlook's Autodiscover, Apple's profiles at `/email.mobileconfig?email=ADDRESS`. `plic domain records DOMAIN` prints the records for the DNS.", []Setting{
			{"names", "The names `autoconfig.DOMAIN` and `autodiscover.DOMAIN` of our domains lead here: get a certificate for them too.", live, switchValue{&c.Autoconfig.Names}},
		}},
		{"smtp", "What SMTP, submission and LMTP sessions hold to.", c.smtp()},
		{"access", "Who may talk and send what to whom. Tables give actions as Postfix's access tables do: `ok`, `dunno`, `reject text`, `defer text`, or a reply code with text. Users who have logged in are no strangers.", c.access()},
		{"senders", "What is found of who sent a message that a stranger brings: the confirmed name of the client, SPF (RFC 7208), DKIM (RFC 6376), ARC (RFC 8617) and DMARC (RFC 9989). It is told in an Authentication-Results field and, with every reason, by `plic journal`.", c.senders()},
		c.spam(),
		{"signing", "How we vouch for mail that leaves, with keys that plic makes for each domain and keeps in the data directory. `plic dkim keys DOMAIN` prints the records to publish; until they are, a signature is worth nothing and harms nothing.", []Setting{
			{"dkim", "Sign mail of our users and our own reports (RFC 6376), by RSA and by Ed25519.", restart, switchValue{&c.Signing.DKIM}},
			{"arc", "Seal what others sent and we send on to other hosts, with what we found of it (RFC 8617).", restart, switchValue{&c.Signing.ARC}},
		}},
		{"submission", "What holds for mail of our own users, beside what stands in [smtp].", []Setting{
			{"maildrop", "Directory where programs of this host hand in mail by `sendmail`: a socket, and letters that were left while no server ran. For users other than the server's it must be where they can reach it, such as `/var/spool/plic`. Empty: `maildrop` in the data directory.", restart, free{&c.Submission.Maildrop, "path", nil}},
			{"origin", "Domain of addresses without one in mail that such programs hand in. Empty: `hostname`.", restart, noDomain{domain{&c.Submission.Origin}}},
			{"check_sender", "Refuse a sender address that is not the account's own or one of its aliases.", restart, switchValue{&c.Submission.CheckSender}},
		}},
		{"auth", "How users log in, and what slows the guessing of passwords, for all protocols together.", c.auth()},
		{"oauth", "Tokens of OAuth 2.0 or OpenID Connect with which people log in (the mechanisms OAUTHBEARER and XOAUTH2).", c.oauth()},
	}
}

func (c *Config) acme() []Setting {
	return []Setting{
		{"directory", "URL of the authority's directory, as \"https://acme-v02.api.letsencrypt.org/directory\". Setting it accepts the authority's terms. For an authority of your own, let the system trust its root (or the variable SSL_CERT_FILE name it). Empty: no ACME.", restart, free{&c.ACME.Directory, "URL", secureURL}},
		{"contact", "Whom the authority may write to.", restart, mailbox{&c.ACME.Contact}},
		{"account_file", "File with an account that you have at the authority already (external account binding): its name and its key in base64url, on one line.", restart, free{&c.ACME.AccountFile, "path", nil}},
		{"proof", "How names are proved: by TLS on port 443 (`listen.https`), by HTTP on port 80 (`listen.plain_http`), or by a TXT record that is set by dynamic update (RFC 2136).", restart, choice[ACMEProof]{&c.ACME.Proof, []ACMEProof{ProofTLS, ProofHTTP, ProofDNS}}},
		{"names", "Names to be in the certificate beside `hostname` and those of MTA-STS.", restart, list[string]{&c.ACME.Names, "host names", "imap.example.org", hostName, plain}},
		{"dns_server", "The primary server of the zone, for `dns-01`.", restart, free{&c.ACME.DNSServer, "host or host:port", smartHost}},
		{"dns_key_file", "File with the TSIG key that may change the zone, as `tsig-keygen` writes it. Empty: updates are not signed.", restart, free{&c.ACME.DNSKeyFile, "path", nil}},
	}
}

func (c *Config) access() []Setting {
	k := &c.Access
	return []Setting{
		{"clients", "Asked for the address of a stranger, then for its confirmed name, and `.domain` for those above it.", restart, tables{&k.Clients}},
		{"helos", "Asked for the name in HELO, then `.domain` for those above it.", restart, tables{&k.Helos}},
		{"senders", "Asked for the sender, also one of ours: the address, its domain, `.domain` for those above it, and `local@`.", restart, tables{&k.Senders}},
		{"recipients", "Asked for each recipient likewise, whoever writes.", restart, tables{&k.Recipients}},
		{"unknown_senders", "Take mail from senders whose domain does not exist, or takes no mail (RFC 7505).", live, switchValue{&k.UnknownSenders}},
		{"strict_helo", "Refuse names in HELO without a dot.", live, switchValue{&k.StrictHelo}},
		{"connections", "Connections in a minute from a stranger's network (IPv4 /24, IPv6 /64); further ones get 421. 0 is without limit; loopback is excepted.", live, number{&k.Connections, 0, 1000000}},
		{"network_messages", "Messages in an hour from such a network; further ones get 451. 0 is without limit.", live, number{&k.NetworkMessages, 0, 100000000}},
		{"network_recipients", "Recipients in an hour likewise.", live, number{&k.NetworkRecipients, 0, 100000000}},
		{"account_messages", "Messages in a day from an account; further ones get 451. 0 is without limit.", live, number{&k.AccountMessages, 0, 100000000}},
		{"account_recipients", "Recipients in a day likewise.", live, number{&k.AccountRecipients, 0, 100000000}},
		{"policy_server", "A policy server that is asked at each RCPT of a stranger, as Postfix asks one: `host:port`, or `unix:/path`.", restart, free{&k.Policy, "host:port or unix:path", nil}},
		{"policy_timeout", "How long to wait for its answer.", restart, duration{&k.PolicyTimeout, time.Second, 5 * time.Minute}},
		{"policy_open", "Let mail pass while the policy server does not answer, instead of 451.", restart, switchValue{&k.PolicyOpen}},
		{"xclient", "Networks of proxies that may tell by XCLIENT for whom they speak.", live, networks(&k.XClient)},
		{"proxies", "Networks of load balancers: their connections begin with a header of the PROXY protocol, version 1 or 2, that says for whom they are. Nobody else may send one.", restart, networks(&k.Proxies)},
	}
}

func (c *Config) smtp() []Setting {
	return []Setting{
		{"message_size", "The largest message, in octets; also for IMAP APPEND. Larger ones get 552.", live, size{&c.SMTP.MessageSize, 64 * kib, 2 * gib}},
		{"header_size", "The largest header of a message.", live, size{&c.SMTP.HeaderSize, 16 * kib, 64 * mib}},
		{"header_lines", "Lines of a header.", live, number{&c.SMTP.HeaderLines, 100, 1000000}},
		{"recipients", "Recipients of one message from elsewhere; further ones get 452 (RFC 5321 section 4.5.3.1.8 wants at least 100).", live, number{&c.SMTP.Recipients, 100, 100000}},
		{"hops", "Received fields of a message; more are a loop and get 554 5.4.6.", live, number{&c.SMTP.Hops, 10, 1000}},
		{"bare_newline", "What becomes of a CR or LF that stands alone, by which mail is smuggled: refuse the message, or make it CRLF. From `trusted_networks` it is always made CRLF.", live, choice[BareNewline]{&c.SMTP.BareNewline, []BareNewline{RefuseBare, NormaliseBare}}},
		{"trusted_networks", "Networks whose bare newlines are forgiven. They may not relay: nobody may without AUTH.", live, networks(&c.SMTP.TrustedNetworks)},
		{"early_talker", "Refuse clients that talk before they were greeted.", live, switchValue{&c.SMTP.EarlyTalker}},
		{"timeout", "How long a session may be silent between commands (RFC 5321 section 4.5.3.2.7 wants 5 minutes).", live, duration{&c.SMTP.Timeout, time.Second, time.Hour}},
		{"data_timeout", "How long a client may be silent while it sends a message.", live, duration{&c.SMTP.DataTimeout, time.Second, time.Hour}},
		{"min_rate", "The least that a client must send of a message in a second, beyond `data_timeout`.", live, size{&c.SMTP.MinRate, 1, mib}},
		{"progress_timeout", "How long a session may last without handing over a message.", live, duration{&c.SMTP.ProgressTimeout, time.Minute, day}},
		{"errors_soft", "Errors in a session after which each answer is delayed.", live, number{&c.SMTP.ErrorsSoft, 1, 1000}},
		{"errors_hard", "Errors in a session after which it is closed with 421.", live, number{&c.SMTP.ErrorsHard, 1, 1000}},
		{"error_delay", "How long an answer is delayed after `errors_soft`.", live, duration{&c.SMTP.ErrorDelay, 0, time.Minute}},
		{"junk_commands", "NOOP, VRFY, RSET and the like between two messages; more close the session.", live, number{&c.SMTP.JunkCommands, 1, 10000}},
		{"connections", "Connections to SMTP, submission and LMTP together; further ones get 421.", live, number{&c.SMTP.Connections, 1, 1000000}},
		{"connections_per_host", "Connections from one address (IPv6: one /64); further ones get 421. Loopback is excepted.", live, number{&c.SMTP.ConnectionsPerHost, 1, 1000000}},
		{"milters", "Filters that speak Sendmail's milter protocol, in the order in which they see mail: `unix:/socket` or `inet:host:port`, then perhaps `down=accept` (mail goes on when it does not answer; `down=tempfail` puts it off, and is usual), `services=smtp,submission,lmtp,local` (whose mail it sees; all), and `connect=30s command=30s content=5m` (how long is waited).", restart, list[string]{&c.SMTP.Milters, "milters", "unix:/run/opendkim.sock", one, plain}},
	}
}

func (c *Config) route() Section {
	r := &c.Route
	return Section{"route", "Where mail goes, beside what the directory knows. Each table is `{\"key\" = \"value\"}`, or a file that is read again when it changes: `file:` with a key and its value on each line, `aliases:` as sendmail has it, `regexp:` with `/pattern/ value`, `cidr:` with `network value`; or a list of several, the first that has the key counting. Addresses are looked up in the form that [rewrite] gives them: whole, without their detail, then as `@domain`. `plic route` shows every step for an address.", []Setting{
		{"local_domains", "Domains of ours beside those of the directory; values do not matter.", restart, tables{&r.LocalDomains}},
		{"relay_domains", "Domains of others that we take mail for, as a backup MX or as their gate. Without a transport it goes to an MX that is preferred to us.", restart, tables{&r.RelayDomains}},
		{"relay_recipients", "Who exists in `relay_domains`; others are refused. Empty: whoever their own host takes.", restart, tables{&r.RelayRecipients}},
		{"aliases", "Addresses, or names in domains of ours, to where they lead, with commas between: addresses, `:include:/file` with more of them, `/file` to be appended to, a command in quotes behind a vertical bar, `@domain` for the same name there, a name behind a backslash for the account itself. An alias `owner-name` becomes the sender of what goes to `name`.", restart, tables{&r.Aliases}},
		{"transports", "Recipients, domains, `.parent.domains` and `*` to `smtp:domain`, `smtp:[host]:port`, `lmtp:unix:/socket`, `lmtp:host:port`, `pipe:command`, `discard`, `error:code text`, `hold`.", restart, tables{&r.Transports}},
		{"sender_transports", "The same by sender, for recipients that `transports` has no answer for.", restart, tables{&r.SenderTransports}},
		{"smart_hosts", "Senders to the host that takes their outgoing mail, as `[host]:port`, or `direct`; before `remote.smart_host`.", restart, tables{&r.SmartHosts}},
		{"logins", "Hosts, as `[host]:port` or `host`, and senders at their smart host, to `user:password`. Passwords go only over TLS.", restart, tables{&r.Logins}},
		{"source_addresses", "Senders, `@sender.domains` and recipients' domains to the address of ours that mail goes out from, one of IPv4, of IPv6, or both.", restart, tables{&r.Sources}},
		{"commands", "Names to `user=name dir=path from_line=yes /command argument ...` for `pipe:name`. An argument may hold `${sender}`, `${recipient}`, `${local}`, `${user}`, `${detail}`, `${domain}`. No shell reads it.", restart, tables{&r.Commands}},
		{"command_user", "Who runs the commands of aliases. Files that aliases name are written by the server itself.", restart, free{&r.CommandUser, "user name", nil}},
		{"command_timeout", "How long a command may run.", restart, duration{&r.CommandTimeout, time.Second, day}},
		{"header_rules", "Header fields, each on one line, to `refuse code text`, `defer text`, `discard`, `hold`, `redirect address`, `prepend field`, `replace field`, `remove` or `warn`; usually a `regexp:` table.", restart, tables{&r.HeaderRules}},
		{"always_bcc", "Addresses that get a copy of all mail.", restart, list[mail.Address]{&r.AlwaysBcc, "mail addresses", "archive@example.org", mail.ParseAddress, mail.Address.String}},
		{"sender_bcc", "Senders to the address that gets a copy.", restart, tables{&r.SenderBcc}},
		{"recipient_bcc", "Recipients to the address that gets a copy.", restart, tables{&r.RecipientBcc}},
	}}
}

func (c *Config) rewrite() Section {
	r := &c.Rewrite
	return Section{"rewrite", "Under which addresses mail goes on. Envelopes are rewritten always, headers only of mail that our own users send: that of others may be signed.", []Setting{
		{"canonical", "Addresses, or names in domains of ours, to the form that they have elsewhere; `@domain` changes the domain alone.", restart, tables{&r.Canonical}},
		{"sender_canonical", "The same for senders only, before `canonical`.", restart, tables{&r.SenderCanonical}},
		{"recipient_canonical", "The same for recipients only, before `canonical`.", restart, tables{&r.RecipientCanonical}},
		{"masquerade", "Domains whose hosts are hidden: user@host.example.org is shown as user@example.org.", restart, list[mail.Domain]{&r.Masquerade, "domains", "example.org", mail.ParseDomain, mail.Domain.String}},
		{"masquerade_except", "Users of whom the host is shown.", restart, list[string]{&r.MasqueradeExcept, "user names", "root", one, plain}},
		{"dmarc", "What is done with mail of strangers that an alias or a filter sends on to another host, and that would fail DMARC there, since its author's domain asks for `reject` or `quarantine` and no signature of that domain holds for it: it gets an author of ours (`\"Ann via example.org\" <the address that it came to>`, answers go to the old one) and our signature, or goes on as it is, or is refused with 550 5.7.1.", restart, choice[OnwardDMARC]{&r.DMARC, []OnwardDMARC{ReplaceAuthor, KeepAuthor, RefuseOnward}}},
		{"srs", "Give mail of strangers that is sent on to another host a sender of ours (Sender Rewriting Scheme), so that SPF lets it pass there; what comes back is sent on to the old one.", restart, switchValue{&r.SRS}},
		{"srs_domain", "Our domain for these senders; it must take mail here. Empty: `hostname`.", restart, noDomain{domain{&r.SRSDomain}}},
		{"srs_secrets", "File with the secrets that such addresses are signed with, one on each line: the first signs, each is believed. Empty: a secret of the data directory.", restart, free{&r.SRSSecrets, "path", nil}},
		{"srs_max_age", "How long mail may come back to such an address.", restart, duration{&r.SRSMaxAge, day, 365 * day}},
	}}
}

func (c *Config) custody() []Section {
	return []Section{
		c.route(), c.rewrite(),
		{"directory", "Who is asked who exists, and how addresses are read. Our own directory is changed by `plic domain`, `plic account` and `plic alias`; a catch-all is the alias `@domain`.", []Setting{
			{"sources", "Who is asked, in this order: `native` is our own directory, other names are those of [source.name]. One that is in trouble ends the question, and mail and logins are put off, unless one before it has the answer. `plic directory lookup` shows each step.", restart, list[string]{&c.Directory.Sources, "names", "native", one, plain}},
			{"plus_separator", "What separates a user from a detail, as in user+detail@domain (RFC 5233).", restart, free{&c.Directory.PlusSeparator, "text", separator}},
			{"postmaster", "Who gets the mail for postmaster@ and abuse@ of domains that have no such account or alias (RFC 5321 section 4.5.1). Empty: the first account of the domain in our own directory, or of any domain there.", restart, mailbox{&c.Directory.Postmaster}},
		}},
		{"queue", "How long and how often mail to other servers is tried.", []Setting{
			{"backoff_min", "The wait after the first failed try; it doubles with each further one.", restart, duration{&c.Queue.BackoffMin, time.Second, day}},
			{"backoff_max", "The longest wait between two tries.", restart, duration{&c.Queue.BackoffMax, time.Second, 5 * day}},
			{"warn_after", "The sender is told of the delay once, after this time.", restart, duration{&c.Queue.WarnAfter, time.Second, 30 * day}},
			{"expire_after", "What could not be delivered in this time goes back to its sender.", restart, duration{&c.Queue.ExpireAfter, time.Second, 90 * day}},
			{"active", "Deliveries at the same time. One that has waited for its host for ten seconds is not counted any more, up to three times as many.", restart, number{&c.Queue.Active, 1, 100000}},
			{"concurrency_start", "Connections to a destination that has not shown yet what it bears.", restart, number{&c.Queue.ConcurrencyStart, 1, 1000}},
			{"concurrency_max", "The most connections to one destination.", restart, number{&c.Queue.ConcurrencyMax, 1, 1000}},
			{"suppress_after", "Messages that must come back because there is no such mailbox, before nothing more is sent to an address: what is submitted for it is refused. See `plic suppression`; 0 is never.", restart, number{&c.Queue.SuppressAfter, 0, 1000}},
			{"suppress_for", "How long nothing is sent to such an address.", restart, duration{&c.Queue.SuppressFor, time.Hour, 3650 * day}},
		}},
		{"remote", "Delivery to other servers.", []Setting{
			{"smart_host", "`host` or `host:port` that takes all outgoing mail. Empty: mail goes to the MX of each domain.", restart, free{&c.Remote.SmartHost, "host or host:port", smartHost}},
			{"smart_host_user", "The user that we authenticate as at the smart host, only over TLS. Empty: no AUTH.", restart, free{&c.Remote.SmartHostUser, "text", nil}},
			{"smart_host_password_file", "File whose first line is that user's password.", restart, free{&c.Remote.SmartHostPasswordFile, "path", nil}},
			{"tls", "TLS to other servers: as well as each domain can (DANE where `dns.trusted` allows, MTA-STS, what it had before, else whenever it is offered), always with a proven certificate, or never.", restart, choice[RemoteTLS]{&c.Remote.TLS, []RemoteTLS{TLSOpportunistic, TLSRequire, TLSOff}}},
			{"tls_policies", "Domains, `.parent.domains` and `*` to what holds there instead of `tls`: `auto` as above, `none`, `may` (TLS if it can be had, whatever the domain asks for), `encrypt`, `verify`, `dane` (where there is DANE, else as `may`), `dane-only`, or `fingerprint` and `sha256:` digests of certificates or their public keys. `plic tls policy` shows what holds and why.", restart, tables{&c.Remote.TLSPolicies}},
			{"tls_memory", "How long it is remembered that a domain had TLS. 0s: not at all.", restart, duration{&c.Remote.TLSMemory, 0, 3650 * day}},
			{"tls_hold", "How long mail waits for a host that had TLS and has none, before it goes in clear. Keep it shorter than `queue.expire_after`, or mail bounces instead.", restart, duration{&c.Remote.TLSHold, 0, 30 * day}},
			{"port", "The port of other servers.", restart, number{&c.Remote.Port, 1, 65535}},
			{"family", "Over which IP mail goes out.", restart, choice[Family]{&c.Remote.Family, []Family{AnyFamily, IPv4, IPv6}}},
			{"recipients", "Recipients in one transaction.", restart, number{&c.Remote.Recipients, 1, 1000}},
			{"connect_timeout", "How long a connection may take to come about.", restart, duration{&c.Remote.ConnectTimeout, time.Second, 10 * time.Minute}},
			{"command_timeout", "How long the answer to a command may take (RFC 5321 section 4.5.3.2).", restart, duration{&c.Remote.CommandTimeout, time.Second, time.Hour}},
			{"data_timeout", "How long the answer to the whole message may take.", restart, duration{&c.Remote.DataTimeout, time.Second, time.Hour}},
		}},
		{"tlsrpt", "Reports to other domains of how TLS with them went, for those that ask (RFC 8460).", []Setting{
			{"send", "Collect what came of TLS and send it each day. The mails are worth more where `plic dkim keys` are published.", restart, switchValue{&c.TLSRPT.Send}},
			{"contact", "Their sender, whom to ask about them. Empty: postmaster at `hostname`.", restart, mailbox{&c.TLSRPT.Contact}},
			{"receive", "An account or alias of ours, named by `rua=mailto:` in the TLSRPT records of our domains: reports in mail to it are read as it comes in, for `plic tlsrpt list`. Empty: none are.", restart, mailbox{&c.TLSRPT.Receive}},
		}},
		{"dns", "Questions about names.", []Setting{
			{"servers", "Name servers to ask. Empty: those of /etc/resolv.conf.", restart, servers(&c.DNS.Servers)},
			{"timeout", "How long one question may take.", restart, duration{&c.DNS.Timeout, 100 * time.Millisecond, time.Minute}},
			{"trusted", "The way to these servers is safe and they validate DNSSEC, so that their AD bit counts: DANE needs it. So does \"options trust-ad\" in /etc/resolv.conf.", restart, switchValue{&c.DNS.Trusted}},
		}},
	}
}

func (c *Config) reading() []Section {
	return []Section{
		{"store", "How mail is kept in the data directory.", []Setting{
			{"cache", "Memory for records that were read.", restart, size{&c.Store.Cache, mib, 1024 * gib}},
			{"index", "Memory for the indexes of mailboxes that nobody has open.", restart, size{&c.Store.Index, mib, 1024 * gib}},
			{"reserve", "Space on the disk that is left free: below it new mail gets 452, while reading and deleting go on.", restart, size{&c.Store.Reserve, 0, 1024 * gib}},
			{"compress", "Keep the bodies of new mail compressed (S2, above 16 KiB zstd), where that gains.", restart, switchValue{&c.Store.Compress}},
			{"grace", "How long a body that nobody owns any more is kept, for those who still read it.", restart, duration{&c.Store.Grace, 0, 30 * day}},
		}},
		{"mailboxes", "Where accounts have their mail: in the data directory (`native`), or in files that other programs use too. What the directory says of an account comes first.", []Setting{
			{"place", "`native`, or a format, a path and options: `maildir:~/Maildir`, `maildir:/var/vmail/%d/%n:LAYOUT=fs`, `mbox:~/mail:INBOX=/var/mail/%n`. `%u` is the account, `%n` its name, `%d` its domain, `%h` or `~` its home; `%Ln` in small letters, `%1n` its first one. See docs/mailboxes.md.", restart, free{&c.Mailboxes.Place, "place", nil}},
			{"of", "The same for some: accounts, or `@domain`, to places.", restart, tables{&c.Mailboxes.Of}},
			{"home", "The home of accounts whose directory names none, as `/home/%n`.", restart, free{&c.Mailboxes.Home, "path", nil}},
			{"system_users", "Each account is the user of the system that its name (`%n`) names: its home is that user's, and so are its files. Needs root.", restart, switchValue{&c.Mailboxes.SystemUsers}},
		}},
		{"quota", "How much an account may have that has no limits of its own (RFC 9208); those of one account or of a whole domain are set by `plic account quota` and `plic domain quota`. Mail beyond it gets 452 or 552 while its sender is still there.", []Setting{
			{"storage", "Size of all messages; `0B` for no limit.", restart, size{&c.Quota.Storage, 0, 1 << 50}},
			{"messages", "Number of messages; 0 for no limit.", restart, number{&c.Quota.Messages, 0, 1 << 31}},
			{"mailboxes", "Number of mailboxes; 0 for no limit.", restart, number{&c.Quota.Mailboxes, 0, 1 << 31}},
			{"administrators", "Accounts that may set quotas over IMAP, by SETQUOTA.", live, list[string]{&c.Quota.Administrators, "accounts", "postmaster@example.org", accountName, plain}},
		}},
		{"imap", "What IMAP sessions hold to.", []Setting{
			{"timeout", "How long a session may be silent (RFC 9051 section 5.4 wants 30 minutes).", live, duration{&c.IMAP.Timeout, time.Second, day}},
			{"login_timeout", "How long a session may take to log in.", live, duration{&c.IMAP.LoginTimeout, time.Second, time.Hour}},
			{"connections", "Connections to IMAP; further ones get BYE.", live, number{&c.IMAP.Connections, 1, 1000000}},
			{"connections_per_login", "Connections of one account from one address.", live, number{&c.IMAP.ConnectionsPerLogin, 1, 10000}},
			{"shared_account", "The account of each domain whose mailboxes its other accounts see below `shared/`, as far as it gives them rights (RFC 4314): the part before the @, as `shared`. Empty: there are none.", live, free{&c.IMAP.SharedAccount, "local part", localPart}},
			{"save_limit", "Messages that one COPY or APPEND may save, told as SAVELIMIT (RFC 9738): they are one change of the store. More are refused, and none of them saved.", live, number{&c.IMAP.SaveLimit, 1000, 1000000}},
			{"message_limit", "Messages that one FETCH, STORE, SEARCH, COPY, MOVE, APPEND or UID EXPUNGE may work on, told as MESSAGELIMIT (RFC 9738) in place of SAVELIMIT: 0 for no limit, else 1000 or more. Most clients do not know the limit and take the newest messages for all there are; long commands yield to others without it, and so it is off.", live, number{&c.IMAP.MessageLimit, 0, 1000000}},
		}},
		{"pop3", "What POP3 sessions hold to.", []Setting{
			{"timeout", "How long a session may be silent (RFC 1939 section 3 wants 10 minutes). Until it ends its account gets [IN-USE]; a connection that is closed ends at once, one whose client has gone without a word after a minute.", live, duration{&c.POP3.Timeout, time.Second, day}},
			{"login_timeout", "How long a session may take to log in.", live, duration{&c.POP3.LoginTimeout, time.Second, time.Hour}},
			{"login_delay", "How long an account must wait between two logins (RFC 2449 section 6.5); 0 for no time.", live, duration{&c.POP3.LoginDelay, 0, day}},
			{"connections", "Connections to POP3; further ones get -ERR.", live, number{&c.POP3.Connections, 1, 1000000}},
			{"connections_per_host", "Connections from one address.", live, number{&c.POP3.ConnectionsPerHost, 1, 10000}},
		}},
		{"sieve", "Scripts that filter mail on its way into mailboxes (RFC 5228). Those of users come by ManageSieve.", []Setting{
			{"before", "Files with scripts that run before a user's, in this order. One that does not keep the message ends it.", restart, list[string]{&c.Sieve.Before, "paths", "/etc/plic/site.sieve", one, plain}},
			{"after", "Files with scripts that run after a user's, if that keeps the message.", restart, list[string]{&c.Sieve.After, "paths", "/etc/plic/site.sieve", one, plain}},
			{"include", "Directory of scripts, `NAME.sieve`, that others may include with `:global`.", restart, free{&c.Sieve.Include, "path", nil}},
			{"lists", "Names to the tables behind them, for `:list` of scripts (RFC 6134): `{\"tag:example.org,2026:friends\" = \"file:/etc/plic/friends\"}`. A text is in a list if the table has it. Mail redirected to a list goes to what the table has under the name of the list: addresses with commas between.", restart, tables{&c.Sieve.Lists}},
			{"programs", "Names to commands as in `route.commands`, for `pipe`, `filter` and `execute` of scripts (vnd.dovecot.pipe and so on). Arguments of the script follow those written here.", restart, tables{&c.Sieve.Programs}},
			{"program_timeout", "How long one run of `filter` or `execute` may take: mail waits for it. For `pipe`, mail waits in the queue, and `route.command_timeout` holds.", restart, duration{&c.Sieve.ProgramTimeout, time.Second, 5 * time.Minute}},
		}},
		{"journal", "The record of what happened to each message, which `plic journal` reads.", []Setting{
			{"keep", "How long it is kept.", restart, duration{&c.Journal.Keep, time.Hour, 3650 * day}},
		}},
		{"log", "What the process writes to standard error.", []Setting{
			{"level", "The least that is worth a line.", live, choice[LogLevel]{&c.Log.Level, []LogLevel{LogDebug, LogInfo, LogWarn, LogError}}},
			{"format", "Lines for people, or JSON for programs.", restart, choice[LogFormat]{&c.Log.Format, []LogFormat{LogText, LogJSON}}},
		}},
	}
}
