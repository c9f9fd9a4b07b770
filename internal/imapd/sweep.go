package imapd

import (
	"context"
	"iter"

	"plic/internal/store"
)

// batchSize is how many messages are looked up together.
const batchSize = 512

// numbered is a message with its index in seq.
type numbered struct {
	i int
	item
}

// batches gives messages, n at most, some at a time, in one slice that is used
// again.
func batches(entries iter.Seq2[int, item], n int, take func([]numbered) error) error {
	batch := make([]numbered, 0, min(n, batchSize))
	for i, it := range entries {
		if batch = append(batch, numbered{i, it}); len(batch) == batchSize {
			if err := take(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return take(batch)
}

// sweep visits the messages of spans with their details; nil for those that are
// gone or damaged.
func (v *view) sweep(ctx context.Context, spans []span, visit func(int, item, *store.Detail) error) error {
	return batches(v.entries(spans), sizeOf(spans), func(batch []numbered) error { return v.sweepBatch(ctx, batch, visit) })
}

func (v *view) sweepBatch(ctx context.Context, batch []numbered, visit func(int, item, *store.Detail) error) error {
	uids := make([]store.UID, len(batch))
	for i := range batch {
		uids[i] = batch[i].UID
	}
	skip := func(below store.UID) error {
		for len(batch) > 0 && batch[0].UID < below {
			if err := visit(batch[0].i, batch[0].item, nil); err != nil {
				return err
			}
			batch = batch[1:]
		}
		return nil
	}
	for d, err := range v.mb.Details(ctx, uids) {
		if err != nil && d.UID == 0 {
			return err
		}
		if e := skip(d.UID); e != nil {
			return e
		}
		if err != nil || len(batch) == 0 || batch[0].UID != d.UID {
			continue // damaged: skipped with the next
		}
		if err := visit(batch[0].i, batch[0].item, &d); err != nil {
			return err
		}
		batch = batch[1:]
	}
	return skip(store.UID(1<<32 - 1))
}
