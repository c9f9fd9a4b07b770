package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"plic/internal/dns"
	"plic/internal/spf"
)

// checkCommand holds the questions about senders, which need no server.
func (a *app) checkCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "check", Short: "Ask what the checks of a sender say",
		Long: `Ask what the checks of a sender say, and why. The result comes first, as
header fields spell it, and the reason after it.`,
		Example: "  plic check spf 192.0.2.3 mx.example.org ann@example.org",
	}, a.checkSPFCommand())
}

func (a *app) checkSPFCommand() *cobra.Command {
	var server, host string
	c := &cobra.Command{
		Use: "spf IP HELO MAIL-FROM", Short: "May this client send in the name of this domain?",
		Long: `Say what SPF (RFC 7208) says of a client with an address and a name that sends
from a reverse-path. "" or <> is the null reverse-path: then the name in HELO is
checked.`,
		Example: "  plic check spf 192.0.2.3 mx.example.org ann@example.org",
		Args:    arguments(3, 3, "an address, a name or a reverse-path"),
		RunE: func(c *cobra.Command, args []string) error {
			ip, err := netip.ParseAddr(args[0])
			if err != nil {
				return usagef("%q is no IP address", args[0])
			}
			resolver, err := resolverAt(server)
			if err != nil {
				return err
			}
			checker := &spf.Checker{Resolver: resolver, Host: host, Now: a.now}
			v := checker.Check(c.Context(), spf.Question{
				IP: ip, Helo: args[1], From: strings.TrimSuffix(strings.TrimPrefix(args[2], "<"), ">"),
			})
			return a.tellSPF(v)
		},
	}
	c.Flags().StringVar(&server, "resolver", "", "ask the DNS server at `host:port` instead of the system's")
	c.Flags().StringVar(&host, "host", "", "our `name`, for the explanation of a domain")
	return a.jsonFlag(c)
}

func (a *app) tellSPF(v spf.Verdict) error {
	if a.json {
		return json.NewEncoder(a.out).Encode(map[string]any{
			"result": v.Result.String(), "reason": v.Reason, "identity": v.Identity, "domain": v.Domain,
			"term": v.Term, "explanation": v.Explanation, "lookups": v.Lookups,
		})
	}
	text := v.Reason
	if v.Explanation != "" {
		text += "; the domain says: " + v.Explanation
	}
	_, err := fmt.Fprintf(a.out, "%v %s\n", v.Result, clean(text))
	return err
}

// resolverAt is a resolver that asks one server, or those of the system.
func resolverAt(server string) (dns.Resolver, error) {
	if server != "" {
		return dns.New(dns.Options{Servers: []string{server}}), nil
	}
	system, err := dns.ReadSystem("/etc/resolv.conf")
	if err != nil {
		return nil, err
	}
	return dns.New(dns.Options{Servers: system.Servers, TrustAD: system.TrustAD}), nil
}
