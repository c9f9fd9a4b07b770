package server

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"

	"plic/internal/moving"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// moved is moving.Site over the mailboxes of accounts.
type moved struct{ *site }

// takenNotes are notes of a mailbox: keys of letters that were taken from a
// source, those of one commit in each.
const takenNotes = "import/"

func takenKey(source string) string {
	sum := sha256.Sum256([]byte(source))
	return takenNotes + hex.EncodeToString(sum[:8]) + "/"
}

// account opens one that may log in here.
func (m moved) account(ctx context.Context, name string) (*store.Account, error) {
	a, err := m.people.Account(ctx, name)
	if err != nil {
		return nil, told(err)
	}
	return m.store.Account(ctx, a.Name)
}

// Open makes the mailbox with what is known of it, and says which letters of the
// source it has.
func (m moved) Open(ctx context.Context, o moving.Order) (state moving.State, err error) {
	a, err := m.account(ctx, o.Account)
	if err != nil {
		return state, err
	}
	f := &o.Folder
	if _, err := a.Mailbox(f.Name); !f.NoSelect && (errors.Is(err, store.ErrNoMailbox) || errors.Is(err, store.ErrNoSelect)) {
		if err := yieldUse(ctx, a, f.SpecialUse); err != nil {
			return state, err
		}
		err = a.Create(ctx, f.Name, f.SpecialUse)
		if errors.Is(err, store.ErrSpecialUse) { // another has it
			err = a.Create(ctx, f.Name, "")
		}
		if err != nil && !errors.Is(err, store.ErrExists) {
			return state, &moving.Bad{Name: f.Name, Err: err}
		}
	} else if err != nil && !f.NoSelect {
		return state, &moving.Bad{Name: f.Name, Err: err}
	}
	if f.Subscribed {
		if err := a.Subscribe(ctx, f.Name, true); err != nil {
			return state, err
		}
	}
	if f.NoSelect {
		return state, nil
	}
	if state.Kept, err = a.Adopt(ctx, f.Name, f.UIDValidity, store.UID(f.UIDNext)); err != nil {
		return state, err
	}
	mb, err := a.Mailbox(f.Name)
	if err != nil {
		return state, err
	}
	notes, err := mb.Notes().All(ctx, takenKey(o.Source))
	for _, n := range notes {
		state.Known = append(state.Known, n.Value...)
	}
	return state, err
}

// yieldUse takes away the mailbox that a new account has for a special use, if
// nothing was ever in it: the one that comes has another name.
func yieldUse(ctx context.Context, a *store.Account, use string) error {
	for _, i := range a.Mailboxes() {
		if use == "" || i.SpecialUse != use || i.UIDNext != 1 || i.HasChildren {
			continue
		}
		if err := a.Subscribe(ctx, i.Name, false); err != nil {
			return err
		}
		if err := a.Delete(ctx, i.Name); err != nil && !errors.Is(err, store.ErrNoMailbox) {
			return err
		}
	}
	return nil
}

// Put keeps letters in one commit, with the note that they were taken, and reads
// them back.
func (m moved) Put(ctx context.Context, o moving.Order, letters []moving.Letter) ([]moving.Placed, error) {
	a, err := m.account(ctx, o.Account)
	if err != nil {
		return nil, err
	}
	mb, err := a.Mailbox(o.Folder.Name)
	if err != nil {
		return nil, err
	}
	tx := m.store.Begin()
	tx.BeyondQuota()
	var keys []byte
	for i := range letters {
		l := &letters[i]
		d, err := m.store.NewDraft(ctx)
		if err != nil {
			return nil, err
		}
		defer d.Discard()
		if _, err := d.Write(l.Text); err != nil {
			return nil, err
		}
		tx.Deliver(mb, store.Incoming{Draft: d, Flags: store.FlagsOf(l.Flags), Internal: l.Internal, UID: store.UID(l.UID)})
		keys = binary.BigEndian.AppendUint64(keys, l.Key)
	}
	if len(keys) > 0 {
		tx.PutNote(mb.Notes(), takenKey(o.Source)+hex.EncodeToString(keys[:8]), keys)
	}
	placed, err := tx.Commit(ctx)
	if errors.Is(err, store.ErrTooManyKeywords) {
		err = &moving.Refused{Err: err}
	}
	if err != nil {
		return nil, err
	}
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]moving.Placed, len(placed))
	for i := range placed {
		e, ok := snap.Get(placed[i].UID)
		if !ok {
			return nil, fmt.Errorf("%s: UID %d has gone again", letters[i].Name, placed[i].UID)
		}
		text, err := mb.Open(ctx, e)
		if err != nil {
			return nil, err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, io.NewSectionReader(text, 0, text.Size()))
		text.Close()
		if err != nil {
			return nil, err
		}
		out[i] = moving.Placed{UID: uint32(placed[i].UID), Sum: sum.Sum(nil)}
	}
	return out, nil
}

