package main

import (
	"fmt"
	"net/netip"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) sessionCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "session", Short: "Who is connected",
		Example: "  plic session list --account ann@example.org\n  plic session end --network 192.0.2.0/24",
	}, a.sessionList(), a.sessionEnd())
}

// sessionFlags choose sessions.
type sessionFlags struct{ account, service, network string }

func (f *sessionFlags) register(a *app, c *cobra.Command) {
	c.Flags().StringVar(&f.account, "account", "", "of this `account`")
	c.Flags().StringVar(&f.service, "service", "", "of this `service`: imap, pop3, sieve, smtp, submission or lmtp")
	c.Flags().StringVar(&f.network, "network", "", "from this `address or network`")
	c.RegisterFlagCompletionFunc("account", a.complete(accountNames))
}

func (f *sessionFlags) filter() (control.SessionFilter, error) {
	out := control.SessionFilter{Account: f.account, Service: f.service}
	if f.network == "" {
		return out, nil
	}
	if addr, err := netip.ParseAddr(f.network); err == nil {
		out.Network = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
		return out, nil
	}
	var err error
	if out.Network, err = netip.ParsePrefix(f.network); err != nil {
		return out, usagef("--network %s: write an address, or a network as 192.0.2.0/24", f.network)
	}
	return out, nil
}

func (a *app) sessionList() *cobra.Command {
	var flags sessionFlags
	c := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the sessions that are open",
		Example: "  plic session list --service imap",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := flags.filter()
			if err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.Sessions.List(c.Context(), f), "There are no such sessions.", []string{"SINCE", "SERVICE", "ACCOUNT", "FROM"}, func(s control.Session) []string {
					return []string{stamp(s.Since), s.Service, orDash(s.Account), s.Remote.String()}
				})
			})
		},
	})
	flags.register(a, c)
	return c
}

func (a *app) sessionEnd() *cobra.Command {
	var flags sessionFlags
	c := &cobra.Command{
		Use: "end", Short: "End sessions",
		Long: `End sessions as when the server stops: clients are told, and what is under way may
come to its end. It keeps nobody from connecting again; ` + "`plic account login --enabled no`" + ` does,
and ends the sessions of the account as well.`,
		Example: "  plic session end --account ann@example.org\n  plic session end --network 192.0.2.0/24",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			f, err := flags.filter()
			if err != nil {
				return err
			}
			if f == (control.SessionFilter{}) {
				return usagef("which sessions? Give --account, --service or --network")
			}
			return a.with(c.Context(), func(o control.Operations) error {
				n, err := o.Sessions.End(c.Context(), f)
				if err == nil {
					fmt.Fprintf(a.out, "sessions that end: %d\n", n)
				}
				return err
			})
		},
	}
	flags.register(a, c)
	return c
}
