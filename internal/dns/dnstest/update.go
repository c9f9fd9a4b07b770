package dnstest

import (
	"encoding/base64"
	"slices"

	wire "github.com/miekg/dns"
)

// updates is what the server takes updates of.
type updates struct {
	zone, key, secret string
}

// AllowUpdates lets a zone be changed by RFC 2136 over TCP, with a key that
// signs by HMAC-SHA-256.
func (s *Server) AllowUpdates(zone, keyName string, secret []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updates = updates{key(zone), wire.Fqdn(key(keyName)), base64.StdEncoding.EncodeToString(secret)}
}

// update answers an update; its signature must be right.
func (s *Server) update(query []byte, m *wire.Msg) []byte {
	s.mu.Lock()
	allowed := s.updates
	s.mu.Unlock()
	answer := new(wire.Msg)
	sign := m.IsTsig()
	if allowed.zone == "" || len(m.Question) != 1 || key(m.Question[0].Name) != allowed.zone || sign == nil || sign.Hdr.Name != allowed.key ||
		wire.TsigVerify(query, allowed.secret, "", false) != nil {
		answer.SetRcode(m, wire.RcodeRefused)
		packet, _ := answer.Pack()
		return packet
	}
	s.mu.Lock()
	for _, rr := range m.Ns {
		s.change(rr)
	}
	s.mu.Unlock()
	answer.SetReply(m)
	answer.SetTsig(sign.Hdr.Name, sign.Algorithm, 300, int64(sign.TimeSigned))
	packet, _, err := wire.TsigGenerate(answer, allowed.secret, sign.MAC, false)
	if err != nil {
		return nil
	}
	return packet
}

// change adds a record, or takes one away, RFC 2136 section 2.5.
func (s *Server) change(rr wire.RR) {
	name := key(rr.Header().Name)
	if rr.Header().Class == wire.ClassINET {
		s.insert(name, rr)
		return
	}
	s.records[name] = slices.DeleteFunc(s.records[name], func(x wire.RR) bool {
		y := wire.Copy(rr)
		y.Header().Class, y.Header().Ttl = wire.ClassINET, x.Header().Ttl
		return wire.IsDuplicate(x, y)
	})
}
