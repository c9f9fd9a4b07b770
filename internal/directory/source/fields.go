package source

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/unicode/norm"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Fields are what a record says of an account, by name: columns of a query,
// extra fields of a passwd-file, attributes. Names are those below, in lower
// case, or those by which Dovecot knows the same.
type Fields map[string]string

// Form says how fields are read.
type Form struct {
	Scheme string      // of passwords without {SCHEME}; "CRYPT" if empty
	Domain mail.Domain // of accounts whose name has none
	// Mailboxes is the place of the mail of all, whatever their records say; ""
	// leaves it to these.
	Mailboxes string
}

// The names of fields, the first being ours.
func fieldNames() map[string][]string {
	return map[string][]string{
		"account":        {"account", "user", "username", "login"},
		"password":       {"password"},
		"disabled":       {"disabled", "nologin"},
		"active":         {"active", "enabled"},
		"quota_bytes":    {"quota_bytes", "quota_storage_size", "quota"},
		"quota_messages": {"quota_messages", "quota_message_count"},
		"quota_rule":     {"quota_rule"},
		"mailboxes":      {"mailboxes", "mail", "mail_location"},
		"home":           {"home"},
		"uid":            {"uid"},
		"gid":            {"gid"},
		"groups":         {"groups", "acl_groups"},
		"senders":        {"senders"},
		"protocols":      {"protocols"},
		"networks":       {"networks", "allow_nets"},
	}
}

// get is a field by any of its names.
func (f Fields) get(name string) string {
	for _, n := range fieldNames()[name] {
		if v, ok := f[n]; ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Account is the name of the account, as it is written down.
func (f Fields) Account() string { return f.get("account") }

// Name is the name of an account, made of how it is written down.
func (form Form) Name(text string) (string, error) {
	text = norm.NFC.String(strings.ToLower(strings.TrimSpace(text)))
	if !strings.Contains(text, "@") && !form.Domain.IsZero() {
		text = mail.Address{Local: text, Domain: form.Domain}.String()
	}
	a, err := mail.ParseAddress(text)
	if err != nil || a.Domain.IsZero() || a.Local == "" {
		return "", fmt.Errorf("%q is no name of an account: it must be user@domain", text)
	}
	return a.String(), nil
}

// Secret is what is kept of a password, with its scheme.
func (form Form) Secret(password string) directory.Secret {
	switch {
	case password == "" || strings.ContainsAny(password[:1], "!*"): // locked, as the system's users have it
		return directory.Secret{}
	case strings.HasPrefix(password, "{"):
		return directory.Secret{Hash: password}
	case form.Scheme == "":
		return directory.Secret{Hash: "{CRYPT}" + password}
	}
	return directory.Secret{Hash: "{" + form.Scheme + "}" + password}
}

// place is where the mail is. A column "mail" may as well be an address.
func (form Form) place(f Fields) string {
	if form.Mailboxes != "" {
		return form.Mailboxes
	}
	text := f.get("mailboxes")
	if _, ours := f["mailboxes"]; !ours && !strings.Contains(text, ":") {
		return ""
	}
	return text
}

// Account reads the fields of an account. What makes no sense is an error: half
// an account would be another one than was meant.
func (form Form) Account(f Fields) (directory.Account, error) {
	var a directory.Account
	var err error
	if a.Name, err = form.Name(f.get("account")); err != nil {
		return a, err
	}
	a.Secret = form.Secret(f.get("password"))
	a.Disabled = truth(f.get("disabled")) || f.get("active") != "" && !truth(f.get("active"))
	if _, ok := f["nologin"]; ok && f["nologin"] == "" { // Dovecot's has no value
		a.Disabled = true
	}
	a.Mailboxes, a.Home, a.Groups = form.place(f), f.get("home"), words(f.get("groups"))
	if a.Quota, err = f.quota(); err != nil {
		return a, fmt.Errorf("account %s: %w", a.Name, err)
	}
	for name, to := range map[string]*uint32{"uid": &a.UID, "gid": &a.GID} {
		if text := f.get(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				return a, fmt.Errorf("account %s: %s %q is no number", a.Name, name, text)
			}
			*to = uint32(n)
		}
	}
	for _, text := range words(f.get("senders")) {
		if !strings.HasPrefix(text, "@") {
			from, err := mail.ParseAddress(text)
			if err != nil {
				return a, fmt.Errorf("account %s: sender: %w", a.Name, err)
			}
			text = from.Key()
		}
		a.Senders = append(a.Senders, strings.ToLower(text))
	}
	a.Allow, err = f.allow()
	if err != nil {
		return a, fmt.Errorf("account %s: %w", a.Name, err)
	}
	return a, nil
}

// truth reads what databases and people write for true.
func truth(s string) bool {
	return slices.Contains([]string{"1", "t", "true", "y", "yes", "on"}, strings.ToLower(s))
}

// words are parts between commas or spaces.
func words(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' })
}

// quota reads limits; 0 is none, and what is not there is left to the site.
func (f Fields) quota() (q directory.Quota, err error) {
	if rule := f.get("quota_rule"); rule != "" {
		return quotaRule(rule)
	}
	if q.Bytes, err = limit(f.get("quota_bytes"), 1); err != nil {
		return q, fmt.Errorf("quota: %w", err)
	}
	if q.Messages, err = limit(f.get("quota_messages"), 1); err != nil {
		return q, fmt.Errorf("quota: %w", err)
	}
	return q, nil
}

// quotaRule reads "*:storage=1G:messages=1000", as Dovecot has it: storage is
// in KiB if there is no unit.
func quotaRule(rule string) (q directory.Quota, err error) {
	name, rest, _ := strings.Cut(rule, ":")
	if name != "*" {
		return q, nil // of one mailbox, which we do not have
	}
	for part := range strings.SplitSeq(rest, ":") {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "storage":
			q.Bytes, err = limit(value, 1024)
		case "bytes":
			q.Bytes, err = limit(value, 1)
		case "messages":
			q.Messages, err = limit(value, 1)
		case "ignore", "noenforcing", "backend":
			q = directory.Quota{Bytes: directory.Unlimited, Messages: directory.Unlimited}
		}
		if err != nil {
			return q, fmt.Errorf("quota %q: %w", rule, err)
		}
	}
	return q, nil
}

