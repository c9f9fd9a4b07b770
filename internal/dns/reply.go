package dns

import (
	"errors"
	"fmt"
	"time"

	wire "github.com/miekg/dns"
)

// maxChain bounds how many CNAMEs are followed in one look-up.
const maxChain = 8

// reply is what one response says about one question.
type reply struct {
	rrs       []wire.RR // records of the type, at the end of the chain
	name      string    // end of the chain so far, canonical
	steps     int       // CNAMEs followed
	ttl       time.Duration
	kind      Kind // of the lack of records: NoName, NoData, or Temporary for a chain that goes on elsewhere
	cacheable bool
	authentic bool
	size      int
}

var (
	errNotOurs   = errors.New("not an answer to our question")
	errTruncated = errors.New("truncated answer")
	errNoEDNS    = errors.New("the server does not know EDNS")
)

// rcodeError is a response that answers nothing.
type rcodeError int

func (e rcodeError) Error() string {
	if name, ok := wire.RcodeToString[int(e)]; ok {
		return name
	}
	return fmt.Sprintf("RCODE %d", int(e))
}

// readReply reads a response. errNotOurs means that the packet should be
// ignored, RFC 5452 section 9.1; other errors that this server is of no help.
func readReply(raw []byte, id uint16, name string, qtype uint16) (*reply, error) {
	// The header and question are checked first: a forged packet must not be
	// able to end the wait by being undecodable as well.
	if len(raw) < 12 || uint16(raw[0])<<8|uint16(raw[1]) != id || raw[2]&0x80 == 0 {
		return nil, errNotOurs
	}
	var m wire.Msg
	if err := m.Unpack(raw); err != nil {
		if raw[2]&0x02 != 0 {
			return nil, errTruncated
		}
		return nil, fmt.Errorf("undecodable answer: %w", err)
	}
	if m.Opcode != wire.OpcodeQuery {
		return nil, errNotOurs
	}
	switch {
	case len(m.Question) == 1:
		q := m.Question[0]
		if q.Qtype != qtype || q.Qclass != wire.ClassINET || canonical(q.Name) != canonical(name) {
			return nil, errNotOurs
		}
	case len(m.Question) == 0 && m.Rcode == wire.RcodeFormatError:
		// RFC 6891 section 7: servers of old answer so, without the question.
	default:
		return nil, errNotOurs
	}
	switch m.Rcode {
	case wire.RcodeSuccess, wire.RcodeNameError:
	case wire.RcodeFormatError, wire.RcodeNotImplemented:
		return nil, errNoEDNS
	default:
		return nil, rcodeError(m.Rcode)
	}
	if m.Truncated {
		return nil, errTruncated
	}
	r, err := follow(&m, name, qtype)
	if err != nil {
		return nil, err
	}
	r.size = len(raw)
	return r, nil
}

// follow walks the CNAMEs of an answer from the name asked for, RFC 1034
// section 3.6.2, and takes the records at its end; all others are ignored.
func follow(m *wire.Msg, name string, qtype uint16) (*reply, error) {
	r := &reply{name: canonical(name), ttl: time.Duration(1<<31-1) * time.Second, cacheable: true, authentic: m.AuthenticatedData}
	aliases := make(map[string]*wire.CNAME)
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class != wire.ClassINET {
			continue
		}
		if cname, ok := rr.(*wire.CNAME); ok && qtype != wire.TypeCNAME {
			if owner := canonical(h.Name); aliases[owner] == nil {
				aliases[owner] = cname
			}
		}
	}
	for aliases[r.name] != nil {
		if r.steps++; r.steps > maxChain {
			return nil, errors.New("chain of CNAMEs too long")
		}
		cname := aliases[r.name]
		r.keep(cname.Hdr.Ttl)
		r.name = canonical(cname.Target)
	}
	for _, rr := range m.Answer {
		h := rr.Header()
		if h.Class == wire.ClassINET && h.Rrtype == qtype && typeMatches(rr, qtype) && canonical(h.Name) == r.name {
			r.rrs = append(r.rrs, rr)
			r.keep(h.Ttl)
		}
	}
	if len(r.rrs) > 0 {
		return r, nil
	}
	r.negative(m)
	return r, nil
}

// negative says what the lack of records means, RFC 2308 sections 2 and 5.
func (r *reply) negative(m *wire.Msg) {
	var soa *wire.SOA
	for _, rr := range m.Ns {
		if s, ok := rr.(*wire.SOA); ok {
			soa = s
			break
		}
	}
	switch {
	case m.Rcode == wire.RcodeNameError:
		r.kind = NoName
	case soa == nil && r.steps > 0:
		r.kind = Temporary // the chain leaves what this answer covers
		return
	default:
		r.kind = NoData
	}
	if r.cacheable = soa != nil; r.cacheable {
		r.keep(min(soa.Hdr.Ttl, soa.Minttl))
	}
}

// keep lowers the time to live. RFC 2181 section 8: a set top bit means zero.
func (r *reply) keep(ttl uint32) {
	if ttl > 1<<31-1 {
		ttl = 0
	}
	r.ttl = min(r.ttl, time.Duration(ttl)*time.Second)
}

// typeMatches guards the type assertions of the callers: the wire library
// keeps records of types or contents that it cannot read as something else.
func typeMatches(rr wire.RR, qtype uint16) bool {
	ok := false
	switch qtype {
	case wire.TypeA:
		_, ok = rr.(*wire.A)
	case wire.TypeAAAA:
		_, ok = rr.(*wire.AAAA)
	case wire.TypeMX:
		_, ok = rr.(*wire.MX)
	case wire.TypeTXT:
		_, ok = rr.(*wire.TXT)
	case wire.TypePTR:
		_, ok = rr.(*wire.PTR)
	case wire.TypeCNAME:
		_, ok = rr.(*wire.CNAME)
	case wire.TypeTLSA:
		_, ok = rr.(*wire.TLSA)
	case wire.TypeSRV:
		_, ok = rr.(*wire.SRV)
	}
	return ok
}
