package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"plic/internal/control"
	"plic/internal/mail"

	"github.com/spf13/cobra"
)

// selection says which items of the queue are meant.
type selection struct {
	ids            []mail.ID // of items or of messages
	from, to, host string
	all            bool
}

func (s *selection) on(c *cobra.Command) *cobra.Command {
	c.Flags().StringVar(&s.from, "from", "", "only from this `address`, or @domain")
	c.Flags().StringVar(&s.to, "to", "", "only to this `address`, or @domain")
	c.Flags().StringVar(&s.host, "host", "", "only to this next `host` or domain")
	return c
}

// parse takes the arguments; an action needs to be told what it is for.
func (s *selection) parse(args []string, action bool) error {
	s.ids = nil
	for _, arg := range args {
		id, err := mail.ParseID(arg)
		if err != nil {
			return usageError{err}
		}
		s.ids = append(s.ids, id)
	}
	if action && len(s.ids) == 0 && s.from == "" && s.to == "" && s.host == "" && !s.all {
		return usagef("which items? Give their ids, or --from, --to, --host or --all")
	}
	return nil
}

func sameAddress(a mail.Address, pattern string) bool {
	if domain, ok := strings.CutPrefix(pattern, "@"); ok {
		return strings.EqualFold(a.Domain.String(), domain) || strings.EqualFold(a.Domain.Unicode(), domain)
	}
	want, err := mail.ParseAddress(pattern)
	if err != nil {
		return strings.EqualFold(a.String(), strings.Trim(pattern, "<>"))
	}
	return a.Key() == want.Key()
}

func (s *selection) wants(item mail.Item) bool {
	return (len(s.ids) == 0 || slices.Contains(s.ids, item.ID) || slices.Contains(s.ids, item.Envelope.ID)) &&
		(s.from == "" || sameAddress(item.Envelope.From, s.from)) &&
		(s.host == "" || strings.EqualFold(item.Hop.Host, s.host)) &&
		(s.to == "" || slices.ContainsFunc(item.To, func(r mail.ItemRcpt) bool { return sameAddress(r.Address, s.to) }))
}

func (s *selection) of(items iter.Seq2[mail.Item, error]) iter.Seq2[mail.Item, error] {
	return func(yield func(mail.Item, error) bool) {
		for item, err := range items {
			if (err != nil || s.wants(item)) && !yield(item, err) {
				return
			}
		}
	}
}

func (a *app) queueCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "queue", Short: "Mail on its way to other servers",
		Example: "  plic queue list\n  plic queue retry --to @example.net",
	},
		a.queueList(), a.queueShow(),
		a.queueAction(queueVerb{
			name: "retry", short: "Try items now", done: "will be tried now",
			already: func(item mail.Item) string { return ifSo(item.Hold, "is held: release it instead") },
			call:    control.Queue.Retry,
		}),
		a.queueAction(queueVerb{
			name: "hold", short: "Keep items without trying them", done: "is held",
			already: func(item mail.Item) string { return ifSo(item.Hold, "is held already") },
			call:    control.Queue.Hold,
		}),
		a.queueAction(queueVerb{
			name: "release", short: "Try held items again", done: "is released",
			already: func(item mail.Item) string { return ifSo(!item.Hold, "is not held") },
			call:    control.Queue.Release,
		}),
		a.queueAction(queueVerb{
			name: "remove", short: "Delete items; their senders are not told", done: "is removed",
			already: func(mail.Item) string { return "" },
			call:    control.Queue.Remove,
		}),
	)
}

func (a *app) queueList() *cobra.Command {
	var s selection
	return a.jsonFlag(s.on(&cobra.Command{
		Use: "list", Short: "List the queue",
		Long:    "List the queue. Each item is one message for the recipients behind one next host.",
		Example: "  plic queue list\n  plic queue list --to @example.net --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, s.of(o.Queue.List(c.Context())), "The queue is empty.",
					[]string{"ID", "AGE", "SIZE", "FROM", "TO", "NEXT TRY", "TRIES", "LAST ANSWER"}, a.queueRow)
			})
		},
	}))
}

func (a *app) queueRow(item mail.Item) []string {
	now := a.now()
	to := "nobody"
	if len(item.To) > 0 {
		to = item.To[0].Address.String()
	}
	if n := len(item.To) - 1; n > 0 {
		to += fmt.Sprintf(" and %d more", n)
	}
	return []string{
		item.ID.String(), span(now.Sub(item.Envelope.Received)), octets(item.Size), item.Envelope.From.Path(),
		to, next(item, now), fmt.Sprint(item.Attempts), lastAnswer(item),
	}
}

