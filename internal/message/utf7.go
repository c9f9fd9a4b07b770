package message

import (
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// utf7Decoder reads UTF-7, RFC 2152. The transforms of one text keep the state
// of the shift between them.
type utf7Decoder struct {
	shifted bool
	fresh   bool // nothing came since the "+"
	bits    uint32
	n       int    // bits held
	high    uint16 // a surrogate that waits for its other half
}

// Reset makes the decoder ready for another text.
func (d *utf7Decoder) Reset() { *d = utf7Decoder{} }

// Transform decodes src. A surrogate without its other half and octets above
// 127 become U+FFFD.
func (d *utf7Decoder) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if nDst+2*utf8.UTFMax > len(dst) { // room for two runes: one held back, one new
			return nDst, nSrc, transform.ErrShortDst
		}
		c := src[nSrc]
		nSrc++
		if !d.shifted {
			switch {
			case c == '+':
				*d = utf7Decoder{shifted: true, fresh: true}
			case c >= utf8.RuneSelf:
				nDst += utf8.EncodeRune(dst[nDst:], utf8.RuneError)
			default:
				dst[nDst] = c
				nDst++
			}
			continue
		}
		if v := base64Value[c]; v < 64 && c != '-' && c != '_' {
			d.fresh = false
			d.bits, d.n = d.bits<<6|uint32(v), d.n+6
			if d.n >= 16 {
				d.n -= 16
				nDst += d.unit(dst[nDst:], uint16(d.bits>>d.n))
			}
			continue
		}
		nDst += d.unshift(dst[nDst:], c)
	}
	if atEOF && d.high != 0 {
		if nDst+utf8.UTFMax > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], utf8.RuneError)
		d.high = 0
	}
	return nDst, nSrc, nil
}

// unit takes the next 16 bits.
func (d *utf7Decoder) unit(dst []byte, u uint16) (n int) {
	high := d.high
	d.high = 0
	if high != 0 {
		if r := utf16.DecodeRune(rune(high), rune(u)); r != utf8.RuneError {
			return utf8.EncodeRune(dst, r)
		}
		n = utf8.EncodeRune(dst, utf8.RuneError)
	}
	switch {
	case u >= 0xd800 && u < 0xdc00:
		d.high = u
	case utf16.IsSurrogate(rune(u)):
		n += utf8.EncodeRune(dst[n:], utf8.RuneError)
	default:
		n += utf8.EncodeRune(dst[n:], rune(u))
	}
	return n
}

// unshift ends base64 at an octet that is none.
func (d *utf7Decoder) unshift(dst []byte, c byte) (n int) {
	if d.high != 0 {
		n = utf8.EncodeRune(dst, utf8.RuneError)
	}
	fresh := d.fresh
	*d = utf7Decoder{}
	switch {
	case c == '-' && fresh: // "+-" is a plus
		dst[n] = '+'
	case c == '-':
		return n
	case c >= utf8.RuneSelf:
		return n + utf8.EncodeRune(dst[n:], utf8.RuneError)
	default:
		dst[n] = c
	}
	return n + 1
}
