package search

import (
	"unicode"
	"unicode/utf8"
)

// Folded text is a row of words: runs of letters, digits and marks, all else
// being between them. Scripts that put no space between words make runs without
// end; their characters are taken two by two.
//
// A string occurs in a text only where its own words do: the first of them may
// there have more before it, the last more behind it, and those between are the
// same.

// kind is what a character is to words.
type kind uint8

const (
	between kind = iota
	inWord
	inPair // Han and Japanese
)

func kindOf(r rune) kind {
	switch {
	case r < utf8.RuneSelf:
		if 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' {
			return inWord
		}
		return between
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana):
		return inPair
	case unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r):
		return inWord
	}
	return between
}

// A word longer than window is kept as pieces of that length, each beginning
// step behind the one before, so that whatever is no longer than step stands in
// one piece.
const (
	window = 128
	step   = 64
)

// tokenizer finds the words of a text that comes in pieces.
type tokenizer struct {
	emit func([]byte) // is not to keep the word
	word []byte
	part bool // word is the rest of a longer one
	pair []byte
	run  int // characters of this run of pairs
}

// feed takes whole characters of folded text.
func (t *tokenizer) feed(text []byte) {
	for i := 0; i < len(text); {
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(text[i:])
		}
		c := text[i : i+n]
		i += n
		switch k := kindOf(r); {
		case k == inWord:
			if t.run > 0 {
				t.endRun()
			}
			t.grow(c)
		case k == inPair:
			if len(t.word) > 0 {
				t.endWord()
			}
			t.next(c)
		case len(t.word) > 0 || t.run > 0:
			t.end()
		}
	}
}

// end says that the text has ended.
func (t *tokenizer) end() {
	if len(t.word) > 0 {
		t.endWord()
	}
	if t.run > 0 {
		t.endRun()
	}
}

func (t *tokenizer) grow(c []byte) {
	for _, b := range c {
		t.word = append(t.word, b)
		if len(t.word) == window {
			t.emit(t.word)
			t.word = t.word[:copy(t.word, t.word[step:])]
			t.part = true
		}
	}
}

func (t *tokenizer) endWord() {
	if !t.part || len(t.word) > window-step {
		t.emit(t.word)
	}
	t.word, t.part = t.word[:0], false
}

func (t *tokenizer) next(c []byte) {
	first := len(t.pair)
	t.pair = append(t.pair, c...)
	if t.run++; t.run > 1 {
		t.emit(t.pair)
		t.pair = t.pair[:copy(t.pair, t.pair[first:])]
	}
}

func (t *tokenizer) endRun() {
	if t.run == 1 {
		t.emit(t.pair)
	}
	t.pair, t.run = t.pair[:0], 0
}

// match says how a piece of what is sought must stand in a word.
type match uint8

const (
	anywhere match = iota
	atHead
	atTail
	whole
)

// piece is a word, or part of one, that is in every text with what is sought.
type piece struct {
	how  match
	text []byte
}

// pieces takes a folded string apart. exact says that a text with all the pieces
// has the string for sure.
func pieces(needle []byte) (out []piece, exact bool) {
	for i := 0; i < len(needle); {
		r, n := utf8.DecodeRune(needle[i:])
		k := kindOf(r)
		end := i + n
		for end < len(needle) {
			r, n := utf8.DecodeRune(needle[end:])
			if kindOf(r) != k {
				break
			}
			end += n
		}
		run, first, last := needle[i:end], i == 0, end == len(needle)
		i = end
		switch k {
		case inWord:
			out = append(out, wordPiece(run, first, last))
			exact = first && last && len(run) <= step
		case inPair:
			pairs := pairPieces(run)
			out = append(out, pairs...)
			exact = first && last && len(pairs) == 1
		}
	}
	return out, exact && len(out) == 1
}

func wordPiece(run []byte, first, last bool) piece {
	switch {
	case len(run) > step:
		return piece{anywhere, run[:step]}
	case first && last:
		return piece{anywhere, run}
	case first:
		return piece{atTail, run}
	case last:
		return piece{atHead, run}
	}
	return piece{whole, run}
}

func pairPieces(run []byte) (out []piece) {
	_, first := utf8.DecodeRune(run)
	if first == len(run) {
		return []piece{{anywhere, run}}
	}
	for len(run) > first {
		_, second := utf8.DecodeRune(run[first:])
		out = append(out, piece{whole, run[:first+second]})
		run, first = run[first:], second
	}
	return out
}