// limit reads a number with B, K, M, G or T behind it; 0 is none at all.
func limit(text string, unit int64) (int64, error) {
	if text == "" {
		return 0, nil
	}
	digits := strings.TrimRight(strings.ToUpper(text), "IB")
	if n := len(digits); n < len(text) {
		unit = 1
	}
	if n := len(digits); n > 0 {
		if i := strings.IndexByte("KMGT", digits[n-1]); i >= 0 {
			unit, digits = 1<<(10*(i+1)), digits[:n-1]
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
	if err != nil || n < -1 || n*float64(unit) > 1<<62 {
		return 0, fmt.Errorf("%q is no limit: write a number, such as 5368709120 or 5G", text)
	}
	if n <= 0 {
		return directory.Unlimited, nil
	}
	return int64(n * float64(unit)), nil
}

// allow reads where an account may log in.
func (f Fields) allow() (directory.Allow, error) {
	var a directory.Allow
	for _, p := range words(strings.ToLower(f.get("protocols"))) {
		a.Protocols = append(a.Protocols, directory.Protocol(p))
	}
	for _, text := range words(f.get("networks")) {
		if text == "local" {
			a.Networks = append(a.Networks, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
			continue
		}
		if addr, err := netip.ParseAddr(text); err == nil {
			a.Networks = append(a.Networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return a, fmt.Errorf("%q is no network", text)
		}
		a.Networks = append(a.Networks, p.Masked())
	}
	return a, nil
}
