package embedded

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
)

// In a log the heads of chunks are longer than in a manifest, by kinds of their own.
const (
	logHead  = chunkHead + 4 // with the number of the log
	syncHead = logHead + 8   // and with how far Pebble knows that it was synced

	chunkMiddle = 3
	chunkLast   = 4
	chunkKinds  = 4 // kinds from 5 on have a logHead, from 9 on a syncHead
)

// promiseTag begins what each commit says, beside its changes, of how far a log
// was synced when it was made.
const promiseTag = 's'

func encodePromise(log uint64, upTo int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint([]byte{promiseTag}, log), uint64(upTo))
}

func decodePromise(data []byte) (log uint64, upTo int64) {
	if len(data) == 0 || data[0] != promiseTag {
		return 0, 0
	}
	log, n := binary.Uvarint(data[1:])
	if n <= 0 {
		return 0, 0
	}
	at, m := binary.Uvarint(data[1+n:])
	if m <= 0 {
		return 0, 0
	}
	return log, int64(at)
}

// logText is a log as it is on the disk. Pebble reads it up to the first place
// that is not sound. There it has ended, or a crash has cut it short, which leaves
// anything in what no sync has covered; or it is damaged, and what was acknowledged
// stands behind that. What tells is how far the log was synced, as records behind
// the place say. Pebble's own word for it leaves out all blocks that were full when
// they were written, and it does not look at the rest of the block.
type logText struct {
	name       string
	number     uint64
	octets     []byte
	unreadable bool // octets of it, by the disk: they are zeros here

	records []logRecord // whole ones
	gaps    []gap
	synced  int64 // up to here it was, at least
	end     int   // where nothing follows any more
	closed  bool  // and that was its end
}

// logRecord is a commit: its changes have the numbers from first to next.
type logRecord struct {
	text        []byte
	first, next pebble.SeqNum
}

// gap is a place between records that is not sound.
type gap struct {
	at     int
	before int // the record that follows
}

