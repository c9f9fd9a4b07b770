package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"plic/internal/config"
)

// stacked is an error of the kind that tells more than its words.
type stacked struct{ error }

func (s stacked) Format(f fmt.State, _ rune) { io.WriteString(f, s.Error()+"\nstack trace") }

func TestLogger(t *testing.T) {
	for _, format := range []config.LogFormat{config.LogText, config.LogJSON} {
		var out strings.Builder
		c := config.Default()
		c.Log.Format = format
		logger(&out, c, new(slog.LevelVar)).Warn("oh", "error", stacked{io.ErrUnexpectedEOF})
		if got := out.String(); !strings.Contains(got, "unexpected EOF") || strings.Contains(got, "stack") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %q", format, got)
		}
	}
}
