// Package tabletest is the suite that every driver of tables passes.
package tabletest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"plic/internal/table"
)

// Suite tests one driver.
type Suite struct {
	// Open makes a table that holds the pairs.
	Open func(t *testing.T, pairs map[string]string) table.Table
	// Break makes look-ups of the table that was opened last fail, and Mend ends
	// that; nil for a driver that has nothing to fail.
	Break, Mend func(t *testing.T)
	// Addresses says that keys are IP addresses.
	Addresses bool
}

// keys of each kind; the last two are never in the table.
func (s Suite) keys() []string {
	if s.Addresses {
		return []string{"192.0.2.1", "2001:db8::1", "127.0.0.1", "10.0.0.10", "192.0.2.2", "2001:db8::2"}
	}
	return []string{"bob", "bob@example.org", "@example.org", ".example.org", "*", `"a b"@example.org`, "bob+tag@example.org",
		"x'; drop table users; --@example.org", "*)(uid=*)@example.org", "%@example.org", "$1@example.org", "ü@example.org",
		strings.Repeat("k", 300) + "@example.org", "nobody@example.org", "bob@example"}
}

// Run tests the driver.
func (s Suite) Run(t *testing.T) {
	t.Run("Lookup", s.lookup)
	t.Run("Empty", s.empty)
	t.Run("Together", s.together)
	if s.Break != nil {
		t.Run("Trouble", s.trouble)
	}
}

// held gives a table with all keys but the last two, and their values.
func (s Suite) held(t *testing.T) (table.Table, map[string]string) {
	keys := s.keys()
	pairs := map[string]string{}
	for i, key := range keys[:len(keys)-2] {
		pairs[key] = []string{"one", "two words", "a@example.org, b@example.org", "smtp:[192.0.2.9]:25", "100% of $5 {x}", "ü"}[i%6]
	}
	return s.Open(t, pairs), pairs
}

func (s Suite) lookup(t *testing.T) {
	tab, pairs := s.held(t)
	for key, want := range pairs {
		for _, form := range []string{key, strings.ToUpper(key)} {
			if got, found, err := tab.Lookup(t.Context(), form); got != want || !found || err != nil {
				t.Errorf("%q: %q, %v, %v; want %q", form, got, found, err, want)
			}
		}
	}
	keys := s.keys()
	for _, key := range append(keys[len(keys)-2:], "", "\x00", "bob\nbob", strings.Repeat("x", 1<<16)) {
		if got, found, err := tab.Lookup(t.Context(), key); got != "" || found || err != nil {
			t.Errorf("%.40q is not there: %q, %v, %v", key, got, found, err)
		}
	}
}

func (s Suite) empty(t *testing.T) {
	if got, found, err := s.Open(t, nil).Lookup(t.Context(), s.keys()[0]); got != "" || found || err != nil {
		t.Errorf("an empty table says %q, %v, %v", got, found, err)
	}
}

func (s Suite) together(t *testing.T) {
	tab, pairs := s.held(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for key, want := range pairs {
				if got, found, err := tab.Lookup(t.Context(), key); got != want || !found || err != nil {
					t.Errorf("%q: %q, %v, %v", key, got, found, err)
				}
			}
		})
	}
	wg.Wait()
}

// trouble is an error, whether the key is there or not, and it passes.
func (s Suite) trouble(t *testing.T) {
	tab, pairs := s.held(t)
	keys := s.keys()
	s.Break(t)
	for _, key := range []string{keys[0], keys[len(keys)-1]} {
		if got, found, err := tab.Lookup(t.Context(), key); got != "" || found || err == nil {
			t.Errorf("%q in trouble: %q, %v, %v; want an error", key, got, found, err)
		}
	}
	s.Mend(t)
	if got, found, err := tab.Lookup(t.Context(), keys[0]); got != pairs[keys[0]] || !found || err != nil {
		t.Errorf("after the trouble: %q, %v, %v", got, found, err)
	}
}

// ErrDown is what Down says.
var ErrDown = errors.New("connection refused")

// Down is a table that is always in trouble.
type Down struct{}

// Lookup fails.
func (Down) Lookup(context.Context, string) (string, bool, error) { return "", false, ErrDown }
