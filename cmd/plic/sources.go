package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) directoryCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "directory", Short: "Who is asked who exists, and what they say",
		Example: "  plic directory lookup ann@example.org\n  plic directory auth ann@example.org",
	}, a.directoryLookup(), a.directoryAuth())
}

func (a *app) directoryLookup() *cobra.Command {
	var fresh bool
	c := a.jsonFlag(&cobra.Command{
		Use: "lookup DOMAIN|ADDRESS|LOGIN...", Short: "Look a name up as the server does, step by step",
		Long: `Ask all sources of directory.sources for a domain, an address or a login, and show
each question with who was asked, what came of it and how long it took. The exit
code is 1 if there is nothing of that name, or trouble.`,
		Example: "  plic directory lookup example.org\n  plic directory lookup ann@example.org --fresh --json",
		Args:    arguments(1, -1, "the name"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				var failed error
				for i, what := range args {
					f, err := o.Sources.Lookup(c.Context(), what, fresh)
					if err != nil {
						return err
					}
					if err := a.showFinding(f, i > 0); err != nil {
						failed = err
					}
				}
				return failed
			})
		},
	})
	c.Flags().BoolVar(&fresh, "fresh", false, "ask the sources themselves, not what is remembered of them")
	return c
}

func (a *app) directoryAuth() *cobra.Command {
	var stdin bool
	c := a.jsonFlag(&cobra.Command{
		Use: "auth LOGIN", Short: "Try a password as a login does",
		Long: `Check a password with whoever has the account. It is no login: nothing is counted
against anybody. The exit code is 1 if the password is wrong, or in trouble.`,
		Example: "  plic directory auth ann@example.org\n  pass mail/ann | plic directory auth ann@example.org --password-stdin",
		Args:    arguments(1, 1, "the login"),
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := a.site(); err != nil { // before anybody types a password
				return err
			}
			secret, err := a.oldPassword(args[0], stdin)
			if err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				f, err := o.Sources.Try(c.Context(), args[0], secret)
				if err != nil {
					return err
				}
				return a.showFinding(f, false)
			})
		},
	})
	c.Flags().BoolVar(&stdin, "password-stdin", false, "read the password from the first line of standard input")
	return c
}

// oldPassword gets a password that there is already.
func (a *app) oldPassword(login string, stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask, ok := a.terminal(a.in)
	if !ok {
		return "", usagef("there is no terminal to ask for a password at: use --password-stdin")
	}
	return ask("Password of " + login + ": ")
}

func (a *app) showFinding(f control.Finding, more bool) error {
	var failed error
	switch f.Outcome {
	case "missing":
		failed = fmt.Errorf("%s: there is nothing of that name", f.Asked)
	case "wrong":
		failed = fmt.Errorf("%s: the password is wrong", f.Asked)
	case "trouble":
		failed = fmt.Errorf("%s: temporary trouble: %s", f.Asked, f.Reason)
	case "disabled":
		failed = fmt.Errorf("%s: %s", f.Asked, f.Reason)
	}
	if a.json {
		return errors.Join(jsonLines(a.out, only(f)), failed)
	}
	if more {
		fmt.Fprintln(a.out)
	}
	steps := table{head: []string{"SOURCE", "QUESTION", "KEY", "TOOK", "ANSWER"}}
	for _, s := range f.Steps {
		answer := s.Answer
		if answer == "" || s.Outcome != "found" {
			answer = s.Outcome
		}
		if s.Trouble != "" {
			answer = "trouble: " + s.Trouble
		}
		steps.add(s.Source, s.Question, s.Key, s.Took.Round(time.Microsecond).String(), answer)
	}
	steps.write(a.out, "")
	end := table{}
	if f.Domain != "" {
		end.add("=> domain", f.Domain+" is ours")
	}
	if f.Account != nil {
		end.add("=> account", f.Account.Name)
		for _, line := range accountLines(f.Account) {
			end.add("", line)
		}
	}
	if f.Leads != nil {
		end.add("=> mail", leads(f.Leads))
	}
	end.write(a.out, "")
	return failed
}

// accountLines tell what is known of an account.
func accountLines(x *control.FoundAccount) []string {
	all := []string{"password checked by " + x.Password}
	if x.Disabled {
		all = append(all, "disabled: gets mail, cannot log in")
	}
	limit := func(n int64, unit string) string {
		if n < 0 {
			return "no limit of " + unit
		}
		return strconv.FormatInt(n, 10) + " " + unit
	}
	if x.Bytes != 0 {
		all = append(all, "quota "+limit(x.Bytes, "octets"))
	}
	if x.Messages != 0 {
		all = append(all, "quota "+limit(x.Messages, "messages"))
	}
	for _, f := range []struct{ name, value string }{
		{"mailboxes", x.Mailboxes}, {"home", x.Home}, {"groups", strings.Join(x.Groups, ", ")}, {"may send as", strings.Join(x.Senders, ", ")},
		{"may use", strings.Join(x.Protocols, ", ")}, {"may come from", strings.Join(x.Networks, ", ")},
	} {
		if f.value != "" {
			all = append(all, f.name+" "+f.value)
		}
	}
	if x.UID != 0 {
		all = append(all, fmt.Sprintf("uid %d, gid %d", x.UID, x.GID))
	}
	return all
}

// leads tells where an address leads.
func leads(t *control.AddressTargets) string {
	var parts []string
	if t.Account != "" {
		parts = append(parts, "the account "+t.Account)
	}
	parts = append(parts, t.Aliases...)
	text := "goes to " + strings.Join(parts, ", ")
	if t.Detail != "" {
		text += ", detail " + t.Detail
	}
	if t.CatchAll {
		text += ", by the catch-all of the domain"
	}
	if t.Role {
		text += ", as postmaster"
	}
	return text
}
