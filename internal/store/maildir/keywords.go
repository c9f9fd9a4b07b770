package maildir

import (
	"fmt"
	"slices"
	"strings"

	"plic/internal/maildir"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

const keywordsName = "dovecot-keywords"

// keywords is what dovecot-keywords says: lines "<number> <keyword>", number 0
// being the letter a.
type keywords struct {
	stamp  stamp
	loaded bool
	words  []string // by number, "" for none
}

// readKeywords reads them if they are others than before, and notes it. b.mu is
// held.
func (b *box) readKeywords() error {
	now := b.t.stampOf(b.p, b.at(keywordsName))
	if b.words.loaded && b.words.stamp.same(now) && (now.seen.IsZero() || b.words.stamp.settled()) {
		return nil
	}
	text, err := readAll(b.p, b.at(keywordsName))
	if err != nil && !vfs.NotExist(err) {
		return err
	}
	words := maildir.ParseKeywords(text)
	b.lists = b.lists || !b.words.loaded || !slices.Equal(words, b.words.words)
	b.words = keywords{now, true, words}
	return nil
}

// number gives a keyword its number; false when all are given. With a new one
// the list is to be written.
func (k *keywords) number(word string) (n int, fresh, ok bool) {
	if n := slices.IndexFunc(k.words, func(w string) bool { return strings.EqualFold(w, word) }); n >= 0 {
		return n, false, true
	}
	if n := slices.Index(k.words, ""); n >= 0 {
		k.words = slices.Clone(k.words)
		k.words[n] = word
		return n, true, true
	}
	if len(k.words) == maildir.MaxKeywords {
		return 0, false, false
	}
	k.words = append(slices.Clip(k.words), word)
	return len(k.words) - 1, true, true
}

// translate gives flags of the index the numbers of this folder. Keywords that
// get none are left out. b.mu is held.
func (b *box) translate(f engine.Flags, record []string) (out engine.Flags, fresh bool) {
	out = f & (1<<keywordShift - 1)
	for n, word := range record {
		if f&(1<<(keywordShift+n)) == 0 || word == "" {
			continue
		}
		if number, isNew, ok := b.words.number(word); ok {
			out |= 1 << (keywordShift + number)
			fresh = fresh || isNew
		}
	}
	return out, fresh
}

// writeKeywords writes the list. The lock and b.mu are held.
func (b *box) writeKeywords() error {
	var text strings.Builder
	for n, word := range b.words.words {
		if word != "" {
			fmt.Fprintf(&text, "%d %s\n", n, word)
		}
	}
	if err := b.t.replace(b.p, b.dir, keywordsName, text.String(), true); err != nil {
		return err
	}
	b.words.stamp = b.t.stampOf(b.p, b.at(keywordsName))
	return nil
}
