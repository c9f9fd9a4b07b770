package recall

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/engine"
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

// full is an engine that has no room for what is written, while it is.
type full struct {
	engine.Engine
	is bool
}

func (f *full) Apply(b *engine.Batch) (engine.Ticket, error) {
	if f.is {
		return nil, engine.ErrFull
	}
	return f.Engine.Apply(b)
}

// TestFlushAgain: what could not be written is written when there is room again.
func TestFlushAgain(t *testing.T) {
	e := &full{Engine: memory.New(time.Now)}
	s := store.New(store.Options{Engine: e})
	t.Cleanup(func() { s.Close() })
	m, err := Open(t.Context(), Options{Notes: s.Notes(), Prefix: "test/"})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		m.Change(fmt.Sprint(i), func(r Record) Record { r.Good = 1; return r })
	}
	e.is = true
	if err := m.Flush(t.Context()); !errors.Is(err, engine.ErrFull) {
		t.Fatal(err)
	}
	e.is = false
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m, err = Open(t.Context(), Options{Notes: s.Notes(), Prefix: "test/"}); err != nil || m.Len() != 200 {
		t.Errorf("%d of 200 are remembered, %v", m.Len(), err)
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
