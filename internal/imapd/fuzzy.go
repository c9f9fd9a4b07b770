package imapd

import (
	"unicode"
	"unicode/utf8"

	"plic/internal/casemap"
	"plic/internal/imap"
)

// maxFuzzyWords bounds the words of a FUZZY string that are looked for one by
// one.
const maxFuzzyWords = 32

// compileFuzzy makes FUZZY ready, RFC 6203: a string matches as a whole, or by
// half of its words, whatever their order and what is before and behind them; a
// long word without its ending. Keys without a string mean what they say.
func (c *compiler) compileFuzzy(k *imap.SearchKey) (*test, error) {
	switch k.Op {
	case imap.SearchFuzzy:
		return c.compileFuzzy(&k.Keys[0])
	case imap.SearchAnd, imap.SearchOr, imap.SearchNot: // each of its keys is fuzzy, section 3
		inner := *k
		inner.Keys = make([]imap.SearchKey, len(k.Keys))
		for i := range k.Keys {
			inner.Keys[i] = imap.SearchKey{Op: imap.SearchFuzzy, Keys: k.Keys[i : i+1]}
		}
		return c.compile(&inner)
	}
	exact, err := c.compile(k)
	if err != nil {
		return nil, err
	}
	t := &test{op: imap.SearchFuzzy, size: 1}
	t.add(exact)
	switch k.Op {
	case imap.SearchFrom, imap.SearchTo, imap.SearchCc, imap.SearchBcc, imap.SearchSubject, imap.SearchHeader,
		imap.SearchBody, imap.SearchText:
		for _, w := range fuzzyWords(exact.needle) {
			word := *exact
			word.needle = w
			word.raw = word.level == inEnvelope && standsRaw(word.op, w)
			t.add(&word)
		}
	}
	return t, nil
}

// fuzzyWords are the words of a folded string, long ones without their ending.
func fuzzyWords(needle []byte) (words [][]byte) {
	isWord := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }
	for len(needle) > 0 && len(words) < maxFuzzyWords {
		r, n := utf8.DecodeRune(needle)
		if !isWord(r) {
			needle = needle[n:]
			continue
		}
		end := 0
		for end < len(needle) {
			r, n := utf8.DecodeRune(needle[end:])
			if !isWord(r) {
				break
			}
			end += n
		}
		words = append(words, stem(needle[:end:end]))
		needle = needle[end:]
	}
	return words
}

// stem takes an ending off a word of ASCII letters.
func stem(word []byte) []byte {
	switch n := len(word); {
	case !casemap.IsASCII(word):
	case n >= 8:
		return word[:n-2]
	case n >= 5:
		return word[:n-1]
	}
	return word
}

// fuzzy gives the verdict of a FUZZY key and how well it matches, 1 to 100.
func (t *test) fuzzy(test func(*test) verdict) (v verdict, score int) {
	switch v := test(&t.keys[0]); {
	case v == yes:
		return yes, 100
	case v == unknown || len(t.keys) == 1:
		return v, 0
	}
	found, open := 0, 0
	words := t.keys[1:]
	for i := range words {
		switch test(&words[i]) {
		case yes:
			found++
		case unknown:
			open++
		}
	}
	switch {
	case open > 0 && 2*(found+open) >= len(words):
		return unknown, 0
	case 2*found >= len(words):
		return yes, max(1, 90*found/len(words))
	}
	return nope, 0
}
