package smtpd

import (
	"time"
)

// What is given up under load, in this order, long before anything fails: the
// patience with strangers (time-outs, errors and connections of each address),
// then new strangers, and last everybody new. A fifth of all connections is for
// submission, LMTP and programs of this host alone.
const (
	stressTimeout = 10 * time.Second
	stressErrors  = 1 // and of junk commands
	stressShare   = 4 // an address has a part of its connections
)

// reserved is how many connections strangers cannot have.
func (l *Limits) reserved() int { return l.Connections / 5 }

// busy and calm are how many open connections begin and end stress.
func (l *Limits) busy() int { return max(l.Connections*3/5, 1) }
func (l *Limits) calm() int { return l.Connections / 2 }

// stranger says that a connection is from anywhere, for our domains.
func (c *conn) stranger() bool { return c.kind == MX && !c.local() }

// limits are those that hold for a connection now.
func (c *conn) limits() Limits {
	l := c.s.o.Limits
	if c.stranger() && c.s.Stressed() {
		l.SoftErrors, l.HardErrors, l.Junk = stressErrors, stressErrors, min(l.Junk, stressErrors)
		l.Command, l.Data, l.Handshake = min(l.Command, stressTimeout), min(l.Data, stressTimeout), min(l.Handshake, stressTimeout)
	}
	return l
}

// Stressed says that so many connections are open that strangers must hurry.
func (s *Server) Stressed() bool { return s.stress.Load() }

// count counts a connection in or out, and what follows for all. The caller has
// the lock.
func (s *Server) count(c *conn, by int) {
	s.open += by
	if c.stranger() {
		s.strangers += by
	}
	if by > 0 {
		s.conns[c] = struct{}{}
	} else {
		delete(s.conns, c)
	}
	switch limits := &s.o.Limits; {
	case s.open >= limits.busy() && !s.Stressed():
		s.stress.Store(true)
		s.o.Log.Warn("so many connections are open that strangers must hurry", "open", s.open)
		for other := range s.conns {
			if other.stranger() {
				other.hurry()
			}
		}
	case s.open <= limits.calm() && s.Stressed():
		s.stress.Store(false)
		s.o.Log.Info("strangers need not hurry any more", "open", s.open)
	}
}

// hurry shortens the time that a client has which is silent already.
func (c *conn) hurry() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if soon := time.Now().Add(stressTimeout); soon.Before(c.armed) {
		c.armed = soon
		c.raw.SetReadDeadline(soon)
	}
}
