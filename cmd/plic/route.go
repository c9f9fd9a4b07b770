package main

import (
	"fmt"
	"strconv"
	"strings"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) routeCommand() *cobra.Command {
	var from string
	var all bool
	c := a.jsonFlag(&cobra.Command{
		Use: "route ADDRESS...", Short: "Where mail for an address would go, step by step",
		Long: `Show the way of mail for an address: every table that has an answer, the aliases
that are followed, how addresses are rewritten, and the next host. Nothing is sent.
With --all, tables that were asked and have no answer are shown, too.`,
		Example: "  plic route bob@example.org\n  plic route bob@example.net --from ann@example.org --all",
		Args:    arguments(1, -1, "the address"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				for i, to := range args {
					way, err := o.Route.Explain(c.Context(), control.RouteQuery{From: from, To: to})
					if err != nil {
						return err
					}
					if a.json {
						if err := jsonLines(a.out, only(way)); err != nil {
							return err
						}
						continue
					}
					if i > 0 {
						fmt.Fprintln(a.out)
					}
					a.showWay(way, all)
				}
				return nil
			})
		},
	})
	c.Flags().StringVar(&from, "from", "", "the `sender`; none if it is not given, as reports have it")
	c.Flags().BoolVar(&all, "all", false, "also what was asked in vain")
	return c
}

func (a *app) showWay(way control.Way, all bool) {
	steps := table{}
	about := ""
	for _, s := range way.Steps {
		if !s.Found && s.Trouble == "" && !all {
			continue
		}
		who := ""
		if s.Address != about {
			who, about = s.Address, s.Address
		}
		answer := s.Answer
		switch {
		case s.Trouble != "":
			answer = "trouble: " + s.Trouble
		case !s.Found:
			answer = "-"
		case answer == "":
			answer = "yes"
		}
		steps.add(who, s.Step, s.Table, s.Key, answer)
	}
	steps.write(a.out, "")
	ends := table{}
	for _, d := range way.Destinations {
		ends.add("=> "+d.Address, destination(d))
		for i, host := range d.Hosts {
			ends.add("", strconv.Itoa(i+1)+". "+host)
		}
		if d.Trouble != "" {
			ends.add("", d.Trouble)
		}
		if d.From != way.From {
			ends.add("", "with the sender <"+d.From+">")
		}
		if d.Onward != "" {
			ends.add("", d.Onward)
		}
	}
	for _, copied := range way.Copies {
		ends.add("=> "+copied, "gets a copy")
	}
	if way.Refused != "" {
		ends.add("=> "+way.To, "is refused with "+way.Refused)
	}
	if way.Reason != "" {
		ends.add("", way.Reason)
	}
	ends.write(a.out, "")
}

// destination is the end of a way for people.
func destination(d control.Destination) string {
	text := ""
	switch {
	case d.Discard:
		return "is thrown away"
	case d.Account != "":
		text = "goes to the account " + d.Account
		if d.Detail != "" {
			text += ", detail " + d.Detail
		}
	case d.Hop != nil:
		text = "goes by " + string(d.Hop.Kind) + " to " + d.Hop.Host
		if d.Hop.Port != 0 {
			text += " port " + strconv.Itoa(int(d.Hop.Port))
		}
		if d.Hop.Kind == "smtp" && !d.Hop.Exact {
			text = strings.Replace(text, " to ", " to the MX of ", 1)
		}
		if d.Hop.Login != "" {
			text += ", logging in as " + d.Hop.Login
		}
		if d.Hop.Source != "" {
			text += ", from " + d.Hop.Source
		}
	}
	if d.Hold {
		text += ", held in the queue"
	}
	return text
}
