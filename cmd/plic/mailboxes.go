package main

import (
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
		return jsonLines(a.out, func(yield func(control.Placing, error) bool) { yield(p, nil) })
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
