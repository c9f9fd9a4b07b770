package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Notes of an account that has been converted, or is being so.
const (
	ownNotes      = "files/"
	convertedNote = ownNotes + "converted"  // where its mail is since, whatever the settings say
	copyingNote   = ownNotes + "converting" // where a copy has been begun
)

// How much is copied in one step.
const (
	copyMany   = 256
	copyOctets = 4 << 20
)

// ErrOccupied says that there is mail already where an account is to go.
var ErrOccupied = errors.New("there is mail at that place already, which is no copy of this account's: move it away first")

// Conversion is an account on its way to another place. Its records stay as they
// are, with UIDs, MODSEQs, flags and notes: only where the octets of each message
// are changes, for all of them in one batch. Until then the account is whole in
// its old place, from then on in the new one.
type Conversion struct {
	e     *Engine
	rec   engine.Account
	text  string
	place Place
	to    destination
	boxes map[engine.MailboxID]*copied
	began bool

	Old      string // where the mail was
	Messages int
	Octets   int64
}

// destination is where the octets go.
type destination interface {
	// open makes the destination ready; left says that an earlier conversion to the
	// same place may have left something there.
	open(ctx context.Context, left bool) error
	// follow makes a mailbox there what it is here.
	follow(ctx context.Context, b *copied) error
	// carry copies messages, and sets where they are.
	carry(ctx context.Context, b *copied, step *copyStep) error
	remove(ctx context.Context, b *copied) error
	// settle is the last thing before the switch, to which it adds.
	settle(ctx context.Context, c *Conversion, batch *engine.Batch) error
	// verify opens a copy.
	verify(ctx context.Context, b *copied, at mail.ID) (mail.Body, error)
}

// copied is a mailbox and its copy.
type copied struct {
	rec    engine.Mailbox
	before string // its name at the pass before
	files  Box
	have   map[engine.UID]copyOf
}

// copyOf is where a message is and where its copy is.
type copyOf struct {
	from, to mail.ID
	flags    engine.Flags
}

// copyStep is some messages that are copied together.
type copyStep struct {
	add    []engine.Message
	flag   []Flagged
	gone   []Numbered
	octets int64
}

// Converted says where an account was converted to; "" if it never was.
func (e *Engine) Converted(ctx context.Context, id engine.AccountID) (string, error) {
	note, err := e.Engine.Note(ctx, id, 0, convertedNote)
	if errors.Is(err, engine.ErrNotFound) {
		err = nil
	}
	return string(note), err
}

