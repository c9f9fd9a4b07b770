package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/queue"

	"github.com/spf13/cobra"
)

// selection says which items of the queue are meant.
type selection struct {
	filter         queue.Filter
	reason         string
	older, younger string
	all            bool
}

func (s *selection) on(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&s.filter.From, "from", "", "only from this `address`, or @domain; <> for reports")
	f.StringVar(&s.filter.To, "to", "", "only to this `address`, or @domain")
	f.StringVar(&s.filter.Host, "host", "", "only to this next `host` or domain")
	f.StringVar(&s.filter.Account, "account", "", "only what this `account` has submitted")
	f.StringVar(&s.reason, "reason", "", "only what was put off for this `reason`: "+strings.Join(reasons(), ", "))
	f.StringVar(&s.older, "older", "", "only what came this `long` ago or longer: 90m, 2h, 3d")
	f.StringVar(&s.younger, "newer", "", "only what came less than this `long` ago")
	f.BoolVar(&s.filter.Held, "held", false, "only what is held")
	must(c.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(reasons(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func reasons() (names []string) {
	for _, f := range mail.Faults() {
		names = append(names, string(f))
	}
	return names
}

// parse takes the arguments; an action needs to be told what it is for.
func (s *selection) parse(args []string, action bool) (err error) {
	f := &s.filter
	f.IDs = nil
	for _, arg := range args {
		id, err := mail.ParseID(arg)
		if err != nil {
			return usageError{err}
		}
		f.IDs = append(f.IDs, id)
	}
	if s.reason != "" && !slices.Contains(reasons(), s.reason) {
		return usagef("--reason %s is none of %s", s.reason, strings.Join(reasons(), ", "))
	}
	f.Fault = mail.Fault(s.reason)
	if f.Older, err = age("--older", s.older); err != nil {
		return err
	}
	if f.Younger, err = age("--newer", s.younger); err != nil {
		return err
	}
	none := len(f.IDs) == 0 && f.From == "" && f.To == "" && f.Host == "" && f.Account == "" && f.Fault == "" && f.Older == 0 && f.Younger == 0 && !f.Held
	if action && none && !s.all {
		return usagef("which items? Give their ids, or --from, --to, --host, --account, --reason, --older, --newer, --held or --all")
	}
	return nil
}

// age reads "90m", "2h" or "3d".
func age(flag, text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := longer(text)
	if err != nil || d <= 0 {
		return 0, usagef("%s: %q is no length of time: 90m, 2h, 3d", flag, text)
	}
	return d, nil
}

// longer reads a length of time that may be in days.
func longer(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		d, err := time.ParseDuration(days + "h")
		return 24 * d, err
	}
	return time.ParseDuration(text)
}

func (a *app) queueCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "queue", Short: "Mail on its way to other servers",
		Example: "  plic queue list\n  plic queue summary --by reason\n  plic queue retry --to @example.net",
	},
		a.queueList(), a.queueSummary(), a.queueShow(),
		a.queueAction(queueVerb{action: control.Retry, short: "Try items now", done: "will be tried now", not: "held items are not: release them"}),
		a.queueAction(queueVerb{action: control.Hold, short: "Keep items without trying them", done: "held", not: "held already"}),
		a.queueAction(queueVerb{action: control.Release, short: "Try held items again", done: "released", not: "nothing of it is held"}),
		a.queueAction(queueVerb{action: control.Remove, short: "Delete items; their senders are not told", done: "removed"}),
		a.queueAction(queueVerb{action: control.Bounce, short: "Give items up now, and tell their senders", done: "given back"}),
		a.queueAction(queueVerb{action: control.Reroute, short: "Send items by another host, now", done: "rerouted", not: "they go there already"}),
	)
}

