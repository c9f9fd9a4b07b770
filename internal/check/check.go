// Package check says at the door who may talk, and send what to whom: tables of
// the administrator first, then the rules that every site wants, then limits of
// how much, then a policy server. Each answer is a status with its reason; no
// answer lets the session go on.
//
// RFC 5321 sections 4.1.4 (HELO) and 4.5.3 (limits), RFC 7505 (senders in
// domains that take no mail), RFC 7504 section 3 (who gets no service).
package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/table"
)

// Options are the rules of a door. The zero value lets everything pass.
type Options struct {
	Host     string // our name, which no client may give as its own
	Resolver dns.Resolver
	Now      func() time.Time
	// Clients is asked for addresses, networks by cidr tables, and confirmed
	// names; Helos for names in HELO; Senders and Recipients for addresses, then
	// their domains. Values are actions: see parse.
	Clients, Helos, Senders, Recipients table.List
	// UnknownSenders lets senders pass whose domain does not exist.
	UnknownSenders bool
	// StrictHelo refuses names in HELO that are not fully qualified.
	StrictHelo bool
	Rates      Rates
	// Listed says why a client gets no service, "" if it does; nil for nobody.
	Listed func(ctx context.Context, o *mail.Origin) string
	Policy *Policy // nil for none
}

// Door holds the rules. Its methods may be called at the same time; their
// errors are *mail.Failure.
type Door struct {
	o     Options
	rates *limiter
}

// New makes a Door.
func New(o Options) *Door {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Door{o: o, rates: newLimiter(o.Now)}
}

// stranger says that a client is nobody we know: the rules of the field are for
// such alone.
func stranger(o *mail.Origin) bool { return o.Service == "smtp" && o.Account == "" }

// Client is asked before a client is greeted.
func (d *Door) Client(ctx context.Context, o *mail.Origin) error {
	if !stranger(o) || !o.Remote.IsValid() {
		return nil
	}
	keys := []string{o.Remote.Addr().String()}
	if o.Name != "" {
		keys = append(keys, domains(o.Name)...)
	}
	if done, err := d.look(ctx, d.o.Clients, "client "+keys[0], keys...); done || err != nil {
		return err
	}
	if d.o.Rates.Connections > 0 && !loopback(o) && !d.rates.take("c"+network(o), 1, d.o.Rates.Connections, time.Minute) {
		return refused("client "+keys[0], mail.Reply(421, "4.7.0", "too many connections from your network, come back in a minute"))
	}
	return nil
}

// Hello is asked when a client has said who it is.
func (d *Door) Hello(ctx context.Context, o *mail.Origin) error {
	if !stranger(o) {
		return nil
	}
	helo := strings.ToLower(strings.TrimSuffix(o.Helo, "."))
	if done, err := d.look(ctx, d.o.Helos, "HELO "+o.Helo, domains(helo)...); done || err != nil {
		return err
	}
	switch {
	case loopback(o):
		return nil
	case d.o.Host != "" && helo == strings.ToLower(d.o.Host):
		return refused("HELO "+o.Helo, mail.Reply(550, "5.7.1", "that is our name, not yours"))
	case d.o.StrictHelo && !strings.Contains(helo, ".") && !strings.HasPrefix(helo, "["):
		return refused("HELO "+o.Helo, mail.Reply(550, "5.5.2", "say your full host name"))
	}
	if _, err := netip.ParseAddr(helo); err == nil {
		return refused("HELO "+o.Helo, mail.Reply(550, "5.5.2", "an address stands in brackets, RFC 5321 section 4.1.3"))
	}
	return nil
}

// Sender is asked at MAIL.
func (d *Door) Sender(ctx context.Context, env *mail.Envelope) error {
	o := &env.Origin
	if !env.From.IsNull() {
		if done, err := d.look(ctx, d.o.Senders, "sender "+env.From.String(), addressKeys(env.From)...); done || err != nil {
			return err
		}
	}
	if err := d.volume(o, "m", 1, d.o.Rates.Messages, "messages"); err != nil {
		return err
	}
	if !stranger(o) || d.o.UnknownSenders || d.o.Resolver == nil || env.From.IsNull() || loopback(o) {
		return nil
	}
	return d.exists(ctx, env.From.Domain)
}

// exists says that mail can go back to a domain: it has an exchanger or an
// address.
func (d *Door) exists(ctx context.Context, domain mail.Domain) error {
	if _, literal := domain.Literal(); literal || domain.IsZero() {
		return nil
	}
	name := domain.String()
	mxs, _, err := d.o.Resolver.MX(ctx, name)
	switch {
	case err == nil && len(mxs) == 1 && mxs[0].Null():
		return refused("sender in "+name, mail.Reply(550, "5.7.27", "the domain "+name+" takes no mail, so it sends none"))
	case err == nil:
		return nil
	case dns.IsTemporary(err):
		return &mail.Failure{Op: "sender in " + name, Err: err, Status: mail.Reply(451, "4.4.3", "the domain "+name+" cannot be looked up now")}
	}
	_, _, err = d.o.Resolver.Addrs(ctx, name)
	switch {
	case err == nil:
		return nil
	case dns.IsTemporary(err):
		return &mail.Failure{Op: "sender in " + name, Err: err, Status: mail.Reply(451, "4.4.3", "the domain "+name+" cannot be looked up now")}
	}
	return refused("sender in "+name, mail.Reply(550, "5.1.8", "the domain "+name+" does not exist, or takes no mail"))
}

