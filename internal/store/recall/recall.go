// Package recall is a bounded memory of whom was met, and with what success, that
// outlives the process: records of a few octets under hashed keys, all in memory,
// kept in notes a shard at a time. Changes are written behind: a crash may lose those
// of the last seconds, which costs somebody a delay and nobody mail.
package recall

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"plic/internal/store"
)

// Options are what a Memory works with. Notes and Prefix must be set.
type Options struct {
	Notes  store.Notes
	Prefix string        // of the keys of its notes, with a slash at the end
	Max    int           // records, or a few more: 100,000 if 0
	Keep   time.Duration // after which a record is forgotten that is not touched: 60 days if 0
	Now    func() time.Time
	Log    *slog.Logger
}

// Record is what is remembered.
type Record struct {
	First, Last time.Time // to the second; Last is set by Change
	Good, Bad   float32
}

type key [8]byte

// shards is how many notes there are.
const shards = 64

// Memory remembers. Its methods may be called at the same time.
type Memory struct {
	o  Options
	mu sync.Mutex
	of [shards]shard
}

type shard struct {
	records map[key]Record
	dirty   bool
}

// Open reads what is remembered. A note that cannot be read is as none.
func Open(ctx context.Context, o Options) (*Memory, error) {
	if o.Max <= 0 {
		o.Max = 100000
	}
	if o.Keep <= 0 {
		o.Keep = 60 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	m := &Memory{o: o}
	for i := range m.of {
		m.of[i].records = map[key]Record{}
	}
	notes, err := o.Notes.All(ctx, o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("read what is remembered as %s: %w", o.Prefix, err)
	}
	for _, n := range notes {
		if !m.read(n.Value) {
			o.Log.Error("what is remembered cannot be read, it is forgotten", "note", n.Key)
		}
	}
	return m, nil
}

// A note is a version and records of fixed size: key, First, Last, Good, Bad.
const (
	version = 1
	size    = 24
)

func (m *Memory) read(note []byte) bool {
	if len(note)%size != 1 || note[0] != version {
		return false
	}
	for b := note[1:]; len(b) > 0; b = b[size:] {
		var k key
		copy(k[:], b)
		number := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
		m.shard(k).records[k] = Record{
			First: time.Unix(int64(number(8)), 0), Last: time.Unix(int64(number(12)), 0),
			Good: math.Float32frombits(number(16)), Bad: math.Float32frombits(number(20)),
		}
	}
	return true
}

func (s *shard) append(b []byte) []byte {
	b = append(b, version)
	for k, r := range s.records {
		b = append(b, k[:]...)
		for _, n := range []uint32{uint32(r.First.Unix()), uint32(r.Last.Unix()), math.Float32bits(r.Good), math.Float32bits(r.Bad)} {
			b = binary.BigEndian.AppendUint32(b, n)
		}
	}
	return b
}

func keyOf(name string) (k key) {
	sum := sha256.Sum256([]byte(name))
	copy(k[:], sum[:])
	return k
}

func (m *Memory) shard(k key) *shard { return &m.of[k[7]%shards] }

// Get gives what is remembered of a name.
func (m *Memory) Get(name string) (Record, bool) {
	k := keyOf(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.shard(k).records[k]
	if ok && m.o.Now().Sub(r.Last) > m.o.Keep {
		return Record{}, false
	}
	return r, ok
}

// Change changes what is remembered of a name; the zero Record is nothing.
func (m *Memory) Change(name string, change func(Record) Record) {
	k, now := keyOf(name), m.o.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.shard(k)
	r := s.records[k]
	if now.Sub(r.Last) > m.o.Keep {
		r = Record{First: now}
	}
	r = change(r)
	r.Last = now
	s.records[k], s.dirty = r, true
	if most := max(m.o.Max/shards, 16); len(s.records) > most {
		s.shrink(most-most/8, now.Add(-m.o.Keep))
	}
}

// shrink forgets who did nothing good first, and of those whoever was not seen for
// longest.
func (s *shard) shrink(to int, oldest time.Time) {
	type item struct {
		k key
		r Record
	}
	all := make([]item, 0, len(s.records))
	for k, r := range s.records {
		all = append(all, item{k, r})
	}
	rank := func(r Record) int {
		switch {
		case r.Last.Before(oldest):
			return 0
		case r.Good == 0:
			return 1
		}
		return 2
	}
	slices.SortFunc(all, func(a, b item) int {
		return cmp.Or(cmp.Compare(rank(a.r), rank(b.r)), a.r.Last.Compare(b.r.Last))
	})
	for _, x := range all[:max(0, len(all)-to)] {
		delete(s.records, x.k)
	}
}

// Len is how many are remembered.
func (m *Memory) Len() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.of {
		n += len(m.of[i].records)
	}
	return n
}

// Flush writes what has changed, in one commit.
func (m *Memory) Flush(ctx context.Context) error {
	var changed []int
	var notes []store.Note
	m.mu.Lock()
	for i := range m.of {
		if s := &m.of[i]; s.dirty {
			s.dirty = false
			changed = append(changed, i)
			notes = append(notes, store.Note{Key: fmt.Sprintf("%s%02x", m.o.Prefix, i), Value: s.append(nil)})
		}
	}
	m.mu.Unlock()
	if len(notes) == 0 {
		return nil
	}
	if err := m.o.Notes.PutAll(ctx, notes...); err != nil {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, i := range changed {
			m.of[i].dirty = true
		}
		return fmt.Errorf("keep what is remembered: %w", err)
	}
	return nil
}

// Run writes changes behind until ctx ends, and then what is left.
func (m *Memory) Run(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := m.Flush(ctx); err != nil && ctx.Err() == nil {
				m.o.Log.Error("what was learnt of senders is not kept yet", "error", err)
			}
		case <-ctx.Done():
			return m.Flush(context.WithoutCancel(ctx))
		}
	}
}