// next is when an item is tried again.
func next(item mail.Item, now time.Time) string {
	switch {
	case item.Hold:
		return "held"
	case !item.Due.After(now):
		return "now"
	}
	return when(item.Due, now)
}

func lastAnswer(item mail.Item) string {
	for _, r := range item.To {
		if r.Last.Code != 0 {
			return r.Last.String()
		}
		if r.Reason != "" {
			return r.Reason
		}
	}
	return "-"
}

func (a *app) queueIDs(ctx context.Context, o control.Operations) (ids []string) {
	for item, err := range o.Queue.List(ctx) {
		if err != nil {
			break
		}
		ids = append(ids, cobra.CompletionWithDesc(item.ID.String(), clean(item.Envelope.From.Path()+" to "+item.Hop.Host)))
	}
	return ids
}

func (a *app) queueShow() *cobra.Command {
	var message bool
	c := a.jsonFlag(&cobra.Command{
		Use: "show ID...", Short: "Show items with all their recipients",
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
					return jsonLines(a.out, s.of(o.Queue.List(c.Context())))
				}
				return a.queueEach(c.Context(), o, &s, func(item mail.Item) error {
					if message {
						return a.copyMessage(c.Context(), o.Queue, item.ID)
					}
					a.showItem(item)
					return nil
				})
			})
		},
		ValidArgsFunction: a.complete(a.queueIDs),
	})
	c.Flags().BoolVar(&message, "message", false, "print the message itself, as it would go out")
	return c
}

// queueEach does something with every selected item; it fails when there is
// none.
func (a *app) queueEach(ctx context.Context, o control.Operations, s *selection, do func(mail.Item) error) error {
	var items []mail.Item // first all, so that what do changes does not matter
	for item, err := range s.of(o.Queue.List(ctx)) {
		if err != nil {
			return err
		}
		items = append(items, item)
	}
	if len(items) == 0 {
		return errors.New("no such item in the queue; see `plic queue list`, or `plic journal` for what was delivered")
	}
	for _, item := range items {
		if err := do(item); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) copyMessage(ctx context.Context, q control.Queue, id mail.ID) error {
	r, err := q.Message(ctx, id)
	if err != nil {
		return err
	}
	_, err = io.Copy(a.out, r)
	return errors.Join(err, r.Close())
}

func (a *app) showItem(item mail.Item) {
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
	t.add("next host", string(item.Hop.Kind)+" "+item.Hop.Host)
	t.add("next try", next(item, now))
	t.add("tries", fmt.Sprint(item.Attempts))
	t.add("expires", stamp(item.Expires)+", "+when(item.Expires, now))
	for _, r := range item.To {
		t.add("to", r.Address.Path())
		if r.Last.Code != 0 {
			said := r.Last.String()
			if r.Host != "" {
				said = r.Host + " said " + said
			}
			t.add("", said+", "+when(r.At, now))
		}
		if r.Reason != "" {
			t.add("", r.Reason)
		}
	}
	t.write(a.out, "")
	fmt.Fprintln(a.out)
}

// queueVerb is a command that does the same with every chosen item.
type queueVerb struct {
	name, short, done string
	already           func(mail.Item) string // why there is nothing to do, or ""
	call              func(control.Queue, context.Context, mail.ID) error
}

func ifSo(is bool, text string) string {
	if is {
		return text
	}
	return ""
}

func (a *app) queueAction(v queueVerb) *cobra.Command {
	var s selection
	c := s.on(&cobra.Command{
		Use: v.name + " [ID...]", Short: v.short,
		Example: fmt.Sprintf("  plic queue %s 06d2s1t8k3c5m7q9v0b2n4r6g8\n  plic queue %s --to @example.net\n  plic queue %s --all", v.name, v.name, v.name),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.parse(args, true); err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				changed := 0
				err := a.queueEach(c.Context(), o, &s, func(item mail.Item) error {
					said := v.already(item)
					if said == "" {
						said = v.done
						switch err := v.call(o.Queue, c.Context(), item.ID); {
						case err == nil:
							changed++
						case errors.Is(err, control.ErrNotFound): // meanwhile
							said = "is not in the queue any more"
						default:
							return fmt.Errorf("%s: %w", item.ID, err)
						}
					}
					fmt.Fprintln(a.err, item.ID, said)
					return nil
				})
				if err == nil && changed == 0 {
					err = errors.New("nothing was changed")
				}
				return err
			})
		},
		ValidArgsFunction: a.complete(a.queueIDs),
	})
	c.Flags().BoolVar(&s.all, "all", false, "all that is in the queue")
	return c
}
