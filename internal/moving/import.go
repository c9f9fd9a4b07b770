package moving

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

const (
	batchBytes   = 8 << 20
	batchLetters = 256
)

// Job is an import into an account.
type Job struct {
	Source  Source
	Site    Site
	Account string
	// Into gives the mailbox that a folder goes into; false leaves it out. Nil
	// keeps all names.
	Into func(name string) (string, bool)
	// Told of each letter and folder that could not be read, and then kept going.
	Bad      func(*Bad)
	Progress func(Progress)
}

// Progress is how far an import or export is.
type Progress struct {
	Messages int // done
	Total    int // about; 0 if it is not known
	Bytes    int64
}

// Result is what came of a job.
type Result struct {
	Folders  int    `json:"folders"`
	Messages int    `json:"messages"` // brought now, and read back
	Known    int    `json:"known"`    // that were there already
	Bad      int    `json:"bad"`
	Bytes    int64  `json:"bytes"`
	Digest   string `json:"digest"`     // over those brought now
	Renumber int    `json:"renumbered"` // letters whose UIDs could not be kept
}

// Import runs a job. Letters that cannot be read are named and left out; an
// error ends it, and it can be run again.
func (j *Job) Import(ctx context.Context) (Result, error) {
	r := runner{Job: j}
	err := r.run(ctx)
	r.result.Digest = r.digest.String()
	return r.result, err
}

type runner struct {
	*Job
	result Result
	digest Digest
	p      Progress
}

func (r *runner) bad(b *Bad) {
	r.result.Bad++
	if r.Bad != nil {
		r.Bad(b)
	}
}

func (r *runner) run(ctx context.Context) error {
	folders, err := r.Source.Folders(ctx, r.bad)
	if err != nil {
		return fmt.Errorf("import: %w", err)
	}
	for i := range folders {
		r.p.Total += folders[i].Messages
	}
	for i := range folders {
		if err := r.folder(ctx, &folders[i]); err != nil {
			var bad *Bad
			if errors.As(err, &bad) && ctx.Err() == nil {
				r.bad(bad)
				continue
			}
			return fmt.Errorf("import %s: %w", folders[i].Name, err)
		}
	}
	return nil
}

func (r *runner) folder(ctx context.Context, f *Folder) error {
	o := Order{Account: r.Account, Source: r.Source.Name(), Folder: *f}
	if r.Into != nil {
		name, ok := r.Into(f.Name)
		if !ok {
			r.p.Total -= f.Messages
			return nil
		}
		o.Folder.Name = name
	}
	state, err := r.Site.Open(ctx, o)
	if err != nil {
		return err
	}
	if f.NoSelect {
		return nil
	}
	known := make(map[uint64]bool, len(state.Known)/8)
	for k := state.Known; len(k) >= 8; k = k[8:] {
		known[binary.BigEndian.Uint64(k)] = true
	}
	r.result.Folders++
	b := batch{r: r, o: o, kept: state.Kept}
	for l, err := range r.Source.Letters(ctx, f, func(key uint64) bool {
		if known[key] {
			r.result.Known++
			r.step(0)
		}
		return known[key]
	}) {
		var bad *Bad
		switch {
		case errors.As(err, &bad):
			r.bad(bad)
			continue
		case err != nil:
			return errors.Join(err, b.put(ctx))
		}
		if !state.Kept {
			l.UID = 0
		}
		if err := b.add(ctx, l); err != nil {
			return err
		}
	}
	if err := b.put(ctx); err != nil {
		return err
	}
	return r.Site.Settle(ctx, o)
}

func (r *runner) step(size int64) {
	r.p.Messages++
	r.p.Bytes += size
	if r.Progress != nil {
		r.Progress(r.p)
	}
}

// batch gathers letters for one commit.
type batch struct {
	r       *runner
	o       Order
	kept    bool
	letters []Letter
	size    int64
}

func (b *batch) add(ctx context.Context, l Letter) error {
	if len(b.letters) > 0 && (b.size+l.Size > batchBytes || len(b.letters) == batchLetters) {
		if err := b.put(ctx); err != nil {
			return err
		}
	}
	b.letters = append(b.letters, l)
	b.size += l.Size
	return nil
}

// put brings what was gathered. If some are refused, each letter is tried by itself,
// so that one that cannot be kept is known.
func (b *batch) put(ctx context.Context) error {
	letters := b.letters
	b.letters, b.size = nil, 0
	if len(letters) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	err := b.one(ctx, letters)
	if len(letters) == 1 || !errors.As(err, new(*Refused)) {
		return b.refused(letters, err)
	}
	for i := range letters {
		if err := b.refused(letters[i:i+1], b.one(ctx, letters[i:i+1])); err != nil {
			return err
		}
	}
	return nil
}

// Refused says that a site will never take a letter, but others.
type Refused struct{ Err error }

func (e *Refused) Error() string { return e.Err.Error() }
func (e *Refused) Unwrap() error { return e.Err }

func (b *batch) refused(letters []Letter, err error) error {
	var no *Refused
	if !errors.As(err, &no) {
		return err
	}
	for i := range letters {
		b.r.bad(&Bad{letters[i].Name, err, &letters[i]})
	}
	return nil
}

func (b *batch) one(ctx context.Context, letters []Letter) error {
	placed, err := b.r.Site.Put(ctx, b.o, letters)
	if err != nil {
		return err
	}
	if len(placed) != len(letters) {
		return fmt.Errorf("%d letters were sent and %d kept", len(letters), len(placed))
	}
	for i := range letters {
		sum := sha256.Sum256(letters[i].Text)
		if !bytes.Equal(sum[:], placed[i].Sum) {
			return fmt.Errorf("%s: what was kept as UID %d is not what was sent", letters[i].Name, placed[i].UID)
		}
		b.r.digest.Add(sum[:])
		b.r.result.Messages++
		b.r.result.Bytes += letters[i].Size
		if b.o.Folder.UIDValidity != 0 && (!b.kept || letters[i].UID != 0 && placed[i].UID != letters[i].UID) {
			b.r.result.Renumber++
		}
		b.r.step(letters[i].Size)
	}
	return nil
}
