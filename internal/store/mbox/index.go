package mbox

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"time"

	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// saveBytes is how much of a file is read before it pays to note what was found.
const saveBytes = 4 << 20

// saved is what is noted of a large file, so that it need not be read again. What
// there is of each message follows.
type saved struct {
	Version  int
	Mailbox  string
	Inode    uint64
	Size     int64
	Time     time.Time
	Changed  time.Time
	Seen     time.Time
	Base     *mbox.Base
	Words    []string
	Messages int
}

const savedVersion = 3

// noteIf notes where the messages are, if it must or if much was added since.
func (b *box) noteIf(must bool) {
	if must || b.stamp.size-b.noted > max(saveBytes, b.stamp.size/16) {
		b.save()
	}
}

func (b *box) indexName() string { return b.own + ".index" }

// save notes where the messages are. What fails is only read again.
func (b *box) save() {
	head, err := json.Marshal(&saved{
		Version: savedVersion, Mailbox: b.p.pathOf(b.at), Inode: b.stamp.inode, Size: b.stamp.size, Time: b.stamp.time,
		Changed: b.stamp.changed, Seen: b.stamp.seen, Base: b.base, Words: b.words, Messages: len(b.entries),
	})
	text := make([]byte, sha256.Size, sha256.Size+len(head)+48*len(b.entries)+16)
	text = append(append(text, head...), '\n')
	at := int64(0)
	for i := range b.entries {
		text = b.entries[i].append(text, at)
		at = b.entries[i].next
	}
	sum := sha256.Sum256(text[sha256.Size:])
	copy(text, sum[:])
	if err == nil {
		err = vfs.MakeDir(b.t.root, ownDir)
	}
	if err == nil {
		err = replaceFile(b.t.root, b.indexName(), text)
	}
	b.noted = b.stamp.size
	if err != nil {
		b.t.f.o.Log.Warn("where messages are was not noted", "mailbox", b.p.pathOf(b.at), "error", err)
	}
}

// The bits of what is noted of a message.
const (
	bitKnown = 1 << iota
	bitPlain
	bitWritten
	bitPseudo
	bitFirst // the key is that of the first
	bitOurs
)

// append notes a message that begins behind an offset.
func (e *entry) append(b []byte, behind int64) []byte {
	bits := uint64(0)
	for i, set := range []bool{e.known, e.behind.Plain, e.written, e.pseudo, e.key == e.first, e.ours} {
		if set {
			bits |= 1 << i
		}
	}
	for _, n := range []uint64{
		bits, uint64(e.at - behind), uint64(e.next - e.at), uint64(e.behind.Length), uint64(e.behind.Gap), uint64(e.behind.Size),
		uint64(e.uid), uint64(e.flags),
	} {
		b = binary.AppendUvarint(b, n)
	}
	b = binary.LittleEndian.AppendUint64(b, e.first)
	b = binary.LittleEndian.AppendUint64(b, e.fields)
	if bits&bitFirst == 0 {
		b = binary.LittleEndian.AppendUint64(b, e.key)
	}
	return b
}

// read takes what append has noted from the beginning of octets; nil for what is
// left if that is not all there.
func (e *entry) read(b []byte, behind int64) []byte {
	var n [8]uint64
	for i := range n {
		size := 0
		if n[i], size = binary.Uvarint(b); size <= 0 {
			return nil
		}
		b = b[size:]
	}
	e.at = behind + int64(n[1])
	e.next = e.at + int64(n[2])
	e.behind = mbox.Extent{Length: int64(n[3]), Gap: int64(n[4]), Size: int64(n[5]), Plain: n[0]&bitPlain != 0}
	e.uid, e.flags = engine.UID(n[6]), engine.Flags(n[7])
	e.known, e.written, e.pseudo = n[0]&bitKnown != 0, n[0]&bitWritten != 0, n[0]&bitPseudo != 0
	e.ours = n[0]&bitOurs != 0
	words := []*uint64{&e.first, &e.fields, &e.key}
	if n[0]&bitFirst != 0 {
		words = words[:2]
	}
	for _, w := range words {
		if len(b) < 8 {
			return nil
		}
		*w, b = binary.LittleEndian.Uint64(b), b[8:]
	}
	if n[0]&bitFirst != 0 {
		e.key = e.first
	}
	return b[:len(b):len(b)]
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
	if !b.take(text) {
		b.forget()
		b.t.f.o.Log.Info("what was noted of a mailbox is damaged or old: the file is read", "mailbox", b.p.pathOf(b.at))
	}
}

// take takes over a note, unless it is damaged or of another mailbox.
func (b *box) take(text []byte) bool {
	var s saved
	if len(text) < sha256.Size || sha256.Sum256(text[sha256.Size:]) != [sha256.Size]byte(text) {
		return false
	}
	head, rest, _ := bytes.Cut(text[sha256.Size:], []byte{'\n'})
	if json.Unmarshal(head, &s) != nil || s.Version != savedVersion || s.Mailbox != b.p.pathOf(b.at) || s.Messages > len(rest) {
		return false
	}
	b.noted = s.Size
	b.stamp = stamp{inode: s.Inode, size: s.Size, time: s.Time, changed: s.Changed, seen: s.Seen}
	b.base, b.words = s.Base, s.Words
	b.entries = make([]entry, s.Messages)
	b.byKey, b.seen = make(map[uint64]int, s.Messages), make(map[uint64]int, s.Messages)
	at := int64(0)
	for i := range b.entries {
		e := &b.entries[i]
		if rest = e.read(rest, at); rest == nil {
			return false
		}
		at = e.next
		b.byKey[e.key] = i
		b.seen[e.first]++
	}
	return true
}
