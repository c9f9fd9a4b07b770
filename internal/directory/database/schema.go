package database

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schemas are the queries for tables that many sites have, by name. CONCAT(…)
// is written as each kind of database has it.
func schemas() map[string]Queries {
	return map[string]Queries{
		// As PostfixAdmin makes them, version 3 and later. Every mailbox has an
		// alias to itself there, to which others may be added. A quota of 0 is none.
		"postfixadmin": {
			Domain: `SELECT domain FROM domain WHERE domain = :domain AND active = {true} AND backupmx = {false} AND domain <> 'ALL'
				UNION SELECT alias_domain FROM alias_domain WHERE alias_domain = :domain AND active = {true}`,
			Account: `SELECT m.username AS account, m.password, m.quota AS quota_bytes, m.active FROM mailbox m WHERE m.username = :login`,
			Mailbox: `SELECT username AS account FROM mailbox WHERE username = :address
				UNION SELECT m.username FROM mailbox m JOIN alias_domain d ON m.domain = d.target_domain
				WHERE d.alias_domain = :domain AND d.active = {true} AND m.username = {at :local d.target_domain}`,
			Aliases: `SELECT goto FROM alias WHERE address = :address AND active = {true}
				UNION SELECT a.goto FROM alias a JOIN alias_domain d ON a.domain = d.target_domain
				WHERE d.alias_domain = :domain AND d.active = {true} AND a.active = {true} AND a.address = {at :local d.target_domain}`,
		},
		// The tables of most how-tos for a mail server: virtual_domains,
		// virtual_users with the address in email, virtual_aliases. Further
		// columns of virtual_users count, such as quota.
		"virtual_users": {
			Domain:  `SELECT name FROM virtual_domains WHERE name = :domain`,
			Account: `SELECT u.*, u.email AS account FROM virtual_users u WHERE u.email = :login`,
			Mailbox: `SELECT email AS account FROM virtual_users WHERE email = :address`,
			Aliases: `SELECT destination FROM virtual_aliases WHERE source = :address`,
		},
	}
}

// Schema gives the queries for well-known tables.
func Schema(kind Kind, name string) (Queries, error) {
	q, ok := schemas()[name]
	if !ok {
		return q, fmt.Errorf("there is no schema %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(schemas())), ", "))
	}
	words := []string{"{true}", "true", "{false}", "false", "{at :local d.target_domain}", "CAST(:local AS text) || '@' || d.target_domain"}
	switch kind {
	case MySQL:
		words = []string{"{true}", "1", "{false}", "0", "{at :local d.target_domain}", "CONCAT(:local, '@', d.target_domain)"}
	case SQLite:
		words = []string{"{true}", "1", "{false}", "0", "{at :local d.target_domain}", ":local || '@' || d.target_domain"}
	}
	r := strings.NewReplacer(words...)
	for _, text := range []*string{&q.Domain, &q.Account, &q.Mailbox, &q.Aliases} {
		*text = r.Replace(*text)
	}
	return q, nil
}
