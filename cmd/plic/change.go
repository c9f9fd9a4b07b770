package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"

	"plic/internal/control"
	"plic/internal/mail"

	"github.com/spf13/cobra"
)

// queueVerb is a command that does the same with every chosen item.
type queueVerb struct {
	action      control.Action
	short, done string
	not         string // why there may be nothing to do
}

func (a *app) queueAction(v queueVerb) *cobra.Command {
	var s selection
	var why, via string
	example := "  plic queue %[1]s 06d2s1t8k3c5m7q9v0b2n4r6g8%[2]s\n  plic queue %[1]s --to @example.net%[2]s\n  plic queue %[1]s --all%[2]s"
	needs := ""
	if v.action == control.Reroute {
		needs = " --via relay.example.org:25"
	}
	c := s.on(&cobra.Command{
		Use: string(v.action) + " [ID...]", Short: v.short,
		Example: fmt.Sprintf(example, v.action, needs),
		RunE: func(c *cobra.Command, args []string) error {
			if err := s.parse(args, true); err != nil {
				return err
			}
			change := control.Change{Action: v.action, Filter: s.filter, Why: why}
			if v.action == control.Reroute {
				var err error
				if change.Hop, err = relayHop(via); err != nil {
					return err
				}
			}
			return a.with(c.Context(), func(o control.Operations) error {
				r, err := o.Queue.Change(c.Context(), change)
				if err != nil {
					return err
				}
				if a.json {
					text, err := json.Marshal(r)
					fmt.Fprintln(a.out, string(text))
					return err
				}
				switch {
				case r.Found == 0:
					return errNoItem
				case r.Changed == 0 && v.not != "":
					return errors.New("nothing was changed: " + v.not)
				case r.Changed == 0:
					return errors.New("nothing was changed")
				}
				fmt.Fprintln(a.err, changedText(r.Changed, v))
				return nil
			})
		},
		ValidArgsFunction: a.complete(a.queueIDs),
	})
	a.jsonFlag(c).Flags().BoolVar(&s.all, "all", false, "all that is in the queue")
	switch v.action {
	case control.Hold:
		c.Flags().StringVar(&why, "why", "", "the `reason`, for `plic queue show`")
	case control.Reroute:
		c.Flags().StringVar(&via, "via", "", "the `host` or host:port that takes the items; no MX is looked up")
	}
	return c
}

func changedText(n int, v queueVerb) string {
	switch {
	case v.action == control.Retry && n == 1:
		return "1 item will be tried now"
	case v.action == control.Retry:
		return fmt.Sprintf("%d items will be tried now", n)
	case n == 1:
		return "1 item is " + v.done
	}
	return fmt.Sprintf("%d items are %s", n, v.done)
}

// relayHop reads "host" or "host:port".
func relayHop(text string) (mail.Hop, error) {
	if text == "" {
		return mail.Hop{}, usagef("--via is missing: which host takes the items?")
	}
	hop := mail.Hop{Kind: mail.HopRemote, Host: text, Exact: true}
	if host, port, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return hop, usagef("--via %s: %q is no port", text, port)
		}
		hop.Host, hop.Port = host, uint16(n)
	}
	if net.ParseIP(hop.Host) == nil {
		d, err := mail.ParseDomain(hop.Host)
		if err != nil {
			return hop, usagef("--via: %v", err)
		}
		hop.Host = d.String()
	}
	return hop, nil
}