// Settle ends an import: UIDs go on where they would elsewhere.
func (m moved) Settle(ctx context.Context, o moving.Order) error {
	a, err := m.account(ctx, o.Account)
	if err != nil {
		return err
	}
	mb, err := a.Mailbox(o.Folder.Name)
	if err != nil {
		return err
	}
	next := store.UID(o.Folder.UIDNext)
	if mb.Info().UIDValidity != o.Folder.UIDValidity {
		next = 0
	}
	return mb.Settle(ctx, next)
}

// Folders lists the mailboxes of an account.
func (m moved) Folders(ctx context.Context, account string) ([]moving.Folder, error) {
	a, err := m.store.Existing(ctx, account)
	if err != nil {
		return nil, told(err)
	}
	var all []moving.Folder
	for _, i := range a.Mailboxes() {
		all = append(all, moving.Folder{
			Name: i.Name, UIDValidity: i.UIDValidity, UIDNext: uint32(i.UIDNext), SpecialUse: i.SpecialUse,
			Subscribed: i.Subscribed, NoSelect: i.NoSelect, Messages: int(i.Messages),
		})
	}
	return all, nil
}

// Get gives the letters of a mailbox as they were when it began.
func (m moved) Get(ctx context.Context, account, mailbox string) iter.Seq2[moving.Letter, error] {
	return func(yield func(moving.Letter, error) bool) {
		a, err := m.store.Existing(ctx, account)
		if err != nil {
			yield(moving.Letter{}, told(err))
			return
		}
		mb, err := a.Mailbox(mailbox)
		if err != nil {
			yield(moving.Letter{}, err)
			return
		}
		snap, err := mb.Snapshot(ctx)
		if err != nil {
			yield(moving.Letter{}, err)
			return
		}
		for _, e := range snap.All() {
			l, err := m.letter(ctx, mb, snap, e)
			if errors.Is(err, engine.ErrNotFound) {
				continue // expunged meanwhile
			}
			if err != nil && ctx.Err() == nil {
				err = &moving.Bad{Name: fmt.Sprintf("%s, %s, UID %d", account, mailbox, e.UID), Err: err}
			}
			if !yield(l, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

func (m moved) letter(ctx context.Context, mb *store.Mailbox, snap *store.Snapshot, e store.Entry) (moving.Letter, error) {
	l := moving.Letter{Name: fmt.Sprintf("%s, UID %d", mb.Name(), e.UID), UID: uint32(e.UID), Internal: e.Internal.Time()}
	text, err := mb.Open(ctx, e)
	if err != nil {
		return l, err
	}
	defer text.Close()
	l.Size = text.Size()
	l.Text = make([]byte, l.Size)
	if _, err := text.ReadAt(l.Text, 0); err != nil && !errors.Is(err, io.EOF) {
		return l, err
	}
	flags := snap.Flags(e)
	for _, f := range []struct {
		bit  engine.Flags
		name string
	}{{store.Seen, `\Seen`}, {store.Answered, `\Answered`}, {store.Flagged, `\Flagged`}, {store.Deleted, `\Deleted`}, {store.DraftFlag, `\Draft`}} {
		if flags.System&f.bit != 0 {
			l.Flags = append(l.Flags, f.name)
		}
	}
	l.Flags = append(l.Flags, flags.Keywords...)
	return l, nil
}
