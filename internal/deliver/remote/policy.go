package remote

import (
	"context"
	"crypto/tls"
	"net/netip"

	"plic/internal/mail"
)

// Policy says how much TLS a host must have.
type Policy int

// The policies.
const (
	Opportunistic Policy = iota // TLS with whoever it is, clear text if there is none
	Cleartext                   // no TLS
	Encrypted                   // TLS with whoever it is, or no mail
	Verified                    // TLS with a certificate for the host's name, or no mail
)

// Peer is a host that may take mail for a hop, with how sure we are of it.
type Peer struct {
	Hop  mail.Hop
	Host string // as the MX record names it, or the hop itself
	Port uint16
	// Secure says that nobody can have forged that this host takes the mail: by
	// DNSSEC, or because it stands in our own settings.
	Secure bool
	// Canonical is where CNAMEs lead from Host to its addresses, and Validated
	// says that DNSSEC vouches for those.
	Canonical string
	Validated bool
}

// Requirement is what a host must prove to get a message.
type Requirement struct {
	TLS Policy
	// Name is asked for in the handshake; empty is the peer's Host.
	Name string
	// Verify judges the host by what it showed, in place of its name and the
	// trusted roots. It is asked under every policy that uses TLS.
	Verify func(tls.ConnectionState) error
	// Offer is an extension that the host must offer: "REQUIRETLS".
	Offer string
	// Refuse is why the host gets nothing, whatever it could prove. Its Status
	// tells whether for now or for good.
	Refuse error
	// Why says which policy this is and where it comes from, for the journal;
	// Evidence are the steps to it.
	Why      string
	Evidence []string
	// Done is told once what came of TLS in each new session.
	Done func(Result)
}

// Result is what came of TLS in a session.
type Result struct {
	Local, Remote netip.AddrPort
	Helo          string               // what the host calls itself
	Offered       bool                 // the host offered TLS
	TLS           *tls.ConnectionState // nil for none
	Err           error                // why there is none, or not enough
}

// requirement asks for the policy of a peer.
func (t *Transport) requirement(ctx context.Context, p Peer, env *mail.Envelope) Requirement {
	if t.o.Policy != nil {
		return t.o.Policy(ctx, p, env)
	}
	if p.Hop.Login != "" && t.o.Login != nil {
		if login, ok := t.o.Login(p.Hop.Login); ok && !login.AllowClear {
			return Requirement{TLS: Verified, Why: "we log in there"}
		}
	}
	return Requirement{}
}

// Explained is a host of a hop with what it would have to prove.
type Explained struct {
	Peer        Peer
	Addrs       []netip.Addr
	Requirement Requirement
}

// Explain finds the hosts of a hop, in the order in which they would be tried,
// and what each must prove for a message. It connects to nobody.
func (t *Transport) Explain(ctx context.Context, hop mail.Hop, env *mail.Envelope) ([]Explained, error) {
	places, bad := t.places(ctx, hop)
	if bad != nil {
		return nil, &mail.Failure{Op: "find the hosts of " + hop.Host, Status: bad.status, Err: bad.err}
	}
	var list []Explained
	at := map[string]int{}
	for _, p := range places {
		i, seen := at[p.host]
		if !seen {
			i = len(list)
			at[p.host] = i
			list = append(list, Explained{Peer: p.peer(hop), Requirement: t.requirement(ctx, p.peer(hop), env)})
		}
		list[i].Addrs = append(list[i].Addrs, p.addr.Addr())
	}
	return list, nil
}

// tell gives the result of TLS to whoever wants to know it.
func (s *session) tell(need Requirement, bad *trouble) {
	if need.Done == nil {
		return
	}
	r := Result{Remote: s.addr, Helo: s.hello, Offered: s.ext.Has("STARTTLS") || s.offered}
	if local, err := netip.ParseAddrPort(s.wire.LocalAddr().String()); err == nil {
		r.Local = local
	}
	if conn, ok := s.conn.(*tls.Conn); ok {
		state := conn.ConnectionState()
		r.TLS = &state
	}
	if bad != nil {
		if r.Err = bad.err; r.Err == nil {
			r.Err = bad.status
		}
	} else if s.mark != nil {
		r.Err = s.mark
	}
	need.Done(r)
}
