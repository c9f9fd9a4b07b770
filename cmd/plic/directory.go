package main

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) domainCommand() *cobra.Command {
	add := &cobra.Command{
		Use: "add DOMAIN...", Short: "Take mail for domains",
		Example: "  plic domain add example.org example.net",
		Args:    arguments(1, -1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "added the domain", func(o control.Operations, name string) error {
				return o.Directory.AddDomain(c.Context(), name)
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove DOMAIN...", Short: "Take no more mail for domains",
		Long:    "Remove domains. One that still has accounts or aliases is refused.",
		Example: "  plic domain remove example.net",
		Args:    arguments(1, -1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "removed the domain", func(o control.Operations, name string) error {
				return o.Directory.RemoveDomain(c.Context(), name)
			})
		},
		ValidArgsFunction: a.complete(domainNames),
	}
	show := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the domains",
		Example: "  plic domain list\n  plic domain list --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Directory.Domains(c.Context()), "There are no domains yet: plic domain add DOMAIN", []string{"DOMAIN"},
					func(d control.Domain) []string { return []string{d.Name} })
			})
		},
	})
	return group(&cobra.Command{
		Use: "domain", Short: "The domains that mail is taken for",
		Example: "  plic domain add example.org\n  plic domain list",
	}, add, show, remove, a.domainRecords(), a.quotaCommand("DOMAIN", "a domain",
		"  plic domain quota example.org\n  plic domain quota example.org --storage 500GiB", domainNames))
}

func (a *app) accountCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "account", Short: "Who has a mailbox",
		Example: "  plic account add ann@example.org\n  plic account list",
	}, a.accountAdd(), a.accountList(), a.accountPasswd(), a.accountRemove(), a.accountLogin(), a.accountMailboxes(), a.accountConvert(), a.appPasswordCommand(), a.totpCommand(), a.quotaCommand("USER@DOMAIN", "an account",
		"  plic account quota ann@example.org\n  plic account quota ann@example.org --storage 5GiB --messages none", accountNames))
}

// passwordFlags say where a password comes from.
type passwordFlags struct{ stdin, generate bool }

func (p *passwordFlags) on(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVar(&p.stdin, "password-stdin", false, "read the password from the first line of standard input")
	c.Flags().BoolVar(&p.generate, "generate", false, "make up a password and print it")
	return c
}

func (a *app) accountAdd() *cobra.Command {
	var p passwordFlags
	return p.on(&cobra.Command{
		Use: "add USER@DOMAIN", Short: "Add an account",
		Long: "Add an account in a domain that was added before. It gets its mailboxes with its\nfirst mail or login.",
		Example: `  plic account add ann@example.org
  plic account add bob@example.org --generate
  pass mail/carl | plic account add carl@example.org --password-stdin`,
		Args: arguments(1, 1, "the account"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.setPassword(c, args[0], p, "added", func(d control.Directory, secret string) error {
				return d.AddAccount(c.Context(), args[0], secret)
			})
		},
	})
}

func (a *app) accountPasswd() *cobra.Command {
	var p passwordFlags
	return p.on(&cobra.Command{
		Use: "passwd USER@DOMAIN", Short: "Set an account's password",
		Example: "  plic account passwd ann@example.org\n  plic account passwd ann@example.org --generate",
		Args:    arguments(1, 1, "the account"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.setPassword(c, args[0], p, "set the password of", func(d control.Directory, secret string) error {
				return d.SetPassword(c.Context(), args[0], secret)
			})
		},
		ValidArgsFunction: a.complete(accountNames),
	})
}

func (a *app) setPassword(c *cobra.Command, account string, p passwordFlags, done string, do func(control.Directory, string) error) error {
	if _, err := a.site(); err != nil { // before anybody types a password
		return err
	}
	secret, made, err := a.password(account, p.stdin, p.generate)
	if err != nil {
		return err
	}
	return a.with(c.Context(), func(o control.Operations) error {
		if err := do(o.Directory, secret); err != nil {
			return err
		}
		fmt.Fprintln(a.err, clean(done+" "+account))
		if made {
			fmt.Fprintln(a.out, secret)
		}
		return nil
	})
}

func (a *app) accountList() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the accounts",
		Example: "  plic account list\n  plic account list --json | jq -r .account",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Directory.Accounts(c.Context()), "There are no accounts yet: plic account add USER@DOMAIN", []string{"ACCOUNT", "LOGIN"},
					func(x control.Account) []string {
						return []string{x.Name, yesNo(!x.Disabled)}
					})
			})
		},
	})
}

