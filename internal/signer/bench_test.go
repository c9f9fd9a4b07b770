package signer

import (
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/message"
)

// BenchmarkSign signs a message of 20 KiB by both keys.
func BenchmarkSign(b *testing.B) {
	s := newSite(b)
	text := strings.Replace(letter, "Hello!", strings.Repeat("Hello, hello, hello, hello!\r\n", 700), 1)
	msg, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if fields, err := s.Sign(b.Context(), msg.Root.Header, mail.Bytes([]byte(text))); err != nil || len(fields) == 0 {
			b.Fatal(fields, err)
		}
	}
}
