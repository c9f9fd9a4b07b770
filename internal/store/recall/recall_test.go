package recall

import (
	"fmt"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/memory"
)

func TestRemembers(t *testing.T) {
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { s.Close() })
	now := time.Unix(1700000000, 0)
	open := func() *Memory {
		m, err := Open(t.Context(), Options{Notes: s.Notes(), Prefix: "test/", Max: 64 * 16, Keep: time.Hour, Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := open()
	m.Change("ann", func(r Record) Record { r.Good += 1.5; r.Bad++; return r })
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Change("bob", func(r Record) Record { r.Good++; return r }) // lost in the crash
	m = open()
	r, ok := m.Get("ann")
	if !ok || r.Good != 1.5 || r.Bad != 1 || !r.First.Equal(now) || !r.Last.Equal(now) {
		t.Errorf("%+v %v", r, ok)
	}
	if _, ok := m.Get("bob"); ok {
		t.Error("what was not written is remembered")
	}
	now = now.Add(2 * time.Hour)
	if _, ok := m.Get("ann"); ok {
		t.Error("it is remembered for too long")
	}
	m.Change("ann", func(r Record) Record { return r })
	if r, _ := m.Get("ann"); r.Good != 0 {
		t.Error("what is too old comes back")
	}
}

// TestBounds: who did something good outlives a flood of others.
func TestBounds(t *testing.T) {
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { s.Close() })
	m, err := Open(t.Context(), Options{Notes: s.Notes(), Prefix: "test/", Max: 64 * 16})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 64 {
		m.Change(fmt.Sprint("good ", i), func(r Record) Record { r.Good = 1; return r })
	}
	for i := range 100000 {
		m.Change(fmt.Sprint("flood ", i), func(r Record) Record { return r })
	}
	if n := m.Len(); n > 64*16 {
		t.Errorf("%d records", n)
	}
	for i := range 64 {
		if _, ok := m.Get(fmt.Sprint("good ", i)); !ok {
			t.Errorf("good %d is forgotten", i)
		}
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}
