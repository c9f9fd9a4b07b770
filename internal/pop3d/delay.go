package pop3d

import "time"

// tooSoon says how long an account has to wait until it may log in again, RFC
// 2449 section 6.5; who was told so need not wait longer for having tried.
func (s *Server) tooSoon(account string) time.Duration {
	if s.o.LoginDelay <= 0 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.o.LoginDelay - s.o.Now().Sub(s.last[account])
}

// loggedIn notes a login. Those that do not matter any more are forgotten, so
// that no more are kept than there are within two delays.
func (s *Server) loggedIn(account string) {
	if s.o.LoginDelay <= 0 {
		return
	}
	now := s.o.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.sweep) > s.o.LoginDelay {
		s.sweep = now
		for name, at := range s.last {
			if now.Sub(at) > s.o.LoginDelay {
				delete(s.last, name)
			}
		}
	}
	s.last[account] = now
}

// seconds rounds up.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
