package main

import (
	"context"
	"fmt"
	"iter"
	"os"

	"plic/internal/control"

	"github.com/spf13/cobra"
)

func (a *app) dkimCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "dkim", Short: "The keys that sign mail of our domains",
		Long: `The keys that sign mail of our domains (DKIM, RFC 6376). plic makes a pair of them
for each domain, RSA and Ed25519, when they are first needed, and signs with both.
To change them: prepare the next ones, publish their records, wait until these are
known everywhere, and rotate.`,
		Example: "  plic dkim keys example.org\n  plic dkim prepare example.org\n  plic dkim rotate example.org",
	}, a.dkimKeys(), a.dkimPrepare(), a.dkimRotate(), a.dkimImport())
}

// dkimRecords shows records of keys.
func (a *app) dkimRecords(use, short, long string, get func(context.Context, control.DKIM, string) iter.Seq2[control.Record, error]) *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: use + " DOMAIN", Short: short, Long: long,
		Example: "  plic dkim " + use + " example.org\n  plic dkim " + use + " example.org --json",
		Args:    arguments(1, 1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.with(c.Context(), func(o control.Operations) error {
				return list(a, get(c.Context(), o.DKIM, args[0]), "There are no keys.", []string{"NAME", "TYPE", "VALUE", "IN DNS", "FOR"}, recordRow)
			})
		},
		ValidArgsFunction: a.complete(domainNames),
	})
}

func (a *app) dkimKeys() *cobra.Command {
	return a.dkimRecords("keys", "The records of a domain's keys", `Print the TXT records of the keys that sign for a domain, of those that come after
them, if there are any, and of old ones that must stay for a while. The last but one
column says whether the DNS has the record.`,
		func(ctx context.Context, o control.DKIM, domain string) iter.Seq2[control.Record, error] {
			return o.Keys(ctx, domain)
		})
}

func (a *app) dkimPrepare() *cobra.Command {
	return a.dkimRecords("prepare", "Make the next keys of a domain", `Make the keys that come after those that sign for a domain, unless they are there, and
print the TXT records to publish. They sign nothing before plic dkim rotate.`,
		func(ctx context.Context, o control.DKIM, domain string) iter.Seq2[control.Record, error] {
			return o.Prepare(ctx, domain)
		})
}

func (a *app) dkimRotate() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rotate DOMAIN...", Short: "Sign with the next keys",
		Long: `Sign with the keys that plic dkim prepare made, whose records must be published. The
private halves of the old ones are destroyed; their records must stay for ten days,
for mail that is under way.`,
		Example: "  plic dkim rotate example.org",
		Args:    arguments(1, -1, "the domain"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.eachArgument(c, args, "the next keys sign now for", func(o control.Operations, name string) error {
				return o.DKIM.Rotate(c.Context(), name, force)
			})
		},
		ValidArgsFunction: a.complete(domainNames),
	}
	c.Flags().BoolVar(&force, "force", false, "although the records of the next keys are not published")
	return c
}

func (a *app) dkimImport() *cobra.Command {
	return &cobra.Command{
		Use: "import DOMAIN SELECTOR FILE", Short: "Sign with a key that you have already",
		Long: `Take a private key, a PEM file as OpenDKIM or openssl write it, and sign with it for a
domain in place of plic's own of that kind. Its record is published already, at
SELECTOR._domainkey.DOMAIN.`,
		Example: "  plic dkim import example.org mail /etc/opendkim/keys/mail.private",
		Args:    arguments(3, 3, "the domain, the selector or the file"),
		RunE: func(c *cobra.Command, args []string) error {
			text, err := os.ReadFile(args[2])
			if err != nil {
				return err
			}
			return a.with(c.Context(), func(o control.Operations) error {
				if err := o.DKIM.Import(c.Context(), args[0], args[1], string(text)); err != nil {
					return err
				}
				fmt.Fprintln(a.err, clean(args[1]+" signs now for "+args[0]))
				return nil
			})
		},
		ValidArgsFunction: a.complete(domainNames),
	}
}
