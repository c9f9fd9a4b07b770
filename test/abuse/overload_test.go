package abuse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plic/test/world"
)

// The site of TestFlood has places for sessions, a fifth of them for its own
// users; ten times as many strangers as the others come at once.
const (
	places  = 50
	crowd   = 10 * (places - places/5)
	letters = 3 // that a stranger brings in one session
	sitters = 8 // that say nothing
	friends = 4 // users that submit meanwhile
	each    = 5 // messages of a friend
)

// balancer is the address whose connections say for whom they are.
const balancer = "127.80.128.200"

// tally is what became of the work of all strangers.
type tally struct {
	begun, done atomic.Int64 // sessions that were greeted, in letters, and letters that were acknowledged
	refused     atomic.Int64 // 421, 451 and 452
	cut         atomic.Int64 // connections that ended without an answer

	mu    sync.Mutex
	acked []string // subjects
	wrong []string // answers that are none of these
}

// TestFlood: threats L1 and L2 at a whole site. Work is counted, not timed: of what the site begins under ten times
// its load it brings four fifths to an end at least; the others are told 4xx
// at once and succeed later; its own users do not notice; all that was
// acknowledged is there once; and it recovers by itself. PLIC_OVERLOAD makes it
// longer, as in PLIC_OVERLOAD=10m.
func TestFlood(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.128", map[string]string{
		"smtp.connections": fmt.Sprint(places), "access.connections": "0", "access.proxies": `["` + balancer + `/32"]`,
	})
	alone := &tally{}
	x.strangers(t, alone, "alone", places/5)
	if want := int64(places / 5 * letters); alone.done.Load() != want || alone.begun.Load() != want || alone.refused.Load() > 0 {
		t.Fatalf("without load %d of %d letters were taken, %d begun, %d refused", alone.done.Load(), want, alone.begun.Load(), alone.refused.Load())
	}

	long, _ := time.ParseDuration(os.Getenv("PLIC_OVERLOAD"))
	end := time.Now().Add(long)
	flood := &tally{acked: alone.acked}
	rounds := 0
	for ; rounds == 0 || time.Now().Before(end); rounds++ {
		x.flood(t, flood, rounds)
	}
	done, begun := flood.done.Load(), flood.begun.Load()
	t.Logf("%d letters taken of %d begun; %d sessions refused, %d cut off", done, begun, flood.refused.Load(), flood.cut.Load())
	for _, answer := range flood.wrong {
		t.Errorf("a stranger was told %q", answer)
	}
	if done*5 < begun*4 {
		t.Errorf("%d letters were taken of %d begun: less than four fifths", done, begun)
	}
	if flood.refused.Load() == 0 || !strings.Contains(x.Log(), "strangers must hurry") {
		t.Errorf("%d were refused: there was no overload", flood.refused.Load())
	}
	if flood.cut.Load() > 0 {
		t.Errorf("%d were cut off without a word", flood.cut.Load())
	}

	// At ease again, by itself, and nothing is lost or there twice.
	x.WaitLog(t, "strangers need not hurry any more")
	world.Wait(t, "all strangers to be gone", func() bool { return x.metric(t, "plic_smtp_stress")+x.metric(t, "plic_smtp_connections") == 0 })
	// Those who said nothing may have been told as well.
	told, refused := int64(x.metric(t, `plic_events_total{class="4xx",kind="reject",service="smtp"}`)), flood.refused.Load()
	if told < refused || told > refused+int64(sitters*rounds) {
		t.Errorf("the metrics have %d refusals, the strangers %d", told, refused)
	}
	after := &tally{}
	x.strangers(t, after, "after", places/5)
	if after.refused.Load() > 0 || after.done.Load() != alone.done.Load() {
		t.Errorf("afterwards %d letters were taken, %d refused", after.done.Load(), after.refused.Load())
	}
	x.works(t)
	has := map[string]int{}
	for _, m := range x.Inbox(t, x.ann) {
		_, subject, _ := strings.Cut(m, "\r\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		has[subject]++
	}
	for _, subject := range append(flood.acked, after.acked...) {
		if has[subject] != 1 {
			t.Errorf("%s was acknowledged and is there %d times", subject, has[subject])
		}
	}
}

