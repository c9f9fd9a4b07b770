package ldap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"plic/internal/directory"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/table"
)

// Search is what is asked of a directory. Filters have parameters: {domain};
// {login} (or {address}, {account}, {key}, which are the same: the whole of what
// is asked for) with its {local} and {domain}.
type Search struct {
	Base string // below which everything is
	// Domain finds an entry if the domain is ours. It may be empty, then
	// Domains counts.
	Domain  string
	Domains []mail.Domain
	Account string // finds the account of a login
	Mailbox string // finds the account of an address; Account is asked if it is empty
	// Alias finds the entries whose Targets an address, or "@domain", leads to:
	// groups and forwardings. It may be empty.
	Alias string
	// Targets are attributes with addresses, or with names of entries whose
	// address counts.
	Targets []string
	// Members finds the members of a group by its {dn}, in place of Targets with
	// names: for groups that are larger than a server shows.
	Members string
	// Groups finds the groups of an account by its {dn}, whose cn counts. It may
	// be empty.
	Groups string
	// Attributes are where the fields of package source are found: one
	// attribute, several of which the first counts that an entry has, or
	// "attribute&mask" for a bit of a number.
	Attributes map[string]string
	// Bind has passwords checked by a bind as the user; else the password field
	// is a hash. UserDN is the name of the user, if it need not be searched for.
	Bind   bool
	UserDN string
	// Compare has the server compare passwords with the attribute of the password
	// field, RFC 4511 section 4.10, in place of a bind.
	Compare bool
}

// records are source.Records by searches.
type records struct {
	s    *Server
	q    Search
	form source.Form

	domain, account, mailbox, alias, members, groups, user pattern
}

// Directory makes a directory by searches; the separator stands between user
// and detail.
func (s *Server) Directory(q Search, form source.Form, separator string) (*source.Directory, error) {
	r := &records{s: s, q: q, form: form}
	var errs []error
	if q.Compare && q.Attributes["password"] == "" {
		errs = append(errs, errors.New("there is no attribute that passwords are compared with"))
	}
	if q.Base == "" || q.Account == "" || q.Attributes["account"] == "" {
		errs = append(errs, errors.New("a source needs a base, a filter for accounts and an attribute with their names"))
	}
	for _, f := range []struct {
		text string
		to   *pattern
	}{{q.Domain, &r.domain}, {q.Account, &r.account}, {q.Mailbox, &r.mailbox}, {q.Alias, &r.alias}, {q.Members, &r.members}, {q.Groups, &r.groups}} {
		var err error
		if *f.to, err = parseFilter(f.text); err != nil {
			errs = append(errs, err)
		}
	}
	var err error
	if r.user, err = parseName(q.UserDN); err != nil {
		errs = append(errs, err)
	}
	if r.mailbox == nil {
		r.mailbox = r.account
	}
	return source.New(r, separator), errors.Join(errs...)
}

// wanted are the attributes that fields are made of.
func (r *records) wanted() []string {
	var all []string
	for field, text := range r.q.Attributes {
		if field == "password" && r.external() {
			continue
		}
		for name := range strings.SplitSeq(text, ",") {
			name, _, _ = strings.Cut(strings.TrimSpace(name), "&")
			all = append(all, name)
		}
	}
	return all
}

// Bounds of what a search may bring.
const (
	pageSize   = 500
	maxEntries = 20_000
)

// search asks for entries, page by page.
func (r *records) search(ctx context.Context, f pattern, v values, attributes []string) (entries []*ldap.Entry, err error) {
	started := r.s.o.Now()
	err = r.s.look.Do(ctx, func(conn *ldap.Conn) error {
		entries, err = search(conn, r.q.Base, ldap.ScopeWholeSubtree, f.filter(v), attributes)
		return err
	})
	if directory.Told(ctx) {
		directory.Tell(ctx, directory.Step{Source: "ldap", Question: "search", Key: f.filter(v), Answer: fmt.Sprintf("%d entries", len(entries)), Err: err, Took: r.s.o.Now().Sub(started)})
	}
	if err != nil {
		return nil, fmt.Errorf("ldap: %w", err)
	}
	return entries, nil
}

