package main

import (
	"iter"
	"strconv"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) indexCommand() *cobra.Command {
	ask := func(c *cobra.Command, args []string, of func(control.Index, string) iter.Seq2[control.IndexStatus, error]) error {
		account := ""
		if len(args) > 0 {
			account = args[0]
		}
		return a.with(c.Context(), func(o control.Operations) error {
			head := []string{"ACCOUNT", "MAILBOX", "MESSAGES", "INDEXED", "WORDS", "SIZE", "OF MAIL"}
			return list(a, of(o.Index, account), "There are no mailboxes.", head, func(s control.IndexStatus) []string {
				return []string{
					s.Account, s.Mailbox, strconv.Itoa(int(s.Messages)), strconv.Itoa(s.Indexed), strconv.Itoa(s.Words),
					octets(s.Bytes), share(s.Bytes, s.Mail),
				}
			})
		})
	}
	return group(&cobra.Command{
		Use: "index", Short: "Indexes that make searches quick",
		Long: `Each mailbox has an index of the words in its messages. It is kept up to date in
the background; what it does not know yet is looked into, so that searches find
all there is at any time.`,
		Example: "  plic index status anna@example.org\n  plic index rebuild",
	},
		a.jsonFlag(&cobra.Command{
			Use: "status [ACCOUNT]", Short: "How far the indexes are, and how large",
			Example: "  plic index status anna@example.org",
			Args:    arguments(0, 1, ""),
			RunE: func(c *cobra.Command, args []string) error {
				return ask(c, args, func(x control.Index, account string) iter.Seq2[control.IndexStatus, error] {
					return x.Status(c.Context(), account)
				})
			},
		}),
		a.jsonFlag(&cobra.Command{
			Use: "rebuild [ACCOUNT]", Short: "Throw the indexes away and make them anew",
			Long: `Throw the indexes away and make them anew, one mailbox after the other. The
background makes way meanwhile. When it is ended by Ctrl-C, the background goes on
with the mailbox at work, and those that have not had their turn keep their indexes.`,
			Example: "  plic index rebuild\n  plic index rebuild anna@example.org",
			Args:    arguments(0, 1, ""),
			RunE: func(c *cobra.Command, args []string) error {
				return ask(c, args, func(x control.Index, account string) iter.Seq2[control.IndexStatus, error] {
					return x.Rebuild(c.Context(), account)
				})
			},
		}),
	)
}

// share is a part of a whole in per cent.
func share(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
}
