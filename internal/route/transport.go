package route

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"plic/internal/mail"
	"plic/internal/table"
)

// Way is what a transport says of mail.
type Way struct {
	Hop     mail.Hop     // "" as Host stands for the recipient's domain
	Hold    bool         // it waits in the queue until somebody releases it
	Discard bool         // it is thrown away
	Refuse  *mail.Status // it is refused
	Usual   bool         // nothing is said beside Hold
}

// ParseWay reads a transport:
//
//	smtp                     the MX of the domain
//	smtp:example.net:26      the MX of that domain
//	smtp:[mx.example.net]    that host
//	lmtp:unix:/run/lmtp      that socket
//	lmtp:store.example.net   that host
//	pipe:name                the command of that name
//	discard, error:5.7.1 text, hold, hold:smtp:[host]
func ParseWay(text string) (w Way, err error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(kind) {
	case "":
		if rest == "" {
			return Way{Usual: true}, nil
		}
		w.Hop, err = parseHost(mail.HopRemote, rest)
	case "smtp", "relay":
		w.Hop, err = parseHost(mail.HopRemote, rest)
	case "lmtp":
		w.Hop, err = parseLMTP(rest)
	case "pipe":
		if rest == "" {
			err = errors.New(`the command is missing: write "pipe:name"`)
		}
		w.Hop = mail.Hop{Kind: mail.HopPipe, Host: rest, Exact: true}
	case "discard":
		w.Discard = true
	case "error", "refuse":
		w.Refuse, err = ParseRefusal(rest)
	case "hold":
		if w, err = ParseWay(rest); err == nil {
			w.Hold = true
		}
	default:
		err = fmt.Errorf(`%q is no transport: it may be smtp, lmtp, pipe, discard, error or hold`, text)
	}
	return w, err
}

// parseHost reads "host", "host:port" and both with the host in brackets, for
// which no MX is looked up. Nothing stands for the recipient's domain.
func parseHost(kind mail.HopKind, text string) (mail.Hop, error) {
	hop := mail.Hop{Kind: kind}
	if text == "" {
		return hop, nil
	}
	host, port := text, ""
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return hop, fmt.Errorf("%q has no closing bracket", text)
		}
		host, port, hop.Exact = text[1:end], strings.TrimPrefix(text[end+1:], ":"), true
		if port == "" && end+1 < len(text) {
			return hop, fmt.Errorf("%q: only a port may follow the bracket", text)
		}
		if len(host) > 5 && strings.EqualFold(host[:5], "ipv6:") {
			host = host[5:]
		}
	} else if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return hop, fmt.Errorf("%q is no port", port)
		}
		hop.Port = uint16(n)
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Zone() == "" {
		hop.Host, hop.Exact = a.String(), true
		return hop, nil
	}
	d, err := mail.ParseDomain(host)
	hop.Host = d.String()
	return hop, err
}

func parseLMTP(text string) (mail.Hop, error) {
	text = strings.TrimPrefix(text, "inet:")
	socket, ok := strings.CutPrefix(text, "unix:")
	if ok || strings.HasPrefix(text, "/") {
		if !ok {
			socket = text
		}
		if !path.IsAbs(socket) {
			return mail.Hop{}, fmt.Errorf(`%q is no socket: write "lmtp:unix:/path"`, text)
		}
		return mail.Hop{Kind: mail.HopLMTP, Host: "unix:" + path.Clean(socket), Exact: true}, nil
	}
	hop, err := parseHost(mail.HopLMTP, text)
	if err == nil && hop.Host == "" {
		err = errors.New(`the host is missing: write "lmtp:unix:/path" or "lmtp:host"`)
	}
	hop.Exact = true // LMTP knows no MX
	return hop, err
}

// ParseRefusal reads "[code] [enhanced code] text".
func ParseRefusal(text string) (*mail.Status, error) {
	s := mail.Reply(550, "5.0.0", "mail for this address is refused")
	first, rest, _ := strings.Cut(text, " ")
	if n, err := strconv.Atoi(first); err == nil && len(first) == 3 {
		if n < 400 || n > 599 {
			return nil, fmt.Errorf("%d refuses nothing: it may be 400 to 599", n)
		}
		s.Code = n
		s.Enhanced[0] = uint16(n / 100)
		first, rest, _ = strings.Cut(strings.TrimSpace(rest), " ")
		text = strings.TrimSpace(first + " " + rest)
	}
	var e mail.Enhanced
	if n, _ := fmt.Sscanf(first, "%d.%d.%d", &e[0], &e[1], &e[2]); n == 3 && e.String() == first {
		if e[0] != 4 && e[0] != 5 {
			return nil, fmt.Errorf("%s is no code of a refusal", first)
		}
		if uint16(s.Code/100) != e[0] {
			s.Code = int(e[0])*100 + 50
		}
		s.Enhanced, text = e, strings.TrimSpace(rest)
	}
	if text != "" {
		s.Text = text
	}
	return &s, nil
}

