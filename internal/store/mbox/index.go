package mbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"time"

	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// saveBytes is how much of a file is read before it pays to note what was found.
const saveBytes = 4 << 20

// saved is what is noted of a large file, so that it need not be read again.
type saved struct {
	Version int
	Mailbox string
	Inode   uint64
	Size    int64
	Time    time.Time
	Base    *mbox.Base
	Words   []string
	Seen    map[uint64]int
	Entries []savedEntry
}

type savedEntry struct {
	At, Next int64
	Key      uint64
	First    uint64
	Fields   uint64
	UID      engine.UID
	Flags    engine.Flags
	Written  bool
	Pseudo   bool
}

const savedVersion = 2

// noteIf notes where the messages are, if it must or if much was added since.
func (b *box) noteIf(must bool) {
	if must || b.stamp.size-b.noted > max(saveBytes, b.stamp.size/16) {
		b.save()
	}
}

func (b *box) indexName() string { return b.own + ".index" }

// save notes where the messages are. What fails is only read again.
func (b *box) save() {
	s := saved{
		Version: savedVersion, Mailbox: b.p.pathOf(b.at), Inode: b.stamp.inode, Size: b.stamp.size, Time: b.stamp.time, Base: b.base, Words: b.words, Seen: b.seen,
		Entries: make([]savedEntry, len(b.entries)),
	}
	for i, e := range b.entries {
		s.Entries[i] = savedEntry{e.at, e.next, e.key, e.first, e.fields, e.uid, e.flags, e.written, e.pseudo}
	}
	var text bytes.Buffer
	err := gob.NewEncoder(&text).Encode(&s)
	if err == nil {
		err = vfs.MakeDir(b.t.root, ownDir)
	}
	if err == nil {
		sum := sha256.Sum256(text.Bytes())
		err = replaceFile(b.t.root, b.indexName(), append(sum[:], text.Bytes()...))
	}
	b.noted = b.stamp.size
	if err != nil {
		b.t.f.o.Log.Warn("where messages are was not noted", "mailbox", b.p.pathOf(b.at), "error", err)
	}
}

// load takes over what was noted. b.mu is held.
func (b *box) load() {
	text, err := readFile(b.t.root, b.indexName())
	if err != nil {
		if !vfs.NotExist(err) {
			b.t.f.o.Log.Warn("where messages are cannot be read", "mailbox", b.p.pathOf(b.at), "error", err)
		}
		return
	}
	var s saved
	var sum [sha256.Size]byte
	rest := text[copy(sum[:], text):]
	if sha256.Sum256(rest) != sum || gob.NewDecoder(bytes.NewReader(rest)).Decode(&s) != nil ||
		s.Version != savedVersion || s.Mailbox != b.p.pathOf(b.at) || s.Seen == nil {
		b.t.f.o.Log.Info("what was noted of a mailbox is damaged or old: the file is read", "mailbox", b.p.pathOf(b.at))
		return
	}
	b.noted = s.Size
	b.stamp = stamp{inode: s.Inode, size: s.Size, time: s.Time}
	b.base, b.words, b.seen = s.Base, s.Words, s.Seen
	for i, e := range s.Entries {
		b.entries = append(b.entries, entry{e.At, e.Next, e.Key, e.First, e.Fields, e.UID, e.Flags, e.Written, e.Pseudo})
		b.byKey[e.Key] = i
	}
}
