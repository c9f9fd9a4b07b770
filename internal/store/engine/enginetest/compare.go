package enginetest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/store/engine"
)

// equal compares an engine with what it should hold.
func equal(ctx context.Context, e engine.Engine, want string) error {
	got, err := describe(ctx, e)
	if err != nil {
		return err
	}
	if got != want {
		return errors.New(difference(got, want))
	}
	return nil
}

// difference shows the first lines in which two descriptions differ.
func difference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		if i >= len(g) || i >= len(w) || g[i] != w[i] {
			return fmt.Sprintf("line %d of the state:\n got %.300s\nwant %.300s", i+1, at(g, i), at(w, i))
		}
	}
	return "no difference"
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(end)"
}

// sameMarks says whether Marks agrees with the entries.
func sameMarks(ctx context.Context, e engine.Engine, a engine.AccountID, m engine.MailboxID, entries []engine.Entry) error {
	n := 0
	for list, err := range e.Marks(ctx, a, m) {
		if err != nil {
			return err
		}
		for _, got := range list {
			if n >= len(entries) {
				return fmt.Errorf("mark of uid %d, which is no entry", got.UID)
			}
			if want := entries[n]; got.UID != want.UID || got.ModSeq != want.ModSeq || got.Flags != want.Flags {
				return fmt.Errorf("mark %d: uid %d, %d, %x, want uid %d, %d, %x", n, got.UID, got.ModSeq, got.Flags, want.UID, want.ModSeq, want.Flags)
			}
			n++
		}
	}
	if n < len(entries) {
		return fmt.Errorf("%d marks, want %d", n, len(entries))
	}
	return nil
}
