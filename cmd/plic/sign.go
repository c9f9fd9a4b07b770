package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"plic/internal/arc"
	"plic/internal/dkim"
	"plic/internal/dns"
)

// signCommand signs a message on standard input.
func (a *app) signCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "sign", Short: "Sign a message on standard input",
		Long: `Print the header fields that sign the message on standard input. They belong
before its first line.`,
		Example: "  plic sign dkim --domain example.org --selector a --key a.pem < message.eml",
	}, a.signDKIM(), a.signARC())
}

// signer has the flags of those that sign.
func (a *app) signer(c *cobra.Command) func() (*dkim.Signer, error) {
	var domain, selector, file string
	c.Flags().StringVar(&domain, "domain", "", "who signs")
	c.Flags().StringVar(&selector, "selector", "", "the `name` of the key below _domainkey of the domain")
	c.Flags().StringVar(&file, "key", "", "the private key, a PEM `file`: PKCS #8 (RSA or Ed25519) or PKCS #1")
	return func() (*dkim.Signer, error) {
		if domain == "" || selector == "" || file == "" {
			return nil, usagef("--domain, --selector and --key are needed")
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		key, err := dkim.ReadKey(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		return &dkim.Signer{Domain: domain, Selector: selector, Key: key, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: a.now}, nil
	}
}

func (a *app) signDKIM() *cobra.Command {
	c := &cobra.Command{
		Use: "dkim", Short: "Make a DKIM signature",
		Long:    `Print the DKIM-Signature field (RFC 6376, RFC 8463) of the message on standard input.`,
		Example: "  plic sign dkim --domain example.org --selector a --key a.pem < message.eml",
		Args:    arguments(0, 0, ""),
	}
	signer := a.signer(c)
	c.RunE = func(*cobra.Command, []string) error {
		s, err := signer()
		if err != nil {
			return err
		}
		m, _, err := a.signedLetter()
		if err != nil {
			return err
		}
		field, err := s.Sign(m)
		if err == nil {
			_, err = a.out.Write(field)
		}
		return err
	}
	return c
}

func (a *app) signARC() *cobra.Command {
	var results string
	c := &cobra.Command{
		Use: "arc", Short: "Extend the chain of seals",
		Long: `Check the ARC chain (RFC 8617) of the message on standard input, and print the
three fields that extend it. A chain that was sealed as broken is not extended.`,
		Example: "  plic sign arc --domain example.org --selector a --key a.pem --results 'mx.example.org; spf=pass' < message.eml",
		Args:    arguments(0, 0, ""),
	}
	signer := a.signer(c)
	k := a.asking(c)
	c.Flags().StringVar(&results, "results", "", "what was found of the message, as Authentication-Results has it (default \"DOMAIN; arc=STATE\")")
	k.onLetter(c, func(ctx context.Context, r dns.Resolver, m *dkim.Message, _ []byte) error {
		s, err := signer()
		if err != nil {
			return err
		}
		chain, err := (&arc.Verifier{Resolver: r, Now: a.now}).Verify(ctx, m)
		if err != nil {
			return err
		}
		if results == "" {
			results = fmt.Sprintf("%s; arc=%s", s.Domain, chain.Status)
		}
		set, err := arc.Seal(s, m, chain, results)
		if err == nil && set == nil {
			err = fmt.Errorf("the chain cannot be extended: %s", chain.Reason)
		}
		if err == nil {
			_, err = a.out.Write(set)
		}
		return err
	})
	return c
}
