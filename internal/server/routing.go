package server

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/deliver/pipe"
	"plic/internal/deliver/remote"
	"plic/internal/dmarc"
	"plic/internal/mail"
	"plic/internal/post"
	"plic/internal/route"
	"plic/internal/srs"
	"plic/internal/table"
	"plic/internal/vfs"
)

// opener opens the tables of settings and gathers what is wrong with them.
type opener struct {
	o    table.Options
	errs []error
}

func (op *opener) open(setting string, specs []string) table.List {
	list, err := table.OpenAll(specs, op.o)
	if err != nil {
		op.errs = append(op.errs, fmt.Errorf("%s: %w", setting, err))
	}
	return list
}

// lists opens the tables that an inline table names.
func (op *opener) lists(setting string, specs []string) map[string]table.List {
	all := map[string]table.List{}
	for _, spec := range specs {
		text, inline := strings.CutPrefix(spec, "inline:")
		pairs, err := table.ParseInline(text)
		if !inline {
			err = errors.New("it must be written {name = table}")
		}
		if err != nil {
			op.errs = append(op.errs, fmt.Errorf("%s: %w", setting, err))
		}
		for name, of := range pairs {
			all[name] = op.open(setting+"."+name, []string{of})
		}
	}
	return all
}

// values checks what the settings themselves give as values of tables. What
// stands in files is looked at when it is needed.
func (op *opener) values(setting string, specs []string, check func(string) error) {
	for _, spec := range specs {
		text, inline := strings.CutPrefix(spec, "inline:")
		if !inline {
			continue
		}
		pairs, _ := table.ParseInline(text) // open has said what is wrong
		for _, key := range slices.Sorted(maps.Keys(pairs)) {
			if err := check(pairs[key]); err != nil {
				op.errs = append(op.errs, fmt.Errorf("%s: %q: %w", setting, key, err))
			}
		}
	}
}

// isWay checks a transport.
func isWay(text string) error {
	_, err := route.ParseWay(text)
	return err
}

// isAddress checks an address that gets copies.
func isAddress(text string) error {
	_, err := mail.ParseAddress(text)
	return err
}

// routing are the parts of a site that tables decide.
type routing struct {
	router   *route.Router
	rules    table.List
	logins   table.List
	commands table.List
	programs table.List            // that scripts may run
	lists    map[string]table.List // that scripts may ask
}

// newRouting opens the tables and makes the router of a site.
func (s *site) newRouting(relay *mail.Hop) (*routing, error) {
	c := s.config
	r := c.Route
	op := opener{o: s.tables()}
	all := &routing{
		rules:    op.open("route.header_rules", r.HeaderRules),
		logins:   op.open("route.logins", r.Logins),
		commands: op.open("route.commands", r.Commands),
		programs: op.open("sieve.programs", c.Sieve.Programs),
		lists:    op.lists("sieve.lists", c.Sieve.Lists),
	}
	tables := route.Tables{
		LocalDomains:     op.open("route.local_domains", r.LocalDomains),
		RelayDomains:     op.open("route.relay_domains", r.RelayDomains),
		RelayRecipients:  op.open("route.relay_recipients", r.RelayRecipients),
		Aliases:          op.open("route.aliases", r.Aliases),
		Transports:       op.open("route.transports", r.Transports),
		SenderTransports: op.open("route.sender_transports", r.SenderTransports),
		SmartHosts:       op.open("route.smart_hosts", r.SmartHosts),
		Logins:           all.logins,
		Sources:          op.open("route.source_addresses", r.Sources),
		SenderBcc:        op.open("route.sender_bcc", r.SenderBcc),
		RecipientBcc:     op.open("route.recipient_bcc", r.RecipientBcc),
		Canonical:        op.open("rewrite.canonical", c.Rewrite.Canonical),
		SenderForm:       op.open("rewrite.sender_canonical", c.Rewrite.SenderCanonical),
		RecipientForm:    op.open("rewrite.recipient_canonical", c.Rewrite.RecipientCanonical),
	}
	op.values("route.transports", r.Transports, isWay)
	op.values("route.sender_transports", r.SenderTransports, isWay)
	op.values("route.commands", r.Commands, pipe.CheckCommand)
	op.values("sieve.programs", c.Sieve.Programs, pipe.CheckCommand)
	op.values("route.sender_bcc", r.SenderBcc, isAddress)
	op.values("route.recipient_bcc", r.RecipientBcc, isAddress)
	rewriter, err := s.srs()
	if err := errors.Join(append(op.errs, err)...); err != nil {
		return nil, err
	}
	all.router = route.New(route.Options{
		Directory: s.people, Tables: tables, Hostname: c.Hostname, Separator: c.Directory.PlusSeparator,
		Relay: relay, SRS: rewriter, FS: vfs.Disk(), AlwaysBcc: r.AlwaysBcc,
		Masquerade: c.Rewrite.Masquerade, MasqueradeExcept: c.Rewrite.MasqueradeExcept,
	})
	return all, nil
}

