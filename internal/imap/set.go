package imap

import (
	"errors"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Range is a stretch of message numbers or UIDs, both ends included; Lo <= Hi
// unless one of them is Star.
type Range struct{ Lo, Hi uint32 }

// Star stands for "*", the largest number in use. No message has the number
// itself: UIDs and numbers of ours stay below it.
const Star uint32 = math.MaxUint32

// MaxRanges bounds the ranges in a set; clients send a few thousand at most.
const MaxRanges = 20000

// Set is a sequence-set of RFC 9051 section 9. Saved is "$", the result of the
// last SEARCH, RFC 9051 section 6.4.4.1; then there are no ranges.
type Set struct {
	Ranges []Range
	Saved  bool
}

// ParseSet reads a sequence-set.
func ParseSet(text string) (Set, error) {
	if text == "$" {
		return Set{Saved: true}, nil
	}
	s := Set{Ranges: make([]Range, 0, min(1+strings.Count(text, ","), MaxRanges))}
	for item := range strings.SplitSeq(text, ",") {
		if len(s.Ranges) == MaxRanges {
			return Set{}, errors.New("too many ranges in the sequence set")
		}
		from, to, isRange := strings.Cut(item, ":")
		lo, ok := parseSetNumber(from)
		hi := lo
		if isRange {
			var ok2 bool
			hi, ok2 = parseSetNumber(to)
			ok = ok && ok2
		}
		if !ok {
			return Set{}, errors.New("bad sequence set")
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		s.Ranges = append(s.Ranges, Range{lo, hi})
	}
	return s, nil
}

func parseSetNumber(text string) (uint32, bool) {
	if text == "*" {
		return Star, true
	}
	if text == "" || text[0] < '1' || text[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return min(uint32(n), Star-1), err == nil // in a command Star is a number like others, which no message has
}

// Resolve gives the ranges with "*" replaced by the largest number in use,
// sorted, joined where they touch. An empty mailbox has largest 0, and "*"
// names nothing in it.
func (s Set) Resolve(largest uint32) []Range {
	out := make([]Range, 0, len(s.Ranges))
	for _, r := range s.Ranges {
		if r.Hi == Star {
			if largest == 0 {
				continue
			}
			if r.Lo == Star {
				r.Lo = largest
			}
			r.Hi = largest
			if r.Lo > r.Hi {
				r.Lo, r.Hi = r.Hi, r.Lo
			}
		}
		out = append(out, r)
	}
	return Normalize(out)
}

// Normalize sorts ranges and joins those that meet, in place.
func Normalize(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int {
		if a.Lo < b.Lo {
			return -1
		}
		if a.Lo > b.Lo {
			return 1
		}
		return 0
	})
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && (r.Lo <= out[n-1].Hi || r.Lo-1 == out[n-1].Hi) {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// Contains says whether sorted ranges, as Resolve gives them, hold a number.
func Contains(ranges []Range, n uint32) bool {
	_, found := slices.BinarySearchFunc(ranges, n, func(r Range, n uint32) int {
		if r.Hi < n {
			return -1
		}
		if r.Lo > n {
			return 1
		}
		return 0
	})
	return found
}

// AddNumber appends a number to ranges that it does not precede.
func AddNumber(ranges []Range, n uint32) []Range {
	if k := len(ranges); k > 0 && n <= ranges[k-1].Hi+1 {
		if n == ranges[k-1].Hi+1 {
			ranges[k-1].Hi = n
		}
		return ranges
	}
	return append(ranges, Range{n, n})
}

// Numbers counts the numbers in ranges that do not overlap.
func Numbers(ranges []Range) (n int) {
	for _, r := range ranges {
		n += int(r.Hi-r.Lo) + 1
	}
	return n
}

// AppendSet writes ranges as a sequence-set.
func AppendSet(dst []byte, ranges []Range) []byte {
	for i, r := range ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(r.Lo), 10)
		if r.Hi != r.Lo {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(r.Hi), 10)
		}
	}
	return dst
}

// AppendNumbers writes numbers as a sequence-set in the order given, as COPYUID
// needs it: only a rising run becomes a range.
func AppendNumbers(dst []byte, numbers iter.Seq[uint32]) []byte {
	var run Range
	write := func() {
		if run.Lo == 0 {
			return
		}
		dst = strconv.AppendUint(dst, uint64(run.Lo), 10)
		if run.Hi != run.Lo {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(run.Hi), 10)
		}
	}
	for n := range numbers {
		switch {
		case run.Lo == 0:
			run = Range{n, n}
		case n == run.Hi+1:
			run.Hi = n
		default:
			write()
			dst = append(dst, ',')
			run = Range{n, n}
		}
	}
	write()
	return dst
}
