package embedded

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"plic/internal/store/engine"
)

// packer compresses bodies: long ones with zstd (RFC 8878), block by block, so
// that a part of one can be read without the rest; short ones with S2, which
// leaves out only what is repeated: the codes of zstd would save a fifth more,
// but take five times as long to write and to read.
type packer struct {
	enc *zstd.Encoder // nil: nothing is compressed, but what is can be read
	dec *zstd.Decoder
}

const (
	packLeast = 256      // octets below which nothing is gained
	packShort = 16 << 10 // octets of the longest body that counts as short
	packGain  = 16       // a sixteenth must be gained, or reading would not be worth it
)

// zstdMagic begins what zstd made. What S2 made begins with the number of the
// octets, which for packLeast and more is another.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

func newPacker(o *Options) (p packer, err error) {
	if !o.Uncompressed {
		p.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false),
			zstd.WithWindowSize(bodyInMemory), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return p, err
		}
	}
	p.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(2*bodyInMemory))
	return p, err
}

func (p *packer) close() {
	if p.enc != nil {
		p.enc.Close()
	}
	if p.dec != nil {
		p.dec.Close()
	}
}

// packedMost is the room that pack may want for short octets.
func packedMost(n int) int {
	if n > packShort {
		return 0
	}
	return s2.MaxEncodedLen(n)
}

// pack appends the compressed octets to dst; false if they gain too little.
func (p *packer) pack(dst, raw []byte) ([]byte, bool) {
	if p.enc == nil || len(raw) < packLeast {
		return nil, false
	}
	start := len(dst)
	var out []byte
	if len(raw) <= packShort {
		room := packedMost(len(raw))
		dst = slices.Grow(dst, room)
		out = dst[:start+len(s2.Encode(dst[start:start+room], raw))]
	} else {
		out = p.enc.EncodeAll(raw, dst)
	}
	return out, len(out)-start <= len(raw)-len(raw)/packGain
}

// unpack gives the octets that were compressed, in room if there is enough of it;
// there must be size of them.
func (p *packer) unpack(room, packed []byte, size int64) ([]byte, error) {
	got, err := packedSize(packed)
	if err != nil {
		return nil, err
	}
	if got != size {
		return nil, fmt.Errorf("%w: %d octets in place of %d", engine.ErrDamaged, got, size)
	}
	raw := slices.Grow(room[:0], int(size))[:size]
	if bytes.HasPrefix(packed, zstdMagic) {
		raw, err = p.dec.DecodeAll(packed, raw[:0])
	} else {
		raw, err = s2.Decode(raw, packed)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	if int64(len(raw)) != size {
		return nil, fmt.Errorf("%w: %d octets in place of %d", engine.ErrDamaged, len(raw), size)
	}
	return raw, nil
}

// packedSize is the size that a compressed body says it has.
func packedSize(packed []byte) (int64, error) {
	if !bytes.HasPrefix(packed, zstdMagic) {
		n, err := s2.DecodedLen(packed)
		if err != nil || n > bodyInMemory {
			return 0, fmt.Errorf("%w: no compressed body (%v)", engine.ErrDamaged, err)
		}
		return int64(n), nil
	}
	var h zstd.Header
	if err := h.Decode(packed); err != nil || !h.HasFCS || h.FrameContentSize > bodyInMemory {
		return 0, fmt.Errorf("%w: no compressed body (%v)", engine.ErrDamaged, err)
	}
	return int64(h.FrameContentSize), nil
}