// srs makes the rewriter of forwarded senders, nil if none is wanted.
func (s *site) srs() (*srs.Rewriter, error) {
	c := s.config
	if !c.Rewrite.SRS {
		return nil, nil
	}
	o := srs.Options{Domain: c.Rewrite.SRSDomain, MaxAge: c.Rewrite.SRSMaxAge}
	if o.Domain.IsZero() {
		o.Domain = c.Hostname
	}
	if c.Rewrite.SRSSecrets == "" {
		mac := hmac.New(sha256.New, s.directory.Secret())
		mac.Write([]byte("srs"))
		o.Secrets = [][]byte{mac.Sum(nil)}
		return srs.New(o), nil
	}
	f, err := os.Open(c.Rewrite.SRSSecrets)
	if err != nil {
		return nil, fmt.Errorf("rewrite.srs_secrets: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if secret := strings.TrimSpace(lines.Text()); secret != "" {
			o.Secrets = append(o.Secrets, []byte(secret))
		}
	}
	if lines.Err() != nil || len(o.Secrets) == 0 {
		return nil, fmt.Errorf("rewrite.srs_secrets: %s holds no secret (%w)", c.Rewrite.SRSSecrets, lines.Err())
	}
	return srs.New(o), nil
}

// login gives the credentials that a hop names: those of the smart host, or
// those of the table of logins. They are read anew each time, so that they can
// be changed without a restart.
func (all *routing) login(r config.Remote) func(string) (remote.Login, bool) {
	smart := logins(r)
	return func(name string) (remote.Login, bool) {
		if login, ok := smart(name); ok {
			return login, true
		}
		value, found, err := all.logins.Lookup(context.Background(), name)
		user, password, ok := strings.Cut(value, ":")
		return remote.Login{User: user, Password: password}, found && ok && err == nil
	}
}

// pipes is the transport to the programs of this host.
func (s *site) pipes() *pipe.Transport {
	r := s.config.Route
	return pipe.New(pipe.Options{
		Command: s.routing.commands.Lookup, Program: s.routing.programs.Lookup, User: r.CommandUser, Timeout: r.CommandTimeout,
		FS: vfs.Disk(), Journal: s.journal, Log: s.log, Separator: s.config.Directory.PlusSeparator,
	})
}

// dialFrom keeps to one family of addresses and starts from an address of ours.
func dialFrom(f config.Family) func(context.Context, netip.Addr, string, string) (net.Conn, error) {
	return func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
		return d.DialContext(ctx, inFamily(f, network), address)
	}
}

// inFamily is a network of one family; a socket of this host has none.
func inFamily(f config.Family, network string) string {
	if network != "tcp" {
		return network
	}
	return map[config.Family]string{config.IPv4: "tcp4", config.IPv6: "tcp6", config.AnyFamily: "tcp"}[f]
}

// ways is control.Route over the router.
type ways struct{ s *site }

// Explain tells every step of the way of a recipient.
func (w ways) Explain(ctx context.Context, q control.RouteQuery) (control.Way, error) {
	var way control.Way
	to, err := parseRecipient(q.To)
	if err != nil {
		return way, err
	}
	var from mail.Address
	if text := strings.Trim(q.From, "<>"); text != "" {
		if from, err = mail.ParseAddress(text); err != nil {
			return way, err
		}
	}
	router := w.s.routing.router
	e, err := router.Explain(ctx, from, to)
	way.From, way.To = e.Sender.String(), to.String()
	for _, s := range e.Steps {
		way.Steps = append(way.Steps, control.RouteStep(s))
	}
	if err != nil {
		way.Refused, way.Reason = mail.StatusOf(err).String(), mail.Cause(err)
		return way, nil
	}
	for _, d := range e.Destinations {
		way.Destinations = append(way.Destinations, w.destination(ctx, d))
		if d.Hop.Kind == mail.HopRemote && d.Account == "" && !d.Discard && d.Address != to {
			way.Destinations[len(way.Destinations)-1].Onward = w.onward(ctx, from, to)
		}
	}
	copies, err := router.Copies(ctx, e.Sender, []mail.Recipient{{Address: to}})
	if err != nil {
		way.Reason = mail.Cause(err)
	}
	for _, a := range copies {
		way.Copies = append(way.Copies, a.String())
	}
	return way, nil
}

// onward says what becomes of the author of mail that is sent on by an address of ours,
// if its domain is that of the sender.
func (w ways) onward(ctx context.Context, from, by mail.Address) string {
	if from.IsNull() || w.s.local(ctx, from.Domain) {
		return ""
	}
	v := (&dmarc.Checker{Resolver: w.s.resolver}).Check(ctx, from.Domain.String(), nil)
	policy := v.Record.Tried(v.Policy)
	if v.PolicyDomain == "" || policy == dmarc.NoPolicy {
		return ""
	}
	what := map[post.Onward]string{
		post.ReplaceAuthor: "goes on in the name of " + by.String(), post.KeepAuthor: "goes on as it is", post.RefuseOnward: "is refused",
	}[onwards(w.s.config)]
	return fmt.Sprintf("what has no signature of %s that holds %s: %s asks for %s (DMARC)", from.Domain, what, v.PolicyDomain, policy)
}

func (w ways) destination(ctx context.Context, d route.Destination) control.Destination {
	to := control.Destination{Address: d.Address.String(), From: d.From.String(), Account: d.Account, Detail: d.Detail, Hold: d.Hold, Discard: d.Discard}
	if d.Account != "" || d.Discard {
		return to
	}
	to.Hop = &d.Hop
	if d.Hop.Kind != mail.HopRemote && d.Hop.Kind != mail.HopLMTP {
		return to
	}
	var err error
	if to.Hosts, err = w.s.transport.Places(ctx, d.Hop); err != nil {
		to.Trouble = err.Error()
	}
	return to
}

// parseRecipient reads an address, or the postmaster without a domain.
func parseRecipient(text string) (mail.Address, error) {
	text = strings.Trim(text, "<>")
	if strings.EqualFold(text, "postmaster") {
		return mail.Address{Local: text}, nil
	}
	return mail.ParseAddress(text)
}