// Recipient is asked at RCPT, after it is known that the recipient exists.
func (d *Door) Recipient(ctx context.Context, env *mail.Envelope, to mail.Recipient) error {
	if done, err := d.look(ctx, d.o.Recipients, "recipient "+to.Address.String(), addressKeys(to.Address)...); done || err != nil {
		return err
	}
	if err := d.volume(&env.Origin, "r", 1, d.o.Rates.Recipients, "recipients"); err != nil {
		return err
	}
	if !stranger(&env.Origin) {
		return nil
	}
	if d.o.Listed != nil && !loopback(&env.Origin) && !mustHear(to.Address) {
		if why := d.o.Listed(ctx, &env.Origin); why != "" {
			return refused("client "+env.Origin.Remote.Addr().String(), mail.Reply(550, "5.7.1", why))
		}
	}
	if d.o.Policy == nil {
		return nil
	}
	answer, err := d.o.Policy.Ask(ctx, "RCPT", env, &to)
	if err != nil {
		if d.o.Policy.o.Open {
			return nil
		}
		return &mail.Failure{Op: "ask the policy server", Err: err, Status: mail.Reply(451, "4.3.5", "a check cannot be made now, try again later")}
	}
	_, err = verdict("policy server on "+to.Address.String(), answer)
	return err
}

// mustHear are those whom also a client may write to that is refused, RFC 2142 section
// 5 and RFC 5782 section 7.
func mustHear(a mail.Address) bool {
	return strings.EqualFold(a.Local, "postmaster") || strings.EqualFold(a.Local, "abuse")
}

// volume counts what an account or a network sends.
func (d *Door) volume(o *mail.Origin, kind string, n int, most Volume, what string) error {
	switch {
	case o.Account != "":
		if most.Account > 0 && !d.rates.take(kind+"a"+o.Account, n, most.Account, 24*time.Hour) {
			return refused("account "+o.Account, mail.Reply(451, "4.7.0", "too many "+what+" from this account for a day, try again later"))
		}
	case o.Remote.IsValid() && !loopback(o):
		if most.Network > 0 && !d.rates.take(kind+network(o), n, most.Network, time.Hour) {
			return refused("network of "+o.Remote.Addr().String(), mail.Reply(451, "4.7.0", "too many "+what+" from your network, try again later"))
		}
	}
	return nil
}

// look asks a table for the first of some keys; done says that its answer ends
// the checks of this stage.
func (d *Door) look(ctx context.Context, list table.List, what string, keys ...string) (done bool, err error) {
	for _, key := range keys {
		value, found, err := list.Lookup(ctx, key)
		if err != nil {
			return false, &mail.Failure{Op: "look up " + what, Err: err, Status: mail.Reply(451, "4.3.0", "a table does not answer, try again later")}
		}
		if found {
			return verdict(what, value)
		}
	}
	return false, nil
}

// verdict reads an action, as Postfix's access tables have it: OK, DUNNO, REJECT
// text, DEFER text, or a reply code with text. Done says that no other check of
// the stage is made.
func verdict(what, action string) (done bool, err error) {
	word, text, _ := strings.Cut(strings.TrimSpace(action), " ")
	text = strings.TrimSpace(text)
	switch strings.ToUpper(word) {
	case "OK", "PERMIT", "RELAY":
		return true, nil
	case "", "DUNNO":
		return false, nil
	case "REJECT":
		return true, refused(what, mail.Reply(554, "5.7.1", orElse(text, "you are not welcome here")))
	case "DEFER", "DEFER_IF_PERMIT":
		return true, refused(what, mail.Reply(450, "4.7.1", orElse(text, "not now, try again later")))
	}
	code, e := strconv.Atoi(word)
	if e != nil || code < 400 || code > 599 {
		return true, &mail.Failure{Op: what, Err: fmt.Errorf("the action %q is unknown", action),
			Status: mail.Reply(451, "4.3.5", "a check is set up wrongly here, try again later")}
	}
	enhanced := fmt.Sprintf("%d.7.1", code/100)
	if first, rest, ok := strings.Cut(text, " "); ok && len(first) >= 5 && first[1] == '.' && int(first[0]-'0') == code/100 {
		enhanced, text = first, rest
	}
	return true, refused(what, mail.Reply(code, enhanced, orElse(text, "refused by a rule here")))
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func refused(what string, st mail.Status) error {
	return &mail.Failure{Op: what, Status: st, Err: errors.New("by the rules of the door")}
}

func loopback(o *mail.Origin) bool { return !o.Remote.IsValid() || o.Remote.Addr().IsLoopback() }

// network is what strangers are counted by: an IPv4 /24 or an IPv6 /64.
func network(o *mail.Origin) string {
	addr, bits := o.Remote.Addr().Unmap(), 24
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.WithZone("").Prefix(bits) // the bits suit the address
	return p.String()
}

// domains are a name and those above it, which match as ".example.org".
func domains(name string) []string {
	keys := []string{name}
	for rest := name; ; {
		_, above, ok := strings.Cut(rest, ".")
		if !ok {
			return keys
		}
		keys, rest = append(keys, "."+above), above
	}
}

// addressKeys are an address, its domain, those above, and its local part
// anywhere.
func addressKeys(a mail.Address) []string {
	keys := append([]string{a.Key()}, domains(a.Domain.String())...)
	return append(keys, a.Local+"@")
}
