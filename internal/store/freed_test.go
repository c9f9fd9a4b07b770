package store

import (
	"fmt"
	"testing"
	"time"

	"plic/internal/store/memory"
)

// TestFreedIsBounded: what names had is forgotten in the end, but never taken
// for less than it was.
func TestFreedIsBounded(t *testing.T) {
	t.Parallel()
	e := memory.New(time.Now)
	s := New(Options{Engine: e})
	a, err := s.Account(t.Context(), "ann")
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Create(t.Context(), "old", ""); err != nil {
		t.Fatal(err)
	}
	had := map[string]uint32{}
	for i := range maxFreed + maxFreed/4 {
		name := fmt.Sprint("n", i)
		if err := a.Create(t.Context(), name, ""); err != nil {
			t.Fatal(err)
		}
		info, _ := a.Info(name)
		had[name] = info.UIDValidity
		if err := a.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if n := len(a.freed); n > maxFreed || n < maxFreed/2 || a.freed[freedFloor] == 0 {
			t.Errorf("%d names are remembered, floor %d", n, a.freed[freedFloor])
		}
		for name, v := range had {
			if a.freed.of(name) < v {
				t.Errorf("%s had %d, remembered is %d", name, v, a.freed.of(name))
			}
		}
		if notes, err := a.Notes().All(t.Context(), freedNotes); err != nil || len(notes) != len(a.freed) {
			t.Errorf("%d notes of %d names, %v", len(notes), len(a.freed), err)
		}
		e.Reopen()
		if a, err = New(Options{Engine: e}).Account(t.Context(), "ann"); err != nil { // as after a restart
			t.Fatal(err)
		}
	}
}