func search(conn *ldap.Conn, base string, scope int, filter string, attributes []string) ([]*ldap.Entry, error) {
	request := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
	if scope == ldap.ScopeBaseObject {
		found, err := conn.Search(request)
		if ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return found.Entries, nil
	}
	paging := ldap.NewControlPaging(pageSize)
	request.Controls = []ldap.Control{paging}
	var all []*ldap.Entry
	for {
		found, err := conn.Search(request)
		if err != nil {
			return nil, err
		}
		if all = append(all, found.Entries...); len(all) > maxEntries {
			return nil, fmt.Errorf("the search %s finds more than %d entries", filter, maxEntries)
		}
		next, ok := ldap.FindControl(found.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
		if !ok || len(next.Cookie) == 0 {
			return all, nil
		}
		paging.SetCookie(next.Cookie)
	}
}

// Domain says whether a domain is in the directory.
func (r *records) Domain(ctx context.Context, d mail.Domain) (bool, error) {
	if r.domain == nil {
		return slices.Contains(r.q.Domains, d), nil
	}
	entries, err := r.search(ctx, r.domain, values{whole: d.String(), domain: d.String()}, []string{"1.1"})
	return len(entries) > 0, err
}

// one is the only entry that a filter finds.
func (r *records) one(ctx context.Context, f pattern, v values) (*ldap.Entry, error) {
	entries, err := r.search(ctx, f, v, r.wanted())
	if err != nil {
		return nil, err
	}
	return only(entries, v.whole)
}

func only(entries []*ldap.Entry, login string) (*ldap.Entry, error) {
	switch len(entries) {
	case 0:
		return nil, fmt.Errorf("%s: %w", login, directory.ErrNotFound)
	case 1:
		return entries[0], nil
	}
	return nil, fmt.Errorf("the search finds %d accounts for %s", len(entries), login)
}

// fields are those of an account's entry.
func (r *records) fields(e *ldap.Entry) source.Fields {
	f := source.Fields{}
	for field, text := range r.q.Attributes {
		if field == "groups" {
			continue
		}
		for name := range strings.SplitSeq(text, ",") {
			name, mask, bit := strings.Cut(strings.TrimSpace(name), "&")
			values := e.GetEqualFoldAttributeValues(name)
			if len(values) == 0 {
				continue
			}
			switch {
			case bit:
				n, _ := strconv.ParseInt(values[0], 10, 64)
				m, _ := strconv.ParseInt(mask, 0, 64)
				f[field] = strconv.FormatBool(n&m != 0)
			case field == "senders" || field == "protocols" || field == "networks":
				f[field] = strings.Join(values, ",")
			default:
				f[field] = values[0]
			}
			break
		}
	}
	return f
}

// found makes an account of an entry.
func (r *records) found(e *ldap.Entry) (directory.Account, error) {
	a, err := r.form.Account(r.fields(e))
	if err != nil {
		return a, fmt.Errorf("entry %s: %w", e.DN, err)
	}
	if r.external() {
		a.Secret, a.External = directory.Secret{}, true
	}
	if name := r.q.Attributes["groups"]; name != "" {
		for _, text := range e.GetEqualFoldAttributeValues(name) {
			a.Groups = append(a.Groups, groupName(text))
		}
	}
	return a, nil
}

// groupName is the name of a group in its distinguished name.
func groupName(text string) string {
	if dn, err := ldap.ParseDN(text); err == nil && len(dn.RDNs) > 0 && len(dn.RDNs[0].Attributes) > 0 {
		return dn.RDNs[0].Attributes[0].Value
	}
	return text
}

// Account finds an account by its login.
func (r *records) Account(ctx context.Context, login string) (directory.Account, error) {
	e, err := r.one(ctx, r.account, whole(login))
	if err != nil {
		return directory.Account{}, err
	}
	a, err := r.found(e)
	if err != nil || r.groups == nil {
		return a, err
	}
	v := whole(login)
	v.dn = e.DN
	groups, err := r.search(ctx, r.groups, v, []string{"cn"})
	for _, g := range groups {
		a.Groups = append(a.Groups, g.GetEqualFoldAttributeValue("cn"))
	}
	return a, err
}

// Mailbox is the account of an address.
func (r *records) Mailbox(ctx context.Context, a mail.Address) (string, error) {
	e, err := r.one(ctx, r.mailbox, whole(a.String()))
	if err != nil {
		return "", err
	}
	return r.form.Name(r.fields(e).Account())
}

// external says whether only the server knows passwords.
func (r *records) external() bool { return r.q.Bind || r.q.Compare }

// compare has the server compare a password with what the entry of a user has.
func (r *records) compare(ctx context.Context, login, password string) (directory.Account, error) {
	e, err := r.one(ctx, r.account, whole(login))
	if err != nil {
		return directory.Account{}, err
	}
	right := false
	attribute, _, _ := strings.Cut(r.q.Attributes["password"], ",")
	err = r.s.look.Do(ctx, func(conn *ldap.Conn) error {
		right, err = conn.Compare(e.DN, strings.TrimSpace(attribute), password)
		return err
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchAttribute), ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject), err == nil && !right:
		return directory.Account{}, fmt.Errorf("%s: %w", e.DN, directory.ErrPassword)
	case err != nil:
		return directory.Account{}, fmt.Errorf("ldap: compare with %s: %w", e.DN, err)
	}
	return r.found(e)
}

