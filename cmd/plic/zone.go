package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/check/zone"
	"plic/internal/control"
	"plic/internal/dns"
	"plic/internal/mail"

	"github.com/spf13/cobra"
)

func (a *app) checkDNS() *cobra.Command {
	var selectors []string
	c := &cobra.Command{
		Use: "dns DOMAIN", Short: "Are the records of a domain right?",
		Long: `Say of each record that a domain with mail has, or should have, how it is: MX, the
names of the addresses (PTR), TLSA, SPF, DKIM, DMARC, MTA-STS, TLSRPT, and SRV for mail
programs. For a domain of this site they are held against what plic domain records and
plic tls records print, else against what is right for any. The policy of MTA-STS is
not fetched, and no host is connected to: see plic tls policy.

A record is good; "note" is worth knowing; "advice" would be of use; if one is missing
or wrong, the exit code is 1.`,
		Example: "  plic check dns example.org\n  plic check dns example.net --selector s2026 --resolver 192.0.2.53:53",
		Args:    arguments(1, 1, "the domain"),
	}
	k := a.asking(c)
	c.Flags().StringSliceVar(&selectors, "selector", nil, "look for these `keys` of DKIM, too")
	c.RunE = func(c *cobra.Command, args []string) error {
		domain, err := mail.ParseDomain(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		servers, err := k.servers()
		if err != nil {
			return err
		}
		wanted, err := a.wanted(c.Context(), domain.String())
		if err != nil {
			return err
		}
		found := zone.Check(c.Context(), zone.Options{Resolver: dns.New(servers), Wanted: wanted, Selectors: selectors, Now: a.now}, domain.String())
		return a.tellZone(domain.String(), found)
	}
	return c
}

// wanted is what the site wants of a domain; nothing if the domain is not ours, or
// there is no site here.
func (a *app) wanted(ctx context.Context, domain string) (list []zone.Want, err error) {
	if _, err := a.site(); err != nil && a.dir == "" && a.configFile == "" {
		return nil, nil
	}
	add := func(r control.Record) {
		list = append(list, zone.Want{Name: r.Name, Type: r.Type, Value: r.Value, Later: r.Later})
	}
	err = a.with(ctx, func(o control.Operations) error {
		for r, err := range o.Discovery.Records(ctx, domain) {
			if e, ok := errors.AsType[*control.Error](err); ok && e.Missing {
				return nil
			}
			if err != nil {
				return err
			}
			add(r)
		}
		if len(list) == 0 {
			return nil
		}
		for r, err := range o.TLS.Records(ctx) {
			if err != nil {
				return err
			}
			add(r)
		}
		return nil
	})
	return list, err
}

func (a *app) tellZone(domain string, found []zone.Finding) error {
	bad := 0
	for _, f := range found {
		if f.Bad() {
			bad++
		}
	}
	if a.json {
		if err := jsonLines(a.out, values(found)); err != nil {
			return err
		}
	} else {
		for _, f := range found {
			fmt.Fprintf(a.out, "%-8s%s %s: %s\n", f.State, f.Name, f.Type, clean(f.Says))
			for _, x := range []struct{ title, value string }{{"is", f.Value}, {"should be", f.Should}} {
				if x.value != "" && f.State != zone.Good {
					fmt.Fprintf(a.out, "        %s %s\n", x.title, clean(strings.TrimSpace(x.value)))
				}
			}
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d records of %s are missing or wrong", bad, domain)
	}
	return nil
}
