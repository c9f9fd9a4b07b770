package main

import (
	"fmt"
	"strings"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) tlsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "tls", Short: "TLS with other servers",
		Example: "  plic tls policy example.net\n  plic tls forget example.net",
	}, a.tlsPolicy(), a.tlsForget())
}

func (a *app) tlsPolicy() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "policy DOMAIN...", Short: "What the hosts of a domain must prove to get its mail",
		Long: `Tell what TLS each mail host of a domain must have, and every step to that answer:
what this site's settings say, the TLSA records of the host (DANE), the domain's
MTA-STS policy, and what is remembered of it. Nothing is sent to the hosts.`,
		Example: "  plic tls policy example.net\n  plic tls policy example.net --json",
		Args:    arguments(1, -1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				for _, domain := range args {
					policies := o.TLS.Policy(c.Context(), domain)
					if a.json {
						if err := jsonLines(a.out, policies); err != nil {
							return err
						}
						continue
					}
					for p, err := range policies {
						if err != nil {
							return err
						}
						a.showPolicy(p)
					}
				}
				return nil
			})
		},
	})
}

func (a *app) showPolicy(p control.TLSPolicy) {
	t := table{}
	t.add("domain", p.Domain)
	t.add("host", p.Host)
	t.add("addresses", strings.Join(p.Addresses, ", "))
	t.add("policy", p.Policy)
	t.add("needs", p.Needs)
	if p.Refused != "" {
		t.add("mail gets", p.Refused)
	}
	for i, step := range p.Evidence {
		name := ""
		if i == 0 {
			name = "because"
		}
		t.add(name, step)
	}
	t.write(a.out, "")
	fmt.Fprintln(a.out)
}

func (a *app) tlsForget() *cobra.Command {
	return &cobra.Command{
		Use: "forget DOMAIN...", Short: "Forget what TLS domains had",
		Long: `Forget what is remembered of domains: that they had TLS, so that mail no longer waits
for it, and their MTA-STS policy, which is fetched again if there still is one.`,
		Example: "  plic tls forget example.net",
		Args:    arguments(1, -1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "forgot the TLS of", func(o control.Operations, name string) error {
				return o.TLS.Forget(c.Context(), name)
			})
		},
	}
}
