package main

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/control"
	"plic/internal/embargo"
	"plic/internal/mail"
	"plic/internal/queue"

	"github.com/spf13/cobra"
)

func (a *app) holdCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "hold", Short: "Rules by which outgoing mail is held",
		Example: "  plic hold add --to @example.net --why \"their server eats mail\"\n  plic hold list",
	}, a.holdList(), a.holdAdd(), a.holdRemove())
}

func (a *app) holdList() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the hold rules",
		Example: "  plic hold list",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Holds.Rules(c.Context()), "There are no hold rules.", []string{"ID", "SINCE", "HOLDS", "WHY"}, func(r embargo.Rule) []string {
					return []string{r.ID.String(), stamp(r.Since), ruleText(r.Filter), orDash(r.Why)}
				})
			})
		},
	})
}

func ruleText(f queue.Filter) string {
	var parts []string
	for _, p := range []struct{ name, value string }{{"from", f.From}, {"to", f.To}, {"host", f.Host}, {"account", f.Account}} {
		if p.value != "" {
			parts = append(parts, p.name+" "+p.value)
		}
	}
	return strings.Join(parts, ", ")
}

func (a *app) holdAdd() *cobra.Command {
	var f queue.Filter
	var why string
	c := &cobra.Command{
		Use: "add", Short: "Hold new mail by sender, recipient, host or account",
		Long: `Hold mail that goes to other servers: what is in the queue already and fits, and all
that comes later, until the rule is removed. What is held is released by
` + "`plic queue release`" + `.`,
		Example: "  plic hold add --to @example.net\n  plic hold add --account ann@example.org --why \"sends spam\"",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if ruleText(f) == "" {
				return usagef("what is to be held? Give --from, --to, --host or --account")
			}
			return a.with(c.Context(), func(o control.Operations) error {
				r, err := o.Holds.AddRule(c.Context(), f, why)
				if err == nil {
					fmt.Fprintf(a.err, "hold rule %s: %s\n", r.ID, clean(ruleText(r.Filter)))
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&f.From, "from", "", "from this `address`, or @domain")
	c.Flags().StringVar(&f.To, "to", "", "to this `address`, or @domain")
	c.Flags().StringVar(&f.Host, "host", "", "to this next `host` or domain")
	c.Flags().StringVar(&f.Account, "account", "", "what this `account` submits")
	c.Flags().StringVar(&why, "why", "", "the `reason`, for `plic queue show`")
	return c
}

func (a *app) holdRemove() *cobra.Command {
	var release bool
	c := &cobra.Command{
		Use: "remove ID...", Short: "End hold rules",
		Example: "  plic hold remove 06d2s1t8k3c5m7q9v0b2n4r6g8 --release",
		Args:    arguments(1, -1, "the id of the rule"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "ended the hold rule", func(o control.Operations, text string) error {
				id, err := mail.ParseID(text)
				if err != nil {
					return usageError{err}
				}
				return o.Holds.RemoveRule(c.Context(), id, release)
			})
		},
		ValidArgsFunction: a.complete(a.ruleIDs),
	}
	c.Flags().BoolVar(&release, "release", false, "release what they fit in the queue, too")
	return c
}

func (a *app) suppressionCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "suppression", Short: "Addresses to which nothing is sent",
		Long: `Addresses to which nothing is sent: those of which other servers said several times
that they do not exist (queue.suppress_after), and those that were added here. Mail
for them is refused with the reason.`,
		Example: "  plic suppression list\n  plic suppression remove bob@example.net",
	}, a.suppressionList(), a.suppressionAdd(), a.suppressionRemove())
}

func (a *app) suppressionList() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the suppressed addresses",
		Example: "  plic suppression list --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Suppress.Suppressed(c.Context()), "No address is suppressed.",
					[]string{"ADDRESS", "SINCE", "UNTIL", "BOUNCES", "WHY"}, func(s embargo.Suppressed) []string {
						until, why := "for ever", s.Why
						if !s.Until.IsZero() {
							until = stamp(s.Until)
						}
						if why == "" && s.Last.Code != 0 {
							why = s.Host + " said " + s.Last.String()
						}
						return []string{s.Address.String(), stamp(s.Since), until, fmt.Sprint(s.Bounces), orDash(why)}
					})
			})
		},
	})
}

func (a *app) suppressionAdd() *cobra.Command {
	var long, why string
	c := &cobra.Command{
		Use: "add ADDRESS...", Short: "Send nothing more to addresses",
		Example: "  plic suppression add bob@example.net --for 30d --why \"asked us not to write\"",
		Args:    arguments(1, -1, "the address"),
		RunE: func(c *cobra.Command, args []string) error {
			d, err := age("--for", long)
			if err != nil {
				return err
			}
			return a.eachArgument(c, args, "suppressed", func(o control.Operations, address string) error {
				return o.Suppress.Suppress(c.Context(), address, d, why)
			})
		},
	}
	c.Flags().StringVar(&long, "for", "", "how `long`: 12h, 30d; for ever if it is not given")
	c.Flags().StringVar(&why, "why", "", "the `reason`, which senders are told")
	return c
}

func (a *app) suppressionRemove() *cobra.Command {
	return &cobra.Command{
		Use: "remove ADDRESS...", Short: "Let mail go to addresses again",
		Example: "  plic suppression remove bob@example.net",
		Args:    arguments(1, -1, "the address"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "removed from the list", func(o control.Operations, address string) error {
				return o.Suppress.Unsuppress(c.Context(), address)
			})
		},
		ValidArgsFunction: a.complete(a.suppressedNames),
	}
}

func (a *app) ruleIDs(ctx context.Context, o control.Operations) (ids []string) {
	for r, err := range o.Holds.Rules(ctx) {
		if err != nil {
			break
		}
		ids = append(ids, cobra.CompletionWithDesc(r.ID.String(), clean(ruleText(r.Filter))))
	}
	return ids
}

func (a *app) suppressedNames(ctx context.Context, o control.Operations) (names []string) {
	for s, err := range o.Suppress.Suppressed(ctx) {
		if err != nil || len(names) == 1000 {
			break
		}
		names = append(names, clean(s.Address.String()))
	}
	return names
}
