package imapd

import (
	"context"
	"io"
	"slices"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store"
)

// contents is what is known of the parts of one message that BINARY has asked for: a
// part that a client wants bit by bit, in one FETCH or in many, is gone through once.
type contents struct {
	uid store.UID
	of  []content
}

type content struct {
	path    []int
	decoded *message.Decoded
}

// find gives what is known of a part.
func (k *contents) find(uid store.UID, path []int) *message.Decoded {
	if k.uid != uid {
		return nil
	}
	for _, c := range k.of {
		if slices.Equal(c.path, path) {
			return c.decoded
		}
	}
	return nil
}

// put keeps what is known of a part, as many as one FETCH can name.
func (k *contents) put(uid store.UID, path []int, d *message.Decoded) {
	if k.uid != uid || len(k.of) == imap.MaxFetchItems {
		k.uid, k.of = uid, nil
	}
	k.of = append(k.of, content{path, d})
}

// binary finds BINARY[part]: the content without its transfer encoding, RFC
// 9051 section 6.4.5.
func (f *fetcher) binary(ctx context.Context, uid store.UID, path []int) (piece, error) {
	m := &f.msg
	p := piece{r: m.msg, n: m.msg.Size()}
	encoding, encoded := "", false
	if len(path) > 0 {
		if err := m.analyse(); err != nil {
			return p, err
		}
		part := m.tree.Find(path)
		if part == nil {
			return piece{none: true}, nil
		}
		p.off, p.n = part.Body, part.End-part.Body
		if !part.IsMultipart() && !part.IsMessage() {
			encoding = part.Encoding
		}
	}
	switch encoding {
	case "", "7bit", "8bit", "binary":
	case "base64", "quoted-printable":
		encoded = true
	default:
		return p, errUnknownEncoding
	}
	src := io.NewSectionReader(m.msg, p.off, p.n)
	d := f.c.view.contents.find(uid, path)
	if d == nil {
		var err error
		if d, err = f.goThrough(ctx, src, encoding); err != nil {
			return p, err
		}
		f.c.view.contents.put(uid, path, d)
	}
	if p.n, p.binary = d.Size, d.NUL; encoded {
		p.off, p.decode = 0, func(off int64) (io.Reader, error) { return d.From(src, off) }
	}
	return p, nil
}

// longDecoding is how many octets a FETCH may go through without a turn.
const longDecoding = 1 << 20

// goThrough takes a turn to go through what is large. What NOTIFY tells of has none:
// there the session listens to its client.
func (f *fetcher) goThrough(ctx context.Context, src *io.SectionReader, encoding string) (*message.Decoded, error) {
	if f.decoded += src.Size(); f.decoded <= longDecoding || f.tag == "" {
		return message.GoThrough(src, encoding, ctx.Err)
	}
	f.decoded = 0
	t, err := f.c.takeTurn(ctx, f.tag, f.c.server.readings)
	if err != nil {
		return nil, err
	}
	defer t.end()
	return message.GoThrough(src, encoding, t.rest)
}

// copy sends the piece.
func (p *piece) copy(out *output) error {
	if p.decode == nil {
		return out.copy(p.r, p.off, p.n, p.binary)
	}
	r, err := p.decode(p.off)
	if err != nil {
		return err
	}
	return out.copyFrom(r, p.n)
}
