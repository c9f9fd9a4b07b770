package main

import (
	"fmt"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

// accountMailboxes shows where an account's mail is, or says where it shall be.
func (a *app) accountMailboxes() *cobra.Command {
	var place string
	c := a.jsonFlag(&cobra.Command{
		Use: "mailboxes USER@DOMAIN", Short: "Show where an account's mail is, or say where it shall be",
		Long: "Show where an account's mail is kept, and what says so; or say where it shall be,\nwhile it has none yet: native, a place as in the settings, or default for what\nthese say.",
		Example: `  plic account mailboxes ann@example.org
  plic account mailboxes ann@example.org --place maildir:/var/vmail/%d/%n
  plic account mailboxes ann@example.org --place default`,
		Args:              arguments(1, 1, "the account"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				if place != "" {
					set := place
					if set == "default" {
						set = ""
					}
					if err := o.Mailboxes.SetMailboxes(c.Context(), args[0], set); err != nil {
						return err
					}
				}
				p, err := o.Mailboxes.Mailboxes(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showPlacing(p)
			})
		},
	})
	c.Flags().StringVar(&place, "place", "", "where it shall be: native, a format with its path, or default")
	return c
}

func (a *app) showPlacing(p control.Placing) error {
	if a.json {
		return jsonLines(a.out, only(p))
	}
	t := table{head: []string{"OF THE MAIL", "IS"}}
	t.add("account", p.Account)
	t.add("place", p.Place)
	if p.Path != "" {
		t.add("path", p.Path)
	}
	t.add("because of", p.Because)
	t.write(a.out, "")
	return nil
}

// accountConvert moves an account's mail to another place.
func (a *app) accountConvert() *cobra.Command {
	var to string
	var removeOld bool
	c := a.jsonFlag(&cobra.Command{
		Use: "convert USER@DOMAIN --to PLACE|--remove-old", Short: "Move an account's mail to another format or place",
		Long: `Move the mail of an account to another format or place while it is in use: native, or
a place as in the settings. UIDs, flags, dates and all else stay as they are, so clients
download nothing again. All messages are copied and compared by SHA-256 first; then
sessions are ended, what came meanwhile is copied, and the account is in the new place
from one moment to the next. After an error or a crash it is whole in its old place, and
the command can be run again. Files of the old place stay and are named.

With --remove-old the messages that the last conversion has left in files go, at once
with --to or some day later: those that were copied and compared. If anything else is
there, nothing goes. Empty folders stay.`,
		Example: `  plic account convert ann@example.org --to maildir:/var/vmail/%d/%n
  plic account convert ann@example.org --remove-old
  plic account convert ann@example.org --to native`,
		Args:              arguments(1, 1, "the account"),
		ValidArgsFunction: a.complete(accountNames),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				if to != "" {
					done, err := o.Mailboxes.Convert(c.Context(), args[0], to)
					if err != nil {
						return err
					}
					removing := removeOld && (done.There || done.Old != "native")
					if err := a.showConverted(done, removing); err != nil || !removing {
						return err
					}
				}
				gone, err := o.Mailboxes.RemoveOld(c.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showRemoved(gone)
			})
		},
	})
	c.Flags().StringVar(&to, "to", "", "where it shall be: native, or a format with its path")
	c.Flags().BoolVar(&removeOld, "remove-old", false, "remove the messages that the last conversion has left at the old place")
	c.MarkFlagsOneRequired("to", "remove-old")
	return c
}

func (a *app) showConverted(c control.Converted, removing bool) error {
	if a.json {
		return jsonLines(a.out, only(c))
	}
	if c.There {
		fmt.Fprintf(a.out, "%s: the mail is at %s already\n", c.Account, c.Place)
		return nil
	}
	fmt.Fprintf(a.out, "%s: %d messages, %d octets, all compared, are at %s now\n", c.Account, c.Messages, c.Octets, c.Place)
	if c.Old != "native" && !removing {
		fmt.Fprintf(a.out, "The old files are still at %s: --remove-old removes them\n", c.Old)
	}
	return nil
}

func (a *app) showRemoved(r control.Removed) error {
	if a.json {
		return jsonLines(a.out, only(r))
	}
	fmt.Fprintf(a.out, "%s: %d messages were removed from %s\n", r.Account, r.Messages, r.Old)
	return nil
}
