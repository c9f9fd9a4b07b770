package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"plic/internal/arc"
	"plic/internal/control"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/dns"
	"plic/internal/message"
	"plic/internal/spf"
)

// checkCommand checks the store, and holds the questions about senders, which
// need no server.
func (a *app) checkCommand() *cobra.Command {
	c := group(&cobra.Command{
		Use: "check", Short: "Check all that is stored, or ask what the checks of a sender say",
		Long: `Read every record and every message of the site and say what is damaged; a running
server goes on meanwhile.

The commands below it ask what the checks of a sender say, and why: the result comes
first, as header fields spell it, and the reason after it; what would become of a
message; and how the records of a domain are.`,
		Example: "  plic check\n  plic check spf 192.0.2.3 mx.example.org ann@example.org\n  plic check dkim < message.eml",
	}, a.checkSPF(), a.checkDKIM(), a.checkARC(), a.checkDMARC(), a.checkMessage(), a.checkReplay(), a.checkDNS())
	others := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return others(c, args)
		}
		return a.withStorage(c.Context(), func(s control.Storage) error { return a.verifyStore(c.Context(), s) })
	}
	return a.jsonFlag(c)
}

// asking is what the checks have in common: whom to ask, and how to tell.
type asking struct {
	*app
	server string
}

func (a *app) asking(c *cobra.Command) *asking {
	k := &asking{app: a}
	c.Flags().StringVar(&k.server, "resolver", "", "ask the DNS server at `host:port` instead of the system's")
	a.jsonFlag(c)
	return k
}

// servers are the DNS server that was named, or those of the system.
func (k *asking) servers() (dns.Options, error) {
	if k.server != "" {
		return dns.Options{Servers: []string{k.server}, TrustAD: true}, nil
	}
	system, err := dns.ReadSystem("/etc/resolv.conf")
	return dns.Options{Servers: system.Servers, TrustAD: system.TrustAD}, err
}

func (k *asking) resolver() (dns.Resolver, error) {
	o, err := k.servers()
	return dns.New(o), err
}

// tell prints a result and its reason, or all that is known of it as JSON.
func (k *asking) tell(result, reason string, all map[string]any) error {
	if k.json {
		all["result"], all["reason"] = result, reason
		return json.NewEncoder(k.out).Encode(all)
	}
	_, err := fmt.Fprintf(k.out, "%s %s\n", result, clean(reason))
	return err
}

// readLetter reads the message on standard input; it may have bare line feeds.
func (a *app) readLetter() ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(a.in, maxLetter+1))
	if err != nil {
		return nil, fmt.Errorf("read the message: %w", err)
	}
	if len(text) > maxLetter {
		return nil, fmt.Errorf("the message is longer than %d MiB", maxLetter>>20)
	}
	return []byte(strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n", "\r\n")), nil
}

// maxLetter bounds a message on standard input.
const maxLetter = 256 << 20

func (a *app) signedLetter() (*dkim.Message, []byte, error) {
	text, err := a.readLetter()
	if err != nil {
		return nil, nil, err
	}
	m, err := dkim.Read(strings.NewReader(string(text)), int64(len(text)))
	return m, text, err
}

// onLetter runs a command over the message on standard input.
func (k *asking) onLetter(c *cobra.Command, do func(ctx context.Context, r dns.Resolver, m *dkim.Message, text []byte) error) {
	c.RunE = func(c *cobra.Command, _ []string) error {
		m, text, err := k.signedLetter()
		if err != nil {
			return err
		}
		resolver, err := k.resolver()
		if err != nil {
			return err
		}
		return do(c.Context(), resolver, m, text)
	}
}

func (a *app) checkSPF() *cobra.Command {
	var host string
	c := &cobra.Command{
		Use: "spf IP HELO MAIL-FROM", Short: "May this client send in the name of this domain?",
		Long: `Say what SPF (RFC 7208) says of a client with an address and a name that sends
from a reverse-path. "" or <> is the null reverse-path: then the name in HELO is
checked.`,
		Example: "  plic check spf 192.0.2.3 mx.example.org ann@example.org",
		Args:    arguments(3, 3, "an address, a name or a reverse-path"),
	}
	k := a.asking(c)
	c.Flags().StringVar(&host, "host", "", "our `name`, for the explanation of a domain")
	c.RunE = func(c *cobra.Command, args []string) error {
		q, err := spfQuestion(args[0], args[1], args[2])
		if err != nil {
			return err
		}
		resolver, err := k.resolver()
		if err != nil {
			return err
		}
		v := (&spf.Checker{Resolver: resolver, Host: host, Now: a.now}).Check(c.Context(), q)
		reason := v.Reason
		if v.Explanation != "" && !a.json {
			reason += "; the domain says: " + v.Explanation
		}
		return k.tell(v.Result.String(), reason, map[string]any{
			"identity": v.Identity, "domain": v.Domain, "term": v.Term, "explanation": v.Explanation, "lookups": v.Lookups,
		})
	}
	return c
}

