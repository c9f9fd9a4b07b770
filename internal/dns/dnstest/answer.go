package dnstest

import (
	"encoding/binary"
	"io"
	"net"

	wire "github.com/miekg/dns"
)

func (s *Server) serveUDP() {
	defer s.wg.Done()
	buf := make([]byte, 65536)
	for {
		n, from, err := s.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		for _, packet := range s.answer(buf[:n], "udp") {
			s.udp.WriteTo(packet, from)
		}
	}
}

// servePipe serves one end of a pipe as if it were UDP.
func (s *Server) servePipe(conn net.Conn) {
	defer conn.Close()
	buf := make([]byte, 65536)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		for _, packet := range s.answer(buf[:n], "udp") {
			if _, err := conn.Write(packet); err != nil {
				return
			}
		}
	}
}

func (s *Server) serveTCP() {
	defer s.wg.Done()
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.closed {
			conn.Close()
		}
		s.conns[conn] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			s.serveConn(conn)
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *Server) serveConn(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		for _, packet := range s.answer(query, "tcp") {
			frame := append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
			if s.fault(query) == HalfTCP {
				conn.Write(frame[:len(frame)/2])
				return
			}
			conn.Write(frame)
		}
	}
}

func (s *Server) fault(query []byte) Fault {
	var q wire.Msg
	if q.Unpack(query) != nil || len(q.Question) != 1 {
		return None
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faultOf(key(q.Question[0].Name))
}

func (s *Server) faultOf(name string) Fault {
	if f, ok := s.faults[name]; ok {
		return f
	}
	return s.faults["*"]
}

// answer gives the packets that answer a query, usually one.
func (s *Server) answer(query []byte, network string) [][]byte {
	var q wire.Msg
	if q.Unpack(query) != nil || len(q.Question) != 1 || q.Response {
		return nil
	}
	if q.Opcode == wire.OpcodeUpdate {
		return [][]byte{s.update(query, &q)}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name, edns := key(q.Question[0].Name), uint16(0)
	if opt := q.IsEdns0(); opt != nil {
		edns = opt.UDPSize()
	}
	s.queries = append(s.queries, Query{name, wire.TypeToString[q.Question[0].Qtype], network, edns, q.AuthenticatedData})

	m := s.resolve(&q)
	fault := s.faultOf(name)
	switch fault {
	case Silent:
		return nil
	case Rest:
		if len(m.Answer) == 0 {
			m = code(&q, wire.RcodeServerFailure)
		}
	case Garbage:
		return [][]byte{[]byte("garbage that is not DNS at all")}
	case ServFail:
		m = code(&q, wire.RcodeServerFailure)
	case Refused:
		m = code(&q, wire.RcodeRefused)
	case FormErr:
		if edns != 0 {
			m = code(&q, wire.RcodeFormatError)
			m.Question = nil
		}
	}
	size := wire.MaxMsgSize
	if network == "udp" {
		size = max(wire.MinMsgSize, int(edns))
		if fault == Truncate || fault == HalfTCP {
			m.Answer, m.Ns, m.Truncated = nil, nil, true
		}
	}
	m.Truncate(size)
	return s.pack(m, fault)
}

func (s *Server) pack(m *wire.Msg, fault Fault) [][]byte {
	packet, err := m.Pack()
	if err != nil {
		return nil
	}
	switch fault {
	case Undecoded:
		// One answer is announced whose name is a pointer to itself.
		bad := m.Copy()
		bad.Answer, bad.Ns, bad.Extra = nil, nil, nil
		raw, err := bad.Pack()
		if err != nil {
			return nil
		}
		raw[7] = 1
		return [][]byte{append(raw, 0xc0, byte(len(raw)), 0, 1, 0, 1)}
	case Forged:
		id := append([]byte(nil), packet...)
		id[0] ^= 0xff
		other := m.Copy()
		other.Question[0].Name = "forged.example."
		question, err := other.Pack()
		if err != nil {
			return nil
		}
		return [][]byte{id, question, []byte("x"), packet}
	}
	return [][]byte{packet}
}

func code(q *wire.Msg, rcode int) *wire.Msg {
	m := new(wire.Msg)
	m.SetRcode(q, rcode)
	return m
}

// resolve answers from the records, RFC 1034 section 4.3.2 without wildcards.
func (s *Server) resolve(q *wire.Msg) *wire.Msg {
	m := code(q, wire.RcodeSuccess)
	m.Authoritative, m.RecursionAvailable = true, true
	question := q.Question[0]
	at, authentic := key(question.Name), s.authentic(key(question.Name))
	m.Compress = true
	for range 32 {
		var alias *wire.CNAME
		found := false
		for _, rr := range s.records[at] {
			if rr.Header().Rrtype == question.Qtype {
				m.Answer = append(m.Answer, wire.Copy(rr))
				found = true
			} else if c, ok := rr.(*wire.CNAME); ok {
				alias = c
			}
		}
		if !found && alias != nil {
			m.Answer = append(m.Answer, wire.Copy(alias))
			if s.faultOf(at) == OneStep {
				break
			}
			at = key(alias.Target)
			authentic = authentic && s.authentic(at)
			continue
		}
		if !found {
			if !s.zones[at] {
				m.Rcode = wire.RcodeNameError
			}
			m.Ns = append(m.Ns, &wire.SOA{
				Hdr: wire.RR_Header{Name: wire.Fqdn(at), Rrtype: wire.TypeSOA, Class: wire.ClassINET, Ttl: 60},
				Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1, Refresh: 60, Retry: 60, Expire: 60, Minttl: 30,
			})
		}
		break
	}
	m.AuthenticatedData = authentic
	return m
}

func (s *Server) authentic(name string) bool {
	if on, ok := s.ad[name]; ok {
		return on
	}
	return s.ad["*"]
}
