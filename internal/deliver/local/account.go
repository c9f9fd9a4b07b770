package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"plic/internal/store"
)

// boxes answers the questions of scripts about the mailboxes of an account.
type boxes struct {
	ctx     context.Context // of the letter
	account *store.Account
}

// Exists says that mail can be filed there.
func (b boxes) Exists(name string) bool {
	_, err := b.account.Mailbox(name)
	return err == nil
}

// ByID finds the mailbox that has an OBJECTID, RFC 8474, under any name.
func (b boxes) ByID(id string) (string, bool) {
	for _, info := range b.account.Mailboxes() {
		if id != "" && info.ObjectID == id && !info.NoSelect {
			return info.Name, true
		}
	}
	return "", false
}

// Metadata gives an annotation as its owner sees it over IMAP, RFC 5464. Trouble
// with the store says that there is none.
func (b boxes) Metadata(mailbox, entry string) (string, bool) {
	var m *store.Mailbox
	if mailbox != "" {
		var err error
		if m, err = b.account.Mailbox(mailbox); err != nil {
			return "", false
		}
	}
	entry = strings.ToLower(entry)
	notes, prefix := b.account.Annotations(m, entry)
	value, err := notes.Get(b.ctx, prefix+entry)
	return string(value), err == nil
}

// BySpecialUse finds the mailbox of a use, RFC 6154.
func (b boxes) BySpecialUse(use string) (string, bool) {
	for _, info := range b.account.Mailboxes() {
		if use != "" && strings.EqualFold(info.SpecialUse, use) {
			return info.Name, true
		}
	}
	return "", false
}

// HasSpecialUse says what a mailbox is for.
func (b boxes) HasSpecialUse(name, use string) bool {
	info, err := b.account.Info(name)
	return err == nil && strings.EqualFold(info.SpecialUse, use)
}

// Posted finds the mailbox that the detail of an address, "user+detail", names, if
// who sends mail there may send it to that: by the right p of RFC 4314 section
// 2.1. The sender is the account that has logged in, "" for a stranger. Upper and
// lower case are the same where no name is meant exactly.
func Posted(account *store.Account, detail, sender string) *store.Mailbox {
	name := ""
	for _, info := range account.Mailboxes() {
		if info.NoSelect || !strings.EqualFold(info.Name, detail) || name == detail {
			continue
		}
		have := info.ACL.OfStrangers()
		switch sender {
		case "":
		case account.Name():
			have = store.AllRights
		default:
			have = info.ACL.Of(sender)
		}
		if have.Has(store.MayPost) {
			name = info.Name
		}
	}
	if name == "" {
		return nil
	}
	box, err := account.Mailbox(name)
	if err != nil {
		return nil // it went meanwhile
	}
	return box
}

// Keep is where mail goes that no script has a place for: the mailbox that it was
// sent to, else the inbox, or the mailbox for junk (RFC 6154), which is made if
// there is none.
func Keep(ctx context.Context, account *store.Account, junk bool, detail, sender string) (*store.Mailbox, error) {
	if !junk {
		if box := Posted(account, detail, sender); box != nil {
			return box, nil
		}
		return account.Mailbox(store.Inbox)
	}
	const use, usual = `\Junk`, "Junk"
	name, ok := boxes{ctx, account}.BySpecialUse(use)
	if !ok {
		err := account.Create(ctx, usual, use)
		if errors.Is(err, store.ErrLimit) {
			return account.Mailbox(store.Inbox) // there may be no more mailboxes
		}
		if err != nil && !errors.Is(err, store.ErrExists) {
			return nil, err
		}
		name = usual
	}
	box, err := account.Mailbox(name)
	if errors.Is(err, store.ErrNoMailbox) || errors.Is(err, store.ErrNoSelect) {
		return account.Mailbox(store.Inbox)
	}
	return box, err
}

// seenPrefix is where an account remembers what scripts have seen: the value is
// until when, in seconds since 1970.
const seenPrefix = "sieve/seen/"

func seenKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return seenPrefix + hex.EncodeToString(sum[:16])
}

// seen says that a key is remembered. Trouble with the store says no: an answer
// too many is better than mail that waits.
func (w *work) seen(key string) bool {
	value, err := w.letter.Account.Notes().Get(w.ctx, seenKey(key))
	return err == nil && w.agent.o.Now().Unix() < until(value)
}

func until(value []byte) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// remember puts a key into the plan, and now and then takes old ones out.
func (w *work) remember(key string, d time.Duration) {
	now := w.agent.o.Now()
	note := Note{seenKey(key), strconv.AppendInt(nil, now.Add(d).Unix(), 10)}
	w.plan.Notes = append(w.plan.Notes, note)
	if !strings.HasPrefix(note.Key, seenPrefix+"00") { // one in 256
		return
	}
	all, err := w.letter.Account.Notes().All(w.ctx, seenPrefix)
	if err != nil {
		return
	}
	for _, old := range all {
		if until(old.Value) <= now.Unix() && old.Key != note.Key {
			w.plan.Notes = append(w.plan.Notes, Note{old.Key, nil})
		}
	}
}
