package files

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// keywordShift is where keywords begin in flags, as in the store.
const keywordShift = 8

// Hold keeps other programs from giving UIDs in a mailbox.
func (e *Engine) Hold(ctx context.Context, id engine.AccountID, m engine.MailboxID) (release func(), stale bool, err error) {
	a := e.account(id)
	if a == nil {
		return nil, false, nil
	}
	b := a.box(m)
	if b == nil || b.files.Load() == nil {
		return nil, false, nil // not made yet
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	files := b.files.Load()
	release, err = files.Hold(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("mailbox %s: %w", b.rec.Name, full(err))
	}
	h, err := files.Header(ctx)
	if err != nil {
		release()
		return nil, false, fmt.Errorf("mailbox %s: %w", b.rec.Name, err)
	}
	return release, b.differs(h), nil
}

// differs says that other programs have begun the mailbox anew, or given UIDs.
func (b *box) differs(h Header) bool {
	return h.UIDValidity != 0 && h.UIDValidity != b.rec.UIDValidity || h.UIDNext > b.rec.UIDNext
}

// Look compares the files of a mailbox with its index.
func (e *Engine) Look(ctx context.Context, id engine.AccountID, rec *engine.Mailbox, most int) (*engine.Difference, error) {
	a := e.account(id)
	if a == nil || rec.NoSelect {
		return nil, nil
	}
	b := a.box(rec.ID)
	if b == nil {
		return nil, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	scan, err := b.files.Load().Scan(ctx, b, !b.settled)
	if err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", b.rec.Name, err)
	}
	if scan == nil {
		return nil, nil
	}
	d, err := b.compare(ctx, scan, most)
	b.settled = d == nil && err == nil
	return d, err
}

// compare finds what differs; nil if nothing does. b is locked.
func (b *box) compare(ctx context.Context, scan *Scan, most int) (*engine.Difference, error) {
	d := &engine.Difference{}
	if scan.UIDValidity != 0 && scan.UIDValidity != b.rec.UIDValidity {
		d.UIDValidity, d.UIDNext = scan.UIDValidity, scan.UIDNext
		return d, nil
	}
	if scan.UIDNext > b.rec.UIDNext {
		d.UIDNext = scan.UIDNext
	}
	words := b.translate(scan.Keywords)
	there := 0 // of those that the index has
	added := make([]Seen, 0, max(0, len(scan.Messages)-len(b.marks)))
	for _, s := range scan.Messages {
		m, known := b.marks[s.Key]
		if known {
			there++
		}
		if known && s.UID != 0 && s.UID != m.uid && s.UID >= b.rec.UIDNext {
			d.Gone, known = append(d.Gone, m.uid), false // another program gave it another
		}
		switch {
		case !known:
			added = append(added, s)
		case words.differ(m.flags, s.Flags):
			d.Update = append(d.Update, words.flags(m.uid, m.flags, s.Flags))
		}
	}
	if !scan.Part && there < len(b.marks) {
		d.Gone = append(d.Gone, b.missing(scan.Messages)...)
	}
	for _, key := range scan.Gone {
		if m, known := b.marks[key]; known {
			d.Gone = append(d.Gone, m.uid)
		}
	}
	slices.Sort(d.Gone)
	slices.SortFunc(d.Update, func(x, y engine.FoundFlags) int { return int(int64(x.UID) - int64(y.UID)) })
	if err := b.describe(ctx, d, added, words, most); err != nil {
		return nil, err
	}
	if d.UIDNext == 0 && len(d.Add)+len(d.Update)+len(d.Gone) == 0 && !d.More {
		return nil, nil
	}
	return d, nil
}

// missing are the messages of the index that are not there. b is locked.
func (b *box) missing(all []Seen) (uids []engine.UID) {
	there := make(map[uint64]struct{}, len(all))
	for _, s := range all {
		there[s.Key] = struct{}{}
	}
	for key, m := range b.marks {
		if _, ok := there[key]; !ok {
			uids = append(uids, m.uid)
		}
	}
	return uids
}

// describe reads what is to be known of new messages. b is locked.
func (b *box) describe(ctx context.Context, d *engine.Difference, added []Seen, words translation, most int) error {
	for i := range added {
		if added[i].UID < b.rec.UIDNext {
			added[i].UID = 0 // the UID was another message's
		}
	}
	slices.SortStableFunc(added, func(x, y Seen) int { // those without UID last
		return int(int64(x.UID-1) - int64(y.UID-1))
	})
	if len(added) > most {
		added, d.More = added[:most], true
		if added[most-1].UID != 0 {
			d.UIDNext = 0 // more are to come with smaller UIDs
		}
	}
	if err := b.read(ctx, added); err != nil {
		return fmt.Errorf("mailbox %s: %w", b.rec.Name, err)
	}
	for _, s := range added {
		what := b.described[s.Key]
		if what.Gone {
			b.settled = false
			delete(b.described, s.Key)
			continue
		}
		f := words.flags(0, 0, s.Flags)
		d.Add = append(d.Add, engine.FoundMessage{
			UID: s.UID, System: f.System, Keywords: f.Keywords, Size: what.Size,
			Internal: engine.DateOf(what.Internal), Body: engine.ElsewhereID(b.place, s.Key),
		})
	}
	return nil
}

// read reads what is to be known of messages, but of those that the look before has
// read: a look is mostly the second of two, of which only the first may take long.
// b is locked.
func (b *box) read(ctx context.Context, added []Seen) error {
	had := b.described
	b.described = make(map[uint64]Description, len(added))
	var keys []uint64
	for i := range added {
		key := added[i].Key
		if d, known := had[key]; known {
			b.described[key] = d
		} else {
			keys = append(keys, key)
		}
	}
	all, err := b.files.Load().Describe(ctx, keys)
	if err != nil {
		return err // what was not come to has no size
	}
	for i := range all {
		b.described[keys[i]] = all[i]
	}
	return nil
}

// translation is between the keywords of a format and those of the index.
type translation struct {
	format []string // by number
	record []string
	number []int        // of the record, for each of the format; -1 for none
	kept   engine.Flags // flags of the record that the format can keep
}

const systemFlags engine.Flags = 1<<5 - 1

// translate makes the translation. b is locked.
func (b *box) translate(keywords []string) translation {
	t := translation{format: keywords, record: b.rec.Keywords, kept: systemFlags, number: make([]int, len(keywords))}
	for i, k := range keywords {
		t.number[i] = -1
		if k == "" {
			continue
		}
		if n := slices.IndexFunc(t.record, func(r string) bool { return strings.EqualFold(r, k) }); n >= 0 {
			t.number[i] = n
			t.kept |= 1 << (keywordShift + n)
		}
	}
	return t
}

// differ says whether the flags in the files are others than those of the index.
func (t *translation) differ(index, file engine.Flags) bool {
	want := file & systemFlags
	for i, n := range t.number {
		if file&(1<<(keywordShift+i)) == 0 || t.format[i] == "" {
			continue
		}
		if n < 0 {
			return true // a new keyword
		}
		want |= 1 << (keywordShift + n)
	}
	return index&t.kept != want
}

// flags are those of the files by name, and of the index what files cannot keep.
func (t *translation) flags(uid engine.UID, index, file engine.Flags) engine.FoundFlags {
	f := engine.FoundFlags{UID: uid, System: file & systemFlags}
	for i, k := range t.format {
		if file&(1<<(keywordShift+i)) != 0 && k != "" {
			f.Keywords = append(f.Keywords, k)
		}
	}
	for n, k := range t.record {
		if index&^t.kept&(1<<(keywordShift+n)) != 0 && k != "" {
			f.Keywords = append(f.Keywords, k)
		}
	}
	return f
}

// LookTree compares folders with mailboxes.
func (e *Engine) LookTree(ctx context.Context, id engine.AccountID) (*engine.TreeDifference, error) {
	a := e.account(id)
	if a == nil {
		return nil, nil
	}
	list, heads, err := a.heads(ctx)
	if err != nil {
		return nil, fmt.Errorf("mail of %s: %w", a.name, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if list == a.listed {
		return nil, nil
	}
	d, stale := a.compare(list, heads)
	if d == nil && !stale {
		a.listed = list
	}
	return d, nil
}

// head is what the files of a mailbox say; real, that the index has the mailbox.
type head struct {
	Header
	real bool
}

// heads lists what there is, and reads the headers that are not known. A commit
// may have one of the mailboxes and wait for a, so a is not locked meanwhile.
func (a *account) heads(ctx context.Context) (*Listing, map[string]head, error) {
	a.mu.Lock()
	list, err := a.tree.List(ctx)
	if err != nil || list == a.listed {
		a.mu.Unlock()
		return list, nil, err
	}
	heads, boxes := map[string]head{}, map[string]Box{}
	real := a.real()
	for _, name := range list.Mailboxes {
		if real[name] && a.listed != nil {
			continue
		}
		heads[name] = head{real: real[name]}
		if boxes[name], err = a.tree.Box(name); err != nil {
			break
		}
	}
	a.mu.Unlock()
	for name, files := range boxes {
		if err != nil {
			return nil, nil, err
		}
		h := heads[name]
		if h.Header, err = files.Header(ctx); err != nil {
			return nil, nil, fmt.Errorf("mailbox %s: %w", name, err)
		}
		heads[name] = h
	}
	return list, heads, err
}

// real are the mailboxes of the index that can be selected. a is locked.
func (a *account) real() map[string]bool {
	real := map[string]bool{}
	for _, b := range a.boxes {
		real[b.rec.Name] = real[b.rec.Name] || !b.rec.NoSelect
	}
	return real
}

// compare finds what differs; nil if nothing does. stale says that mailboxes came
// or went while their headers were read. a is locked.
func (a *account) compare(list *Listing, heads map[string]head) (d *engine.TreeDifference, stale bool) {
	d = &engine.TreeDifference{}
	real, subscribed, validity := a.real(), map[string]bool{}, map[string]uint32{}
	for _, b := range a.boxes {
		subscribed[b.rec.Name] = subscribed[b.rec.Name] || b.rec.Subscribed
		validity[b.rec.Name] = b.rec.UIDValidity
	}
	there, wanted := map[string]bool{"INBOX": true}, map[string]bool{}
	for _, name := range list.Mailboxes {
		there[name] = true
		h, read := heads[name]
		found := engine.FoundMailbox{Name: name, UIDValidity: h.UIDValidity}
		switch {
		case read && h.real != real[name], !read && !real[name]:
			stale = true
		case !real[name]:
			d.New = append(d.New, found)
		case read && h.UIDValidity != 0 && h.UIDValidity != validity[name]:
			d.Renew = append(d.Renew, found)
		}
	}
	for _, name := range list.Subscribed {
		wanted[name] = true
		if !subscribed[name] {
			d.Subscribe = append(d.Subscribe, name)
		}
	}
	for name := range real {
		if real[name] && !there[name] {
			d.Gone = append(d.Gone, name)
		}
		if subscribed[name] && !wanted[name] {
			d.Unsubscribe = append(d.Unsubscribe, name)
		}
	}
	if len(d.New)+len(d.Renew)+len(d.Gone)+len(d.Subscribe)+len(d.Unsubscribe) == 0 {
		return nil, stale
	}
	slices.SortFunc(d.New, func(x, y engine.FoundMailbox) int { return strings.Compare(x.Name, y.Name) })
	slices.Sort(d.Gone)
	return d, stale
}

// Attend begins to tell of what other programs change.
func (e *Engine) Attend(ctx context.Context, id engine.AccountID, m engine.MailboxID) {
	a := e.account(id)
	if a == nil {
		return
	}
	if m == 0 {
		a.attend(e)
		return
	}
	if b := a.box(m); b != nil && b.files.Load() != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		if err := b.load(ctx); err != nil {
			e.o.Log.Warn("a mailbox cannot be watched", "account", a.name, "mailbox", b.rec.Name, "error", err)
		}
	}
}

func (a *account) attend(e *Engine) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.attended {
		return
	}
	a.attended = true
	if stop, err := a.tree.Watch(func() { e.tell(a.name, 0) }); err == nil {
		a.stop = stop
	}
}
