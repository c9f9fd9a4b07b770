package deflate

// lengthBase and distBase are the tables of RFC 1951 section 3.2.5.
var (
	lengthBase = [...]uint16{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	distBase = [...]uint16{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145,
		8193, 12289, 16385, 24577,
	}
	lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

func lengthExtra(i int) uint {
	if i < 8 || i == len(lengthBase)-1 {
		return 0
	}
	return uint(i/4 - 1)
}

func distExtra(i int) uint {
	if i < 4 {
		return 0
	}
	return uint(i/2 - 1)
}

const maxCode = 15 // bits

// code is a canonical Huffman code: how many symbols there are of each length,
// and the symbols in order.
type code struct {
	count  [maxCode + 1]uint16
	symbol [288]uint16
}

// build makes the code of the lengths of its symbols. It must be complete, but
// that a single symbol may have one bit, RFC 1951 section 3.2.7, and that there
// may be none.
func (c *code) build(lengths []uint8) bool {
	clear(c.count[:])
	for _, n := range lengths {
		c.count[n]++
	}
	used := len(lengths) - int(c.count[0])
	left := 1
	for n := 1; n <= maxCode; n++ {
		if left = left<<1 - int(c.count[n]); left < 0 {
			return false
		}
	}
	if left > 0 && used > 0 && (used != 1 || c.count[1] != 1) {
		return false
	}
	var next [maxCode + 1]uint16
	for n := 1; n < maxCode; n++ {
		next[n+1] = next[n] + c.count[n]
	}
	for sym, n := range lengths {
		if n > 0 {
			c.symbol[next[n]] = uint16(sym)
			next[n]++
		}
	}
	c.count[0] = 0
	return true
}

// decode finds the symbol that n bits begin with and its length; the symbol is
// -1 if it needs more bits, or with a length if there is none such.
func (c *code) decode(bits uint64, n uint) (sym int, used uint) {
	word, first, index := 0, 0, 0
	for used = 1; used <= maxCode; used++ {
		if used > n {
			return -1, 0
		}
		word |= int(bits & 1)
		bits >>= 1
		count := int(c.count[used])
		if word-first < count {
			return int(c.symbol[index+word-first]), used
		}
		index += count
		first = (first + count) << 1
		word <<= 1
	}
	return -1, maxCode
}

// fixed makes the codes of RFC 1951 section 3.2.6.
func (r *Reader) fixed() {
	for i := range 288 {
		n := uint8(8)
		switch {
		case i >= 144 && i < 256:
			n = 9
		case i >= 256 && i < 280:
			n = 7
		}
		r.lengths[i] = n
	}
	r.literal.build(r.lengths[:288])
	for i := range 32 {
		r.lengths[i] = 5
	}
	r.dist.build(r.lengths[:32])
}

// dynamicSizes begins a block with codes of its own, RFC 1951 section 3.2.7.
func (r *Reader) dynamicSizes() bool {
	if !r.need(14) {
		return false
	}
	r.sizes = [3]int{r.take(5) + 257, r.take(5) + 1, r.take(4) + 4}
	if r.sizes[0] > 286 || r.sizes[1] > 30 {
		return r.corrupt()
	}
	clear(r.lengths[:])
	r.have, r.state = 0, atLengths
	return true
}

// codeOfLengths reads the code that the code lengths are written in.
func (r *Reader) codeOfLengths() bool {
	for ; r.have < r.sizes[2]; r.have++ {
		if !r.need(3) {
			return false
		}
		r.lengths[lengthOrder[r.have]] = uint8(r.take(3))
	}
	if !r.dist.build(r.lengths[:len(lengthOrder)]) {
		return r.corrupt()
	}
	clear(r.lengths[:])
	r.have, r.state = 0, inLengths
	return true
}

// codeLengths reads the lengths of both codes, and makes the codes.
func (r *Reader) codeLengths() bool {
	total := r.sizes[0] + r.sizes[1]
	for r.have < total {
		r.need(maxCode + 7)
		sym, used := r.dist.decode(r.bits, r.nbits)
		if sym < 0 {
			return used > 0 && r.corrupt()
		}
		if sym < 16 {
			r.take(used)
			r.lengths[r.have] = uint8(sym)
			r.have++
			continue
		}
		extra, least := [...]uint{2, 3, 7}[sym-16], [...]int{3, 3, 11}[sym-16]
		if used+extra > r.nbits {
			return false
		}
		r.take(used)
		n := least + r.take(extra)
		if n > total-r.have || sym == 16 && r.have == 0 {
			return r.corrupt()
		}
		for ; n > 0; n-- {
			if sym == 16 {
				r.lengths[r.have] = r.lengths[r.have-1]
			}
			r.have++
		}
	}
	if !r.literal.build(r.lengths[:r.sizes[0]]) || !r.dist.build(r.lengths[r.sizes[0]:total]) {
		return r.corrupt()
	}
	r.state = inBlock
	return true
}

// window is what was decoded last, as far as matches reach.
type window struct {
	octets []byte
	at     int // where the oldest is, once it is full
}

const windowSize = 32 << 10

func (w *window) add(p []byte) {
	if len(p) >= windowSize {
		w.octets, w.at = append(w.octets[:0], p[len(p)-windowSize:]...), 0
		return
	}
	k := min(windowSize-len(w.octets), len(p))
	w.octets = append(w.octets, p[:k]...)
	for p = p[k:]; len(p) > 0; {
		k := copy(w.octets[w.at:], p)
		w.at = (w.at + k) % windowSize
		p = p[k:]
	}
}

// ago is the octet that was decoded n octets ago.
func (w *window) ago(n int) (byte, bool) {
	if n > len(w.octets) {
		return 0, false
	}
	at := w.at + len(w.octets) - n
	return w.octets[at%len(w.octets)], true
}