// flood has all strangers bring their letters, those who say nothing hold on,
// and friends submit meanwhile.
func (x *target) flood(t *testing.T, f *tally, round int) {
	t.Helper()
	for i := range sitters {
		c := x.World.Dial(t, balancer, x.Address+":25", x.Host)
		defer c.Close()
		c.Send(proxied(crowd + i))
	}
	var users sync.WaitGroup
	over := make(chan struct{})
	for i := range friends {
		users.Go(func() {
			for n := range each {
				c := x.Submission(t, x.eve)
				subject := fmt.Sprintf("friend-%d-%d-%d", round, i, n)
				c.Deliver(world.Letter{From: x.eve, To: []string{x.ann, "carl@far.test"}, Text: text(x.eve, x.ann, subject)})
				c.Close()
				f.ack(subject)
			}
		})
	}
	go func() { users.Wait(); close(over) }()
	x.strangers(t, f, fmt.Sprintf("flood-%d", round), crowd)
	<-over
	x.far.Wait(t, friends*each*(round+1))
}

// metric is a number that the site tells of itself, 0 if it does not.
func (x *target) metric(t *testing.T, name string) (value float64) {
	t.Helper()
	c := x.Dial(t, 80)
	defer c.Close()
	c.Send("GET /metrics HTTP/1.0\r\n\r\n")
	if _, after, found := strings.Cut(c.Rest(), "\n"+name+" "); found {
		fmt.Sscan(after, &value)
	}
	return value
}

func (f *tally) ack(subject string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.acked = append(f.acked, subject)
}

// proxied is how a connection says that it is for a stranger.
func proxied(n int) string {
	return fmt.Sprintf("PROXY TCP4 198.51.%d.%d 203.0.113.1 4000 25\r\n", 100+n/200, 1+n%200)
}

// strangers come all at once, and again until each has brought its letters.
func (x *target) strangers(t *testing.T, f *tally, name string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), world.Patience+time.Minute)
	defer cancel()
	var all sync.WaitGroup
	for i := range count {
		all.Go(func() {
			for left := letters; left > 0; {
				brought, err := x.session(f, i, fmt.Sprintf("%s-%d", name, i), left)
				if left -= brought; err != nil {
					select { // as an MTA does, but sooner
					case <-ctx.Done():
						t.Errorf("stranger %d could not bring %d letters: %v", i, left, err)
						return
					case <-time.After(50 * time.Millisecond):
					}
				}
			}
		})
	}
	all.Wait()
}

var errLater = errors.New("refused for now")

// session is one of a stranger, who brings as many letters as he has left.
func (x *target) session(f *tally, stranger int, name string, left int) (brought int, err error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(balancer)}, Timeout: world.Patience}
	nc, err := d.Dial("tcp", x.Address+":25")
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	r := bufio.NewReader(nc)
	ask := func(command, want string) error {
		nc.SetDeadline(time.Now().Add(world.Patience))
		fmt.Fprint(nc, command)
		for {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				f.cut.Add(1)
				return err
			case len(line) > 3 && line[3] == '-':
			case strings.HasPrefix(line, want):
				return nil
			case strings.HasPrefix(line, "421 ") || strings.HasPrefix(line, "451 ") || strings.HasPrefix(line, "452 "):
				f.refused.Add(1)
				return errLater
			default:
				f.mu.Lock()
				defer f.mu.Unlock()
				f.wrong = append(f.wrong, line)
				return errors.New(line)
			}
		}
	}
	if err := ask(proxied(stranger), "220 "); err != nil {
		return 0, err
	}
	f.begun.Add(int64(left))
	if err := ask("EHLO mx.far.test\r\n", "250 "); err != nil {
		return 0, err
	}
	for ; left > 0; left-- {
		subject := fmt.Sprintf("%s-%d", name, left)
		for _, step := range [][2]string{
			{"MAIL FROM:<friend@far.test>\r\n", "250 "}, {"RCPT TO:<" + x.ann + ">\r\n", "250 "}, {"DATA\r\n", "354 "},
			{text("friend@far.test", x.ann, subject) + ".\r\n", "250 "},
		} {
			if err := ask(step[0], step[1]); err != nil {
				return brought, err
			}
		}
		brought++
		f.done.Add(1)
		f.ack(subject)
	}
	return brought, ask("QUIT\r\n", "221 ")
}