func (a *app) queueList() *cobra.Command {
	var s selection
	return a.jsonFlag(s.on(&cobra.Command{
		Use: "list", Short: "List the queue",
		Long:    "List the queue. Each item is one message for the recipients behind one next host.",
		Example: "  plic queue list\n  plic queue list --to @example.net --json\n  plic queue list --reason greylist --older 2h",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := s.parse(nil, false); err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Queue.List(c.Context(), s.filter), "The queue is empty.",
					[]string{"ID", "AGE", "SIZE", "FROM", "TO", "NEXT TRY", "TRIES", "REASON", "LAST ANSWER"}, a.queueRow)
			})
		},
	}))
}

func (a *app) queueRow(item queue.Listed) []string {
	now := a.now()
	to := "nobody"
	if len(item.To) > 0 {
		to = item.To[0].Address.String()
	}
	if len(item.To) == 0 && len(item.Fates) > 0 {
		to = "report on " + item.Fates[0].Address.String()
	}
	if n := len(item.To) - 1; n > 0 {
		to += fmt.Sprintf(" and %d more", n)
	}
	reason, answer := lastAnswer(item.Item)
	return []string{
		item.ID.String(), span(now.Sub(item.Envelope.Received)), octets(item.Size), item.Envelope.From.Path(),
		to, next(item, now), fmt.Sprint(item.Attempts), reason, answer,
	}
}

// next is when an item is tried again.
func next(item queue.Listed, now time.Time) string {
	switch {
	case item.Hold:
		return "held"
	case item.State == "active":
		return "being tried"
	case !item.Due.After(now):
		return "now"
	}
	return when(item.Due, now)
}

func lastAnswer(item mail.Item) (reason, answer string) {
	for _, r := range item.To {
		if r.Last.Code != 0 {
			return orDash(string(r.Fault)), r.Last.String()
		}
		if r.Reason != "" {
			return orDash(string(r.Fault)), r.Reason
		}
	}
	if item.Hold && item.Why != "" {
		return "-", item.Why
	}
	return "-", "-"
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func (a *app) queueSummary() *cobra.Command {
	var s selection
	var by string
	ways := []string{string(queue.ByHost), string(queue.ByDomain), string(queue.BySender), string(queue.ByFault)}
	c := a.jsonFlag(s.on(&cobra.Command{
		Use: "summary", Short: "Sum the queue up by destination and age",
		Long: `Sum the queue up: how many recipients wait for each destination, and for how long.
The columns are ages in minutes; a message counts once for each of its recipients.`,
		Example: "  plic queue summary\n  plic queue summary --by reason --to @example.net\n  plic queue summary --by sender --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			way := queue.By(by)
			if by == "reason" {
				way = queue.ByFault
			}
			if !slices.Contains(ways, string(way)) {
				return usagef("--by %s is none of host, domain, sender, reason", by)
			}
			if err := s.parse(nil, false); err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				head := []string{strings.ToUpper(by), "TOTAL", "HELD"}
				for i := range queue.Ages - 1 {
					head = append(head, fmt.Sprint(int(queue.AgeLimit(i).Minutes())))
				}
				head = append(head, "MORE", "SIZE")
				return list(a, o.Queue.Shapes(c.Context(), s.filter, way), "The queue is empty.", head, shapeRow)
			})
		},
	}))
	c.Flags().StringVar(&by, "by", "host", "by host, domain (of recipients), sender or reason")
	must(c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions([]string{"host", "domain", "sender", "reason"}, cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func shapeRow(s queue.Shape) []string {
	row := []string{orDash(s.Name), fmt.Sprint(s.Recipients), fmt.Sprint(s.Held)}
	for _, n := range s.Ages {
		row = append(row, fmt.Sprint(n))
	}
	return append(row, octets(s.Bytes))
}

func (a *app) queueIDs(ctx context.Context, o control.Operations) (ids []string) {
	for item, err := range o.Queue.List(ctx, queue.Filter{}) {
		if err != nil || len(ids) == 1000 {
			break
		}
		ids = append(ids, cobra.CompletionWithDesc(item.ID.String(), clean(item.Envelope.From.Path()+" to "+item.Hop.Host)))
	}
	return ids
}

func (a *app) queueShow() *cobra.Command {
	var message bool
	c := a.jsonFlag(&cobra.Command{
		Use: "show ID...", Short: "Show items with all their recipients and tries",
		Long:    "Show items of the queue. An ID is an item's, or a message's, which shows all of its\nitems.",
		Example: "  plic queue show 06d2s1t8k3c5m7q9v0b2n4r6g8\n  plic queue show 06d2s1t8k3c5m7q9v0b2n4r6g8 --message",
		Args:    arguments(1, -1, "the id"),
		RunE: func(c *cobra.Command, args []string) error {
			var s selection
			if err := s.parse(args, true); err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				if a.json {
					return jsonLines(a.out, o.Queue.List(c.Context(), s.filter))
				}
				found := false
				for item, err := range o.Queue.List(c.Context(), s.filter) {
					if err != nil {
						return err
					}
					found = true
					if !message {
						a.showItem(item)
					} else if err := a.copyMessage(c.Context(), o.Queue, item.ID); err != nil {
						return err
					}
				}
				if !found {
					return errNoItem
				}
				return nil
			})
		},
		ValidArgsFunction: a.complete(a.queueIDs),
	})
	c.Flags().BoolVar(&message, "message", false, "print the message itself, as it would go out")
	return c
}

