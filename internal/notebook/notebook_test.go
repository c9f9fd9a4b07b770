package notebook_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/internal/notebook"
	"plic/internal/notebook/notebooktest"
)

// Entries are kept once, also over midnight, no more than so many a day, and for a
// season, after which the first entry of a day takes them away.
func TestBook(t *testing.T) {
	t.Parallel()
	notes, now := &notebooktest.Notes{}, time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC)
	b := &notebook.Book[string]{Notes: notes, Prefix: "x/", Now: func() time.Time { return now }}
	enter := func(name string, want bool) {
		t.Helper()
		if kept, err := b.Enter(t.Context(), name, "value of "+name); kept != want || err != nil {
			t.Fatalf("%s is kept: %v, %v", name, kept, err)
		}
	}
	want := func(n int, first string) {
		t.Helper()
		var all []string
		for v, err := range b.Entries(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, v)
		}
		if len(all) != n || n > 0 && all[0] != "value of "+first {
			t.Errorf("kept %d %.200q", len(all), all)
		}
	}
	enter("1", true)
	enter("1", true)
	now = now.Add(2 * time.Hour)
	enter("1", true)
	want(1, "1")
	for i := range notebook.MostADay {
		enter(fmt.Sprint("many ", i), true)
	}
	enter("one too many", false)
	enter("many 0", true) // which is there
	now = now.AddDate(0, 0, notebook.Days)
	want(notebook.MostADay, firstOf(t, b))
	enter("next", true)
	now = now.AddDate(0, 0, 1)
	want(1, "next")
	if got := len(notes.All); got != notebook.MostADay+1 {
		t.Errorf("%d notes before the first entry of the day", got)
	}
	enter("last", true)
	if got := len(notes.All); got != 2 {
		t.Errorf("%d notes after it", got)
	}
	notes.Fail = errors.New("disk")
	if _, err := b.Enter(t.Context(), "lost", ""); err == nil {
		t.Error("what cannot be kept is as kept")
	}
}

// Of one entry, and of those of a day, there may be only so many octets.
func TestOctets(t *testing.T) {
	t.Parallel()
	b := &notebook.Book[string]{Notes: &notebooktest.Notes{}, Prefix: "x/", Now: func() time.Time { return time.Date(2026, 11, 25, 23, 0, 0, 0, time.UTC) }}
	large := strings.Repeat("x", notebook.MostOfOne-2) // beside its quotes
	if kept, err := b.Enter(t.Context(), "too large", large+"x"); kept || err != nil {
		t.Errorf("kept: %v, %v", kept, err)
	}
	for i := range notebook.MostOctets/notebook.MostOfOne + 2 {
		kept, err := b.Enter(t.Context(), fmt.Sprint(i), large)
		if want := i < notebook.MostOctets/notebook.MostOfOne; kept != want || err != nil {
			t.Fatalf("%d is kept: %v, %v", i, kept, err)
		}
	}
}

// firstOf is the name of the first entry.
func firstOf(t *testing.T, b *notebook.Book[string]) string {
	t.Helper()
	for v, err := range b.Entries(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(v, "value of ")
	}
	return ""
}

// A text is cut between two letters.
func TestCut(t *testing.T) {
	t.Parallel()
	short, long := "ü", "a"+strings.Repeat("ü", 1000)
	notebook.Cut(&short, &long)
	if short != "ü" || long != "a"+strings.Repeat("ü", 99) {
		t.Errorf("%q %q", short, long)
	}
}
