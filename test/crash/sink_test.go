package crash

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// refused is how addresses begin that the sink refuses for good.
const refused = "no-"

// sinks are the domains of the sink, each a way of its own in the queue: what
// becomes of one message there comes together again in its report.
var sinks = []string{"sink.test", "b.sink.test", "c.sink.test"}

// sink is a host elsewhere, and not a good one: now and then it puts off a
// recipient or a message, and now and then it hangs up before it has answered.
type sink struct {
	l net.Listener

	mu      sync.Mutex
	rng     *rand.Rand
	ledger  *ledger
	run     int                // which run of the server this is
	kept    map[string][]taken // by address
	openers map[net.Conn]bool
}

// taken is a message that came to an address.
type taken struct {
	token, sum string
	run        int
	answered   bool
}

func newSink(t *testing.T, address string, rng *rand.Rand, l *ledger) *sink {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &sink{l: listener, rng: rng, ledger: l, kept: map[string][]taken{}, openers: map[net.Conn]bool{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.openers[conn] = true
			s.mu.Unlock()
			all.Go(func() {
				s.serve(conn)
				conn.Close()
				s.mu.Lock()
				delete(s.openers, conn)
				s.mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		s.mu.Lock()
		for conn := range s.openers {
			conn.Close()
		}
		s.mu.Unlock()
		all.Wait()
	})
	return s
}

// chance is true once in n times.
func (s *sink) chance(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(n) == 0
}

func (s *sink) serve(conn net.Conn) {
	r, w := bufio.NewReader(conn), bufio.NewWriter(conn)
	s.mu.Lock()
	run := s.run
	s.mu.Unlock()
	say := func(text string) {
		fmt.Fprintf(w, "%s\r\n", text)
		if r.Buffered() == 0 {
			w.Flush()
		}
	}
	say("220 sink.test")
	var to []string
	for {
		conn.SetDeadline(time.Now().Add(time.Minute))
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
		switch verb {
		case "EHLO":
			say("250-sink.test\r\n250-8BITMIME\r\n250 PIPELINING")
		case "MAIL":
			to = nil
			say("250 2.1.0 ok")
		case "RCPT":
			_, address, _ := strings.Cut(line, "<")
			address, _, _ = strings.Cut(address, ">")
			switch {
			case strings.HasPrefix(address, refused):
				say("550 5.1.1 nobody of that name")
			case s.chance(15):
				say("451 4.2.0 not now")
			default:
				to = append(to, address)
				say("250 2.1.5 ok")
			}
		case "DATA":
			if len(to) == 0 {
				say("503 5.5.1 for whom?")
				continue
			}
			say("354 go on")
			w.Flush()
			text, err := data(r)
			if err != nil {
				return
			}
			if s.chance(15) {
				say("451 4.3.0 not now")
				continue
			}
			answer := !s.chance(15)
			s.keep(run, to, text, answer)
			if !answer {
				return
			}
			say("250 2.0.0 taken")
		case "QUIT":
			say("221 2.0.0 bye")
			w.Flush()
			return
		default:
			say("250 2.0.0 ok")
		}
	}
}

// data reads a message.
func data(r *bufio.Reader) ([]byte, error) {
	var b bytes.Buffer
	for {
		line, err := r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			b.Write(line)
			continue
		}
		if err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if string(line) == ".\r\n" {
			return b.Bytes(), nil
		}
		b.Write(bytes.TrimPrefix(line, []byte(".")))
	}
}

// keep takes a message. It may come again only if the server could not know
// that it was taken: it was killed in that run, or the sink hung up.
func (s *sink) keep(run int, to []string, text []byte, answered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := taken{tokenOf(text), digest(text), run, answered}
	for _, address := range to {
		if s.ledger.over(address) {
			s.ledger.fault("the sink got %s for %s again, after the queue had done with it", m.token, address)
		}
		for _, before := range s.kept[address] {
			if before.run == run && before.answered {
				s.ledger.fault("the sink got %s for %s twice in run %d of the server", m.token, address, run)
			}
		}
		s.kept[address] = append(s.kept[address], m)
	}
}

// next tells the sink that the server is started again.
func (s *sink) next() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run++
}

// has says what came to an address.
func (s *sink) has(address string) []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]taken(nil), s.kept[address]...)
}

// addresses are those that got anything.
func (s *sink) addresses() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for address := range s.kept {
		all = append(all, address)
	}
	return all
}

// again counts the messages that came more than once.
func (s *sink) again() (messages, copies int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, list := range s.kept {
		messages++
		copies += len(list) - 1
	}
	return messages, copies
}