var errNoItem = errors.New("no such item in the queue; see `plic queue list`, or `plic journal` for what was delivered")

func (a *app) copyMessage(ctx context.Context, q control.Queue, id mail.ID) error {
	r, err := q.Message(ctx, id)
	if err != nil {
		return err
	}
	_, err = io.Copy(a.out, r)
	return errors.Join(err, r.Close())
}

func (a *app) showItem(item queue.Listed) {
	now := a.now()
	t := table{}
	t.add("item", item.ID.String())
	t.add("message", item.Envelope.ID.String())
	t.add("from", item.Envelope.From.Path())
	if o := item.Envelope.Origin; o.Account != "" || o.Remote.IsValid() {
		t.add("came in", strings.TrimSpace(o.Service+" "+o.Account+" "+o.Remote.String()))
	}
	t.add("received", stamp(item.Envelope.Received)+", "+when(item.Envelope.Received, now))
	t.add("size", octets(item.Size))
	if p := item.Envelope.Priority; p != 0 {
		t.add("priority", fmt.Sprint(p))
	}
	t.add("next host", string(item.Hop.Kind)+" "+item.Hop.Host)
	t.add("next try", next(item, now))
	if item.Why != "" {
		t.add("held for", item.Why)
	}
	t.add("tries", fmt.Sprint(item.Attempts))
	t.add("expires", stamp(item.Expires)+", "+when(item.Expires, now))
	if by := item.Envelope.By.At; !by.IsZero() {
		t.add("deliver by", stamp(by)+", "+when(by, now))
	}
	for _, r := range item.To {
		t.add("to", r.Address.Path())
		if r.Last.Code != 0 {
			said := r.Last.String()
			if r.Host != "" {
				said = r.Host + " said " + said
			}
			t.add("", said+", "+when(r.At, now))
		}
		if r.Fault != "" {
			t.add("", "reason: "+string(r.Fault))
		}
		if r.Reason != "" {
			t.add("", r.Reason)
		}
	}
	for _, try := range item.Tries {
		t.add(fmt.Sprintf("try %d", try.Number), tryText(try))
	}
	t.write(a.out, "")
	fmt.Fprintln(a.out)
}

// tryText tells one try on a line.
func tryText(t mail.Try) string {
	said := fmt.Sprintf("%s, took %s: ", stamp(t.At), t.Took.Round(time.Millisecond))
	if t.Host != "" {
		said += t.Host + " said "
	}
	said += t.Status.String()
	var more []string
	if t.To > 1 {
		more = append(more, fmt.Sprintf("for %d recipients", t.To))
	}
	if t.Fault != "" {
		more = append(more, string(t.Fault))
	}
	if t.Remote != "" {
		more = append(more, "at "+t.Remote)
	}
	if t.TLS != "" {
		more = append(more, t.TLS)
	}
	if len(more) > 0 {
		said += " (" + strings.Join(more, ", ") + ")"
	}
	return said
}
