package server

import (
	"strings"
	"testing"
	"time"

	"plic/internal/config"
)

// TestFeedbackIsCounted brings mail in somebody's name; what DMARC said of it waits
// to be told.
func TestFeedbackIsCounted(t *testing.T) {
	t.Parallel()
	s := startSenders(t, func(c *config.Config) { c.Senders.Report = true },
		`_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@strict.test"`, "strict.test 60 IN MX 10 mx.strict.test.", "other.test 60 IN MX 10 mx.other.test.")
	if got := s.send("eve@other.test", "ann@here.test", "From: bob@strict.test\r\n\r\nHello!\r\n"); !strings.HasPrefix(got, "550") {
		t.Fatal(got)
	}
	key := "dmarc/seen/" + time.Now().UTC().Format(time.DateOnly) + "/strict.test"
	if err := s.site.feedback.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := s.site.store.Notes().Get(t.Context(), key)
	if err != nil {
		t.Fatalf("it is not written down: %v", err)
	}
	for _, want := range []string{`"source":"127.0.0.1"`, `"disposition":"reject"`, `"dkim":"fail"`, `"spf":"fail"`, `"headerFrom":"strict.test"`, `"envelopeFrom":"other.test"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