// way asks a table for the transport of an address elsewhere.
func (w *walk) way(ctx context.Context, step string, list table.List, of mail.Address) (Way, bool, error) {
	if len(list) == 0 {
		return Way{}, false, nil
	}
	return w.parseWay(ctx, step, list, transportKeys(of, w.router.o.Separator))
}

// own asks for the transport of an address of ours, which must be named: what is
// said of all mail does not mean it.
func (w *walk) own(ctx context.Context, of mail.Address) (Way, bool, error) {
	list := w.router.o.Tables.Transports
	if len(list) == 0 {
		return Way{}, false, nil
	}
	return w.parseWay(ctx, "transport", list, append(addressKeys(of, w.router.o.Separator, true), of.Domain.String()))
}

// parseWay reads what a table says. A transport that says nothing is none.
func (w *walk) parseWay(ctx context.Context, step string, list table.List, keys []string) (way Way, found bool, err error) {
	a, err := w.ask(ctx, step, list, keys...)
	if err != nil || !a.found {
		return Way{}, false, err
	}
	if way, err = ParseWay(a.value); err != nil {
		return Way{}, false, wrong("read the "+step+" of "+a.key, err)
	}
	return way, !way.Usual || way.Hold, nil
}

// leave finds the way of a recipient to elsewhere.
func (w *walk) leave(ctx context.Context, p at, class Class) error {
	t := &w.router.o.Tables
	way, found, err := w.way(ctx, "transport", t.Transports, p.to)
	if err == nil && !found && class == Foreign {
		way, found, err = w.way(ctx, "sender transport", t.SenderTransports, p.from)
	}
	if err != nil {
		return err
	}
	if !found {
		way.Usual = true
	}
	return w.end(ctx, p, way, class)
}

// end is a destination by a way.
func (w *walk) end(ctx context.Context, p at, way Way, class Class) error {
	d := Destination{Address: p.to, From: p.from, List: p.list, Hop: way.Hop, Hold: way.Hold, Discard: way.Discard}
	switch {
	case way.Refuse != nil:
		return failure(p.to, *way.Refuse, errByTable)
	case way.Discard:
		w.found = append(w.found, d)
		return nil
	}
	smart := false
	if way.Usual {
		var err error
		if d.Hop, smart, err = w.usual(ctx, p, class); err != nil {
			return err
		}
	}
	var err error
	switch {
	case d.Hop.Kind == mail.HopRemote:
		if d.Hop.Host == "" {
			d.Hop = direct(p.to.Domain)
		}
		err = errors.Join(w.login(ctx, p, &d.Hop, smart), w.source(ctx, p, &d.Hop))
		if err == nil {
			err = w.rewriteSender(ctx, p, &d)
		}
	case d.Hop.Kind == mail.HopLMTP && !strings.HasPrefix(d.Hop.Host, "unix:"):
		err = w.login(ctx, p, &d.Hop, false)
	}
	if err != nil {
		return err
	}
	w.found = append(w.found, d)
	return nil
}

// errByTable says that the administrator wants it so.
var errByTable = errors.New("a transport refuses it")

// direct is the hop to the MX of a domain, or to an address.
func direct(d mail.Domain) mail.Hop {
	if ip, literal := d.Literal(); literal {
		return mail.Hop{Kind: mail.HopRemote, Host: ip.String(), Exact: true}
	}
	return mail.Hop{Kind: mail.HopRemote, Host: d.String()}
}

// usual is the hop of mail that no transport is set for: a smart host of the
// sender or of all takes what is not for a domain that we relay for.
func (w *walk) usual(ctx context.Context, p at, class Class) (hop mail.Hop, smart bool, err error) {
	if class != Foreign {
		return direct(p.to.Domain), false, nil
	}
	var a answer
	if list := w.router.o.Tables.SmartHosts; len(list) > 0 {
		a, err = w.ask(ctx, "smart host", list, addressKeys(p.from, w.router.o.Separator, true)...)
	}
	switch {
	case err != nil:
		return hop, false, err
	case a.found && a.value != "" && !strings.EqualFold(a.value, "direct"):
		if hop, err = parseHost(mail.HopRemote, a.value); err != nil {
			return hop, false, wrong("read the smart host of "+a.key, err)
		}
		if hop.Host == "" {
			return hop, false, wrong("read the smart host of "+a.key, errors.New("it names no host"))
		}
		return hop, true, nil
	case !a.found && w.router.o.Relay != nil:
		return *w.router.o.Relay, true, nil
	}
	return direct(p.to.Domain), false, nil
}

