package remote_test

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/journal"
	"plic/internal/vfs"
)

// A host that falls silent is waited for as RFC 5321 section 4.5.3.2 says, and
// no delivery lasts for ever.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		step string
		want time.Duration
	}{
		{"CONNECT", 5 * time.Minute}, {"EHLO", 5 * time.Minute}, {"MAIL", 5 * time.Minute}, {"RCPT", 5 * time.Minute},
		{"DATA", 2 * time.Minute}, {".", 10 * time.Minute},
	} {
		t.Run(test.step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := oneHost(t, &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
					if step == test.step {
						c.Wait()
					}
					return step == test.step
				}})
				tr := w.transport(nil)
				item, body := to(toMX, "a")
				began := time.Now()
				o := tr.Deliver(t.Context(), item, body)[0]
				if took := time.Since(began); took != test.want {
					t.Errorf("took %v, want %v", took, test.want)
				}
				if o.Status.Code != 451 || o.Status.Enhanced.String() != "4.4.2" || !strings.Contains(o.Status.Text, "timed out") || o.Host != "" || o.Remote != place {
					t.Errorf("%+v", o)
				}
				w.end(tr)
			})
		})
	}
	t.Run("block of data", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			tr, closeAll := scripted(t, "220 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x\r\n", 6)
			body := delivertest.Body(strings.Repeat("x", 100000))
			item := delivertest.Item(body, "a")
			began := time.Now()
			o := tr.Deliver(t.Context(), item, body)[0]
			// Three minutes for the block, some seconds for a last word.
			if took := time.Since(began); o.Status.Code != 451 || took != 3*time.Minute+5*time.Second {
				t.Errorf("%v after %v", o.Status, took)
			}
			closeAll()
		})
	})
	t.Run("connect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := oneHost(t, nil)
			tr := w.transport(func(o *remote.Options) {
				o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
					<-ctx.Done()
					return nil, ctx.Err()
				}
			})
			item, body := to(toMX, "a")
			began := time.Now()
			o := tr.Deliver(t.Context(), item, body)[0]
			if took := time.Since(began); took != 30*time.Second || o.Status.Enhanced.String() != "4.4.1" {
				t.Errorf("%v after %v", o.Status, took)
			}
		})
	})
	t.Run("total", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := oneHost(t, &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
				time.Sleep(time.Minute)
				return false
			}})
			tr := w.transport(func(o *remote.Options) { o.Timeouts.Total = 5 * time.Minute })
			item, body := to(toMX, "a", "b", "c", "d", "e", "f")
			began := time.Now()
			o := tr.Deliver(t.Context(), item, body)[0]
			if took := time.Since(began); took != 5*time.Minute || o.Status.Code != 451 {
				t.Errorf("%v after %v", o.Status, took)
			}
			w.end(tr)
		})
	})
}

// scripted is a transport to a host that says its piece at once and reads some
// lines, and then nothing more.
func scripted(t *testing.T, script string, lines int) (*remote.Transport, func()) {
	var far net.Conn
	w := newWorld(t, nil)
	tr := w.transport(func(o *remote.Options) {
		o.Dial = func(context.Context, string, string) (net.Conn, error) {
			var near net.Conn
			near, far = net.Pipe()
			go func() {
				replies := strings.SplitAfter(script, "\r\n")
				buf := make([]byte, 4096)
				for i, reply := range replies[:len(replies)-1] {
					far.Write([]byte(reply))
					if i < len(replies)-2 {
						far.Read(buf)
					}
				}
			}()
			return near, nil
		}
	})
	return tr, func() { tr.Close(); far.Close() }
}

// The journal has every host that was tried.
func TestJournal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j, err := journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal"})
		if err != nil {
			t.Fatal(err)
		}
		w := newWorld(t, map[string]*delivertest.Remote{"192.0.2.2:25": {TLS: delivertest.ServerTLS("b.test")}},
			"mx.test 60 IN MX 10 a.test.", "mx.test 60 IN MX 20 b.test.", "a.test 60 IN A 192.0.2.99", "b.test 60 IN A 192.0.2.2")
		tr := w.transport(func(o *remote.Options) { o.Journal = j })
		item, body := to(toMX, "a")
		tr.Deliver(t.Context(), item, body)
		w.end(tr)
		var hosts []string
		for e, err := range j.Find(t.Context(), journal.Query{Message: item.Envelope.ID}) {
			if err != nil {
				t.Fatal(err)
			}
			hosts = append(hosts, e.Kind+" "+e.Host+" "+e.Remote+" "+e.Status)
			if e.Host == "b.test" && e.TLS == "" {
				t.Error("the TLS of the try is not in the journal")
			}
		}
		want := []string{"attempt a.test 192.0.2.99:25 451 4.4.1 cannot connect to a.test at 192.0.2.99:25", "attempt b.test 192.0.2.2:25 "}
		if len(hosts) != 2 || hosts[0] != want[0] && hosts[1] != want[0] {
			t.Errorf("journal has %q, want %q", hosts, want)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	})
}
