package sender

import (
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/message"
)

// BenchmarkCheck is all that is asked about a message of 20 KiB with a
// signature, when the DNS has been asked before.
func BenchmarkCheck(b *testing.B) {
	w := newWorld(b, zone()...)
	text := w.signed("strict.test", strings.Replace(letter, "Hello!", strings.Repeat("Hello, hello, hello, hello!\r\n", 700), 1))
	c := New(Options{Resolver: w.resolver(), Host: "mx.here.test"})
	msg, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	env := envelope("192.0.2.1")
	env.From = mail.MustAddress("x@strict.test")
	body := mail.Bytes([]byte(text))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		f, err := c.Check(b.Context(), env, msg, body)
		if err != nil || f.fate() != "take" {
			b.Fatal(f, err)
		}
	}
}