func (a *app) accountRemove() *cobra.Command {
	var purge bool
	c := &cobra.Command{
		Use: "remove USER@DOMAIN...", Short: "Remove accounts",
		Long:    "Remove accounts. Their mail stays and is there again when the account is added\nanew; --purge deletes it for good.",
		Example: "  plic account remove bob@example.org\n  plic account remove bob@example.org --purge",
		Args:    arguments(1, -1, "the account"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "removed the account", func(o control.Operations, name string) error {
				return o.Directory.RemoveAccount(c.Context(), name, purge)
			})
		},
		ValidArgsFunction: a.complete(accountNames),
	}
	c.Flags().BoolVar(&purge, "purge", false, "delete their mail too, for good")
	return c
}

func (a *app) aliasCommand() *cobra.Command {
	add := &cobra.Command{
		Use: "add ADDRESS TARGET...", Short: "Let the mail for an address go to others",
		Long: "Add targets to an alias, which is made if it is new. Targets may be elsewhere. The\naddress @domain is the catch-all of a domain.",
		Example: `  plic alias add sales@example.org ann@example.org bob@example.net
  plic alias add @example.org ann@example.org`,
		Args: arguments(2, -1, "the address or its target"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				err := o.Directory.AddAlias(c.Context(), control.Alias{Address: args[0], Targets: args[1:]})
				if err == nil {
					fmt.Fprintln(a.err, clean(args[0]+" goes to "+strings.Join(args[1:], ", ")))
				}
				return err
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove ADDRESS [TARGET...]", Short: "Remove an alias, or some of its targets",
		Example: "  plic alias remove sales@example.org bob@example.net\n  plic alias remove @example.org",
		Args:    arguments(1, -1, "the address"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				err := o.Directory.RemoveAlias(c.Context(), control.Alias{Address: args[0], Targets: args[1:]})
				if err == nil {
					fmt.Fprintln(a.err, clean("removed "+strings.Join(args, " ")))
				}
				return err
			})
		},
		ValidArgsFunction: a.complete(aliasNames),
	}
	show := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the aliases",
		Example: "  plic alias list\n  plic alias list --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Directory.Aliases(c.Context()), "There are no aliases yet: plic alias add ADDRESS TARGET", []string{"ALIAS", "GOES TO"},
					func(x control.Alias) []string { return []string{x.Address, strings.Join(x.Targets, ", ")} })
			})
		},
	})
	return group(&cobra.Command{
		Use: "alias", Short: "Addresses whose mail goes to others",
		Example: "  plic alias add sales@example.org ann@example.org\n  plic alias list",
	}, add, show, remove)
}

// eachArgument does something for every argument and stops at the first fault.
func (a *app) eachArgument(c *cobra.Command, args []string, done string, do func(control.Operations, string) error) error {
	return a.with(c.Context(), func(o control.Operations) error {
		for _, arg := range args {
			if err := do(o, arg); err != nil {
				return err
			}
			fmt.Fprintln(a.err, clean(done+" "+arg))
		}
		return nil
	})
}

func domainNames(ctx context.Context, o control.Operations) (names []string) {
	for d, err := range o.Directory.Domains(ctx) {
		if err != nil {
			break
		}
		names = append(names, d.Name)
	}
	return names
}

func accountNames(ctx context.Context, o control.Operations) (names []string) {
	for x, err := range o.Directory.Accounts(ctx) {
		if err != nil {
			break
		}
		names = append(names, x.Name)
	}
	return names
}

func aliasNames(ctx context.Context, o control.Operations) (names []string) {
	for x, err := range o.Directory.Aliases(ctx) {
		if err != nil {
			break
		}
		names = append(names, x.Address)
	}
	return names
}

func (a *app) domainRecords() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "records DOMAIN", Short: "What the DNS should say of a domain",
		Long: `Print the records of a domain: by which mail comes to it (MX) and is known to be from
it (SPF, DMARC, the keys that sign for it, see plic dkim keys), where others report
trouble with TLS, and by which the mail programs of its users find this host: SRV for
what is listened on (RFC 6186, RFC 8314), and the names that Thunderbird and Outlook
ask by HTTPS. Those of our own TLS are in plic tls records; plic check dns says which
of all are there and right.`,
		Example: "  plic domain records example.org\n  plic domain records example.org --json",
		Args:    arguments(1, 1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Discovery.Records(c.Context(), args[0]), "There are no records to publish.", []string{"NAME", "TYPE", "VALUE", "FOR"},
					func(r control.Record) []string { return []string{r.Name + ".", r.Type, zoneValue(r), r.Why} })
			})
		},
		ValidArgsFunction: a.complete(domainNames),
	})
}
