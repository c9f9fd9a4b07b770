package embedded

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"plic/internal/store/engine"
)

// packer compresses bodies with zstd (RFC 8878): small ones whole, large ones
// block by block, so that a part of one can be read without the rest. In short
// ones only what is repeated is left out: the codes of their letters would save
// a sixth more, but take two thirds of the time of reading them.
type packer struct {
	short *zstd.Encoder // nil: nothing is compressed, but what is can be read
	long  *zstd.Encoder
	dec   *zstd.Decoder
}

const (
	packLeast = 256     // octets below which nothing is gained
	packShort = 8 << 10 // octets of the longest body that counts as short
	packGain  = 16      // a sixteenth must be gained, or reading would not be worth it
)

func newPacker(o *Options) (p packer, err error) {
	if !o.Uncompressed {
		encoder := func(noCodes bool) (*zstd.Encoder, error) {
			return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithNoEntropyCompression(noCodes),
				zstd.WithWindowSize(bodyInMemory), zstd.WithSingleSegment(true), zstd.WithLowerEncoderMem(true))
		}
		if p.short, err = encoder(true); err != nil {
			return p, err
		}
		if p.long, err = encoder(false); err != nil {
			return p, err
		}
	}
	p.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(2*bodyInMemory))
	return p, err
}

func (p *packer) close() {
	if p.long != nil {
		p.short.Close()
		p.long.Close()
	}
	if p.dec != nil {
		p.dec.Close()
	}
}

// pack appends the compressed octets to dst, which is empty; false if they gain
// too little.
func (p *packer) pack(dst, raw []byte) ([]byte, bool) {
	if p.long == nil || len(raw) < packLeast {
		return nil, false
	}
	enc := p.long
	if len(raw) <= packShort {
		enc = p.short
	}
	out := enc.EncodeAll(raw, dst)
	return out, len(out) <= len(raw)-len(raw)/packGain
}

// unpack gives the octets that were compressed; there must be size of them.
func (p *packer) unpack(packed []byte, size int64) ([]byte, error) {
	raw, err := p.dec.DecodeAll(packed, make([]byte, 0, size))
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
	var h zstd.Header
	if err := h.Decode(packed); err != nil || !h.HasFCS || h.FrameContentSize > bodyInMemory {
		return 0, fmt.Errorf("%w: no compressed body (%v)", engine.ErrDamaged, err)
	}
	return int64(h.FrameContentSize), nil
}
