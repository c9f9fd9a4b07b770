package embedded

import (
	"errors"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// bodies puts down where bodies are, and places the small ones.
func (c *change) bodies() error {
	for _, b := range c.in.Bodies {
		w := b.(*writer)
		if !c.refs.owns(w.id) {
			c.lost = append(c.lost, w.id) // nobody wants it
		}
		if w.file != nil {
			l := w.location()
			if err := c.located(w.id, &l); err != nil {
				return err
			}
			continue
		}
		w.Finish()
	}
	return c.place()
}

// place writes the frames of small bodies to the current segment, some at a
// time, and redo records to the batch. Of many bodies it makes no redo records:
// a sync of the segment then costs less than to write all of them twice.
func (c *change) place() error {
	atOnce := int(min(1<<20, c.e.o.segment/4))
	c.once = c.frames() >= c.e.o.once
	var page []byte // is written, which may change it
	var ready []*writer
	for i, b := range c.in.Bodies {
		if w := b.(*writer); w.file == nil {
			page, ready = append(page, w.frame...), append(ready, w)
		}
		if len(ready) == 0 || len(page) < atOnce && i < len(c.in.Bodies)-1 {
			continue
		}
		at, err := c.e.segments.append(page)
		if err != nil {
			if full := noSpace(err); errors.Is(full, engine.ErrFull) {
				return full
			}
			return c.e.fail(err)
		}
		for _, w := range ready {
			if err := c.placed(w, at); err != nil {
				return err
			}
			at.offset += int64(len(w.frame))
		}
		page, ready = page[:0], ready[:0]
	}
	if c.once {
		return c.e.settle()
	}
	return nil
}

// frames is how many octets the small bodies take.
func (c *change) frames() (n int64) {
	for _, b := range c.in.Bodies {
		n += int64(len(b.(*writer).frame))
	}
	return n
}

// placed puts down that a small body has its place.
func (c *change) placed(w *writer, at place) error {
	stored := w.frame[frameHead:]
	l := location{place: at, size: w.size, stored: int64(len(stored)), packed: w.packed, sum: frameSum(w.frame)}
	if !c.once {
		if err := c.out.Set(redoKey(at), w.frame, nil); err != nil {
			return err
		}
	}
	return c.located(w.id, &l)
}

func (c *change) located(id mail.ID, l *location) error {
	key := idKey(kindLocation, id)
	return c.out.Set(key, encodeLocation(key, l), nil)
}