// ConvertedName is Converted by name; "" if there is no such account.
func (e *Engine) ConvertedName(ctx context.Context, name string) (string, error) {
	rec, _, err := e.Engine.Account(ctx, name)
	if errors.Is(err, engine.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return e.Converted(ctx, rec.ID)
}

// Stay lets an account that the settings want elsewhere be opened where its mail
// is, if that is the engine below, so that it can be converted.
func (e *Engine) Stay(ctx context.Context, name string) error {
	rec, _, err := e.Engine.Account(ctx, name)
	if err != nil {
		return err
	}
	if _, err := e.Engine.Note(ctx, rec.ID, 0, placeNote); !errors.Is(err, engine.ErrNotFound) {
		return errors.Join(ErrMoved, err)
	}
	return e.under(&engine.Batch{PutNotes: []engine.Note{{Account: rec.ID, Key: convertedNote, Value: []byte(Native)}}})
}

// Convert begins to move an account, which is open, to another location; nil if
// it is there. ErrOccupied.
func (e *Engine) Convert(ctx context.Context, name string, to Location) (*Conversion, error) {
	rec, _, err := e.Engine.Account(ctx, name)
	if err != nil {
		return nil, err
	}
	c := &Conversion{e: e, rec: rec, text: to.Text, boxes: map[engine.MailboxID]*copied{}, Old: Native}
	note, err := e.Engine.Note(ctx, rec.ID, 0, placeNote)
	if err == nil {
		c.Old = string(note)
	} else if !errors.Is(err, engine.ErrNotFound) {
		return nil, err
	}
	native := to.Text == Native
	if !native {
		if c.place, err = to.Resolve(name); err != nil {
			return nil, err
		}
		if e.o.Formats[c.place.Format] == nil {
			return nil, fmt.Errorf("mailboxes %q: no such format", to.Text)
		}
	}
	if c.Old == c.where() {
		return nil, nil
	}
	if _, old, _ := strings.Cut(c.Old, ":"); old != "" && !native && (within(old, c.place.Path) || within(c.place.Path, old)) {
		return nil, fmt.Errorf("%s and %s are one in the other: %w", old, c.place.Path, ErrOccupied)
	}
	c.to = &toFiles{e: e, of: rec, place: c.place}
	if native {
		c.to = &toNative{e: e, of: rec}
	}
	return c, nil
}

// within says that a path is another or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

func (c *Conversion) where() string {
	if c.text == Native {
		return Native
	}
	return c.place.Format + ":" + c.place.Path
}

// begin makes the destination ready, and notes that what is there is ours.
func (c *Conversion) begin(ctx context.Context) error {
	if c.began {
		return nil
	}
	note, err := c.e.Engine.Note(ctx, c.rec.ID, 0, copyingNote)
	if err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	left := string(note) == c.where()
	if err := c.to.open(ctx, left); err != nil {
		return full(err)
	}
	if !left {
		if err := c.e.under(&engine.Batch{PutNotes: []engine.Note{{Account: c.rec.ID, Key: copyingNote, Value: []byte(c.where())}}}); err != nil {
			return err
		}
	}
	c.began = true
	return nil
}

// under applies a batch to the engine below, and waits for it.
func (e *Engine) under(b *engine.Batch) error {
	t, err := e.Engine.Apply(b)
	if err != nil {
		return err
	}
	return t.Wait()
}

// Copy copies what has not been copied yet, and lets the copy follow what has
// changed. The account may be in use; the last time before Switch it must not be.
func (c *Conversion) Copy(ctx context.Context) error {
	if err := c.begin(ctx); err != nil {
		return err
	}
	_, boxes, err := c.e.Engine.Account(ctx, c.rec.Name)
	if err != nil {
		return err
	}
	there := map[engine.MailboxID]bool{}
	slices.SortFunc(boxes, func(x, y engine.Mailbox) int { return strings.Compare(x.Name, y.Name) })
	for i := range boxes {
		there[boxes[i].ID] = !boxes[i].NoSelect
	}
	for id, b := range c.boxes { // they may have lent their names
		if there[id] {
			continue
		}
		if err := c.to.remove(ctx, b); err != nil {
			return err
		}
		delete(c.boxes, id)
	}
	for i := range boxes {
		if boxes[i].NoSelect {
			continue
		}
		if err := c.mailbox(ctx, &boxes[i]); err != nil {
			return fmt.Errorf("copy mailbox %s: %w", boxes[i].Name, full(err))
		}
	}
	return nil
}

// mailbox copies one.
func (c *Conversion) mailbox(ctx context.Context, rec *engine.Mailbox) error {
	b := c.boxes[rec.ID]
	if b == nil {
		b = &copied{have: map[engine.UID]copyOf{}}
		c.boxes[rec.ID] = b
	}
	relabelled := !slices.Equal(b.rec.Keywords, rec.Keywords)
	b.before, b.rec = b.rec.Name, *rec
	if err := c.to.follow(ctx, b); err != nil {
		return err
	}
	step, seen := &copyStep{}, map[engine.UID]bool{}
	for entry, err := range c.e.Engine.Entries(ctx, c.rec.ID, rec.ID, 0) {
		if err != nil {
			return err
		}
		had, known := b.have[entry.UID]
		seen[entry.UID] = true
		switch {
		case known && had.from != entry.Body: // the mailbox has begun anew
			step.gone = append(step.gone, Numbered{keyIn(had.to), entry.UID})
			fallthrough
		case !known:
			step.add = append(step.add, engine.Message{Entry: entry})
			step.octets += entry.Size
		case had.flags != entry.Flags || relabelled && entry.Flags>>keywordShift != 0:
			before := had.flags
			if relabelled {
				before = ^engine.Flags(0)
			}
			step.flag = append(step.flag, Flagged{Key: keyIn(had.to), UID: entry.UID, Before: before, After: entry.Flags})
		}
		if len(step.add)+len(step.flag) >= copyMany || step.octets >= copyOctets {
			if err := c.step(ctx, b, step); err != nil {
				return err
			}
			step = &copyStep{}
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(b.have)) {
		if !seen[uid] {
			step.gone = append(step.gone, Numbered{keyIn(b.have[uid].to), uid})
		}
	}
	return c.step(ctx, b, step)
}

func keyIn(body mail.ID) uint64 {
	_, key := engine.SplitElsewhere(body)
	return key
}

// step copies some messages and reads them back.
func (c *Conversion) step(ctx context.Context, b *copied, s *copyStep) error {
	if err := ctx.Err(); err != nil || len(s.add)+len(s.flag)+len(s.gone) == 0 {
		return err
	}
	uids := make([]engine.UID, len(s.add))
	for i := range s.add {
		uids[i] = s.add[i].UID
	}
	i := 0
	for d, err := range c.e.Engine.Details(ctx, c.rec.ID, b.rec.ID, uids) {
		if err != nil {
			return err
		}
		for i < len(s.add) && s.add[i].UID < d.UID {
			i++
		}
		if i < len(s.add) && s.add[i].UID == d.UID {
			s.add[i].Prefix = bytes.Clone(d.Prefix)
		}
	}
	from := make([]mail.ID, len(s.add))
	for i := range s.add {
		from[i] = s.add[i].Body
	}
	if err := c.to.carry(ctx, b, s); err != nil {
		return err
	}
	for _, x := range s.gone {
		delete(b.have, x.UID)
	}
	for _, x := range s.flag {
		had := b.have[x.UID]
		had.flags = x.After
		b.have[x.UID] = had
	}
	for i := range s.add {
		m := &s.add[i]
		if err := c.compare(ctx, b, m, from[i]); err != nil {
			return fmt.Errorf("UID %d: %w", m.UID, err)
		}
		b.have[m.UID] = copyOf{from[i], m.Body, m.Flags}
	}
	return nil
}

// compare reads a message and its copy.
func (c *Conversion) compare(ctx context.Context, b *copied, m *engine.Message, from mail.ID) error {
	body, err := c.e.OpenBody(ctx, from)
	want, _, err := sum(m.Prefix, body, err)
	if err != nil {
		return err
	}
	body, err = c.to.verify(ctx, b, m.Body)
	got, size, err := sum(nil, body, err)
	if err != nil {
		return err
	}
	if size != m.Size || got != want {
		return errors.New("the copy is not the same: the format cannot keep this message as it is")
	}
	return nil
}

// sum is the SHA-256 of a message, and its size.
func sum(prefix []byte, body mail.Body, err error) (digest [sha256.Size]byte, size int64, _ error) {
	if err != nil {
		return digest, 0, err
	}
	defer body.Close()
	h := sha256.New()
	h.Write(prefix)
	n, err := io.Copy(h, io.NewSectionReader(body, 0, body.Size()))
	return [sha256.Size]byte(h.Sum(nil)), n + int64(len(prefix)), err
}

// sums are those of all messages of an account.
func (e *Engine) sums(ctx context.Context, of engine.Account) (map[[sha256.Size]byte]bool, error) {
	_, boxes, err := e.Engine.Account(ctx, of.Name)
	all := map[[sha256.Size]byte]bool{}
	for i := range boxes {
		bodies, uids := map[engine.UID]mail.ID{}, []engine.UID(nil)
		for entry, err := range e.Engine.Entries(ctx, of.ID, boxes[i].ID, 0) {
			if err != nil {
				return nil, err
			}
			bodies[entry.UID], uids = entry.Body, append(uids, entry.UID)
		}
		for d, err := range e.Engine.Details(ctx, of.ID, boxes[i].ID, uids) {
			if err != nil {
				return nil, err
			}
			body, err := e.OpenBody(ctx, bodies[d.UID])
			digest, _, err := sum(d.Prefix, body, err)
			if err != nil {
				return nil, fmt.Errorf("mailbox %s, UID %d: %w", boxes[i].Name, d.UID, err)
			}
			all[digest] = true
		}
	}
	return all, err
}

// Switch makes the copy what the account has, durably and at once. Nobody may
// use the account since the last Copy; afterwards it is to be opened anew.
func (c *Conversion) Switch(ctx context.Context) error {
	old := c.e.account(c.rec.ID)
	batch := &engine.Batch{}
	c.Messages, c.Octets = 0, 0
	for _, id := range slices.Sorted(maps.Keys(c.boxes)) {
		change, err := c.moved(ctx, c.boxes[id])
		if err != nil {
			return fmt.Errorf("mailbox %s: %w", c.boxes[id].rec.Name, err)
		}
		batch.Mailboxes = append(batch.Mailboxes, *change)
	}
	where := []byte(c.where())
	if c.text == Native {
		where = nil
	}
	batch.PutNotes = []engine.Note{
		{Account: c.rec.ID, Key: placeNote, Value: where},
		{Account: c.rec.ID, Key: convertedNote, Value: []byte(c.text)},
		{Account: c.rec.ID, Key: copyingNote},
	}
	left, err := c.leaves(ctx, old)
	if err != nil {
		return err
	}
	batch.PutNotes = append(batch.PutNotes, left...)
	if err := c.to.settle(ctx, c, batch); err != nil {
		return full(err)
	}
	if err := c.e.under(batch); err != nil {
		return err
	}
	c.e.mu.Lock()
	delete(c.e.native, c.rec.ID)
	c.e.mu.Unlock()
	if old != nil {
		c.e.unbind(old)
	}
	return nil
}

// moved is the change of one mailbox at the switch.
func (c *Conversion) moved(ctx context.Context, b *copied) (*engine.MailboxChange, error) {
	change := &engine.MailboxChange{Account: c.rec.ID, Record: b.rec, Moved: true}
	for entry, err := range c.e.Engine.Entries(ctx, c.rec.ID, b.rec.ID, 0) {
		if err != nil {
			return nil, err
		}
		had, ok := b.have[entry.UID]
		if !ok || had.from != entry.Body || had.flags != entry.Flags {
			return nil, fmt.Errorf("UID %d has changed meanwhile", entry.UID)
		}
		entry.Body = had.to
		change.Add = append(change.Add, engine.Message{Entry: entry})
		c.Messages++
		c.Octets += entry.Size
	}
	if len(change.Add) != len(b.have) {
		return nil, fmt.Errorf("%d messages were copied, %d are there", len(b.have), len(change.Add))
	}
	if engine.Elsewhere(sample(change.Add)) {
		return change, c.prefixed(ctx, change)
	}
	return change, nil
}

func sample(list []engine.Message) (id mail.ID) {
	if len(list) > 0 {
		id = list[0].Body
	}
	return id
}

// prefixed gives messages whose details have a prefix, which the files have as
// well, others without.
func (c *Conversion) prefixed(ctx context.Context, m *engine.MailboxChange) error {
	uids := make([]engine.UID, len(m.Add))
	for i := range m.Add {
		uids[i] = m.Add[i].UID
	}
	i := 0
	for d, err := range c.e.Engine.Details(ctx, m.Account, m.Record.ID, uids) {
		if err != nil {
			return err
		}
		for i < len(uids) && uids[i] < d.UID {
			i++
		}
		if i < len(uids) && uids[i] == d.UID && len(d.Prefix) > 0 {
			m.Add[i].Summary = bytes.Clone(d.Summary)
		}
	}
	return nil
}
