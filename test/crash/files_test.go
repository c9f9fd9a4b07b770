package crash

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestCrashFewFiles lets the server have so few file descriptors that its
// clients use them up: further ones wait, those who are in are served as ever,
// nothing is lost, and all are served again once some have gone, without a
// restart.
func TestCrashFewFiles(t *testing.T) {
	t.Parallel()
	x := newTrial(t, 5, "0B", nil)
	x.kill()
	x.site.wrapper = []string{"sh", "-c", `ulimit -n 128; exec "$@"`, "sh"}
	x.restart(t)
	d := x.desk(t)
	x.load(50)
	x.mayRefuse.Store(true)
	var idle []*link
	defer func() {
		for _, c := range idle {
			c.Close()
		}
	}()
	for range 100 {
		for _, address := range []string{x.site.smtp(), x.site.imap()} {
			c, err := dial(address)
			if err != nil {
				t.Fatal(err)
			}
			idle = append(idle, c)
		}
	}
	eventually(t, "no place is left", func() error {
		c, err := dial(x.site.pop3())
		if err != nil {
			return err
		}
		idle = append(idle, c)
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			return errors.New("another one is greeted")
		} else if timeout, ok := err.(net.Error); !ok || !timeout.Timeout() {
			return err
		}
		return nil
	})
	for range 20 {
		if err := d.append([]string{inbox}); err != nil {
			t.Fatalf("who is in is not served: %v", err)
		}
		if err := d.store(); err != nil {
			t.Fatalf("who is in is not served: %v", err)
		}
	}
	for _, c := range idle {
		c.Close()
	}
	eventually(t, "all are served again", func() error { return x.try(t) })
	<-x.ledger.begun(100)
	x.mayRefuse.Store(false)
	<-x.ledger.begun(100)
	if !x.site.running() {
		t.Fatal("the server has ended")
	}
	x.kill()
	x.site.wrapper = nil
	x.restart(t)
	x.drain(t)
}
