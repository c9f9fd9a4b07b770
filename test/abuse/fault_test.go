package abuse

import (
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"

	"plic/test/world"
)

// TestLargeAtOnce: threat L5. Many large messages that come at the same time are
// on the disk and not in memory, and each arrives.
func TestLargeAtOnce(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.210", nil)
	const n, size = 24, 8 << 20
	half := strings.Repeat(strings.Repeat("x", 1022)+"\r\n", size/2/1024)
	conns := make([]*world.Conn, n)
	var all sync.WaitGroup
	each := func(f func(c *world.Conn)) {
		for _, c := range conns {
			all.Go(func() { f(c) })
		}
		all.Wait()
	}
	for i := range conns {
		conns[i] = x.SMTP(t)
		defer conns[i].Close()
	}
	x.calm(t, "large messages", n*size/4, func() {
		each(func(c *world.Conn) {
			c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
			c.Must("354", "DATA")
			c.Send("Subject: large\r\n\r\n" + half)
		})
		each(func(c *world.Conn) {
			c.Send(half + ".\r\n")
			c.Want("250")
		})
	})
	x.works(t)
}

// TestLostAnswer: threat C4. A client that is cut off before it has read the
// answer to its message finds it there whole, or not at all; if it sends it again
// there are at most two.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.211", nil)
	const n = 12
	for round := range 2 {
		for i := range n {
			c := x.SMTP(t)
			subject := fmt.Sprintf("lost-%d.", i)
			c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
			c.Must("354", "DATA")
			c.Send(text("a@far.test", x.ann, subject) + ".\r\n")
			if round == 0 {
				c.Close()
				continue
			}
			c.Want("250")
			c.Close()
		}
		x.works(t)
		inbox := x.Inbox(t, x.ann)
		for i := range n {
			count := 0
			for _, m := range inbox {
				if strings.Contains(m, fmt.Sprintf("Subject: lost-%d.\r\n", i)) {
					count++
					if !strings.HasSuffix(m, "\r\n\r\nHello.\r\n") {
						t.Errorf("message %d is not whole: %q", i, m)
					}
				}
			}
			if count > round+1 || count < round {
				t.Errorf("after round %d message %d is there %d times", round, i, count)
			}
		}
	}
}

// TestOldTLS: threat N4. No port speaks TLS 1.0 or 1.1.
func TestOldTLS(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.212", nil)
	for _, port := range []string{"465", "993", "995"} {
		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
			c, err := tls.Dial("tcp", x.Address+":"+port, &tls.Config{InsecureSkipVerify: true, MinVersion: version, MaxVersion: version})
			if old := version < tls.VersionTLS12; old != (err != nil) {
				t.Errorf("%s on port %s: %v", tls.VersionName(version), port, err)
			}
			if err == nil {
				c.Close()
			}
		}
	}
}
