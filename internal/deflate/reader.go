package deflate

import (
	"errors"
	"io"
	"sync"
)

// ErrCorrupt is the error of a stream that is none.
var ErrCorrupt = errors.New("the compressed stream is damaged")

// pageSize is how much is read at once while much comes in.
const pageSize = 4 << 10

var pages = sync.Pool{New: func() any { b := make([]byte, pageSize); return &b }}

// Reader decompresses. It never waits for input while it has output: a
// symbol is taken only when all its bits are there, and the state between two
// symbols is all that is kept, so that an interrupted Read loses nothing.
type Reader struct {
	src   io.Reader
	raw   []byte  // read and not yet taken
	page  *[]byte // behind raw, nil if it is small
	small [64]byte
	much  bool // the last read filled its buffer

	bits  uint64 // taken from raw, the next bit lowest
	nbits uint

	state  state
	final  bool // the block is the last
	stored int  // octets left of a stored block
	length int  // octets left of a match
	back   int  // its distance

	sizes   [3]int     // of the codes of a dynamic block: literals, distances, lengths
	have    int        // code lengths that were read
	lengths [320]uint8 //
	literal code
	dist    code

	window window
	err    error // of the stream
}

// state is what the next bits are.
type state uint8

const (
	atBlock   state = iota // a block's header
	atStored               // the length of a stored block
	inStored               // its octets
	atSizes                // the sizes of the codes of a dynamic block
	atLengths              // the code of the code lengths
	inLengths              // the code lengths
	inBlock                // symbols
	atEnd                  // nothing
)

// NewReader reads from src. It reads ahead.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Read gives at least one octet, or an error; io.EOF at the end of the stream.
// An error of the source is passed on, and does not end the stream.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n := r.decode(p)
		if n > 0 {
			r.window.add(p[:n])
			return n, nil
		}
		if r.err != nil {
			return 0, r.err
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
}

// fill waits for input, with a large buffer only if the last was filled.
func (r *Reader) fill() error {
	buf := r.small[:]
	switch {
	case r.much && r.page == nil:
		r.page = pages.Get().(*[]byte)
	case !r.much && r.page != nil:
		pages.Put(r.page)
		r.page = nil
	}
	if r.page != nil {
		buf = *r.page
	}
	n, err := r.src.Read(buf)
	r.raw, r.much = buf[:n], n == len(buf)
	switch {
	case n > 0:
		return nil
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err == nil:
		return io.ErrNoProgress
	}
	return err
}

// need says whether n bits are there, 48 at most.
func (r *Reader) need(n uint) bool {
	for r.nbits <= 56 && len(r.raw) > 0 {
		r.bits |= uint64(r.raw[0]) << r.nbits
		r.raw = r.raw[1:]
		r.nbits += 8
	}
	return r.nbits >= n
}

// take gives n bits that are there.
func (r *Reader) take(n uint) int {
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.nbits -= n
	return int(v)
}

// decode goes on until p is full, the input is at its end, or the stream is.
func (r *Reader) decode(p []byte) (n int) {
	for r.err == nil && n < len(p) {
		more := true
		switch r.state {
		case atBlock:
			more = r.header()
		case atStored:
			more = r.storedHeader()
		case inStored:
			var k int
			k, more = r.copyStored(p[n:])
			n += k
		case atSizes:
			more = r.dynamicSizes()
		case atLengths:
			more = r.codeOfLengths()
		case inLengths:
			more = r.codeLengths()
		case inBlock:
			n, more = r.symbols(p, n)
		case atEnd:
			r.err = io.EOF
		}
		if !more {
			break
		}
	}
	return n
}

func (r *Reader) corrupt() bool {
	r.err = ErrCorrupt
	return false
}

// header reads a block's header, RFC 1951 section 3.2.3.
func (r *Reader) header() bool {
	if !r.need(3) {
		return false
	}
	r.final = r.take(1) == 1
	switch r.take(2) {
	case 0:
		r.take(r.nbits % 8)
		r.state = atStored
	case 1:
		r.fixed()
		r.state = inBlock
	case 2:
		r.state = atSizes
	default:
		return r.corrupt()
	}
	return true
}

// ended goes on after a block.
func (r *Reader) ended() {
	r.state = atBlock
	if r.final {
		r.state = atEnd
	}
}

func (r *Reader) storedHeader() bool {
	if !r.need(32) {
		return false
	}
	r.stored = r.take(16)
	if r.take(16) != r.stored^0xffff {
		return r.corrupt()
	}
	if r.state = inStored; r.stored == 0 {
		r.ended()
	}
	return true
}

func (r *Reader) copyStored(p []byte) (n int, more bool) {
	for n < len(p) && r.stored > 0 && r.nbits > 0 {
		p[n] = byte(r.take(8))
		n++
		r.stored--
	}
	if r.nbits == 0 {
		k := copy(p[n:min(len(p), n+r.stored)], r.raw)
		r.raw, r.stored, n = r.raw[k:], r.stored-k, n+k
	}
	if r.stored == 0 {
		r.ended()
		return n, true
	}
	return n, n < len(p) && len(r.raw) > 0
}

// symbols decodes what is in a compressed block; p[:n] is decoded already.
func (r *Reader) symbols(p []byte, n int) (int, bool) {
	for n < len(p) {
		if r.length > 0 {
			if n = r.match(p, n); r.err != nil {
				return n, false
			}
			continue
		}
		r.need(48)
		sym, used := r.literal.decode(r.bits, r.nbits)
		switch {
		case sym < 0:
			return n, used > 0 && r.corrupt()
		case sym < 256:
			r.take(used)
			p[n] = byte(sym)
			n++
		case sym == 256:
			r.take(used)
			r.ended()
			return n, true
		default:
			if !r.pair(sym-257, used) {
				return n, false
			}
		}
	}
	return n, true
}

// pair reads the rest of a length and a distance.
func (r *Reader) pair(length int, used uint) bool {
	if length >= len(lengthBase) {
		return r.corrupt()
	}
	extra := lengthExtra(length)
	from := used + extra
	if from > r.nbits {
		return false
	}
	dist, n := r.dist.decode(r.bits>>from, r.nbits-from)
	switch {
	case dist < 0:
		return n > 0 && r.corrupt()
	case dist >= len(distBase):
		return r.corrupt()
	case from+n+distExtra(dist) > r.nbits:
		return false
	}
	r.take(used)
	r.length = int(lengthBase[length]) + r.take(extra)
	r.take(n)
	r.back = int(distBase[dist]) + r.take(distExtra(dist))
	return true
}

// match copies from what was decoded before: in p, or in the window.
func (r *Reader) match(p []byte, n int) int {
	for r.length > 0 && n < len(p) {
		if r.back <= n {
			p[n] = p[n-r.back]
		} else {
			b, ok := r.window.ago(r.back - n)
			if !ok {
				r.corrupt()
				return n
			}
			p[n] = b
		}
		n++
		r.length--
	}
	return n
}