func spfQuestion(ip, helo, from string) (spf.Question, error) {
	addr, err := netip.ParseAddr(ip)
	if err != nil {
		return spf.Question{}, usagef("%q is no IP address", ip)
	}
	return spf.Question{IP: addr, Helo: helo, From: strings.TrimSuffix(strings.TrimPrefix(from, "<"), ">")}, nil
}

func (a *app) checkDKIM() *cobra.Command {
	c := &cobra.Command{
		Use: "dkim", Short: "Do the signatures of this message hold?",
		Long: `Check each DKIM signature (RFC 6376) of the message on standard input, a line
for each; none if there is no signature.`,
		Example: "  plic check dkim < message.eml",
		Args:    arguments(0, 0, ""),
	}
	k := a.asking(c)
	k.onLetter(c, func(ctx context.Context, r dns.Resolver, m *dkim.Message, _ []byte) error {
		results, err := (&dkim.Verifier{Resolver: r, Now: a.now}).Verify(ctx, m)
		if err == nil && len(results) == 0 {
			return k.tell("none", "the message has no signature", map[string]any{})
		}
		for _, r := range results {
			reason := r.Reason
			if r.Status != dkim.Pass && !a.json {
				reason = fmt.Sprintf("signature of %s with the key %s: %s", r.Domain, r.Selector, reason)
			}
			if err == nil {
				err = k.tell(string(r.Status), reason, map[string]any{"domain": r.Domain, "selector": r.Selector,
					"identity": r.Identity, "algorithm": r.Algorithm, "bits": r.Bits, "testing": r.Testing})
			}
		}
		return err
	})
	return c
}

func (a *app) checkARC() *cobra.Command {
	c := &cobra.Command{
		Use: "arc", Short: "Does the chain of seals of this message hold?",
		Long:    `Check the ARC chain (RFC 8617) of the message on standard input.`,
		Example: "  plic check arc < message.eml",
		Args:    arguments(0, 0, ""),
	}
	k := a.asking(c)
	k.onLetter(c, func(ctx context.Context, r dns.Resolver, m *dkim.Message, _ []byte) error {
		chain, err := (&arc.Verifier{Resolver: r, Now: a.now}).Verify(ctx, m)
		if err != nil {
			return err
		}
		sealers := make([]string, len(chain.Sets))
		for i, s := range chain.Sets {
			sealers[i] = s.Domain
		}
		return k.tell(string(chain.Status), chain.Reason, map[string]any{
			"sealers": sealers, "unchanged_since": chain.Intact, "temporary": chain.Temporary,
		})
	})
	return c
}

func (a *app) checkDMARC() *cobra.Command {
	var ip, helo, from string
	c := &cobra.Command{
		Use: "dmarc", Short: "Did the author of this message send it?",
		Long: `Say what DMARC (RFC 9989) says of the message on standard input. Its signatures
are checked; with --ip the client that brought it is, too.`,
		Example: "  plic check dmarc --ip 192.0.2.3 --helo mx.example.org --from ann@example.org < message.eml",
		Args:    arguments(0, 0, ""),
	}
	k := a.asking(c)
	c.Flags().StringVar(&ip, "ip", "", "the `address` of the client")
	c.Flags().StringVar(&helo, "helo", "", "the `name` that it gave")
	c.Flags().StringVar(&from, "from", "", "the reverse-`path`")
	k.onLetter(c, func(ctx context.Context, r dns.Resolver, m *dkim.Message, text []byte) error {
		var senders []dmarc.Sender
		if ip != "" {
			q, err := spfQuestion(ip, helo, from)
			if err != nil {
				return err
			}
			v := (&spf.Checker{Resolver: r, Now: a.now}).Check(ctx, q)
			senders = append(senders, dmarc.Sender{Method: "spf", Domain: v.Domain, Pass: v.Result == spf.Pass})
		}
		results, err := (&dkim.Verifier{Resolver: r, Now: a.now}).Verify(ctx, m)
		if err != nil {
			return err
		}
		for _, sig := range results {
			senders = append(senders, dmarc.Sender{Method: "dkim", Domain: sig.Domain, Pass: sig.Status == dkim.Pass, Detail: sig.Selector})
		}
		parsed, err := message.Parse(strings.NewReader(string(text)), message.Limits{})
		if err != nil {
			return err
		}
		author, err := dmarc.Author(parsed.Root.Header)
		if err != nil {
			return k.tell(string(dmarc.PermError), err.Error(), map[string]any{})
		}
		v := (&dmarc.Checker{Resolver: r}).Check(ctx, author, senders)
		return k.tell(string(v.Result), v.Reason, map[string]any{"author": v.Author, "organization": v.Organization,
			"policy": v.Policy, "policy_domain": v.PolicyDomain, "disposition": v.Disposition})
	})
	return c
}
