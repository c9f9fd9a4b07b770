package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) spamCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "spam", Short: "What is known of unwanted mail, and what follows",
		Long: `What is known of unwanted mail, and what follows from it. Mail that strangers bring
gets a score: the sum of the weights of all that is found in it.`,
		Example: "  plic spam train spam ~/Maildir/.Junk\n  plic spam explain message.eml\n  plic spam status",
	}, a.spamTrain(), a.spamStatus(), a.spamExplain(), a.spamLimits(), a.spamSymbols(), a.spamForget())
}

func (a *app) spamTrain() *cobra.Command {
	var account string
	c := &cobra.Command{
		Use: "train spam|ham FILE|DIRECTORY...", Short: "Teach which words are those of spam",
		Long: `Teach the words of messages that are spam, or that are not. A file is a message, or
an mbox if it begins with "From "; a directory is a Maildir, or holds files; "-" is a
message on standard input. A message that was learnt before is not counted twice, and
one that was learnt as the other is learnt anew. Without --account the site learns,
with it the account and, within bounds, the site.`,
		Example: "  plic spam train spam ~/Maildir/.Junk\n  plic spam train ham --account ann@example.org archive.mbox",
		Args:    arguments(2, -1, "spam or ham, and a file"),
		RunE: func(c *cobra.Command, args []string) error {
			if args[0] != "spam" && args[0] != "ham" {
				return usagef("%q is neither spam nor ham", args[0])
			}
			return a.with(c.Context(), func(o control.Operations) error {
				learnt, known := 0, 0
				err := a.letters(args[1:], func(text []byte) error {
					ok, err := o.Spam.Train(c.Context(), control.SpamLesson{Account: account, Spam: args[0] == "spam", Message: text})
					if ok {
						learnt++
					} else if err == nil {
						known++
					}
					return err
				})
				fmt.Fprintf(a.err, "%d messages were learnt as %s, %d were known as that\n", learnt, args[0], known)
				return err
			})
		},
	}
	c.Flags().StringVar(&account, "account", "", "the account that learns")
	must(c.RegisterFlagCompletionFunc("account", a.complete(accountNames)))
	return c
}

func (a *app) spamStatus() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "status [ACCOUNT]", Short: "How much was learnt",
		Long:    "Say how many messages the site has learnt, and an account, and whether that is enough\nfor their words to count.",
		Example: "  plic spam status\n  plic spam status ann@example.org",
		Args:    arguments(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			account := ""
			if len(args) > 0 {
				account = args[0]
			}
			return a.with(c.Context(), func(o control.Operations) error {
				head := []string{"OF", "SPAM", "OTHER", "COUNTS", "SIZE", "FULL", "SENDERS", "GREYLISTED"}
				return list(a, o.Spam.Learnt(c.Context(), account), "", head, func(l control.SpamLearnt) []string {
					of, counts := l.Account, "yes"
					if of == "" {
						of = "the site"
					}
					if l.Spam < l.Minimum || l.Ham < l.Minimum {
						counts = fmt.Sprintf("from %d of each", l.Minimum)
					}
					return []string{of, strconv.Itoa(l.Spam), strconv.Itoa(l.Ham), counts, octets(int64(l.Octets)), fmt.Sprintf("%.0f %%", 100*l.Fill), strconv.Itoa(l.Senders), strconv.Itoa(l.Waiting)}
				})
			})
		},
		ValidArgsFunction: a.complete(accountNames),
	})
}

// limitFlag is a limit as it is written: a score, never, or default.
func limitFlag(text string) (*float64, error) {
	switch text {
	case "default":
		return nil, nil
	case "never":
		return new(float64), nil
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n <= 0 || n > 1000 {
		return nil, usagef("%q is no limit: write a score above 0, never or default", text)
	}
	return &n, nil
}

func (a *app) spamLimits() *cobra.Command {
	names := []string{"tag", "greylist", "junk", "quarantine", "refuse"}
	given := map[string]*string{}
	var subject string
	c := &cobra.Command{
		Use: "limits [ACCOUNT|DOMAIN]", Short: "Show or change the scores from which on something is done",
		Long: `Show from which score on something is done with a message: for the site as its
settings say, for an account or a domain what differs from that. A limit is a score,
never, or default for that of the domain, or of the site.`,
		Example: "  plic spam limits\n  plic spam limits ann@example.org --junk 4.5 --refuse never\n  plic spam limits example.org --junk default",
		Args:    arguments(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			return a.with(c.Context(), func(o control.Operations) error {
				l, err := o.Spam.Limits(c.Context(), name)
				if err != nil {
					return err
				}
				changed := false
				for i, to := range []**float64{&l.Tag, &l.Greylist, &l.Junk, &l.Quarantine, &l.Refuse} {
					if text := *given[names[i]]; text != "" {
						if *to, err = limitFlag(text); err != nil {
							return err
						}
						changed = true
					}
				}
				if c.Flags().Changed("subject") {
					l.Subject, changed = &subject, true
				}
				switch {
				case changed && name == "":
					return usagef("those of the site are settings: see plic config reference")
				case changed:
					if err := o.Spam.SetLimits(c.Context(), l); err != nil {
						return err
					}
				}
				return a.showLimits(c.Context(), o, name)
			})
		},
	}
	for _, name := range names {
		given[name] = c.Flags().String(name, "", "the `score` from which on that is done; never; default")
	}
	c.Flags().StringVar(&subject, "subject", "", "the `word` that tag puts before the subject")
	return a.jsonFlag(c)
}

func (a *app) showLimits(ctx context.Context, o control.Operations, name string) error {
	l, err := o.Spam.Limits(ctx, name)
	if err != nil {
		return err
	}
	if a.json {
		return jsonLines(a.out, only(l))
	}
	t := table{head: []string{"ACTION", "FROM"}}
	for _, x := range []struct {
		name string
		at   *float64
	}{{"tag", l.Tag}, {"greylist", l.Greylist}, {"junk", l.Junk}, {"quarantine", l.Quarantine}, {"refuse", l.Refuse}} {
		from := "default"
		if x.at != nil {
			if from = strconv.FormatFloat(*x.at, 'f', 1, 64); *x.at == 0 {
				from = "never"
			}
		}
		t.add(x.name, from)
	}
	if l.Subject != nil {
		t.add("subject", orDash(*l.Subject))
	}
	t.write(a.out, "")
	return nil
}

func (a *app) spamSymbols() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "symbols", Short: "All that may be found in a message, and its weight",
		Example: "  plic spam symbols",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Spam.Symbols(c.Context()), "", []string{"SYMBOL", "WEIGHT", "MEANS"}, func(s control.SpamSymbol) []string {
					return []string{s.Name, fmt.Sprintf("%+.1f", s.Weight), s.Says}
				})
			})
		},
	})
}

func (a *app) spamForget() *cobra.Command {
	var site bool
	c := &cobra.Command{
		Use: "forget [ACCOUNT...]", Short: "Throw away the words that were learnt",
		Example: "  plic spam forget ann@example.org\n  plic spam forget --site",
		RunE: func(c *cobra.Command, args []string) error {
			if site == (len(args) > 0) {
				return usagef("name accounts, or give --site")
			}
			if site {
				args = []string{""}
			}
			return a.with(c.Context(), func(o control.Operations) error {
				for _, name := range args {
					if err := o.Spam.Forget(c.Context(), name); err != nil {
						return err
					}
				}
				return nil
			})
		},
		ValidArgsFunction: a.complete(accountNames),
	}
	c.Flags().BoolVar(&site, "site", false, "what the site has learnt")
	return c
}
