package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/journal"
	"plic/internal/mail"

	"github.com/spf13/cobra"
)

// stamp is an instant in the local zone.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

func (a *app) journalCommand() *cobra.Command {
	var q journal.Query
	var since, until string
	c := a.jsonFlag(&cobra.Command{
		Use: "journal [MESSAGE-ID]", Short: "What happened to a message",
		Long: `Tell what happened to mail: who brought it, what was decided and why, each try to
deliver it, and where it went. A message is named by the id in our answer to it
and in its Received field, or by its Message-ID.

It tells of logins too: events are "auth" and, with the reason, "auth-fail".

Instants are "2h" or "3d" ago, "2026-11-23", or "2026-11-23T15:04:05".`,
		Example: `  plic journal 06d2s1t8k3c5m7q9v0b2n4r6g8
  plic journal '<20261123.1@example.org>'
  plic journal --to bob@example.net --since 2d
  plic journal --from @example.org --limit 50 --json
  plic journal --event auth-fail --account ann@example.org --since 2d`,
		Args: arguments(0, 1, ""),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if q.Since, err = a.instant(since); err != nil {
				return usagef("--since: %w", err)
			}
			if q.Until, err = a.instant(until); err != nil {
				return usagef("--until: %w", err)
			}
			if len(args) > 0 {
				if q.Message, err = mail.ParseID(args[0]); err != nil {
					q.Message, q.MessageID = mail.ID{}, args[0]
				}
			} else if q.From == "" && q.To == "" && q.Account == "" && q.Kind == "" && q.Remote == "" && since == "" && until == "" {
				return usagef("what are you looking for? Give a message's id, or --from, --to, --account, --client, --event or --since")
			}
			return a.showJournal(c, q)
		},
	})
	f := c.Flags()
	f.StringVar(&q.From, "from", "", "only from this `address`, or @domain")
	f.StringVar(&q.To, "to", "", "only to this `address`, or @domain")
	f.StringVar(&q.Account, "account", "", "only of this `account`, or @domain")
	f.StringVar(&q.Kind, "event", "", "only events of this `kind`, as \"auth-fail\"")
	f.StringVar(&q.Remote, "client", "", "only of a client at this `address`")
	f.StringVar(&since, "since", "", "not older than this `instant`")
	f.StringVar(&until, "until", "", "older than this `instant`")
	f.IntVar(&q.Limit, "limit", 0, "only the newest so `many`")
	return c
}

// instant reads a point in time in one of the forms that the help names.
func (a *app) instant(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := config.ParseDuration(text); err == nil {
		return a.now().Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", "2006-01-02T15:04:05", time.DateTime, time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf(`%q is not an instant: write "2h" or "3d" ago, "2026-11-23" or "2026-11-23T15:04:05"`, text)
}

func (a *app) showJournal(c *cobra.Command, q journal.Query) error {
	return a.with(c.Context(), func(o control.Operations) error {
		if a.json {
			return jsonLines(a.out, o.Journal.Find(c.Context(), q))
		}
		t := table{head: []string{"TIME", "MESSAGE", "SERVICE", "EVENT", "WHAT"}}
		for e, err := range o.Journal.Find(c.Context(), q) {
			if err != nil {
				return err
			}
			id := "-"
			if !e.Message.IsZero() {
				id = e.Message.String()
			}
			t.add(stamp(e.Time), id, e.Service, e.Kind, what(e))
		}
		if len(t.rows) == 0 {
			return errors.New("the journal knows nothing of that; it keeps what `journal.keep` says")
		}
		t.write(a.out, "")
		return nil
	})
}

// what tells an event in words.
func what(e journal.Event) string {
	var parts []string
	say := func(format string, value string) {
		if value != "" {
			parts = append(parts, fmt.Sprintf(format, value))
		}
	}
	if e.Kind == journal.Mail || e.Kind == journal.Accept || e.From != "" {
		parts = append(parts, "from <"+e.From+">")
	}
	switch n := len(e.To); {
	case n > 3:
		say("to <%s>", e.To[0])
		parts = append(parts, fmt.Sprintf("and %d more", n-1))
	case n > 0:
		say("to <%s>", strings.Join(e.To, ">, <"))
	}
	say("client %s", e.Remote)
	say("named %s", e.Name)
	say("helo %s", e.Helo)
	say("account %s", e.Account)
	say("%s", e.TLS)
	say("in %s", e.Mailbox)
	if e.UID != 0 {
		parts = append(parts, fmt.Sprintf("uid %d", e.UID))
	}
	if e.Attempt != 0 {
		parts = append(parts, fmt.Sprintf("try %d", e.Attempt))
	}
	say("host %s", e.Host)
	say("policy %s", e.Policy)
	say("answer %q", e.Status)
	say("because: %s", e.Reason)
	if e.Size != 0 {
		parts = append(parts, octets(e.Size))
	}
	if e.Took != 0 {
		parts = append(parts, "took "+span(e.Took))
	}
	say("%s", e.MessageID)
	return strings.Join(parts, ", ")
}