// readLog reads and parses a log. With anyway what the disk does not give is taken
// for zeros.
func (e *Engine) readLog(name string, anyway bool) (*logText, error) {
	number, ok := logNumber(name)
	if !ok {
		return nil, errors.New(name + " is no log")
	}
	f, err := e.fs.Open(e.fs.PathJoin(e.records, e.fs.PathBase(name)))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	l := &logText{name: e.fs.PathBase(name), number: number, octets: make([]byte, info.Size())}
	_, err = f.ReadAt(l.octets, 0)
	if anyway && errors.Is(err, syscall.EIO) {
		l.unreadable = true
		const sector = 4 << 10
		for at := 0; at < len(l.octets) && (err == nil || errors.Is(err, syscall.EIO)); at += sector {
			part := l.octets[at:min(at+sector, len(l.octets))]
			if _, err = f.ReadAt(part, int64(at)); err != nil {
				clear(part)
			}
		}
		if errors.Is(err, syscall.EIO) {
			err = nil
		}
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	l.parse()
	return l, nil
}

// parse finds the records.
func (l *logText) parse() {
	const between, within, lost = 0, 1, 2 // records; lost is one whose beginning is
	state := between
	var text []byte
	miss := func(at int) {
		if state != lost {
			l.gaps = append(l.gaps, gap{at, len(l.records)})
		}
		state = lost
	}
	at := l.padded(0)
	for ; at < len(l.octets); at = l.padded(at) {
		if l.trailer(at) {
			if state == within {
				miss(at)
			}
			l.closed = true
			break
		}
		c, ok := l.chunk(at)
		if !ok {
			next := l.resume(at)
			if next < 0 {
				break
			}
			miss(at)
			at = next
			continue
		}
		l.synced = max(l.synced, c.synced)
		switch begins := c.kind == chunkFull || c.kind == chunkFirst; {
		case begins && state == within, !begins && state == between:
			miss(at)
		}
		switch c.kind {
		case chunkFull:
			l.record(c.text)
			state = between
		case chunkFirst:
			text, state = bytes.Clone(c.text), within
		default:
			if state != within {
				break
			}
			if text = append(text, c.text...); c.kind == chunkLast {
				l.record(text)
				state = between
			}
		}
		at = c.next
	}
	l.end = min(at, len(l.octets))
	l.closed = l.closed || l.end == len(l.octets) && state != within
}

// record takes a record and what it says of syncs.
func (l *logText) record(text []byte) {
	head, ok := batchrepr.ReadHeader(text)
	if !ok {
		return
	}
	l.records = append(l.records, logRecord{text, head.SeqNum, head.SeqNum + pebble.SeqNum(head.Count)})
	for r := batchrepr.Read(text); ; {
		kind, key, _, ok, err := r.Next()
		if err != nil || !ok {
			return
		}
		if kind == pebble.InternalKeyKindLogData {
			if log, upTo := decodePromise(key); log == l.number {
				l.synced = max(l.synced, upTo)
			}
		}
	}
}

// logChunk is a chunk of a log.
type logChunk struct {
	kind   byte
	synced int64
	text   []byte
	next   int
}

// block is what is left of a block.
func (l *logText) block(at int) []byte {
	return l.octets[at:min(len(l.octets), at-at%chunkBlock+chunkBlock)]
}

// chunk gives the chunk that stands at a place, if one does.
func (l *logText) chunk(at int) (c logChunk, ok bool) {
	b := l.block(at)
	head, ok := l.head(b)
	if !ok || head+length(b) > len(b) {
		return c, false
	}
	end := head + length(b)
	if chunkSum(b[6:end]) != binary.LittleEndian.Uint32(b) {
		return c, false
	}
	c = logChunk{kind: (b[6]-1)%chunkKinds + 1, text: b[head:end], next: at + end}
	if head == syncHead {
		c.synced = int64(binary.LittleEndian.Uint64(b[logHead:]))
	}
	return c, c.synced <= int64(at)
}

// head says whether the head of a chunk of this log may stand there, and how long it is.
func (l *logText) head(b []byte) (size int, ok bool) {
	if len(b) < logHead || b[6] <= chunkKinds || b[6] > 3*chunkKinds || binary.LittleEndian.Uint32(b[chunkHead:]) != uint32(l.number) {
		return 0, false
	}
	if b[6] <= 2*chunkKinds {
		return logHead, true
	}
	return syncHead, len(b) >= syncHead
}

// trailer says that a place is where the log was ended.
func (l *logText) trailer(at int) bool {
	b := l.block(at)
	return len(b) >= logHead && string(b[:chunkHead]) == "\x00\x00\x00\x00\x00\x00\x05" &&
		binary.LittleEndian.Uint32(b[chunkHead:]) == uint32(l.number)+1
}

// padded goes on over the end of a block that is too short for a chunk.
func (l *logText) padded(at int) int {
	if at >= len(l.octets) {
		return at
	}
	b := l.block(at)
	whole := (at+len(b))%chunkBlock == 0
	if whole && len(b) < chunkHead || len(b) < syncHead && zero(b) {
		return at + len(b)
	}
	return at
}

func zero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// resume finds where it goes on behind what is no chunk, or -1. The length that
// stands there is believed first: in the text of a chunk there may be anything.
func (l *logText) resume(at int) int {
	sound := func(at int) bool {
		if at >= len(l.octets) || l.trailer(at) {
			return at < len(l.octets)
		}
		_, ok := l.chunk(at)
		return ok
	}
	b := l.block(at)
	if head, ok := l.head(b); ok && head+length(b) <= len(b) {
		if next := l.padded(at + head + length(b)); sound(next) {
			return next
		}
	}
	for next := at + 1; next+logHead <= len(l.octets); next++ {
		if kind := l.octets[next+chunkHead-1]; kind > chunkKinds && kind <= 3*chunkKinds && sound(next) {
			return next
		}
	}
	return -1
}

// damage gives the first place where something acknowledged is lost. All of a log
// that another one followed was synced; of the last one, what records say.
func (l *logText) damage(last bool) (at int, damaged bool) {
	if len(l.gaps) > 0 && (!last || int64(l.gaps[0].at) < l.synced) {
		return l.gaps[0].at, true
	}
	return l.end, !last && !l.closed
}

// cut forgets what stands behind the first place of the last log that no sync has
// covered.
func (l *logText) cut() {
	for i, g := range l.gaps {
		if int64(g.at) >= l.synced {
			l.gaps, l.records = l.gaps[:i], l.records[:g.before]
			return
		}
	}
}