// Check binds as the user, or has the password compared.
func (r *records) Check(ctx context.Context, login, password string) (directory.Account, error) {
	if password == "" { // would be an anonymous bind, RFC 4513 section 5.1.2
		return directory.Account{}, directory.ErrPassword
	}
	if r.q.Compare {
		return r.compare(ctx, login, password)
	}
	v := whole(login)
	if r.user == nil {
		e, err := r.one(ctx, r.account, v)
		if err != nil {
			return directory.Account{}, err
		}
		if err := r.bind(ctx, e.DN, password, func(*ldap.Conn) error { return nil }); err != nil {
			return directory.Account{}, err
		}
		return r.found(e)
	}
	var e *ldap.Entry
	err := r.bind(ctx, r.user.name(v), password, func(conn *ldap.Conn) error { // who may see the own entry, if not all
		entries, err := search(conn, r.q.Base, ldap.ScopeWholeSubtree, r.account.filter(v), r.wanted())
		if err == nil {
			e, err = only(entries, login)
		}
		return err
	})
	if err != nil {
		return directory.Account{}, err
	}
	return r.found(e)
}

// bind binds as a user and does something as such.
func (r *records) bind(ctx context.Context, dn, password string, then func(*ldap.Conn) error) error {
	err := r.s.users.Do(ctx, func(conn *ldap.Conn) error {
		if err := conn.Bind(dn, password); err != nil {
			return err
		}
		return then(conn)
	})
	switch {
	case ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials), ldap.IsErrorWithCode(err, ldap.LDAPResultInappropriateAuthentication),
		ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject), ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidDNSyntax):
		return fmt.Errorf("%s: %w", dn, directory.ErrPassword)
	case err != nil && !errors.Is(err, directory.ErrNotFound):
		return fmt.Errorf("ldap: bind as %s: %w", dn, err)
	}
	return err
}

// Aliases are the targets of an address, or of all of a domain.
func (r *records) Aliases(ctx context.Context, a mail.Address) ([]string, error) {
	if r.alias == nil {
		return nil, nil
	}
	v := values{whole: a.String(), local: a.Local, domain: a.Domain.String()}
	if a.Local == "" {
		v.whole = "@" + v.domain
	}
	entries, err := r.search(ctx, r.alias, v, append([]string{"1.1"}, r.q.Targets...)) // no others, RFC 4511 section 4.5.1.8
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		targets, err := r.targets(ctx, e, v)
		if err != nil {
			return nil, err
		}
		all = append(all, targets...)
	}
	return all, nil
}

// targets are those of a group or a forwarding. A member that has no address
// gets nothing.
func (r *records) targets(ctx context.Context, e *ldap.Entry, v values) ([]string, error) {
	names := r.addresses()
	var all []string
	if r.members != nil {
		v.dn = e.DN
		members, err := r.search(ctx, r.members, v, names)
		if err != nil {
			return nil, err
		}
		for _, m := range members {
			all = append(all, address(m, names)...)
		}
	}
	for _, name := range r.q.Targets {
		for _, text := range e.GetEqualFoldAttributeValues(name) {
			if strings.Contains(text, "@") && !strings.Contains(text, "=") {
				all = append(all, text)
				continue
			}
			dn, err := ldap.ParseDN(text)
			if err != nil || r.members != nil || len(dn.RDNs) == 0 {
				continue
			}
			var found []*ldap.Entry
			err = r.s.look.Do(ctx, func(conn *ldap.Conn) error {
				found, err = search(conn, text, ldap.ScopeBaseObject, "(objectClass=*)", names)
				return err
			})
			if err != nil {
				return nil, fmt.Errorf("ldap: %w", err)
			}
			for _, m := range found {
				all = append(all, address(m, names)...)
			}
		}
	}
	return all, nil
}

// addresses are the attributes with the addresses of entries.
func (r *records) addresses() []string {
	names := []string{"mail"}
	for name := range strings.SplitSeq(r.q.Attributes["account"], ",") {
		names = append(names, strings.TrimSpace(name))
	}
	return names
}

// address is that of an entry, none if it has none.
func address(e *ldap.Entry, names []string) []string {
	for _, name := range names {
		if text := e.GetEqualFoldAttributeValue(name); strings.Contains(text, "@") {
			return []string{text}
		}
	}
	return nil
}

// lookup is a table.Table by a search.
type lookup struct {
	r         records
	filter    pattern
	attribute string
}

// Table makes a table of a filter below a base and an attribute, whose values
// are one value with commas between: {key} is what is looked for, {local} and
// {domain} its parts if it is an address.
func (s *Server) Table(base, filter, attribute string) (table.Table, error) {
	p, err := parseFilter(filter)
	if err == nil && (p == nil || attribute == "") {
		err = errors.New(`a table needs a filter and an attribute`)
	}
	return &lookup{records{s: s, q: Search{Base: base}}, p, attribute}, err
}

// Lookup finds a key, which is in lower case.
func (l *lookup) Lookup(ctx context.Context, key string) (string, bool, error) {
	key = strings.ToLower(key)
	if !source.Askable(key) {
		return "", false, nil
	}
	v := whole(key)
	if domain, ok := strings.CutPrefix(key, "@"); ok {
		v.local, v.domain = "", domain
	}
	entries, err := l.r.search(ctx, l.filter, v, []string{l.attribute})
	if err != nil {
		return "", false, err
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.GetEqualFoldAttributeValues(l.attribute)...)
	}
	return strings.Join(all, ", "), len(all) > 0, nil
}
