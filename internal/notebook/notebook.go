// Package notebook keeps small records that outlive the process, and books of what
// strangers bring: each entry once, no more than so many a day, and for a season.
package notebook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"iter"
	"time"
)

// Note is a small record that outlives the process.
type Note struct {
	Key   string
	Value []byte // nil takes the note away
}

// Notes keeps them.
type Notes interface {
	// Note gives the value of a key, nil if there is none.
	Note(ctx context.Context, key string) ([]byte, error)
	// Notes gives those whose keys begin with a prefix, by rising key.
	Notes(ctx context.Context, prefix string) iter.Seq2[Note, error]
	// PutNotes keeps notes, durably when it returns.
	PutNotes(ctx context.Context, notes ...Note) error
}

const (
	// Days is how long an entry is kept.
	Days = 90
	// MostADay is how many come in on one day.
	MostADay = 2000
	// MostOctets is how much comes in on one day.
	MostOctets = 64 << 20
	// MostOfOne is how much there may be of one, or of any note.
	MostOfOne = 1 << 20

	mostText = 200
)

// Book is a book of entries; keys begin with Prefix, and go on with the day.
type Book[T any] struct {
	Notes  Notes
	Prefix string
	Now    func() time.Time
}

// Enter keeps a value, known by its name among all, if it is not there already. It is
// durable when Enter returns; false means that there are too many today, or too much of
// this one.
func (b *Book[T]) Enter(ctx context.Context, name string, value T) (bool, error) {
	now := b.Now().UTC()
	sum := sha256.Sum256([]byte(name))
	name = "/" + hex.EncodeToString(sum[:16])
	for back := range 3 { // mail may come again after a day or two
		had, err := b.Notes.Note(ctx, b.day(now, back)+name)
		if err != nil || had != nil {
			return had != nil, err
		}
	}
	text, err := json.Marshal(value)
	if err != nil || len(text) > MostOfOne {
		return false, err
	}
	n, octets, today := 0, len(text), b.day(now, 0)
	for x, err := range b.Notes.Notes(ctx, today+"/") {
		if err != nil {
			return false, err
		}
		n, octets = n+1, octets+len(x.Value)
		if n >= MostADay || octets > MostOctets {
			return false, nil
		}
	}
	notes := []Note{{Key: today + name, Value: text}}
	if n == 0 {
		old, err := b.old(ctx, now)
		if err != nil {
			return false, err
		}
		notes = append(notes, old...)
	}
	return true, b.Notes.PutNotes(ctx, notes...)
}

func (b *Book[T]) day(now time.Time, back int) string {
	return b.Prefix + now.AddDate(0, 0, -back).Format(time.DateOnly)
}

// old are notes to take away, when the first entry of a day comes.
func (b *Book[T]) old(ctx context.Context, now time.Time) (gone []Note, err error) {
	oldest := b.day(now, Days)
	for n, err := range b.Notes.Notes(ctx, b.Prefix) {
		if err != nil {
			return nil, err
		}
		if n.Key >= oldest {
			break
		}
		gone = append(gone, Note{Key: n.Key})
	}
	return gone, nil
}

// Entries gives the values that are kept, by the day they came.
func (b *Book[T]) Entries(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		oldest := b.day(b.Now().UTC(), Days)
		for n, err := range b.Notes.Notes(ctx, b.Prefix) {
			var value T
			if err == nil && (n.Key < oldest || json.Unmarshal(n.Value, &value) != nil) {
				continue
			}
			if !yield(value, err) || err != nil {
				return
			}
		}
	}
}

// Cut bounds texts that a stranger may have made too long, and keeps them UTF-8: what
// is cut off of a letter is lost.
func Cut(texts ...*string) {
	for _, text := range texts {
		if len(*text) <= mostText {
			continue
		}
		end := mostText
		for end > 0 && (*text)[end]&0xc0 == 0x80 {
			end--
		}
		*text = (*text)[:end]
	}
}

// Fit gives the first of a list, as many as take no more octets than there is room for,
// and the room that is left.
func Fit[T any](list []T, room int) ([]T, int) {
	for i := range list {
		text, err := json.Marshal(list[i])
		if err != nil || len(text)+1 > room {
			return list[:i], room
		}
		room -= len(text) + 1
	}
	return list, room
}
