package main

import (
	"fmt"
	"strconv"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) spamExplain() *cobra.Command {
	return a.judging(&cobra.Command{
		Use: "explain FILE", Short: "What would the score of this message be, and why?",
		Long: `Judge the message in a file, "-" being standard input, as if a stranger brought it:
every symbol with its weight, what it means and what of this message made it, what
each part took, and the words that say most. With --ip its sender is checked too, as
plic check message does; with --account it is judged by what that account has taught,
and by its limits.`,
		Example: "  plic spam explain message.eml\n  plic spam explain --ip 192.0.2.3 --helo mx.example.org --from ann@example.org message.eml",
	}, false)
}

func (a *app) checkMessage() *cobra.Command {
	return a.judging(&cobra.Command{
		Use: "message FILE", Short: "What would become of this message, and why?",
		Long: `Ask all that is asked of a message of a stranger, by the settings of the site: what
becomes of it for each recipient, every check of its sender and every part that judges
it, with result, reason and what it took, and the words that say most. "-" is standard
input. Without --name the name of the address is looked up.

It is only asked: nothing is learnt, counted, delivered or put off. Filters by milter
are not called, as they might do something.`,
		Example: "  plic check message message.eml --ip 192.0.2.3 --helo mx.example.net --from bob@example.net --to ann@example.org",
	}, true)
}

// judging makes a command of one that asks what is to be said of a message.
func (a *app) judging(c *cobra.Command, sender bool) *cobra.Command {
	var q control.SpamQuestion
	c.Args = arguments(1, 1, "the file")
	c.RunE = func(c *cobra.Command, args []string) error {
		if sender && q.IP == "" {
			return usagef("--ip is missing")
		}
		return a.with(c.Context(), func(o control.Operations) error {
			return a.letters(args, func(text []byte) error {
				q.Message = text
				v, err := o.Spam.Judge(c.Context(), q)
				if err != nil {
					return err
				}
				return a.tellVerdict(v)
			})
		})
	}
	for _, f := range []struct {
		to         *string
		name, text string
	}{{&q.IP, "ip", "the `address` of the client"}, {&q.Name, "name", "its confirmed `name`"}, {&q.Helo, "helo", "the `name` that it gave"}, {&q.From, "from", "the reverse-`path`"}, {&q.Account, "account", "judge for this `account`"}} {
		c.Flags().StringVar(f.to, f.name, "", f.text)
	}
	c.Flags().StringSliceVar(&q.To, "to", nil, "the `recipients`")
	return a.jsonFlag(c)
}

func (a *app) tellVerdict(v control.SpamVerdict) error {
	if a.json {
		return jsonLines(a.out, only(v))
	}
	why := ""
	if v.Reason != "" {
		why = ": " + v.Reason
	}
	fmt.Fprintf(a.out, "%s, score %.1f; junk from %.1f%s\n\n", v.Action, v.Score, v.Junk, clean(why))
	ends := table{head: []string{"TO", "ACTION", "SCORE", "WHAT BECOMES OF IT"}}
	for _, e := range v.Ends {
		ends.add(orDash(e.To), e.Action, fmt.Sprintf("%.1f", e.Score), e.Says)
	}
	a.section(ends)
	checks := table{head: []string{"CHECK", "OF", "RESULT", "TOOK", "WHY"}}
	for _, c := range v.Sender {
		checks.add(c.Method, orDash(c.Subject), c.Result, took(c.Millis), orDash(c.Reason))
	}
	a.section(checks)
	hits := table{head: []string{"SCORE", "SYMBOL", "MEANS", "HERE"}}
	for _, h := range v.Hits {
		hits.add(fmt.Sprintf("%+.1f", h.Score), h.Symbol, h.Says, orDash(h.Detail))
	}
	a.section(hits)
	costs := table{head: []string{"PART", "TOOK", "TROUBLE"}}
	for _, c := range v.Costs {
		costs.add(c.Part, took(c.Millis), orDash(c.Trouble))
	}
	costs.write(a.out, "")
	if len(v.Words) == 0 {
		return nil
	}
	fmt.Fprintf(a.out, "\nBy its words the chance that it is spam is %.1f %%:\n\n", 100*v.Chance)
	words := table{head: []string{"CHANCE", "SPAM", "OTHER", "WORD"}}
	for _, w := range v.Words[:min(len(v.Words), 30)] {
		words.add(fmt.Sprintf("%.1f %%", 100*w.Chance), strconv.Itoa(w.Spam), strconv.Itoa(w.Ham), w.Word)
	}
	words.write(a.out, "")
	return nil
}

func took(millis float64) string { return fmt.Sprintf("%.2f ms", millis) }

// section writes a table that has rows, and a line below it.
func (a *app) section(t table) {
	if len(t.rows) > 0 {
		t.write(a.out, "")
		fmt.Fprintln(a.out)
	}
}
