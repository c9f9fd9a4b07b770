package imapd

import (
	"bytes"
	"context"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/headers"
)

// listsOnly says that of octets only header fields are wanted that are kept
// beside the messages.
func listsOnly(k *headers.Keeper, items []imap.FetchItem) bool {
	if k == nil {
		return false
	}
	for _, it := range items {
		s := it.Section
		if it.Reads() && (it.Kind != imap.FetchSection || len(s.Path) > 0 || s.Text != imap.SectionFields || !k.Keeps(s.Fields)) {
			return false
		}
	}
	return true
}

// lookUpHeaders finds the header fields of a batch, and gives the messages whose
// own octets must be read.
func (f *fetcher) lookUpHeaders(ctx context.Context, batch []numbered) []numbered {
	if f.sweep == nil {
		return batch
	}
	clear(f.known)
	var rest []numbered
	for _, n := range batch {
		if h, ok := f.sweep.Header(ctx, n.UID); ok {
			f.known[n.UID] = h
		} else {
			rest = append(rest, n)
		}
	}
	return rest
}

// fromHeader gives what is wanted of a message whose header fields are known.
func (f *fetcher) fromHeader(header []byte) {
	f.pieces = f.pieces[:0]
	for _, it := range f.items {
		if !it.Reads() {
			continue
		}
		out := filter(header, it.Section.Fields, true)
		p := piece{r: bytes.NewReader(out), n: int64(len(out))}
		f.pieces = append(f.pieces, p.part(it))
	}
}

// learnHeader has the header fields of the message at hand kept.
func (f *fetcher) learnHeader(ctx context.Context, uid store.UID) {
	if f.sweep == nil {
		return
	}
	end, err := f.msg.headEnd()
	if err != nil || end > maxHeader {
		return
	}
	if header, err := f.msg.bytes(0, end); err == nil {
		f.sweep.Learn(ctx, uid, header)
	}
}
