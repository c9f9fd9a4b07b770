package main

import (
	"fmt"
	"strings"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) tlsCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "tls", Short: "TLS with other servers, theirs and ours",
		Example: "  plic tls policy example.net\n  plic tls records",
	}, a.tlsShow(), a.tlsPolicy(), a.tlsForget(), a.tlsRecords(), a.tlsRotate())
}

func (a *app) tlsShow() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "show", Short: "The certificate that we show, and when it is renewed",
		Long: `Tell which certificate this host shows, whence it comes, until when it is good, when
it will be renewed and why then: an authority may have asked for a time (ACME renewal
information). Where the last try failed it says why.`,
		Example: "  plic tls show\n  plic tls show --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				d, err := o.TLS.Certificate(c.Context())
				if err != nil {
					return err
				}
				if a.json {
					return jsonLines(a.out, only(d))
				}
				a.showCertificate(d)
				return nil
			})
		},
	})
}

func (a *app) showCertificate(d control.Certificate) {
	t := table{}
	t.add("names", strings.Join(d.Names, ", "))
	t.add("issuer", d.Issuer)
	t.add("serial", d.Serial)
	t.add("source", d.Source)
	t.add("good from", stamp(d.From))
	t.add("until", stamp(d.Until))
	switch {
	case d.Renewal.IsZero():
		t.add("renewal", d.Why)
	default:
		t.add("renewal", stamp(d.Renewal))
		t.add("because", d.Why)
	}
	if d.Page != "" {
		t.add("explained at", d.Page)
	}
	if d.Trouble != "" {
		t.add("trouble", d.Trouble)
	}
	t.write(a.out, "")
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

func (a *app) tlsRecords() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "records", Short: "What the DNS should say of our TLS",
		Long: `Print the records to publish: TLSA for the key of the certificate that is shown and
for the one that comes after it (DANE counts where the zone is signed), and the TXT
records of our domains' MTA-STS policy. A renewal keeps the key. The last column says
whether the DNS has the record.`,
		Example: "  plic tls records\n  plic tls records --json",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, o.TLS.Records(c.Context()), "There are no records to publish.", []string{"NAME", "TYPE", "VALUE", "IN DNS", "FOR"}, recordRow)
			})
		},
	})
}

// recordRow shows a record as a zone file has it, and whether it is published.
func recordRow(r control.Record) []string {
	published := "no"
	if r.Published {
		published = "yes"
	}
	return []string{r.Name + ".", r.Type, zoneValue(r), published, r.Why}
}

// zoneValue is the value of a record as a zone file has it: a text in strings of
// at most 255 octets, RFC 1035 section 3.3.14.
func zoneValue(r control.Record) string {
	if r.Type != "TXT" {
		return r.Value
	}
	var parts []string
	for rest := r.Value; rest != ""; {
		n := min(len(rest), 255)
		parts = append(parts, `"`+rest[:n]+`"`)
		rest = rest[n:]
	}
	return strings.Join(parts, " ")
}

func (a *app) tlsRotate() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rotate", Short: "Go over to the next key",
		Long: `Get a certificate with the next key, whose TLSA record must have been published long
enough for all to know it (see plic tls records), and make a new next key. The record
of the old key can be taken away afterwards.`,
		Example: "  plic tls rotate",
		Args:    arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				if err := o.TLS.Rotate(c.Context(), force); err != nil {
					return err
				}
				fmt.Fprintln(a.err, "the certificate has the next key now; see plic tls records")
				return nil
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "although the record of the next key is not published")
	return c
}