// login gives a hop the credentials that a table has for it. A sender's password
// goes to smart hosts only, never to whoever is the MX of a domain.
func (w *walk) login(ctx context.Context, p at, hop *mail.Hop, smart bool) error {
	t := &w.router.o.Tables
	if len(t.Logins) == 0 || hop.Login != "" {
		return nil
	}
	host := hop.Host
	keys := []string{"[" + host + "]", host}
	if hop.Port != 0 {
		port := ":" + strconv.Itoa(int(hop.Port))
		keys = append([]string{"[" + host + "]" + port, host + port}, keys...)
	}
	if smart {
		keys = append(addressKeys(p.from, w.router.o.Separator, true), keys...)
	}
	a, err := w.ask(ctx, "login", t.Logins, keys...)
	if err == nil && a.found {
		hop.Login = a.key
	}
	return err
}

// source gives a hop the source address that a table has for the sender or the domain.
func (w *walk) source(ctx context.Context, p at, hop *mail.Hop) error {
	t := &w.router.o.Tables
	if len(t.Sources) == 0 {
		return nil
	}
	keys := append(addressKeys(p.from, w.router.o.Separator, true), p.to.Domain.String())
	a, err := w.ask(ctx, "source address", t.Sources, keys...)
	if err != nil || !a.found {
		return err
	}
	var sources []string
	for _, text := range strings.FieldsFunc(a.value, func(r rune) bool { return r == ',' || r == ' ' }) {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return wrong("read the source address of "+a.key, err)
		}
		sources = append(sources, addr.String())
	}
	hop.Source = strings.Join(sources, " ")
	return nil
}

// rewriteSender gives mail that an alias of ours sends on a sender that is ours,
// so that the next host does not take us for somebody who forges it.
func (w *walk) rewriteSender(ctx context.Context, p at, d *Destination) error {
	if p.depth == 0 {
		return nil
	}
	from, ok, err := w.router.forwarded(ctx, p.from)
	if err != nil || from == p.from && !ok {
		return err
	}
	w.note(Step{Step: "rewrite sender", Key: p.from.String(), Found: ok, Answer: from.String()})
	d.From = from
	return nil
}

// Forwarded is the sender of mail that an account of ours sends on to another
// host: one of ours, where SRS is on.
func (r *Router) Forwarded(ctx context.Context, from mail.Address) (mail.Address, error) {
	from, _, err := r.forwarded(ctx, from)
	return from, err
}

// forwarded rewrites a sender that is not ours; ok says that it could.
func (r *Router) forwarded(ctx context.Context, from mail.Address) (_ mail.Address, ok bool, err error) {
	if r.o.SRS == nil || from.IsNull() {
		return from, false, nil
	}
	class, err := (&walk{router: r}).class(ctx, from.Domain)
	if err != nil || class == Local {
		return from, false, err
	}
	from, ok = r.o.SRS.Forward(from)
	return from, ok, nil
}

// addressKeys are the keys of an address: whole, without its detail, and its
// domain if that is wanted.
func addressKeys(a mail.Address, separator string, domain bool) []string {
	if a.IsNull() {
		return []string{"<>"}
	}
	keys := []string{a.String()}
	if base, _ := a.Detail(separator); base != a {
		keys = append(keys, base.String())
	}
	if domain && !a.Domain.IsZero() {
		keys = append(keys, "@"+a.Domain.String())
	}
	return keys
}

// transportKeys are those of an address, its domain, all domains above it, and
// "*" for everything.
func transportKeys(a mail.Address, separator string) []string {
	keys := addressKeys(a, separator, true)
	name := a.Domain.String()
	if name != "" {
		keys = append(keys, name)
	}
	if _, literal := a.Domain.Literal(); !literal {
		for _, above, ok := strings.Cut(name, "."); ok; _, above, ok = strings.Cut(above, ".") {
			keys = append(keys, "."+above)
		}
	}
	return append(keys, "*")
}
