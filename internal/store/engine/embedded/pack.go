package embedded

import (
	"fmt"

	"github.com/klauspost/compress/zstd"

	"plic/internal/store/engine"
)

// packer compresses bodies with zstd (RFC 8878): small ones whole, large ones
// block by block, so that a part of one can be read without the rest.
type packer struct {
	enc *zstd.Encoder // nil: nothing is compressed, but what is can be read
	dec *zstd.Decoder
}

const (
	packLeast = 256 // octets below which nothing is gained
	packGain  = 16  // a sixteenth must be gained, or reading would not be worth it
)

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

// pack appends the compressed octets to dst, which is empty; false if they gain
// too little.
func (p *packer) pack(dst, raw []byte) ([]byte, bool) {
	if p.enc == nil || len(raw) < packLeast {
		return nil, false
	}
	out := p.enc.EncodeAll(raw, dst)
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
