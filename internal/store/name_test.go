package store

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCleanName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"INBOX": "INBOX", "inbox": "INBOX", "InBox/x": "INBOX/x", "a/inbox": "a/inbox", "inboxes": "inboxes",
		"Cafe\u0301": "Caf\u00e9", "a/b/c": "a/b/c", "\u0131nbox": "\u0131nbox",
	} {
		if got, err := CleanName(name); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	for _, name := range []string{"", "/", "a/", "/a", "a//b", "a\x00", "a\r\nb", "\xff", "..", "a/../b", "~x", "a*b", "a%",
		"\u2028", "a\u0085", strings.Repeat("x", 1001), strings.Repeat("e\u0301", 1<<20), strings.Repeat("a/", 32) + "a"} {
		if got, err := CleanName(name); !errors.Is(err, ErrBadName) {
			t.Errorf("%.50q: %.50q, %v; want ErrBadName", name, got, err)
		}
	}
}

func TestCompareNames(t *testing.T) {
	t.Parallel()
	sorted := []string{"INBOX", "INBOX/a", "INBOX/a/b", "INBOX/b", "A", "A/z", "A!", "A-b", "B", "INBOXES", "a", "a/b", "a/b/c", "a b", "ab"}
	shuffled := slices.Clone(sorted)
	slices.Reverse(shuffled)
	slices.SortFunc(shuffled, compareNames)
	if !slices.Equal(sorted, shuffled) {
		t.Errorf("sorted: %q", shuffled)
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := compareNames(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("%q and %q compare as %d", a, b, got)
			}
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/a", "Cafe\u0301/x", "a//b", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		clean, err := CleanName(s)
		if err != nil {
			return
		}
		if again, err := CleanName(clean); err != nil || again != clean {
			t.Fatalf("%q becomes %q becomes %q, %v", s, clean, again, err)
		}
	})
}
