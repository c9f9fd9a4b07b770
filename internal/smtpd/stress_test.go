package smtpd

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestOverload is L1 and L2, and the order of overload: patience with strangers
// goes first, then new strangers are refused, by address and then all; those who
// log in and this host come last, and nobody gets more than a 4xx.
func TestOverload(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, MX, func(o *Options) {
			real(o)
			o.Limits.Connections, o.Limits.PerAddress = 20, 8
		})
		submissions := newBell()
		stopped := make(chan error, 1)
		defer h.close() // which counts the submissions, too
		defer func() {
			submissions.Close()
			<-stopped
		}()
		go func() { stopped <- h.server.Serve(t.Context(), submissions, Submission) }()
		submit := func() *client { return newClient(t, (&house{t: t, bell: submissions}).ring("192.0.2.77:4000")) }
		var all []*client
		dial := func(address int) *client {
			c := h.dial(fmt.Sprintf("198.51.100.%d:4000", address))
			all = append(all, c)
			return c
		}
		refused := func(c *client, want string) {
			t.Helper()
			c.want(want)
			c.gone()
			synctest.Wait() // until it is not counted any more
		}
		good := func(c *client) *client {
			t.Helper()
			c.want("220 ")
			return c
		}
		// At ease: a stranger may be silent for minutes.
		patient := good(dial(1))
		good(dial(1))
		for i := range 9 {
			good(dial(10 + i))
		}
		time.Sleep(100 * time.Second)
		patient.say("NOOP", "250 ")
		if h.server.Stressed() {
			t.Fatal("stressed by 11 of 20 connections")
		}
		// The twelfth: an address has two connections, a session one error, and ten
		// seconds, also one that is silent already.
		clumsy := good(dial(20))
		if !h.server.Stressed() {
			t.Fatal("not stressed by 12 of 20 connections")
		}
		refused(dial(1), "421 4.7.0 ")
		clumsy.say("FOO", "500 ")
		clumsy.say("FOO", "421 4.7.0 ")
		clumsy.gone()
		synctest.Wait()
		// The sixteenth stranger is the last; who logs in, and this host, still come.
		for i := range 5 {
			good(dial(30 + i))
		}
		refused(dial(40), "421 4.3.2 ")
		users := []*client{good(submit()), good(submit()), good(submit())}
		host := good(h.dial("127.0.0.1:4000"))
		refused(submit(), "421 4.3.2 ")
		refused(h.dial("127.0.0.1:4000"), "421 4.3.2 ")
		time.Sleep(10 * time.Second)
		patient.want("421 4.4.2 ")
		patient.gone()
		synctest.Wait()
		for _, c := range append(users, host) {
			c.say("EHLO me.example", "250 ")
		}
		// At ease again.
		for _, c := range all {
			c.c.Close()
		}
		synctest.Wait()
		if h.server.Stressed() {
			t.Error("stressed when the strangers have gone")
		}
		calm := good(dial(1))
		time.Sleep(100 * time.Second)
		calm.say("NOOP", "250 ")
		calm.c.Close()
		for _, c := range append(users, host) {
			c.c.Close()
		}
	})
}
