package search

import (
	"bytes"
	"context"
	"math/bits"
)

// A filter says which blocks of a dictionary may hold a string: for all that three
// octets in a row can be, a row of one bit for each block that has them. What is
// sought then costs a few rows and the blocks that have all of its threes; most of
// a large dictionary is numbers and signatures, of which no block has much in
// common with a word. Blocks are taken in groups, whose rows are cut into notes.
const (
	filterLeast = 8   // blocks of a dictionary that is worth a filter
	filterGroup = 512 // blocks in a group
	filterMost  = 12  // rows that are looked at for one string
	filterRows  = letters * letters * letters
	letters     = 37 // A to Z, 0 to 9, and the end of a word
)

// letterOf says which letter an octet counts as; those of other scripts share them.
func letterOf(c byte) int {
	switch {
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case '0' <= c && c <= '9':
		return int(c-'0') + 26
	case c == '\n':
		return letters - 1
	}
	return int(c) % (letters - 1)
}

// rowsOf visits the rows of a text.
func rowsOf(text []byte, visit func(row int)) {
	row := 0
	for i, c := range text {
		row = row%(letters*letters)*letters + letterOf(c)
		if i >= 2 {
			visit(row)
		}
	}
}

// filterSize is how many rows are in a note, and how many notes there are, for a
// group of blocks; each row takes width octets.
func filterSize(blocks int) (width, rows, notes int) {
	width = (blocks + 7) / 8
	rows = listBlock / width
	return width, rows, (filterRows + rows - 1) / rows
}

// filterNotes is how many notes the filter of a dictionary takes.
func filterNotes(blocks int) int {
	if blocks < filterLeast {
		return 0
	}
	_, _, full := filterSize(filterGroup)
	n := blocks / filterGroup * full
	if rest := blocks % filterGroup; rest > 0 {
		_, _, notes := filterSize(rest)
		n += notes
	}
	return n
}

// filterWriter gathers the rows of a group.
type filterWriter struct {
	blocks  int
	columns [][]byte // for each eight blocks an octet of each row
}

// add takes the words of a block, each between line ends.
func (w *filterWriter) add(text []byte) {
	if w.blocks%8 == 0 {
		w.columns = append(w.columns, make([]byte, filterRows))
	}
	column, bit := w.columns[w.blocks/8], byte(1)<<(w.blocks%8)
	rowsOf(text, func(row int) { column[row] |= bit })
	w.blocks++
}

// write gives the notes of the group.
func (w *filterWriter) write(put func(note []byte) error) error {
	width, rows, _ := filterSize(w.blocks)
	note := make([]byte, 0, rows*width)
	for row := 0; row < filterRows; row += rows {
		note = note[:0]
		for r := row; r < min(row+rows, filterRows); r++ {
			for _, column := range w.columns {
				note = append(note, column[r])
			}
		}
		if err := put(note); err != nil {
			return err
		}
	}
	return nil
}

// blocks gives those of a dictionary from one to another that may hold a pattern.
func (s *segment) blocks(ctx context.Context, part, from, to int, pattern []byte) ([]int, error) {
	out := make([]int, 0, to-from)
	if s.Parts[part].Filters == 0 || to-from < filterLeast || len(pattern) < 3 {
		for n := from; n < to; n++ {
			out = append(out, n)
		}
		return out, nil
	}
	_, _, full := filterSize(filterGroup)
	for group := from / filterGroup; group*filterGroup < to; group++ {
		first := group * filterGroup
		blocks, err := s.filter(ctx, part, group*full, min(filterGroup, s.Parts[part].Dicts-first), pattern)
		if err != nil {
			return nil, err
		}
		for i, octet := range blocks {
			for ; octet != 0; octet &= octet - 1 {
				if n := first + i*8 + bits.TrailingZeros8(octet); from <= n && n < to {
					out = append(out, n)
				}
			}
		}
	}
	return out, nil
}

// filter gives a bit for each block of a group that may hold a pattern. Its notes
// begin with the one that is named first.
func (s *segment) filter(ctx context.Context, part, first, blocks int, pattern []byte) ([]byte, error) {
	width, rows, _ := filterSize(blocks)
	out := bytes.Repeat([]byte{0xff}, width)
	var err error
	seen := 0
	rowsOf(pattern, func(row int) {
		if seen++; err != nil || seen > filterMost {
			return
		}
		var note []byte
		if note, err = s.filters(ctx, part, first+row/rows); err != nil {
			return
		}
		at := row % rows * width
		if len(note) < at+width {
			err = errBroken
			return
		}
		for i := range out {
			out[i] &= note[at+i]
		}
	})
	return out, err
}
