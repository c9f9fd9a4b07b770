package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) checkReplay() *cobra.Command {
	var since string
	c := a.jsonFlag(&cobra.Command{
		Use: "replay", Short: "What would other settings have decided of past mail?",
		Long: `Hold what the journal has of past mail against the settings in the file of --config,
and tell which messages would have gone another way, and why, and the sums. The site is
that of data_dir in the file, or of --dir.

The journal has what was found of each message, not the message: changed weights,
limits, lists that are no longer asked, senders.dmarc, trusted lists and sealers and
excepted networks are replayed. What was not asked then cannot be: lists, scanners and
symbols that are new or had no weight, what a list's answers weigh, words that were
learnt since, and the score of what was refused for its sender. Each recipient counts
by the limits of its account and domain as they are now.`,
		Example: "  plic check replay --since 7d --config new.toml",
		Args:    arguments(0, 0, ""),
	})
	c.Flags().StringVar(&since, "since", "7d", "not older than this `instant`")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if a.configFile == "" {
			return usagef("--config is missing: it names the settings to try")
		}
		q := control.SpamReplay{Name: a.configFile}
		var err error
		if q.Since, err = a.instant(since); err != nil {
			return usagef("--since: %w", err)
		}
		if q.Config, err = os.ReadFile(a.configFile); err != nil {
			return err
		}
		return a.with(c.Context(), func(o control.Operations) error {
			if a.json {
				return jsonLines(a.out, o.Spam.Replay(c.Context(), q))
			}
			return a.tellReplay(c, o, q)
		})
	}
	return c
}

func (a *app) tellReplay(c *cobra.Command, o control.Operations, q control.SpamReplay) error {
	changed := table{head: []string{"TIME", "MESSAGE", "FROM", "CLIENT", "WAS", "WOULD BE", "SCORE", "WHY"}}
	sums := table{head: []string{"WAS", "WOULD BE", "MESSAGES"}}
	silent := 0
	for r, err := range o.Spam.Replay(c.Context(), q) {
		if err != nil {
			return err
		}
		if m := r.SpamChange; m != nil {
			changed.add(stamp(m.Time), m.Message, "<"+m.From+">", m.Remote, m.Before, m.After, fmt.Sprintf("%.1f → %.1f", m.ScoreBefore, m.ScoreAfter), m.Why)
		}
		for _, s := range r.Sums {
			sums.add(s.Before, s.After, strconv.Itoa(s.Count))
		}
		silent += r.Silent
	}
	if silent > 0 {
		fmt.Fprintf(a.err, "of %d decisions the journal does not tell enough\n", silent)
	}
	if len(sums.rows) == 0 {
		return errors.New("the journal has no decisions since then")
	}
	a.section(changed)
	sums.write(a.out, "")
	return nil
}
