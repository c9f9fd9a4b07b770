package maildir

import (
	"maps"
	"sync"

	"plic/internal/vfs"
)

// told is names that have come, gone or changed, as the watch says.
type told struct {
	mu    sync.Mutex
	names map[toldName]bool
	all   bool // or others
}

// toldName is a name in new or in cur.
type toldName struct {
	fresh bool
	name  string
}

// maxTold is how many names are looked at one by one; the directories are read
// for more.
const maxTold = 10_000

func (t *told) add(name string, fresh bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name == "" || len(t.names) >= maxTold {
		t.all = true
		return
	}
	if t.names == nil {
		t.names = map[toldName]bool{}
	}
	t.names[toldName{fresh, name}] = true
}

func (t *told) nothing() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.names) == 0 && !t.all
}

// take gives the names, once; false if there are others.
func (t *told) take() (names map[toldName]bool, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	names, ok = t.names, !t.all
	t.names, t.all = nil, false
	return names, ok
}

// follow looks at what the watch has told of, and at nothing else; false if that
// may not be all. b.mu is held.
func (b *box) follow(cur, fresh stamp) (changed, ok bool) {
	if b.deaf = !b.t.f.o.Watcher.Told(b.p.on(b.at("cur")), b.p.on(b.at("new"))); b.deaf || cur.inode != b.cur.inode || fresh.inode != b.new.inode {
		return false, false
	}
	names, ok := b.told.take()
	if !ok {
		return false, false
	}
	there := map[toldName]bool{}
	for n := range names {
		_, err := b.p.Stat(b.at((&message{fresh: n.fresh}).dir(), n.name))
		if err != nil && !vfs.NotExist(err) {
			return false, false
		}
		if err == nil {
			there[n] = true
		}
	}
	// What was renamed is there under its new name first.
	for n := range there {
		some, ok := b.came(n)
		if changed = changed || some; !ok {
			return changed, false
		}
	}
	maps.DeleteFunc(names, func(n toldName, _ bool) bool { return there[n] })
	for n := range names {
		if m, ok := parseName(n.name, n.fresh); ok {
			if had := b.messages[keyOf(m.base)]; had != nil && had.base == m.base && had.info == m.info && had.fresh == m.fresh {
				return changed, false // gone, or under a name of which we are told next
			}
		}
	}
	b.cur, b.new = cur, fresh
	return changed, true
}

// came makes a name known that is there; false if the message has another, too.
func (b *box) came(n toldName) (changed, ok bool) {
	m, ok := parseName(n.name, n.fresh)
	if !ok {
		return false, true
	}
	key := keyOf(m.base)
	if had := b.messages[key]; had != nil {
		if had.base == m.base && had.info == m.info && had.fresh == m.fresh {
			return false, true
		}
		if _, err := b.p.Stat(b.path(had)); !vfs.NotExist(err) {
			return false, false
		}
		m.uid, m.size, m.wire = had.uid, had.size, had.wire
	}
	b.messages[key] = &m
	if b.recent == nil {
		b.recent = map[uint64]bool{}
	}
	b.recent[key] = true
	return true, true
}

// Watch tells of what other programs do. What this one does is known already
// when it is told of.
func (b *box) Watch(changed func()) (stop func(), err error) {
	hear := func(fresh bool) func(string) {
		return func(name string) {
			b.told.add(name, fresh)
			if b.foreign(name, fresh) {
				changed()
			}
		}
	}
	one, err := b.t.f.watch(b.p, b.at("new"), hear(true))
	if err != nil {
		return nil, err
	}
	two, err := b.t.f.watch(b.p, b.at("cur"), hear(false))
	if err != nil {
		one()
		return nil, err
	}
	b.look() // nobody told of what happened until now
	b.watched.Store(true)
	return func() { b.watched.Store(false); one(); two() }, nil
}

// look has the folder read again at the next Scan.
func (b *box) look() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty = true
}

// foreign says that a name may tell of what is not known. It does not wait: who
// is changing the folder may wait for what is told.
func (b *box) foreign(name string, fresh bool) bool {
	if !b.mu.TryLock() {
		return true
	}
	defer b.mu.Unlock()
	if m, ok := parseName(name, fresh); ok && b.read {
		had := b.messages[keyOf(m.base)]
		here := had != nil && had.base == m.base && had.info == m.info && had.fresh == m.fresh
		_, err := b.p.Stat(b.at(m.dir(), name))
		return (err != nil || !here) && (!vfs.NotExist(err) || here)
	}
	return name == "" || !b.read
}
