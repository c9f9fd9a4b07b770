package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"plic/internal/config"
	"plic/internal/control"

	"github.com/spf13/cobra"
)

// loginFlags are what may be set of an account's logins.
type loginFlags struct {
	protocols, networks string
	enabled, appOnly    string
	hash                bool
}

// accountLogin shows how an account logs in, or changes it.
func (a *app) accountLogin() *cobra.Command {
	var f loginFlags
	c := a.jsonFlag(&cobra.Command{
		Use: "login USER@DOMAIN", Short: "Show how an account logs in, or change it",
		Long: "Show where an account may log in, the passwords of its programs and its second\nfactor; or change where it may, and with what.",
		Example: `  plic account login ann@example.org
  plic account login ann@example.org --protocols imap,smtp --networks 192.0.2.0/24
  plic account login ann@example.org --app-passwords-only yes`,
		Args:              arguments(1, 1, "the account"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				l, err := o.Logins.Login(c.Context(), args[0])
				if err != nil {
					return err
				}
				changed, err := f.apply(&l)
				if err == nil && changed {
					err = o.Logins.SetLogin(c.Context(), l)
				}
				if err == nil && f.hash {
					var hash string
					if hash, _, err = a.password(l.Name, true, false); err == nil {
						err = o.Logins.SetHash(c.Context(), l.Name, hash)
					}
				}
				if err == nil {
					l, err = o.Logins.Login(c.Context(), args[0])
				}
				if err != nil {
					return err
				}
				return a.showLogin(l)
			})
		},
	})
	c.Flags().StringVar(&f.protocols, "protocols", "", "where it may log in: of imap, pop3, smtp, sieve, web; all")
	c.Flags().StringVar(&f.networks, "networks", "", "from where, such as 192.0.2.0/24,2001:db8::/32; any")
	c.Flags().StringVar(&f.enabled, "enabled", "", "whether it may log in at all: yes or no")
	c.Flags().StringVar(&f.appOnly, "app-passwords-only", "", "whether mail programs need passwords of their own: yes or no")
	c.Flags().BoolVar(&f.hash, "hash-stdin", false, "read a hash of the password that another server has made, such as {SHA512-CRYPT}$6$…")
	return c
}

// apply puts what was given in place of what there is.
func (f loginFlags) apply(l *control.Login) (changed bool, err error) {
	list := func(text, all string, to *[]string) {
		if text == "" {
			return
		}
		changed, *to = true, nil
		if text != all {
			*to = names(text)
		}
	}
	list(f.protocols, "all", &l.Protocols)
	list(f.networks, "any", &l.Networks)
	for _, x := range []struct {
		text, flag string
		set        func(bool)
	}{
		{f.enabled, "enabled", func(yes bool) { l.Disabled = !yes }},
		{f.appOnly, "app-passwords-only", func(yes bool) { l.AppOnly = yes }},
	} {
		switch x.text {
		case "":
			continue
		case "yes", "no":
			x.set(x.text == "yes")
		default:
			return false, usagef("--%s %s: write yes or no", x.flag, x.text)
		}
		changed = true
	}
	return changed, nil
}

// names are those of a list with commas or spaces, in lower case.
func names(list string) []string {
	return strings.FieldsFunc(strings.ToLower(list), func(r rune) bool { return r == ',' || r == ' ' })
}

func (a *app) showLogin(l control.Login) error {
	if a.json {
		return jsonLines(a.out, only(l))
	}
	or := func(list []string, all string) string {
		if len(list) == 0 {
			return all
		}
		return strings.Join(list, ", ")
	}
	t := table{head: []string{"OF THE LOGIN", "IS"}}
	t.add("account", l.Name)
	t.add("enabled", yesNo(!l.Disabled))
	t.add("protocols", or(l.Protocols, "all"))
	t.add("networks", or(l.Networks, "any"))
	t.add("app passwords only", yesNo(l.AppOnly))
	t.add("app passwords", strconv.Itoa(len(l.Apps)))
	switch l.Factor {
	case "on":
		t.add("one-time codes", "on, "+strconv.Itoa(l.Recovery)+" recovery codes left")
	case "":
		t.add("one-time codes", "none")
	default:
		t.add("one-time codes", "waiting for the first code: plic account totp confirm")
	}
	t.write(a.out, "")
	return nil
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// appPasswordCommand is about the passwords of programs.
func (a *app) appPasswordCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "app-password", Short: "Passwords of an account for single programs",
		Example: "  plic account app-password add ann@example.org phone\n  plic account app-password list ann@example.org",
	}, a.appPasswordAdd(), a.appPasswordList(), a.appPasswordRevoke())
}

