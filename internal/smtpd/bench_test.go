package smtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"plic/internal/mail"
)

// sink is an Intake that takes everything and keeps nothing.
type sink struct{}

func (sink) Sender(context.Context, *mail.Envelope) error                    { return nil }
func (sink) Recipient(context.Context, *mail.Envelope, mail.Recipient) error { return nil }
func (sink) Begin(context.Context, *mail.Envelope) (Draft, error)            { return &drain{}, nil }

type drain struct{ n int64 }

func (d *drain) Write(p []byte) (int, error) { d.n += int64(len(p)); return len(p), nil }
func (d *drain) Size() int64                 { return d.n }
func (d *drain) Body() mail.Body             { return nil }
func (d *drain) Abort()                      {}
func (d *drain) Commit(_ context.Context, env *mail.Envelope, _ []byte) ([]mail.Outcome, error) {
	return make([]mail.Outcome, len(env.To)), nil
}

func message(size int) string {
	head := "From: a@b.example\r\nTo: alice@us.example\r\nSubject: a message\r\nDate: Mon, 23 Nov 2026 20:43:23 +0000\r\nMessage-ID: <x@y.example>\r\n\r\n"
	return head + strings.Repeat("The quick brown fox jumps over the lazy dog, and then some.\r\n", max(0, size-len(head))/61) + ".\r\n"
}

// BenchmarkSession is messages over loopback into an Intake that does nothing:
// the cost of the protocol, that of the client included.
func BenchmarkSession(b *testing.B) {
	for _, size := range []int{2 << 10, 20 << 10, 1 << 20} {
		for _, conns := range []int{1, 10, 50} {
			b.Run(fmt.Sprintf("size=%d/conns=%d", size, conns), func(b *testing.B) {
				h := openTCP(b, MX, func(o *Options) { o.Intake, o.Now = sink{}, nil })
				body := []byte(message(size))
				envelope := []byte("MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@us.example>\r\nDATA\r\n")
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				var group sync.WaitGroup
				work := make(chan struct{}, 1024)
				for range conns {
					c := h.ring("")
					r := bufio.NewReader(c)
					skip(b, r, 1)
					io.WriteString(c, "HELO client.example\r\n")
					skip(b, r, 1)
					group.Go(func() {
						defer c.Close()
						for range work {
							c.Write(envelope)
							skip(b, r, 3)
							c.Write(body)
							skip(b, r, 1)
						}
					})
				}
				for b.Loop() {
					work <- struct{}{}
				}
				close(work)
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
				h.cancel()
				<-h.done
			})
		}
	}
}

func skip(b *testing.B, r *bufio.Reader, lines int) {
	for range lines {
		line, err := r.ReadSlice('\n')
		if err != nil || line[0] > '3' {
			b.Errorf("%q, %v", line, err)
			return
		}
	}
}

// BenchmarkIdle measures the memory of a connection that waits.
func BenchmarkIdle(b *testing.B) {
	const n = 1000
	for b.Loop() {
		h := open(b, MX, func(o *Options) { o.Limits.PerAddress, o.Limits.Connections = n, n })
		var conns []net.Conn
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range n {
			c := h.ring(outside)
			io.ReadFull(c, make([]byte, len("220 mx.us.example ESMTP\r\n")))
			conns = append(conns, c)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/n, "B/conn")
		for _, c := range conns {
			c.Close()
		}
		h.close()
	}
}
