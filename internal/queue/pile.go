package queue

// pile is a binary heap of things with an instant; the earliest is on top. It
// keeps their places, so that each can be taken out.
type pile[T interface {
	comparable
	instant() int64
	place() *int32
}] struct{ all []T }

// absent is the place of what is in no pile.
const absent = -1

func (p *pile[T]) top() (t T, ok bool) {
	if len(p.all) == 0 {
		return t, false
	}
	return p.all[0], true
}

func (p *pile[T]) push(t T) {
	p.all = append(p.all, t)
	p.up(len(p.all) - 1)
}

// remove takes t out, if it is in.
func (p *pile[T]) remove(t T) {
	i := int(*t.place())
	if i == absent {
		return
	}
	last := len(p.all) - 1
	moved := p.all[last]
	var none T
	p.all[last] = none
	p.all = p.all[:last]
	*t.place() = absent
	if moved != t {
		p.set(i, moved)
		p.down(i)
		p.up(int(*moved.place()))
	}
}

func (p *pile[T]) set(i int, t T) {
	p.all[i] = t
	*t.place() = int32(i)
}

func (p *pile[T]) up(i int) {
	t := p.all[i]
	for i > 0 {
		parent := (i - 1) / 2
		if p.all[parent].instant() <= t.instant() {
			break
		}
		p.set(i, p.all[parent])
		i = parent
	}
	p.set(i, t)
}

func (p *pile[T]) down(i int) {
	t := p.all[i]
	for {
		child := 2*i + 1
		if child >= len(p.all) {
			break
		}
		if child+1 < len(p.all) && p.all[child+1].instant() < p.all[child].instant() {
			child++
		}
		if t.instant() <= p.all[child].instant() {
			break
		}
		p.set(i, p.all[child])
		i = child
	}
	p.set(i, t)
}
