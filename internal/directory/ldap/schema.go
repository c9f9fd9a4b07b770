package ldap

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schemas are the searches for directories that many sites have, by name.
func schemas() map[string]Search {
	return map[string]Search{
		// Persons as inetOrgPerson, perhaps with posixAccount; groups by names of
		// members, and aliases as sendmail has them.
		"openldap": {
			Account: "(&(objectClass=inetOrgPerson)(|(mail={login})(uid={login})))",
			Mailbox: "(&(objectClass=inetOrgPerson)(mail={address}))",
			Alias:   "(|(&(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames))(mail={address}))(&(objectClass=nisMailAlias)(|(cn={address})(mail={address}))))",
			Targets: []string{"member", "uniqueMember", "rfc822MailMember"},
			Groups:  "(|(&(objectClass=groupOfNames)(member={dn}))(&(objectClass=groupOfUniqueNames)(uniqueMember={dn})))",
			Attributes: map[string]string{
				"account": "mail", "password": "userPassword", "home": "homeDirectory", "uid": "uidNumber", "gid": "gidNumber",
			},
			Bind: true,
		},
		// Users and groups as Active Directory and Samba have them. Bit 2 of
		// userAccountControl is ACCOUNTDISABLE.
		"active_directory": {
			Account: "(&(objectClass=user)(!(objectClass=computer))(|(userPrincipalName={login})(mail={login})(sAMAccountName={login})))",
			Mailbox: "(&(objectClass=user)(!(objectClass=computer))(|(mail={address})(userPrincipalName={address})(proxyAddresses=smtp:{address})))",
			Alias:   "(&(objectClass=group)(|(mail={address})(proxyAddresses=smtp:{address})))",
			Members: "(memberOf={dn})",
			Attributes: map[string]string{
				"account": "mail,userPrincipalName", "disabled": "userAccountControl&2", "groups": "memberOf",
			},
			Bind: true,
		},
	}
}

// Schema gives the searches for a well-known kind of directory; the base and
// the domains are left to the site.
func Schema(name string) (Search, error) {
	q, ok := schemas()[name]
	if !ok {
		return q, fmt.Errorf("there is no schema %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(schemas())), ", "))
	}
	return q, nil
}