func (a *app) appPasswordAdd() *cobra.Command {
	var protocols, expires string
	var readOnly bool
	c := a.jsonFlag(&cobra.Command{
		Use: "add USER@DOMAIN NAME", Short: "Make a password for a program, shown once",
		Long: "Make up a password that one program uses instead of the account's, and print it.\nIt cannot be shown again. NAME says what it is for.",
		Example: `  plic account app-password add ann@example.org phone
  plic account app-password add ann@example.org archive --protocols imap --read-only --expires 90d`,
		Args:              arguments(2, 2, "the account and a name for the password"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			p := control.App{Name: args[1], ReadOnly: readOnly, Protocols: names(protocols)}
			if expires != "" {
				d, err := config.ParseDuration(expires)
				if err != nil {
					return usagef("--expires: %v", err)
				}
				p.Expires = time.Now().Add(d)
			}
			return a.with(c.Context(), func(o control.Operations) error {
				made, err := o.Logins.AddApp(c.Context(), args[0], p)
				if err != nil {
					return err
				}
				if a.json {
					return jsonLines(a.out, only(made))
				}
				fmt.Fprintln(a.err, clean("made the password "+made.ID+" of "+args[0]+" for "+made.Name+"; it is not shown again"))
				fmt.Fprintln(a.out, made.Password)
				return nil
			})
		},
	})
	c.Flags().StringVar(&protocols, "protocols", "", "what it is good for: of imap, pop3, smtp, sieve; else all of them")
	c.Flags().BoolVar(&readOnly, "read-only", false, "it reads mail and changes nothing, and sends nothing")
	c.Flags().StringVar(&expires, "expires", "", "when it ends, such as 90d from now; else never")
	return c
}

func (a *app) appPasswordList() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list USER@DOMAIN", Short: "List the passwords of programs",
		Example:           "  plic account app-password list ann@example.org",
		Args:              arguments(1, 1, "the account"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				l, err := o.Logins.Login(c.Context(), args[0])
				if err != nil {
					return err
				}
				return list(a, values(l.Apps), "There are no app passwords.", []string{"ID", "NAME", "FOR", "MADE", "ENDS"}, appRow)
			})
		},
	})
}

func appRow(p control.App) []string {
	may, ends := "mail", "never"
	if len(p.Protocols) > 0 {
		may = strings.Join(p.Protocols, ", ")
	}
	if p.ReadOnly {
		may += " (reading)"
	}
	if !p.Expires.IsZero() {
		ends = p.Expires.Format(time.DateOnly)
	}
	return []string{p.ID, p.Name, may, p.Created.Format(time.DateOnly), ends}
}

func (a *app) appPasswordRevoke() *cobra.Command {
	return &cobra.Command{
		Use: "revoke USER@DOMAIN ID|NAME", Short: "Take a password of a program away",
		Example:           "  plic account app-password revoke ann@example.org phone",
		Args:              arguments(2, 2, "the account and the password's id or name"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				err := o.Logins.RemoveApp(c.Context(), args[0], args[1])
				if err == nil {
					fmt.Fprintln(a.err, clean("revoked "+args[1]+" of "+args[0]+"; sessions that it began go on until they end"))
				}
				return err
			})
		},
	}
}

// totpCommand is about one-time codes.
func (a *app) totpCommand() *cobra.Command {
	one := func(use, short, example string, n int, what string, do func(c *cobra.Command, o control.Operations, args []string) error) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Example: example, Args: arguments(n, n, what), ValidArgsFunction: a.complete(accountNames),
			RunE: func(c *cobra.Command, args []string) error {
				return a.with(c.Context(), func(o control.Operations) error { return do(c, o, args) })
			},
		}
	}
	enrol := a.jsonFlag(one("enrol USER@DOMAIN", "Begin one-time codes: their secret and recovery codes, shown once",
		"  plic account totp enrol ann@example.org", 1, "the account", a.totpEnrol))
	confirm := one("confirm USER@DOMAIN CODE", "Have one-time codes hold, with the first of them",
		"  plic account totp confirm ann@example.org 123456", 2, "the account and a code",
		func(c *cobra.Command, o control.Operations, args []string) error {
			err := o.Logins.Confirm(c.Context(), args[0], args[1])
			if err == nil {
				fmt.Fprintln(a.err, clean("one-time codes of "+args[0]+" hold from now on"))
			}
			return err
		})
	try := one("try USER@DOMAIN CODE", "Say whether a code is right, and use it up",
		"  plic account totp try ann@example.org 123456", 2, "the account and a code",
		func(c *cobra.Command, o control.Operations, args []string) error {
			ok, err := o.Logins.TryCode(c.Context(), args[0], args[1])
			if err == nil && !ok {
				err = fmt.Errorf("the code of %s is wrong, too old or used already", args[0])
			}
			if err == nil {
				fmt.Fprintln(a.err, "the code is right")
			}
			return err
		})
	remove := one("remove USER@DOMAIN", "Have an account log in without one-time codes",
		"  plic account totp remove ann@example.org", 1, "the account",
		func(c *cobra.Command, o control.Operations, args []string) error {
			err := o.Logins.RemoveFactor(c.Context(), args[0])
			if err == nil {
				fmt.Fprintln(a.err, clean("took the one-time codes from "+args[0]))
			}
			return err
		})
	return group(&cobra.Command{
		Use: "totp", Short: "One-time codes beside the password, for the web",
		Example: "  plic account totp enrol ann@example.org\n  plic account totp confirm ann@example.org 123456",
	}, enrol, confirm, try, remove)
}

func (a *app) totpEnrol(c *cobra.Command, o control.Operations, args []string) error {
	e, err := o.Logins.Enrol(c.Context(), args[0])
	if err != nil {
		return err
	}
	if a.json {
		return jsonLines(a.out, only(e))
	}
	fmt.Fprintln(a.out, "Secret:    "+e.Secret)
	fmt.Fprintln(a.out, "For a QR:  "+e.URI)
	fmt.Fprintln(a.out, "Recovery codes, each good once:")
	for _, code := range e.Recovery {
		fmt.Fprintln(a.out, "  "+code)
	}
	fmt.Fprintln(a.err, clean("they hold after: plic account totp confirm "+args[0]+" CODE"))
	return nil
}
